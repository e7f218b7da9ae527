"""What changed on subscriptions and what it did to revenue: row by row, and as movements of each month."""

from datetime import date
from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from billing.models import Customer, SubscriptionChange
from billing.queries import movements
from billing.revenue import KINDS
from gtm.shared import admin_columns as columns
from gtm.shared import db, periods, vendors
from gtm.shared.admin_actors import NamesActors
from gtm.shared.admin_base import ReadOnlyAdmin

MONTHS = 12


@admin.register(SubscriptionChange)
class SubscriptionChangeAdmin(NamesActors, ReadOnlyAdmin):
    list_display = ("what", "payer", "subscription", "booked_on", "before", "after", "origin", "effective_at")
    list_filter = ("origin", ("booked_on", admin.DateFieldListFilter), "kind")
    list_select_related = ("payer", "subscription__plan_version__plan")
    search_fields = ("payer__name", "payer__email")
    ordering = ("-booked_on", "-recorded_at")
    fieldsets = (
        (None, {"fields": (("kind", "subscription"), ("payer", "currency"), ("before", "after"))}),
        ("When", {"fields": (("effective_at", "booked_on"), "recorded_at")}),
        ("Who", {"fields": (("origin", "who"), "reason")}),
    )
    what = columns.words("kind", "What")
    before = columns.money("mrr_before", "MRR before")
    after = columns.money("mrr_after", "MRR after")

    def get_urls(self) -> list[URLPattern]:
        name = "billing_subscriptionchange_movements"
        return [path("movements/", self.admin_site.admin_view(self.movements), name=name), *super().get_urls()]

    def movements(self, request: HttpRequest) -> HttpResponse:
        """Revenue month by month; with ``month``, ``currency`` and ``kind`` the movements that one figure sums."""
        shown = self._rows(request) if "month" in request.GET else self._months()
        context = self.admin_site.each_context(request) | {"title": "Revenue movements", "opts": self.opts} | shown
        return TemplateResponse(request, "billing/admin/movements.html", context)

    def _months(self) -> dict[str, Any]:
        today = periods.local_date(db.now(), vendors.current().reporting_zone)
        first = movements.months_after(today, 1 - MONTHS)
        return {"months": movements.months(first=first, count=MONTHS), "kinds": KINDS}

    def _rows(self, request: HttpRequest) -> dict[str, Any]:
        """Raises Http404 for an address that nobody was given."""
        kind, currency = request.GET.get("kind", ""), request.GET.get("currency", "")
        try:
            start = date.fromisoformat(f"{request.GET['month']}-01")
        except ValueError as error:
            raise Http404 from error
        in_month = movements.between(start=start, end=movements.months_after(start, 1))
        found = [one for one in in_month if (one.kind, one.account.currency) == (kind, currency)]
        payers = Customer.objects.in_bulk([one.account.payer_id for one in found])
        rows = [(payers[one.account.payer_id], one) for one in found]
        return {
            "rows": rows,
            "sum": sum(one.amount for one in found),
            "kind": kind,
            "currency": currency,
            "start": start,
        }
