"""Plans: made, previewed, published and archived on one page with their prices and what they grant."""

from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin.checks import InlineModelAdminChecks
from django.db.models import Count, Prefetch, Q, QuerySet
from django.forms import modelformset_factory
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.formats import date_format
from unfold.decorators import action, display

from billing import catalog, simulation
from billing.admin.plan_forms import EntitlementForm, EntitlementFormSet, PlanForm, PriceForm, PriceFormSet
from billing.admin.simulation import SimulationForm
from billing.models import Entitlement, Plan, PlanVersion, Price, Subscription
from billing.queries import shop
from billing.simulation import Scenario
from gtm.shared import db, vendors
from gtm.shared.admin_base import (
    OperationAdmin,
    OperationStack,
    OperationTable,
    digest,
    is_founder,
    page_of,
    refusal_in,
    row,
)
from gtm.shared.admin_steps import step
from gtm.shared.templatetags import tandem


class _RowsOfVersion(InlineModelAdminChecks):
    """Django looks for a foreign key to the plan; these rows hang on its newest version."""

    def _check_relation(self, obj: Any, parent_model: Any) -> list[Any]:
        return []

    def _check_exclude_of_parent_model(self, obj: Any, parent_model: Any) -> list[Any]:
        return []


class _VersionRows:
    checks_class = _RowsOfVersion

    def get_formset(self, request: HttpRequest, obj: Plan | None = None, **kwargs: Any) -> Any:
        formset = modelformset_factory(
            self.model,  # type: ignore[attr-defined]
            form=self.form,  # type: ignore[attr-defined]
            formset=self.formset,  # type: ignore[attr-defined]
            extra=self.get_extra(request, obj),  # type: ignore[attr-defined]
            can_delete=True,
            formfield_callback=partial(self.formfield_for_dbfield, request=request),  # type: ignore[attr-defined]
        )
        formset.form.refusal = refusal_in(request)  # type: ignore[attr-defined]
        return formset


class PriceRows(_VersionRows, OperationStack):
    model = Price
    form = PriceForm
    formset = PriceFormSet
    verbose_name_plural = "prices"
    fieldsets = (
        (
            None,
            {
                "fields": (("unit_amount", "currency", "interval_count", "interval"), ("model", "published")),
            },
        ),
        (
            "Usage, tiers and the rest",
            {
                "classes": ["collapse"],
                "fields": (
                    ("code", "name"),
                    ("meter", "timing"),
                    "tiers",
                    ("included_units", "minimum_amount"),
                    ("flat_amount", "package_size"),
                    ("percentage", "fixed_amount"),
                    ("per_transaction_min", "per_transaction_max"),
                    ("free_units", "tax_class"),
                    "add_on",
                ),
            },
        ),
    )

    def get_extra(self, request: HttpRequest, obj: Plan | None = None, **kwargs: Any) -> int:
        return 2 if obj is None else 0


class EntitlementRows(_VersionRows, OperationTable):
    model = Entitlement
    form = EntitlementForm
    formset = EntitlementFormSet
    verbose_name_plural = "features and limits"
    hide_title = True

    def get_extra(self, request: HttpRequest, obj: Plan | None = None, **kwargs: Any) -> int:
        return 1 if obj is None else 0


@admin.register(Plan)
class PlanAdmin(OperationAdmin):
    form = PlanForm
    inlines = (PriceRows, EntitlementRows)
    list_display = ("name", "purchase_mode", "state", "position", "subscribers", "code")
    list_filter = ("purchase_mode", "published")
    search_fields = ("name", "code")
    ordering = ("position", "code")
    prepopulated_fields = {"code": ("name",)}
    fieldsets = (
        (None, {"fields": (("name", "code"), "description", ("purchase_mode", "demo_policy"), "talk_to_us")}),
        (
            "On the price page",
            {"fields": (("position", "family"),)},
        ),
        ("Trial", {"fields": (("trial_days", "trial_end"), "trial_requires_payment_method")}),
        ("When a payment fails", {"fields": ("dunning_policy",)}),
        ("When a customer cancels", {"fields": ("cancel_offer", ("cancel_coupon", "cancel_plan"))}),
    )
    actions_detail = ("preview", "simulate", "publish", "withdraw", "archive")
    change_form_outer_after_template = "billing/admin/_plan_versions.html"

    # --- operations --------------------------------------------------------------------------------
    def create(self, *, at: datetime, **values: Any) -> Plan:
        return catalog.create_plan(at=at, **values)

    def change(self, instance: Plan, *, at: datetime, **changes: Any) -> Plan:
        return catalog.change_plan(plan=instance, at=at, **changes)

    def save_rows(self, request: HttpRequest, instance: Plan, formset: Any) -> None:
        save = _save_prices if isinstance(formset, PriceFormSet) else _save_entitlements
        save(instance, formset, db.now_for(instance))

    @step(
        "Publish",
        explain=lambda plan: f"{plan} goes on the price page at once. You can take it off again at any time.",
        done=lambda plan: f"{plan} is on the price page.",
        applies=lambda plan: not plan.published and plan.archived_at is None,
        main=True,
    )
    def publish(self, plan: Plan, *, at: datetime) -> None:
        catalog.publish(plan=plan, at=at)

    @step(
        "Withdraw",
        explain=lambda plan: f"{plan} leaves the price page. Whoever bought it keeps it; you can publish it again.",
        done=lambda plan: f"{plan} is off the price page.",
        applies=lambda plan: plan.published,
    )
    def withdraw(self, plan: Plan, *, at: datetime) -> None:
        catalog.withdraw(plan=plan, at=at)

    @step(
        "Archive",
        explain=lambda plan: f"{plan} leaves the catalogue for good; this can't be undone. Whoever bought it keeps it.",
        done=lambda plan: f"{plan} is archived.",
        applies=lambda plan: plan.archived_at is None,
        danger=True,
    )
    def archive(self, plan: Plan, *, at: datetime) -> None:
        catalog.archive(plan=plan, at=at)

    @step(
        "Simulate",
        explain=lambda plan: (
            f"The invoices to come for somebody who buys {plan} today, by the engine that bills. Nothing is written."
        ),
        form=SimulationForm,
        permission="view",
        shown_in="billing/admin/simulation.html",
    )
    def simulate(self, plan: Plan, *, at: datetime, **asked: Any) -> simulation.Simulation:
        return simulation.simulate(Scenario(**asked), at=at)

    @action(
        description="Preview as the customer sees it",
        attrs={"target": "_blank", "rel": "noopener"},
        permissions=["view"],
    )
    def preview(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The plan's card as the price page would show the newest version, for sale or not."""
        plan = self.get_object(request, object_id)
        if plan is None:
            raise Http404
        interval = request.GET.get("interval", "month")
        version = shop.current_versions(Plan.objects.filter(pk=plan.pk))[0]
        offer = shop.offer(version, interval=interval, currency=vendors.current().base_currency)
        return render(request, "billing/admin/plan_preview.html", _card(plan, offer, interval))

    # --- the page ----------------------------------------------------------------------------------
    def get_readonly_fields(self, request: HttpRequest, obj: Plan | None = None) -> tuple[str, ...]:
        return () if obj is None else ("code",)

    def get_prepopulated_fields(self, request: HttpRequest, obj: Plan | None = None) -> dict[str, Any]:
        return self.prepopulated_fields if obj is None else {}

    def get_inlines(self, request: HttpRequest, obj: Plan | None) -> tuple[Any, ...]:
        """Rows to edit; whoever may not, and the archived plan, have the versions below the form to read."""
        return self.inlines if obj is None or self.has_change_permission(request, obj) else ()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_archived = isinstance(obj, Plan) and obj.archived_at is not None
        return is_founder(request) and not is_archived

    def state_of(self, instance: Plan) -> str:
        prices = instance.current_version.prices.order_by("id").values_list("id", "version")
        return digest([instance.version, *prices])

    def notes(self, request: HttpRequest, instance: Plan) -> list[str]:
        if instance.archived_at is not None:
            return [f"Archived on {date_format(instance.archived_at, 'j F Y')}: the plan can't be changed any more."]
        return [note for note in (_version_note(instance),) if note]

    def warnings(self, request: HttpRequest, instance: Plan) -> list[str]:
        return catalog.warnings(plan=instance)

    def extra_context(self, request: HttpRequest, instance: Plan) -> dict[str, Any]:
        return {"versions": [_history(version) for version in _versions(instance)]}

    def response_post_save_add(self, request: HttpRequest, obj: Plan) -> HttpResponse:
        """What comes next is done on the plan's page: preview it, publish it."""
        return redirect(page_of(Plan, obj.pk))

    def response_post_save_change(self, request: HttpRequest, obj: Plan) -> HttpResponse:
        return redirect(page_of(Plan, obj.pk))

    # --- the list ----------------------------------------------------------------------------------
    def get_queryset(self, request: HttpRequest) -> QuerySet[Plan]:
        live = Q(versions__subscriptions__status__in=Subscription.LIVE)
        plans = super().get_queryset(request).filter(test_clock=None)
        return plans.annotate(living=Count("versions__subscriptions", filter=live, distinct=True))

    @display(description="Status", ordering="published")
    def state(self, plan: Plan) -> str:
        return tandem.status_badge("archived" if plan.archived_at else "published" if plan.published else "draft")

    @display(description="Subscriptions", ordering="living")
    def subscribers(self, plan: Any) -> int:
        return int(plan.living)

    # --- the terms of the newest version, for those who may only read ----------------------------------
    @display(description="Days of trial")
    def trial_days(self, plan: Plan) -> int:
        return plan.current_version.trial_days

    @display(description="When a trial ends")
    def trial_end(self, plan: Plan) -> str:
        return plan.current_version.get_trial_end_display()

    @display(description="A trial needs a payment method", boolean=True)
    def trial_requires_payment_method(self, plan: Plan) -> bool:
        return plan.current_version.trial_requires_payment_method


def _save_prices(plan: Plan, formset: Any, at: datetime) -> None:
    for form in formset.forms:
        is_new = form.instance._state.adding
        if form in formset.deleted_forms:
            if not is_new:
                catalog.delete_price(price=form.instance, at=at)
        elif form.has_changed():
            with row(form):
                _save_price(plan, form, is_new, at)


def _save_price(plan: Plan, form: PriceForm, is_new: bool, at: datetime) -> None:
    if not is_new:
        catalog.change_price(price=form.instance, at=at, **form.changes())
        return
    terms = {name: value for name, value in form.values().items() if name not in {"id", "DELETE"}}
    code = terms.pop("code", None) or _free_code(f"{plan.code}-{terms['interval']}")
    catalog.create_price(plan=plan, at=at, code=code, **terms)


def _free_code(wished: str) -> str:
    """The code itself, or the first of wished-2, wished-3 … that no price has."""
    taken = set(Price.objects.filter(code__startswith=wished).values_list("code", flat=True))
    tries = (wished, *(f"{wished}-{number}" for number in range(2, len(taken) + 3)))
    return next(code for code in tries if code not in taken)


def _save_entitlements(plan: Plan, formset: Any, at: datetime) -> None:
    kept = [
        form
        for form in formset.forms
        if form not in formset.deleted_forms and (form.has_changed() or not form.instance._state.adding)
    ]
    catalog.set_entitlements(plan=plan, entitlements=[form.terms() for form in kept], at=at)


def _version_note(plan: Plan) -> str:
    version = plan.current_version
    if version.sealed_at is None:
        return ""
    return (
        f"Version {version.number} has been sold since {date_format(version.sealed_at, 'j F Y')}. New prices, other "
        f"features and another trial make version {version.number + 1}; whoever bought keeps what they bought."
    )


def _versions(plan: Plan) -> QuerySet[PlanVersion]:
    live = Q(subscriptions__status__in=Subscription.LIVE)
    prices = Price.objects.select_related("meter").order_by("created_at", "id")
    granted = Entitlement.objects.filter(granted=True).select_related("feature__meter").order_by("feature__name")
    return (
        plan.versions.annotate(living=Count("subscriptions", filter=live))
        .prefetch_related(Prefetch("prices", queryset=prices), Prefetch("entitlements", queryset=granted))
        .order_by("-number")
    )


def _history(version: Any) -> dict[str, Any]:
    return {
        "number": version.number,
        "sealed_at": version.sealed_at,
        "living": version.living,
        "prices": [(price, shop.wording.price_line(price)) for price in version.prices.all()],
        "features": [shop.feature_line(entitlement) for entitlement in version.entitlements.all()],
    }


def _card(plan: Plan, offer: shop.Offer, interval: str) -> dict[str, Any]:
    """The context of the price page with this plan alone; its buttons lead nowhere."""
    shown = asdict(offer) | {"buy_url": "#" if offer.buyable else "", "talk_url": "#" if offer.talk_to_us else ""}
    by_quote = plan.purchase_mode == Plan.PurchaseMode.QUOTE_ONLY
    return {
        "plan": plan,
        "plans": [] if by_quote else [shown],
        "quote_plans": [shown] if by_quote else [],
        "interval": interval if "year" in offer.intervals else "",
    }
