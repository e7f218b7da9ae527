"""The order beside the checkout's form: the invoice to come, by the code that will make it, and what follows."""

from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing import customers, drafting, preview, tax, wording
from billing.coupons import NotRedeemable
from billing.models import Charge, Coupon, Customer, PlanVersion
from billing.papers.parts import untaxed_reasons
from billing.purchase import Purchase, coupons_of, items_of
from billing.queries import portal
from billing.selection import ItemTerms
from billing.taxation import PlaceUnknown
from gtm.shared import periods
from gtm.shared.templatetags.tandem import day_text, money, quantity
from gtm.shared.templatetags.tandem import price as format_price


def order_of(*, purchase: Purchase, buyer: Customer, trial_days: int, at: datetime) -> dict[str, Any]:
    """What is to pay today, as the invoice to come will say it.

    ``lines`` (``amount`` None: not billed today), ``discounts`` (the same), ``tax`` (None: not known yet),
    ``tax_note``: why none is added; ``tax_id_problem``: why the number that was typed counts for nothing; ``credit``:
    what the buyer's balance pays, ``total``: what is charged then, ``after``: what follows; ``coupon_problem``: why a
    code that was typed counts for nothing.
    """
    items = items_of(purchase)
    given, problem = _coupons(purchase, at)
    if trial_days:
        problems = {"coupon_problem": problem, "tax_id_problem": _tax_id_problem(buyer)}
        then = "" if given else _after_trial(items, purchase, buyer, trial_days, at)
        shown = _trial_order(items, purchase, given, trial_days) | problems
        return shown | {"after": [*shown["after"], then]}
    draft, tax_known = _first_invoice(items, purchase, given, buyer, at)
    total = draft.invoice.total if draft else 0
    credit = min(total, portal.credit(buyer))
    return {
        "currency": purchase.currency,
        "lines": [*_billed_lines(draft, purchase.currency), *_later_lines(items)],
        "discounts": _discounts(draft),
        "coupon_problem": problem,
        "tax": draft.invoice.tax_total if draft and tax_known else None,
        "tax_note": _tax_note(draft) if tax_known else "",
        "tax_id_problem": _tax_id_problem(buyer),
        "tax_label": ", ".join(f"{tax.name} {tax.percentage.normalize():f} %" for tax in draft.taxes) if draft else "",
        "credit": credit,
        "total": total - credit,
        "after": [_renewal(draft, buyer.timezone), "" if tax_known else _ask_for_place(buyer)],
    }


def _coupons(purchase: Purchase, at: datetime) -> tuple[list[Coupon], str]:
    """What was typed, if it can be redeemed, and else why not."""
    try:
        return coupons_of(purchase, at=at), ""
    except NotRedeemable as refusal:
        return [], refusal.detail


def _discounts(draft: drafting.Draft | None) -> list[dict[str, Any]]:
    taken = sum(use.amount for use in draft.uses) if draft else 0
    named = {use.discount_id: use.discount for use in draft.uses} if draft else {}
    return [{"text": "; ".join(map(wording.discount, named.values())), "amount": taken}] if taken else []


def _tax_note(draft: drafting.Draft | None) -> str:
    """Why no tax is added, as the invoice will say it."""
    treatments = {entry["treatment"] for line in draft.lines for entry in line.taxes} if draft else set()
    reasons = untaxed_reasons()
    return " ".join(reasons[code] for code in ("reverse_charge", "exempt") if code in treatments)


def _tax_id_problem(buyer: Customer) -> str:
    """What is wrong with a VAT id of the Union; other numbers are printed as they are."""
    if not buyer.tax_id or buyer.place.upper() not in tax.EU_COUNTRIES:
        return ""
    values = {"id": buyer.tax_id, "country": buyer.place.upper()}
    if not customers.looks_like_a_tax_id(buyer.tax_id, buyer.place):
        return _("%(id)s does not have the form of a VAT id of %(country)s.") % values
    if tax.eu_vat_id(buyer.tax_id, country=buyer.place) is None:
        return _("%(id)s is not a valid VAT id: its check digits are wrong, and the tax is charged.") % values
    return ""


def _ask_for_place(buyer: Customer) -> str:
    return _("Name your state or region to see the tax.") if buyer.place else _("Choose your country to see the tax.")


def _trial_order(items: list[ItemTerms], purchase: Purchase, given: list[Coupon], days: int) -> dict[str, Any]:
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
        "discounts": [{"text": wording.offer(coupon), "amount": None} for coupon in given],
        "tax": None,
        "tax_label": "",
        "credit": 0,
        "total": 0,
        "after": [after % {"days": days}],
    }


def _after_trial(items: list[ItemTerms], purchase: Purchase, buyer: Customer, days: int, at: datetime) -> str:
    """What the first invoice will come to and when; nothing where none follows, or its tax isn't known yet."""
    if purchase.plan_version.trial_end != PlanVersion.TrialEnd.CHARGE:
        return ""
    ends = periods.trial_end(at, days, buyer.timezone)
    draft, tax_known = _first_invoice(items, purchase, [], buyer, ends)
    if draft is None or not tax_known:
        return "" if tax_known else _ask_for_place(buyer)
    total = money(draft.invoice.total, purchase.currency)
    values = {"total": total, "day": day_text(ends, buyer.timezone)}
    if draft.invoice.tax_total:
        return _("Then %(total)s on %(day)s, tax included.") % values
    return _("Then %(total)s on %(day)s.") % values


def _first_invoice(
    items: list[ItemTerms], purchase: Purchase, given: list[Coupon], buyer: Customer, at: datetime
) -> tuple[drafting.Draft | None, bool]:
    """The invoice to come, and whether its tax is known; before the buyer's place is, it is shown untaxed."""
    order: dict[str, Any] = {"items": items, "plan_version": purchase.plan_version, "coupons": given, "at": at}
    try:
        return preview.first_invoice(buyer=buyer, **order), True
    except PlaceUnknown:
        untaxed = Customer(name=buyer.name, timezone=buyer.timezone, tax_exempt=Customer.TaxExempt.EXEMPT)
        return preview.first_invoice(buyer=untaxed, **order), False


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
    told = ngettext("%(n)s unit", "%(n)s units", int(item.quantity)) % {"n": quantity(item.quantity)}
    units = told if wording.is_per_seat(price) else ""
    return {"text": name, "detail": "; ".join(filter(None, [units, costs, line["text"]])), "amount": None}


def _renewal(draft: drafting.Draft | None, timezone: str) -> str:
    ends = [charge.period_end for charge in draft.charges if charge.period_end] if draft else []
    day = day_text(min(ends), timezone) if ends else ""
    return _("Renews on %(day)s, and so on until you cancel.") % {"day": day} if day else ""
