"""The order beside the checkout's form: the invoice to come, by the code that will make it, and what follows."""

from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from billing import drafting, preview, wording
from billing.checkout import Purchase, items_of
from billing.models import Charge, Customer, PlanVersion
from billing.selection import ItemTerms
from billing.taxation import PlaceUnknown
from gtm.shared.templatetags.tandem import day_text, quantity
from gtm.shared.templatetags.tandem import price as format_price


def order_of(*, purchase: Purchase, buyer: Customer, trial_days: int, at: datetime) -> dict[str, Any]:
    """What is to pay today, as the invoice to come will say it.

    ``lines`` (``amount`` None: not billed today), ``tax`` (None: not known yet), ``total``, ``after``: what follows.
    """
    items = items_of(purchase)
    if trial_days:
        return _trial_order(items, purchase, trial_days)
    draft, tax_known = _first_invoice(items, purchase, buyer, at)
    return {
        "currency": purchase.currency,
        "lines": [*_billed_lines(draft, purchase.currency), *_later_lines(items)],
        "tax": draft.invoice.tax_total if draft and tax_known else None,
        "tax_label": ", ".join(f"{tax.name} {tax.percentage.normalize():f} %" for tax in draft.taxes) if draft else "",
        "total": draft.invoice.total if draft else 0,
        "after": [_renewal(draft, buyer.timezone), "" if tax_known else _ask_for_place(buyer)],
    }


def _ask_for_place(buyer: Customer) -> str:
    return _("Name your state or region to see the tax.") if buyer.place else _("Choose your country to see the tax.")


def _trial_order(items: list[ItemTerms], purchase: Purchase, days: int) -> dict[str, Any]:
    version = purchase.plan_version
    charged = version.trial_end == PlanVersion.TrialEnd.CHARGE
    after = (
        _("Nothing is charged for %(days)s days, and nothing at all if you cancel before.")
        if charged
        else _("The trial lasts %(days)s days. Nothing is charged when it ends.")
    )
    return {
        "currency": purchase.currency,
        "lines": [_later_line(item) for item in items],
        "tax": None,
        "tax_label": "",
        "total": 0,
        "after": [after % {"days": days}],
    }


def _first_invoice(
    items: list[ItemTerms], purchase: Purchase, buyer: Customer, at: datetime
) -> tuple[drafting.Draft | None, bool]:
    """The invoice to come, and whether its tax is known; before the buyer's place is, it is shown untaxed."""
    try:
        return preview.first_invoice(items=items, plan_version=purchase.plan_version, buyer=buyer, at=at), True
    except PlaceUnknown:
        untaxed = Customer(name=buyer.name, timezone=buyer.timezone, tax_exempt=Customer.TaxExempt.EXEMPT)
        return preview.first_invoice(items=items, plan_version=purchase.plan_version, buyer=untaxed, at=at), False


def _billed_lines(draft: drafting.Draft | None, currency: str) -> list[dict[str, Any]]:
    if draft is None:
        return []
    billed = zip(draft.lines, draft.charges, strict=True)
    return [
        {"text": line.description, "detail": _detail(charge, currency), "amount": line.amount}
        for line, charge in billed
    ]


def _detail(charge: Charge, currency: str) -> str:
    """How the amount comes about, and how often it will."""
    price = charge.price
    if price is None:
        return ""
    steps = wording.explain(charge.explanation, currency) if wording.is_per_seat(price) else []
    return ", ".join([*steps, wording.billed(price.interval, price.interval_count)])


def _later_lines(items: list[ItemTerms]) -> list[dict[str, Any]]:
    return [_later_line(item) for item in items if item.price.meter_id is not None]


def _later_line(item: ItemTerms) -> dict[str, Any]:
    """What is billed when it has been used, or when the trial has ended."""
    price, line = item.price, wording.price_line(item.price)
    name = price.name or (price.meter.name if price.meter else price.plan.name)
    costs = f"{format_price(line['amount'], price.currency)} {line['per']}" if line["amount"] is not None else ""
    units = _("%(n)s units") % {"n": quantity(item.quantity)} if wording.is_per_seat(price) else ""
    return {"text": name, "detail": "; ".join(filter(None, [units, costs, line["text"]])), "amount": None}


def _renewal(draft: drafting.Draft | None, timezone: str) -> str:
    ends = [charge.period_end for charge in draft.charges if charge.period_end] if draft else []
    day = day_text(min(ends), timezone) if ends else ""
    return _("Renews on %(day)s, and so on until you cancel.") % {"day": day} if day else ""
