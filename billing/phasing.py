"""What a change does to the changes that are scheduled already, so that none of them is lost or undoes another.

Each phase holds a complete list of items. A change of quantities, or of what comes beside, is replayed onto the phases
after it; a change of the plan or of a price takes the place of the next one; a cancellation ends them all. What a
contract has locked stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Generic

from billing import comparison
from billing.comparison import K, Line, Pair


@dataclass(frozen=True, slots=True)
class Content(Generic[K]):
    """What a subscription consists of: a version of a plan, and a complete list of items."""

    version: K
    lines: tuple[Line[K], ...]


@dataclass(frozen=True, slots=True)
class Scheduled(Generic[K]):
    """A phase to come; ``key`` names the row it is kept in, None while it has none."""

    at: datetime
    content: Content[K]
    locked: bool = False
    key: K | None = None


def now(phases: Sequence[Scheduled[K]], *, old: Content[K], new: Content[K], at: datetime) -> list[Scheduled[K]]:
    """The phases (in order) after ``old`` has become ``new`` at ``at``."""
    pairs = comparison.match(old.lines, new.lines)
    if is_switch(old, new, pairs):
        return _that_change(_without_next(phases, at), new)
    return _that_change([_replayed(phase, old, pairs) for phase in phases], new)


def later(phases: Sequence[Scheduled[K]], *, old: Content[K], new: Content[K], at: datetime) -> list[Scheduled[K]]:
    """The phases after ``old``, which is what there is now, was asked to become ``new`` at a later time ``at``.

    What there is now, asked for later, takes back what was to come between.
    """
    pairs = comparison.match(old.lines, new.lines)
    if new == old or is_switch(old, new, pairs):
        kept = [phase for phase in _without_next(phases, at) if phase.locked or phase.at != at]
        return _that_change(_sorted([*kept, Scheduled(at, new)]), old)
    before, after = [one for one in phases if one.at <= at], [one for one in phases if one.at > at]
    base = before[-1] if before else Scheduled(at, old)
    changed = _content_replayed(base.content, old, pairs)
    there = next((one for one in before if one.at == at), Scheduled(at, changed))
    kept = [one for one in before if one.at != at]
    replayed = [_replayed(one, old, pairs) for one in after]
    return _that_change([*kept, replace(there, content=changed), *replayed], old)


def undone(phases: Sequence[Scheduled[K]], *, key: K, current: Content[K]) -> list[Scheduled[K]]:
    """The phases without the one of that key; what it did to quantities is taken back in those after it.

    The same phases where there is none. ``current`` is what there is now.
    """
    position = next((n for n, one in enumerate(phases) if one.key == key), None)
    if position is None:
        return list(phases)
    before, gone, after = phases[:position], phases[position], phases[position + 1 :]
    base = before[-1].content if before else current
    pairs = comparison.match(gone.content.lines, base.lines)
    if not is_switch(gone.content, base, pairs):
        after = [_replayed(one, gone.content, pairs) for one in after]
    return _that_change([*before, *after], current)


def truncated(phases: Sequence[Scheduled[K]], *, ends_at: datetime) -> list[Scheduled[K]]:
    """The phases that still come where the subscription ends at ``ends_at``."""
    return [one for one in phases if one.locked or one.at < ends_at]


def is_switch(old: Content[K], new: Content[K], pairs: Sequence[Pair[K]]) -> bool:
    """Whether the plan or one of the prices is another one, and not only quantities and what comes beside."""
    replaced = [pair for pair in pairs if pair.old is not None and pair.new is not None and not pair.is_quantity]
    return old.version != new.version or bool(replaced)


def _without_next(phases: Sequence[Scheduled[K]], at: datetime) -> list[Scheduled[K]]:
    replaced = next((one for one in phases if not one.locked and one.at >= at), None)
    return [one for one in phases if one is not replaced]


def _that_change(phases: Sequence[Scheduled[K]], first: Content[K]) -> list[Scheduled[K]]:
    """Without those that leave everything as it was."""
    found, content = [], first
    for phase in phases:
        if phase.locked or phase.content != content:
            found.append(phase)
        content = phase.content
    return found


def _sorted(phases: Sequence[Scheduled[K]]) -> list[Scheduled[K]]:
    return sorted(phases, key=lambda one: one.at)


def _replayed(phase: Scheduled[K], old: Content[K], pairs: Sequence[Pair[K]]) -> Scheduled[K]:
    return phase if phase.locked else replace(phase, content=_content_replayed(phase.content, old, pairs))


def _content_replayed(base: Content[K], old: Content[K], pairs: Sequence[Pair[K]]) -> Content[K]:
    """The same steps from ``base`` as from ``old``: so many more or less of what took over from what."""
    became = {
        pair.old.price: pair.new.price for pair in comparison.match(old.lines, base.lines) if pair.old and pair.new
    }
    quantities = {line.price: line.quantity for line in base.lines}
    gone, more = set(), []
    for pair in pairs:
        if pair.old is None and pair.new is not None:
            if base.version == old.version and pair.new.price not in quantities:
                more.append(pair.new)
        elif pair.old is not None and pair.new is None:
            gone.add(pair.old.price)
        elif pair.old is not None and pair.new is not None and pair.old.price in became:
            price, step = became[pair.old.price], pair.new.quantity - pair.old.quantity
            quantities[price] = max(quantities[price] + step, Decimal())
    kept = [replace(line, quantity=quantities[line.price]) for line in base.lines if line.price not in gone]
    return replace(base, lines=(*kept, *more)) if kept or more else base
