"""Usage to look at: single events, what was corrected about them, and what usage lines are made of."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from unfold import widgets
from unfold.decorators import display

from billing import usage_corrections
from billing.models import Customer, InvoiceLine, UsageCorrection
from billing.queries import line_usage, reported
from billing.queries.reported import Reported
from gtm.shared import admin_columns as columns
from gtm.shared import db
from gtm.shared.admin_actors import NamesActors
from gtm.shared.admin_base import ReadOnlyAdmin
from gtm.shared.admin_filters import OnTestClock
from gtm.shared.api import references
from gtm.shared.errors import DomainError

SHOWN = 100
_DAYS = 31


class LookUpForm(forms.Form):
    """An event by its id, or those of a customer between two days (UTC), the newest first."""

    id = forms.CharField(
        label="Event's id", max_length=200, required=False, widget=widgets.UnfoldAdminTextInputWidget()
    )
    customer = forms.CharField(
        max_length=200,
        required=False,
        widget=widgets.UnfoldAdminTextInputWidget(),
        help_text="Its name, cus_…, or external_id: and your own id.",
    )
    since = forms.DateField(label="From", required=False, widget=widgets.UnfoldAdminTextInputWidget({"type": "date"}))
    until = forms.DateField(label="Until", required=False, widget=widgets.UnfoldAdminTextInputWidget({"type": "date"}))

    def clean_customer(self) -> Customer | None:
        text = self.cleaned_data["customer"].strip()
        if not text:
            return None
        found = references.find(Customer.objects.all(), text) or Customer.objects.filter(name__iexact=text).first()
        if found is None:
            raise forms.ValidationError("There is no such customer.")
        return found

    def events(self) -> list[Reported]:
        """What was asked for; nothing where nothing was."""
        asked = self.cleaned_data
        if asked["id"]:
            found = reported.find(asked["id"])
            return [found] if found else []
        if not asked["customer"]:
            return []
        until = asked["until"] or db.time_of(asked["customer"]).date()
        since = asked["since"] or until - timedelta(days=_DAYS)
        return reported.of_customer(asked["customer"], since=since, until=until, limit=SHOWN)


class VoidForm(forms.Form):
    reason = forms.CharField(max_length=500, widget=widgets.UnfoldAdminTextInputWidget())


@admin.register(UsageCorrection)
class UsageCorrectionAdmin(NamesActors, ReadOnlyAdmin):
    list_display = ("event_id", "customer", "action", "what", "reason", "who", "created_at")
    list_filter = (OnTestClock, "action")
    search_fields = ("event_id__exact",)
    ordering = ("-created_at",)
    fields = (
        ("event", "customer"),
        ("action", "reason"),
        ("before", "after"),
        ("who", "occurred_at"),
        ("created_at", "test_clock"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[UsageCorrection]:
        named = Customer.objects.filter(pk=OuterRef("customer_id")).values("name")
        found: QuerySet[UsageCorrection] = super().get_queryset(request).annotate(named=Subquery(named))
        return found

    @display(description="Customer")
    def customer(self, correction: Any) -> str:
        return columns.anchor("admin:billing_customer_change", correction.customer_id, correction.named or "")

    @display(description="Event")
    def event(self, correction: UsageCorrection) -> str:
        return columns.link_to(_look_up(correction.event_id), correction.event_id)

    @display(description="Before, and after")
    def what(self, correction: UsageCorrection) -> str:
        return "; ".join(_differences(correction))

    # --- pages of their own ------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("events/", view(self.events), name="billing_usage_events"),
            path("events/void/", view(self.void), name="billing_usage_void"),
            path("lines/<uuid:key>/", view(self.line), name="billing_usage_line"),
            *super().get_urls(),
        ]

    def events(self, request: HttpRequest) -> HttpResponse:
        """Look events up."""
        form = LookUpForm(request.GET if request.GET else None)
        found = form.events() if form.is_valid() else []
        owners = Customer.objects.in_bulk({event.customer_id for event in found})
        rows = [{"event": event, "customer": owners.get(event.customer_id)} for event in found]
        context = {"title": "Usage", "form": form, "rows": rows, "asked": form.is_bound, "most": SHOWN}
        return self._page(request, "billing/admin/usage_events.html", context)

    def void(self, request: HttpRequest) -> HttpResponse:
        """Ask for the reason, then let the event count no more."""
        event = reported.find(request.GET.get("id", ""))
        if event is None or event.voided_at is not None:
            raise Http404
        if not self.has_money_permission(request):
            raise PermissionDenied
        form = VoidForm(request.POST if request.method == "POST" else None)
        back = _look_up(event.id)
        if form.is_valid():
            try:
                usage_corrections.void(event_id=event.id, at=db.now(), **form.cleaned_data)
            except DomainError as refusal:
                form.add_error(None, refusal.detail)
            else:
                self.message_user(request, "The event counts no more.", messages.SUCCESS)
                return redirect(back)
        words = (
            "It counts no more, as if it had never been sent. What was invoiced of it is given back. This is for good."
        )
        asked = {"words": words, "form": form, "label": "Void", "is_danger": True, "back": back, "original": event.id}
        return self._page(request, "admin/step.html", {"title": "Void an event", **asked})

    def line(self, request: HttpRequest, key: uuid.UUID) -> HttpResponse:
        """What a usage line is made of: by day, by hour, and each hour's events."""
        line = InvoiceLine.objects.select_related("invoice", "meter", "customer").filter(pk=key).first()
        if line is None:
            raise Http404
        granularity = request.GET.get("by", "day")
        if granularity not in line_usage.GRANULARITIES:
            raise Http404
        try:
            hour = datetime.fromisoformat(request.GET["hour"]).astimezone(UTC) if "hour" in request.GET else None
            shown = line_usage.of_line(line, granularity=granularity, start=hour)
        except (DomainError, ValueError) as error:
            raise Http404(str(error)) from error
        context = {"title": "Usage of a line", "line": line, "shown": shown, "by": granularity, "hour": hour}
        return self._page(request, "billing/admin/usage_line.html", context)

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        shared = self.admin_site.each_context(request) | {"opts": self.opts}
        return TemplateResponse(request, template, shared | context)


def _look_up(event_id: str) -> str:
    return f"{reverse('admin:billing_usage_events')}?{urlencode({'id': event_id})}"


def _differences(correction: UsageCorrection) -> list[str]:
    """What the correction changed, in words."""
    before, after = correction.before, correction.after
    if after is None:
        return [f"{before['name']} of {before['timestamp']}, quantity {before['quantity']}"]
    return [f"{name}: {before[name]} → {after[name]}" for name in before if before[name] != after[name]]
