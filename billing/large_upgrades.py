"""Large upgrades are told of, once they are made."""

from datetime import datetime
from decimal import Decimal

from billing import comparison, items, standing, upgrades
from billing.models import Plan, Subscription
from billing.selection import Selection
from billing.upgrades import Tier
from gtm.shared import money, periods
from gtm.shared.models import ExchangeRate, Vendor

TOLD = "upgraded_large"


def tell(
    subscription: Subscription, *, before: Selection, after: Selection, origin: str, vendor: Vendor, at: datetime
) -> None:
    """Publish ``billing.subscription.upgraded_large`` where a change that was just made is one, by list prices."""
    monthly = [comparison.total_monthly(items.recurring(one.items)) for one in (before, after)]
    added = upgrades.delta_arr(before=monthly[0], after=monthly[1])
    if added <= 0:
        return
    old, new = (one.plan_version.plan for one in (before, after))
    places = _places() if old.pk != new.pk else []
    cause = upgrades.cause(
        added=_in_base(added, subscription.currency, vendor, at),
        threshold=vendor.large_upgrade_delta_arr,
        old=_tier(old, places),
        new=_tier(new, places),
    )
    if cause is not None:
        told = {"delta_arr": added, "previous_plan": old.code, "cause": cause, "origin": origin}
        standing.fact(subscription, TOLD, at=at, also=told, reason=f"requested_by_{origin}", publish=True)


def _places() -> list[str]:
    """The codes of the plans in the shop's order."""
    return list(Plan.objects.for_sale().values_list("code", flat=True))


def _tier(plan: Plan, places: list[str]) -> Tier:
    place = places.index(plan.code) if plan.code in places else 0
    return Tier(plan.code, place, assisted=plan.purchase_mode != Plan.PurchaseMode.SELF_SERVE)


def _in_base(amount: int, currency: str, vendor: Vendor, at: datetime) -> int | None:
    """The amount in the vendor's own currency by the last rate known on that day."""
    if currency == vendor.base_currency:
        return amount
    day = periods.local_date(at, vendor.reporting_zone)
    known = ExchangeRate.objects.filter(currency=currency, date__lte=day).order_by("-date")
    rate: Decimal | None = known.values_list("rate", flat=True).first()
    return upgrades.in_base(amount, rate=rate, places=money.exponent(currency) - money.exponent(vendor.base_currency))
