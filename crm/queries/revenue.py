"""What accounts are worth: annual recurring revenue, as billing booked it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from billing.models import Customer, SubscriptionChange
from crm.models import Account, Opportunity, Stage
from gtm.shared import vendors
from gtm.shared.models import ExchangeRate
from gtm.shared.money import exponent, round_half_up

MONTHS = 12


@dataclass(frozen=True, slots=True)
class Revenue:
    """A yearly amount in minor units of ``currency``; None where a rate to bring it there is ``missing``.

    ``used``: the currencies whose rates it took.
    """

    amount: int | None
    currency: str
    missing: tuple[str, ...] = ()
    used: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rate:
    """Units of a currency for one unit of the base, as of its day; the base's own has none."""

    units: Decimal
    on: date | None = None


@dataclass(frozen=True, slots=True)
class _Yearly:
    account_id: UUID
    currency: str
    amount: int


def arr_of(*, account_ids: Collection[UUID], at: datetime, currency: str = "") -> dict[UUID, Revenue]:
    """ARR per account in ``currency`` (the vendor's when empty). An account without any customer is left out.

    Three queries, however many accounts: their customers, the latest booked change of each subscription, the rates.
    """
    base = vendors.current().base_currency
    currency = currency or base
    found = [account_id for account_id in _with_customers(account_ids) if account_id]
    recurring = _recurring(account_ids, at) if found else []
    return _sums(recurring, found, currency, at=at, base=base)


def expected_of(*, account_ids: Collection[UUID], at: datetime, currency: str = "") -> dict[UUID, Revenue]:
    """What accounts may come to be worth in a year: what somebody stated, else their ARR and what open opportunities
    would add to it. One about whom nothing is known is left out.
    """
    base = vendors.current().base_currency
    currency = currency or base
    stated = [_Yearly(*row) for row in _stated(account_ids, "expected_value")]
    others = set(account_ids) - {row.account_id for row in stated}
    worth = [*_recurring(others, at), *_open(others)] if others else []
    return _sums([*stated, *worth], {row.account_id for row in (*stated, *worth)}, currency, at=at, base=base)


def company_revenue_of(*, account_ids: Collection[UUID], at: datetime, currency: str = "") -> dict[UUID, Revenue]:
    """What the companies themselves take in a year, where it is known."""
    base = vendors.current().base_currency
    stated = [_Yearly(*row) for row in _stated(account_ids, "company_revenue")]
    return _sums(stated, [row.account_id for row in stated], currency or base, at=at, base=base)


def _stated(account_ids: Collection[UUID], field: str) -> Iterable[tuple[UUID, str, int]]:
    known = Account.objects.filter(pk__in=account_ids, **{f"{field}__isnull": False})
    return known.values_list("pk", "value_currency", field)


def _open(account_ids: Collection[UUID]) -> list[_Yearly]:
    """What open opportunities would add to the ARR."""
    open_ones = Opportunity.objects.filter(
        account__in=account_ids, state=Stage.Type.OPEN, amount_basis=Opportunity.AmountBasis.NEW_ARR
    )
    rows = open_ones.filter(amount__isnull=False).values_list("account", "currency", "amount")
    return [_Yearly(account_id, currency, amount or 0) for account_id, currency, amount in rows]


def _sums(
    rows: Collection[_Yearly], account_ids: Collection[UUID], currency: str, *, at: datetime, base: str
) -> dict[UUID, Revenue]:
    foreign = {row.currency for row in rows} | ({currency} if rows else set())
    rates = rates_at(currencies=foreign, at=at, base=base)
    of_account: dict[UUID, list[_Yearly]] = {key: [] for key in account_ids}
    for row in rows:
        of_account[row.account_id].append(row)
    return {key: _sum(some, currency, rates) for key, some in of_account.items()}


def _with_customers(account_ids: Collection[UUID]) -> Iterable[UUID | None]:
    return Customer.objects.filter(account_id__in=account_ids).values_list("account_id", flat=True).distinct()


def _recurring(account_ids: Collection[UUID], at: datetime) -> list[_Yearly]:
    """Recurring revenue of each subscription in a year, after its latest change that had taken effect by ``at``."""
    changes = SubscriptionChange.objects.filter(
        subscription__customer__account_id__in=account_ids, effective_at__lte=at
    )
    latest = changes.order_by("subscription_id", "-effective_at", "-recorded_at", "-id").distinct("subscription_id")
    rows = latest.values_list("subscription__customer__account_id", "currency", "mrr_after")
    return [_Yearly(account_id, currency, monthly * MONTHS) for account_id, currency, monthly in rows if account_id]


def rates_at(*, currencies: Collection[str], at: datetime, base: str) -> dict[str, Decimal]:
    """Units of each currency for one unit of ``base``, as of the latest rate up to that day; unknown ones are left
    out.
    """
    return {name: rate.units for name, rate in dated_rates(currencies=currencies, at=at, base=base).items()}


def dated_rates(*, currencies: Collection[str], at: datetime, base: str) -> dict[str, Rate]:
    """The same with the day of each rate."""
    rates = {base: Rate(Decimal(1))}
    wanted = set(currencies) - {base}
    if wanted:
        dated = ExchangeRate.objects.filter(currency__in=wanted, date__lte=at.date())
        latest = dated.order_by("currency", "-date").distinct("currency")
        rates |= {name: Rate(units, on) for name, units, on in latest.values_list("currency", "rate", "date")}
    return rates


def _sum(rows: list[_Yearly], currency: str, rates: Mapping[str, Decimal]) -> Revenue:
    needed = {row.currency for row in rows if row.currency != currency}
    used = tuple(sorted(needed | ({currency} if needed else set())))
    missing = tuple(name for name in used if name not in rates)
    if missing:
        return Revenue(None, currency, missing, used)
    total = sum((converted(row.amount, row.currency, currency, rates) for row in rows), Fraction())
    return Revenue(round_half_up(total), currency, used=used)


def converted(amount: int, source: str, target: str, rates: Mapping[str, Decimal]) -> Fraction:
    """Minor units of one currency as exact minor units of another, by their rates to the base currency."""
    if source == target:
        return Fraction(amount)
    major = Fraction(amount, 10 ** exponent(source)) / Fraction(rates[source])
    return Fraction(major * Fraction(rates[target]) * 10 ** exponent(target))
