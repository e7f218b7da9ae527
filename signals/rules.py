"""When usage is worth telling: a pure decision over figures that others have read.

A threshold is a share of the limit and is passed strictly: 800 of 1,000 is not above 80 %. Of several that are passed
only the highest tells, once per period (see ``dedup_key``). Without a limit nothing fires; a limit of zero
cannot be evaluated and says so.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

NO_LIMIT = "unlimited"
ZERO_LIMIT = "limit_is_zero"
BELOW = "below_threshold"
PASSED = "above_threshold"
_DAY = timedelta(days=1)
_TENTH = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class Threshold:
    """The published version of a rule, as far as its decision goes: ``share`` of the limit, 0.8 for 80 %."""

    rule_code: str
    share: Decimal


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used of a limit in the period [``period_start``, ``period_end``); None: the period has no bound."""

    used: Decimal
    limit: Decimal | None
    unit: str
    period_start: datetime | None
    period_end: datetime | None


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose usage it is, as ids: what makes a signal one and the same."""

    clock: object | None
    account: object
    customer: object
    subscription: object | None
    meter: object


@dataclass(frozen=True, slots=True)
class Decision:
    """``reason`` is a code; ``passed`` holds the thresholds that were passed, the highest last."""

    reason: str
    passed: tuple[Threshold, ...] = ()

    @property
    def winner(self) -> Threshold | None:
        return self.passed[-1] if self.passed else None


def decide(usage: Usage, thresholds: Iterable[Threshold]) -> Decision:
    """Which thresholds the usage is strictly above."""
    if usage.limit is None:
        return Decision(NO_LIMIT)
    if usage.limit <= 0:
        return Decision(ZERO_LIMIT)
    passed = [threshold for threshold in thresholds if usage.used > usage.limit * threshold.share]
    passed.sort(key=lambda threshold: (threshold.share, threshold.rule_code))
    return Decision(PASSED if passed else BELOW, tuple(passed))


def dedup_key(threshold: Threshold, subject: Subject, usage: Usage) -> str:
    """The same in every evaluation of one rule, limit and period. A raised limit and a new period each arm it again."""
    holder = subject.subscription or f"customer:{subject.customer}"
    parts = (
        threshold.rule_code,
        subject.clock or "-",
        subject.account,
        holder,
        subject.meter,
        usage.period_start.astimezone(UTC).isoformat() if usage.period_start else "-",
        bare(usage.limit or Decimal(0)),
        bare(threshold.share),
    )
    return "|".join(map(str, parts))


def evidence(usage: Usage, *, at: datetime) -> str:
    """A sentence to read aloud to the customer: "used 842 of 1,000 API calls (84.2 %), 9 days left in the period"."""
    assert usage.limit, "a limit that was passed is above zero"
    percentage = (usage.used / usage.limit * 100).quantize(_TENTH, rounding=ROUND_HALF_UP)
    sentence = f"used {plain(usage.used)} of {plain(usage.limit)} {usage.unit}".rstrip() + f" ({percentage:,f} %)"
    return f"{sentence}, {_time_left(usage.period_end, at)}" if usage.period_end else sentence


def plain(number: Decimal) -> str:
    """12000.500 as "12,000.5": grouped by thousands, without trailing zeros."""
    whole, _, rest = f"{number:,f}".partition(".")
    rest = rest.rstrip("0")
    return f"{whole}.{rest}" if rest else whole


def bare(number: Decimal) -> str:
    """12000.500 as "12000.5": the same however many places a column adds."""
    return plain(number).replace(",", "")


def _time_left(end: datetime, at: datetime) -> str:
    days = -((at - end) // _DAY)  # a begun day counts as a whole one
    return f"{days} days left in the period" if days > 1 else "last day of the period"
