"""Proration: where a change cuts a period, what share of it a segment is, and what usage costs on each segment.

The denominator is always the whole, unclamped period. The day of a change belongs to the new terms: counted in days, a
change takes effect at the local midnight before it. The day on which something ends for good is billed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Context, Decimal, localcontext
from fractions import Fraction

from billing import pricing
from billing.price_terms import PriceTerms, Tier
from billing.pricing import Params, Rated, Step, Transaction
from gtm.shared import periods
from gtm.shared.money import round_half_up
from gtm.shared.periods import Anchor, Interval, Period, ProrationUnit

_EXACT = Context(prec=100)
_SHOWN_PLACES = 6  # as quantities have
_ZERO = Decimal()


@dataclass(frozen=True, slots=True)
class Part:
    """How much of a whole period a segment is: so many days (seconds) of so many."""

    length: Fraction
    whole: Fraction
    unit: ProrationUnit

    @property
    def share(self) -> Fraction:
        """1 at most: a first period that began at noon counts its whole day."""
        return min(self.length / self.whole, Fraction(1))

    @property
    def is_whole(self) -> bool:
        return self.length >= self.whole


@dataclass(frozen=True, slots=True)
class MeteredSegment:
    """What was used while one price held; ``transactions`` for percentages with parts per transaction."""

    terms: PriceTerms
    part: Part
    quantity: Decimal
    transactions: Sequence[Transaction] = ()


def boundary(instant: datetime, *, unit: ProrationUnit, timezone: str, not_before: datetime) -> datetime:
    """Where a change at ``instant`` cuts: its day's local midnight, or the instant itself; never ``not_before`` it."""
    cut = instant if unit == "second" else periods.start_of_day(periods.local_date(instant, timezone), timezone)
    return max(cut, not_before)


def closing(instant: datetime, *, unit: ProrationUnit, timezone: str, not_after: datetime) -> datetime:
    """Until when an end at ``instant`` is billed: the local midnight that ends its day, or the instant itself."""
    if unit == "second":
        return min(instant, not_after)
    following = periods.local_date(instant, timezone) + timedelta(days=1)
    return min(periods.start_of_day(following, timezone), not_after)


def part_of(segment: Period, *, anchor: Anchor, interval: Interval, from_start: bool = False) -> Part:
    """What part of the ``segment.index``-th period the segment is, whether its front or its back is cut or both.

    ``from_start``: its front isn't cut. A customer who has changed its zone may have begun the period some hours off
    its natural start: then the segment is what the rest leaves of the whole, so that parts of a period sum to it.
    """
    whole = periods.whole_period(anchor, interval, segment.index)
    length, full = (periods.length(period, unit=anchor.unit, timezone=anchor.timezone) for period in (segment, whole))
    if from_start:
        rest = Period(min(segment.end, whole.end), whole.end)
        length = max(full - periods.length(rest, unit=anchor.unit, timezone=anchor.timezone), Fraction())
    return Part(length, full, anchor.unit)


def prorated(rated: Rated, part: Part) -> Rated:
    """The part's share of what the whole period costs, rounded once."""
    if part.is_whole:
        return rated
    exact = Fraction(rated.exact) * part.share
    step = Step("proration", {**part_params(part), "amount": str(rated.amount)})
    return Rated(amount=round_half_up(exact), exact=rated.exact, steps=(*rated.steps, step))


def unused_net(
    line_net: int,
    *,
    line_start: datetime,
    line_end: datetime,
    from_: datetime,
    unit: ProrationUnit,
    timezone: str,
    charged: Part | None = None,
) -> int:
    """What of a line's net, in minor units, is for the time from ``from_`` to its end.

    ``charged`` is what part of its period the line was charged as: what is given back of it is counted alike. Without
    it the line's own time counts as the whole.
    """
    served = periods.length(Period(line_start, line_end), unit=unit, timezone=timezone)
    unused = periods.length(Period(min(max(from_, line_start), line_end), line_end), unit=unit, timezone=timezone)
    basis = charged or Part(served, served, unit)
    if not basis.length:
        return line_net
    return round_half_up(line_net * min(Part(unused, basis.whole, unit).share / basis.share, Fraction(1)))


def unused_step(code: str, part: Period, *, charged: Part, amount: int, timezone: str) -> Step:
    """The step that says how much of the time of an amount (minor units) a part of it is."""
    full = min(charged.length, charged.whole)
    length = min(periods.length(part, unit=charged.unit, timezone=timezone), full)
    return Step(code, {**part_params(Part(length, full, charged.unit)), "amount": str(amount)})


def scaled(terms: PriceTerms, share: Fraction) -> PriceTerms:
    """The terms for a share of a period.

    Allowances, tier bounds, flat fees and the minimum are per period and shrink with it; rates, the size of a package
    and what is bounded per transaction are not.
    """
    if share == 1:
        return terms
    with localcontext(_EXACT):
        factor = Decimal(share.numerator) / Decimal(share.denominator)
        return replace(
            terms,
            included_units=terms.included_units * factor,
            flat_amount=None if terms.flat_amount is None else terms.flat_amount * factor,
            minimum_amount=None if terms.minimum_amount is None else terms.minimum_amount * factor,
            free_units=None if terms.free_units is None else Decimal(round_half_up(terms.free_units * factor)),
            tiers=tuple(_scaled_tier(tier, factor) for tier in terms.tiers),
        )


def _scaled_tier(tier: Tier, factor: Decimal) -> Tier:
    up_to = None if tier.up_to is None else Decimal(tier.up_to) * factor
    return Tier(up_to=up_to, unit_amount=tier.unit_amount, flat_amount=tier.flat_amount * factor)


def rate_segments(segments: Sequence[MeteredSegment]) -> list[Rated]:
    """Price the segments of one period, in the order of time.

    Each is at its own price. What is included is pooled, each price giving its share of it, and used in the order of
    time. One segment that is the whole period is priced as it would be by itself.
    """
    if len(segments) == 1 and segments[0].part.is_whole:
        return [pricing.rate(segments[0].terms, segments[0].quantity, segments[0].transactions)]
    terms = [scaled(segment.terms, segment.part.share) for segment in segments]
    units, free = _pooled(terms)
    found = []
    for segment, own in zip(segments, terms, strict=True):
        rated = pricing.rate(_allowed(own, units, free), segment.quantity, segment.transactions)
        found.append(_explained(rated, segment.part))
        units = _left(units, rated)
        free -= min(free, Decimal(pricing.count_of(segment.transactions)))
    return found


def pooled(parts: Sequence[tuple[PriceTerms, Part]]) -> list[PriceTerms]:
    """The terms of each part of one period with all that is free in the period, as before any of it was used."""
    terms = [scaled(one, part.share) for one, part in parts]
    units, free = _pooled(terms)
    return [_allowed(own, units, free) for own in terms]


def _pooled(terms: Sequence[PriceTerms]) -> tuple[Decimal, Decimal]:
    """How many units and how many transactions are free in all."""
    with localcontext(_EXACT):
        units = sum((one.included_units for one in terms), _ZERO)
    return units, sum((one.free_units for one in terms if one.free_units is not None), _ZERO)


def _allowed(own: PriceTerms, units: Decimal, free: Decimal) -> PriceTerms:
    """The terms with what is still free. Where money was free and is spent, no transaction is."""
    spent = bool(own.included_units) and not units
    return replace(own, included_units=units, free_units=own.free_units and (_ZERO if spent else free))


def _left(units: Decimal, rated: Rated) -> Decimal:
    """What a segment leaves of what is included."""
    steps = [step for step in rated.steps if step.code == "included"]
    with localcontext(_EXACT):
        taken = sum((Decimal(step.params["quantity"]) - Decimal(step.params["rest"]) for step in steps), _ZERO)
        return max(pricing.settled(units - taken), _ZERO)


def _explained(rated: Rated, part: Part) -> Rated:
    """With the part said first, and with numbers that a person can read."""
    if part.is_whole:
        return rated
    said = Step("part", part_params(part))
    return replace(rated, steps=(said, *(Step(step.code, _shown(step.params)) for step in rated.steps)))


def part_params(part: Part) -> Params:
    """The part as an explanation holds it."""
    return {"part": _text(part.length), "whole": _text(part.whole), "unit": part.unit}


def _text(length: Fraction) -> str:
    """Days are whole; seconds may have a fraction."""
    return str(length) if length.denominator == 1 else f"{float(length):.6f}".rstrip("0").rstrip(".")


def _shown(params: Params) -> Params:
    return {name: _shortened(value) for name, value in params.items()}


def _shortened(value: str | int) -> str | int:
    """At most 6 places: scaled bounds have no end."""
    if not isinstance(value, str) or len(value.partition(".")[2]) <= _SHOWN_PLACES:
        return value
    shown = format(Decimal(value).quantize(Decimal(1).scaleb(-_SHOWN_PLACES), context=_EXACT), "f")
    return shown.rstrip("0").rstrip(".")
