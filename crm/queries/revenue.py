"""What accounts are worth: annual recurring revenue, as billing booked it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from billing.models import Customer, SubscriptionChange
from gtm.shared import vendors
from gtm.shared.models import ExchangeRate
from gtm.shared.money import exponent, round_half_up

MONTHS = 12


@dataclass(frozen=True, slots=True)
class Revenue:
    """Annual recurring revenue in minor units of ``currency``; None where a rate to bring it there is ``missing``."""

    amount: int | None
    currency: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Recurring:
    account_id: UUID
    currency: str
    monthly: int


def arr_of(*, account_ids: Collection[UUID], at: datetime, currency: str = "") -> dict[UUID, Revenue]:
    """ARR per account in ``currency`` (the vendor's when empty). An account without any customer is left out.

    Three queries, however many accounts: their customers, the latest booked change of each subscription, the rates.
    """
    base = vendors.current().base_currency
    currency = currency or base
    found = [account_id for account_id in _with_customers(account_ids) if account_id]
    recurring = _recurring(account_ids, at) if found else []
    foreign = {row.currency for row in recurring} | ({currency} if recurring else set())
    rates = rates_at(currencies=foreign, at=at, base=base)
    return {key: _sum([r for r in recurring if r.account_id == key], currency, rates) for key in found}


def _with_customers(account_ids: Collection[UUID]) -> Iterable[UUID | None]:
    return Customer.objects.filter(account_id__in=account_ids).values_list("account_id", flat=True).distinct()


def _recurring(account_ids: Collection[UUID], at: datetime) -> list[_Recurring]:
    """Monthly recurring revenue of each subscription after its latest change that had taken effect by ``at``."""
    changes = SubscriptionChange.objects.filter(
        subscription__customer__account_id__in=account_ids, effective_at__lte=at
    )
    latest = changes.order_by("subscription_id", "-effective_at", "-recorded_at", "-id").distinct("subscription_id")
    rows = latest.values_list("subscription__customer__account_id", "currency", "mrr_after")
    return [_Recurring(account_id, currency, monthly) for account_id, currency, monthly in rows if account_id]


def rates_at(*, currencies: Collection[str], at: datetime, base: str) -> dict[str, Decimal]:
    """Units of each currency for one unit of ``base``, as of the latest rate up to that day; unknown ones are left
    out.
    """
    rates = {base: Decimal(1)}
    wanted = set(currencies) - {base}
    if wanted:
        dated = ExchangeRate.objects.filter(currency__in=wanted, date__lte=at.date())
        latest = dated.order_by("currency", "-date").distinct("currency")
        rates.update(latest.values_list("currency", "rate"))
    return rates


def _sum(rows: list[_Recurring], currency: str, rates: Mapping[str, Decimal]) -> Revenue:
    needed = {row.currency for row in rows if row.currency != currency}
    missing = {name for name in needed | ({currency} if needed else set()) if name not in rates}
    if missing:
        return Revenue(None, currency, tuple(sorted(missing)))
    total = sum((converted(row.monthly * MONTHS, row.currency, currency, rates) for row in rows), Fraction())
    return Revenue(round_half_up(total), currency)


def converted(amount: int, source: str, target: str, rates: Mapping[str, Decimal]) -> Fraction:
    """Minor units of one currency as exact minor units of another, by their rates to the base currency."""
    if source == target:
        return Fraction(amount)
    major = Fraction(amount, 10 ** exponent(source)) / Fraction(rates[source])
    return Fraction(major * Fraction(rates[target]) * 10 ** exponent(target))
