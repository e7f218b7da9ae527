"""Changes of a subscription in the back office: what it is to consist of, what that costs, and what is scheduled."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.db.models import Exists, OuterRef, QuerySet
from unfold import widgets
from unfold.decorators import display

from billing import change_preview, charges, standing, wording
from billing.change_preview import ChangePreview, Line
from billing.changes import Wanted
from billing.models import Phase, Plan, Price, Subscription, SubscriptionChange
from billing.queries import upcoming
from billing.queries.upcoming import Upcoming
from billing.selection import MAX_QUANTITY, ItemTerms
from gtm.shared.admin_base import ReadOnlyTable, instant_of
from gtm.shared.admin_fields import Choice, plain
from gtm.shared.admin_steps import StepForm
from gtm.shared.templatetags import tandem

INTERVALS = [choice for choice in Price.Interval.choices if choice[0] != Price.Interval.ONE_TIME]
_SAYS = {
    "change": "changes",
    "trial_end": "its trial ends",
    "cancellation": "it ends",
    "pause": "it is paused",
    "resume": "it goes on",
    "invoice": "its next invoice is made",
    "discount_end": "a discount ends",
    "finalization": "a draft is finalized",
    "payment_attempt": "the card is charged",
}


class PhaseRows(ReadOnlyTable):
    """The changes to come."""

    model = Phase
    related = ("plan_version__plan",)
    verbose_name_plural = "scheduled changes"
    ordering = ("starts_at",)
    fields = ("starts_at", "plan_version", "consists_of", "prorate", "locked", "origin", "reason")

    def get_queryset(self, request: Any) -> QuerySet[Phase]:
        rows = super().get_queryset(request).filter(applied_at=None)
        return rows.prefetch_related("items__price")

    @display(description="Consists of")
    def consists_of(self, phase: Phase) -> str:
        return ", ".join(f"{plain(item.quantity)} × {item.price.code}" for item in phase.items.all())


_NAMED_ALIKE = Exists(Plan.objects.filter(archived_at=None, name=OuterRef("name")).exclude(pk=OuterRef("pk")))


class PlanField(forms.ModelChoiceField):
    """Plans by their names, with the code where several share one."""

    def label_from_instance(self, plan: Any) -> str:
        return f"{plan.name} ({plan.code})" if plan.shares_its_name else str(plan.name)


class ChangeForm(StepForm):
    """Another plan with its own items, or the prices of the present one at new quantities."""

    plan = PlanField(
        queryset=Plan.objects.filter(archived_at=None).annotate(shares_its_name=_NAMED_ALIKE).order_by("name", "code"),
        required=False,
        empty_label="Stays as it is",
        widget=widgets.UnfoldAdminSelectWidget(),
        help_text="Another plan brings its own prices, for as many seats; the quantities below don't count then.",
    )
    interval = Choice(
        choices=INTERVALS, empty="As now", label="Billed by the", help_text="Which prices another plan brings."
    )
    effective = Choice(
        choices=[("now", "Now"), ("period_end", "At the end of the period")],
        empty="An upgrade now, a downgrade at the end of the period",
        label="Takes effect",
    )
    proration = Choice(
        choices=[("prorate", "Credit the unused, charge the rest"), ("none", "Nothing until the next period")],
        initial="prorate",
    )
    invoicing = Choice(
        choices=[("now", "Now"), ("next", "With the next invoice")],
        empty="At once; quantities alone with the next invoice",
        label="Invoiced",
    )
    reason = forms.CharField(
        max_length=500, required=False, widget=widgets.UnfoldAdminTextInputWidget(), help_text="Kept with the change."
    )

    def __init__(self, *args: Any, instance: Subscription, **kwargs: Any) -> None:
        super().__init__(*args, instance=instance, **kwargs)
        loaded = standing.loaded().get(pk=instance.pk)
        held = {item.price_id: item.quantity for item in charges.live_items(loaded)}
        self._prices = _offered(loaded, held)
        for price in self._prices:
            self.fields[_name(price)] = _quantity_field(price, held.get(price.pk))
        self.order_fields(["plan", "interval", *(_name(price) for price in self._prices)])

    def clean(self) -> dict[str, Any]:
        """What was entered, in the words of the operation."""
        entered = super().clean() or {}
        items = [
            ItemTerms(price, entered[_name(price)]) for price in self._prices if entered.get(_name(price)) is not None
        ]
        plan = entered.get("plan")
        return {
            "plan": plan,
            "items": None if plan else items,
            "interval": entered.get("interval") or None,
            "effective": entered.get("effective") or None,
            "prorate": entered.get("proration") != "none",
            "invoicing": entered.get("invoicing") or None,
            "reason": entered.get("reason", ""),
        }

    def outcome(self) -> Sequence[str]:
        wanted = Wanted(**self.cleaned_data, origin=SubscriptionChange.Origin.ADMIN)
        found = change_preview.preview(
            subscription=self.instance,  # type: ignore[arg-type]  # a subscription's form
            wanted=wanted,
            at=instant_of(self.instance),
        )
        return list(_told(found, self.instance.customer.timezone))  # type: ignore[attr-defined]

    def field_of(self, attr: str | None) -> str | None:
        """``items.N.quantity`` is the N-th price that has a quantity."""
        if attr is None or not attr.startswith("items."):
            return super().field_of(attr)
        position = int(attr.split(".")[1])
        asked = [_name(price) for price in self._prices if self.data.get(_name(price))]
        return asked[position] if position < len(asked) else None


def _offered(subscription: Subscription, held: Iterable[Any]) -> list[Price]:
    """The recurring prices of its version in its currency, and those that it has beside."""
    recurring = Price.objects.exclude(interval=Price.Interval.ONE_TIME).select_related("plan", "meter")
    own = recurring.filter(version_rows__plan_version=subscription.plan_version, currency=subscription.currency)
    return sorted({*own, *recurring.filter(pk__in=list(held))}, key=lambda price: (price.created_at, price.pk))


def _name(price: Price) -> str:
    return f"price_{price.pk.hex}"


def _quantity_field(price: Price, quantity: Decimal | None) -> forms.DecimalField:
    text = wording.per_interval(price.interval, price.interval_count)
    return forms.DecimalField(
        label=f"{price.name or price.code}, {text}",
        initial=None if quantity is None else plain(quantity),
        required=False,
        max_value=MAX_QUANTITY,
        decimal_places=6,
        widget=widgets.UnfoldAdminDecimalFieldWidget(attrs={"step": "any", "class": "max-w-40"}),
        help_text="Counted by its meter: 1 has it." if price.meter_id else "Quantity; empty: it has none.",
    )


# --- in words ----------------------------------------------------------------------------------
def _told(found: ChangePreview, timezone: str) -> Iterable[str]:
    yield f"Takes effect on {tandem.day_text(found.effective_at, timezone)}."
    for line in found.change.lines:
        yield _line(line, found.currency, timezone)
    yield f"In all: {tandem.money(found.change.total, found.currency)}, tax included."
    if found.change.credit_note_total:
        invoiced, noted = found.change.invoice_total, found.change.credit_note_total
        sums = [tandem.money(amount, found.currency) for amount in (invoiced, noted)]
        yield f"Of it on the invoice: {sums[0]}; given back by credit note: {sums[1]}."
    if found.next_invoice is not None:
        total = tandem.money(found.next_invoice.total, found.currency)
        yield f"The next invoice, on {tandem.day_text(found.next_invoice_at, timezone)}, comes to {total}."


def _line(line: Line, currency: str, timezone: str) -> str:
    where = " (by credit note)" if line.credit_note else ""
    time = f", {_days(line.period_start, line.period_end, timezone)}" if line.period_start and line.period_end else ""
    return f"{line.description}{time}: {tandem.money(line.amount - line.discount_amount, currency)}{where}"


def _days(start: datetime, end: datetime, timezone: str) -> str:
    return f"{tandem.day_text(start, timezone)} to {tandem.day_text(end, timezone)}"


def what_comes(subscription: Subscription) -> list[str]:
    """What happens next, a sentence for each."""
    timezone = subscription.customer.timezone
    return [_sentence(found, timezone) for found in upcoming.of_subscription(subscription)]


def _sentence(found: Upcoming, timezone: str) -> str:
    when = tandem.when_text(found.at, timezone)
    if found.phase is not None:
        return f"{when}: it becomes {found.phase.plan_version.plan}."
    about = f" ({found.invoice})" if found.invoice is not None and found.invoice.number else ""
    return f"{when}: {_SAYS[found.kind]}{about}."
