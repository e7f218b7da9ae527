"""How accounts stand before their segment and motion are decided: the same few queries for one as for many."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from crm import motion
from crm.models import Account, MotionDecision, MotionOverride, SegmentPolicy
from crm.queries import revenue
from crm.reasons import Reason
from gtm.shared import vendors
from gtm.shared.models import Vendor

Basis = SegmentPolicy.Basis
VALUES: Mapping[str, Callable[..., dict[UUID, revenue.Revenue]]] = {
    Basis.ARR: revenue.arr_of,
    Basis.ACV: revenue.arr_of,  # what is agreed for a year; the same, as long as no contract says another sum
    Basis.EXPECTED_VALUE: revenue.expected_of,
    Basis.COMPANY_REVENUE: revenue.company_revenue_of,
}
BANDS = ("employee_bounds", "value_bounds", "basis", "currency", "combine", "margin_percent", "freeze")


@dataclass(frozen=True, slots=True)
class Case:
    """An account as the pure decision takes it, and the open decision that it has."""

    facts: motion.Facts
    standing: motion.Standing
    override: motion.Override | None
    current: MotionDecision | None


def cases(*, accounts: Collection[Account], policy: SegmentPolicy, at: datetime) -> dict[UUID, Case]:
    """What is known of each account, and what holds its segment."""
    keys = [account.pk for account in accounts]
    facts = _facts(accounts, policy, at)
    rows = MotionDecision.objects.filter(account__in=keys, valid_to=None).select_related("policy")
    current = {row.account_id: row for row in rows}
    overrides = {row.account_id: _override(row) for row in live_overrides(keys, at)}
    standing = partial(_standing, policy=policy, at=at, year=fiscal_year(vendors.current(), at))
    return {
        account.pk: Case(
            facts[account.pk],
            standing(account, current.get(account.pk)),
            overrides.get(account.pk),
            current.get(account.pk),
        )
        for account in accounts
    }


# --- facts -------------------------------------------------------------------------------------
def _facts(accounts: Collection[Account], policy: SegmentPolicy, at: datetime) -> dict[UUID, motion.Facts]:
    zones = [(str(zone["basis"]), str(zone["currency"])) for zone in policy.dead_zones]
    wanted = dict.fromkeys([*([(policy.basis, policy.currency)] if policy.value_bounds else ()), *zones])
    keys = [account.pk for account in accounts]
    found = {(basis, currency): VALUES[basis](account_ids=keys, at=at, currency=currency) for basis, currency in wanted}
    rates = _rates([worth for values in found.values() for worth in values.values()], at)

    def of(account: Account) -> motion.Facts:
        worths = {key: values.get(account.pk) for key, values in found.items()}
        used = dict.fromkeys(name for worth in worths.values() if worth for name in worth.used)
        return motion.Facts(
            employee_count=account.employee_count,
            value=_amount(worths.get((policy.basis, policy.currency))),
            needs=frozenset(account.needs),
            zone_values=tuple(_amount(worths[zone]) for zone in zones),
            rates=tuple(rates[name] for name in used if name in rates),
        )

    return {account.pk: of(account) for account in accounts}


def _amount(worth: revenue.Revenue | None) -> int | None:
    return worth.amount if worth else None


def _rates(worths: Sequence[revenue.Revenue], at: datetime) -> dict[str, Reason]:
    """Each rate that was used, or is missing, as a reason says it: so many units for one of the base, on which day."""
    used = {name for worth in worths for name in worth.used}
    base = vendors.current().base_currency
    if not used - {base}:
        return {}
    known = revenue.dated_rates(currencies=used, at=at, base=base)
    return {name: _rate(name, known.get(name), base) for name in sorted(used - {base})}


def _rate(name: str, rate: revenue.Rate | None, base: str) -> Reason:
    if rate is None:
        return Reason("rate_missing", name, None, base)
    return Reason("rate", name, f"{rate.units.normalize():f}", f"{base}, {rate.on}")


# --- what holds it -----------------------------------------------------------------------------
def _standing(
    account: Account, current: MotionDecision | None, *, policy: SegmentPolicy, at: datetime, year: tuple[date, date]
) -> motion.Standing:
    begins, ends = year
    freezes = policy.freeze == SegmentPolicy.Freeze.FISCAL_YEAR
    return motion.Standing(
        at=at,
        segment=current.segment if current else "",
        same_bounds=current is not None and _same_bounds(current.policy, policy),
        falling_since=current.falling_since if current else None,
        locked_until=account.segment_locked_until,
        freezes_until=ends if freezes else None,
        frozen=freezes and current is not None and _is_of_year(current, begins),
    )


def _is_of_year(current: MotionDecision, begins: date) -> bool:
    """Whether its segment was decided in the fiscal year, and by something: nothing known freezes nothing."""
    return current.valid_from.date() >= begins and motion.is_known([reason["code"] for reason in current.reasons])


def _same_bounds(one: SegmentPolicy | None, other: SegmentPolicy) -> bool:
    return one is not None and (one.pk == other.pk or all(getattr(one, n) == getattr(other, n) for n in BANDS))


def fiscal_year(vendor: Vendor, at: datetime) -> tuple[date, date]:
    """The first day of the vendor's fiscal year that ``at`` lies in, and of the next one."""
    today, month = at.astimezone(ZoneInfo(vendor.reporting_zone)).date(), vendor.fiscal_year_start
    begins = date(today.year - (today.month < month), month, 1)
    return begins, begins.replace(year=begins.year + 1)


# --- overrides ---------------------------------------------------------------------------------
def live_overrides(account_ids: Collection[UUID], at: datetime) -> Any:
    """The overrides in force at that instant."""
    return MotionOverride.objects.filter(account__in=account_ids, ended_at=None, starts_at__lte=at, ends_at__gt=at)


def _override(row: MotionOverride) -> motion.Override:
    return motion.Override(row.motion, row.by, row.ends_at.date().isoformat())
