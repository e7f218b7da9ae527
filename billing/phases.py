"""Scheduled changes: written as phases with complete lists of items, merged by ``billing.phasing``, and undone.

Callers hold the subscription's lock.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.utils.translation import gettext as _

from billing import items, phasing
from billing.models import Phase, PhaseItem, PlanVersion, Subscription, SubscriptionChange
from billing.phasing import Content, Scheduled
from billing.selection import ItemTerms
from gtm.shared import bulk, context
from gtm.shared.errors import Conflict

MAX_PHASES = 60
_PORTAL = SubscriptionChange.Origin.PORTAL


def waiting(subscription: Subscription) -> QuerySet[Phase]:
    """The phases to come, in order, with their items."""
    rows = PhaseItem.objects.select_related("price__plan", "price__meter").order_by("pk")
    found = Phase.objects.filter(subscription=subscription, applied_at=None).select_related("plan_version__plan")
    return found.prefetch_related(Prefetch("items", rows)).order_by("starts_at")


def terms_of(phase: Phase) -> list[ItemTerms]:
    return [ItemTerms(item.price, item.quantity) for item in phase.items.all()]


def content(version: PlanVersion, wanted: Iterable[ItemTerms]) -> Content[UUID]:
    """A plan version and a list of items as pure code merges them."""
    return Content(version.pk, items.lines_of(wanted))


def changed_now(subscription: Subscription, *, old: Content[UUID], new: Content[UUID], at: datetime) -> None:
    """Bring what is scheduled in line with a change that has taken effect."""
    known = list(waiting(subscription))
    if known:
        _write(subscription, known, phasing.now(_scheduled(known), old=old, new=new, at=at))


def schedule(
    subscription: Subscription,
    *,
    old: Content[UUID],
    new: Content[UUID],
    at: datetime,
    prorate: bool,
    origin: str,
    reason: str,
) -> None:
    """Let ``new`` begin at ``at``. Raises Conflict where nothing changes by it, or a contract has its say there.

    What joins a change that another origin has scheduled for that instant is no customer's own any more, who would take
    the vendor's part back with its own.
    """
    known = list(waiting(subscription))
    if any(phase.locked and phase.starts_at == at for phase in known):
        raise Conflict(_("A contract begins then."), code="phase_locked", attr="effective")
    before = _scheduled(known)
    after = phasing.later(before, old=old, new=new, at=at)
    if _same(before, after):
        raise Conflict(_("The subscription will consist of this already."), code="nothing_changes")
    if len(after) > MAX_PHASES:
        raise Conflict(_("At most %(count)s changes can be scheduled.") % {"count": MAX_PHASES}, code="too_many_phases")
    _write(subscription, known, after, prorate=prorate, origin=origin, reason=reason)
    if origin != _PORTAL:
        there = Phase.objects.filter(subscription=subscription, applied_at=None, starts_at=at, origin=_PORTAL)
        there.update(origin=origin)


def is_own(subscription: Subscription, *, at: datetime, origin: str) -> bool:
    """Whether what is scheduled for that instant was asked for there alone."""
    return waiting(subscription).filter(starts_at=at, origin=origin, locked=False).exists()


def truncate(subscription: Subscription, *, ends_at: datetime) -> None:
    """Drop what would come when the subscription has ended."""
    known = list(waiting(subscription))
    if known:
        _write(subscription, known, phasing.truncated(_scheduled(known), ends_at=ends_at))


def drop(subscription: Subscription, *, all_: bool, origins: Collection[str] | None = None) -> Phase:
    """Drop the next one that isn't locked, or all of them; return the next one as it was.

    With ``origins`` only what was asked for there. What was asked for after it stays: a quantity without the step that
    it took. Raises Conflict where nothing is scheduled.
    """
    known = list(waiting(subscription))
    free = [phase for phase in known if not phase.locked and (origins is None or phase.origin in origins)]
    if not free:
        raise Conflict(_("No change is scheduled."), code="not_scheduled")
    current = content(subscription.plan_version, items.terms_of(subscription))
    after = _scheduled(known)
    for phase in free if all_ else free[:1]:
        after = phasing.undone(after, key=phase.pk, current=current)
    _write(subscription, known, after)
    return free[0]


def _scheduled(known: Iterable[Phase]) -> list[Scheduled[UUID]]:
    return [
        Scheduled(phase.starts_at, content(phase.plan_version, terms_of(phase)), phase.locked, phase.pk)
        for phase in known
    ]


def _same(before: Sequence[Scheduled[UUID]], after: Sequence[Scheduled[UUID]]) -> bool:
    return [(one.at, one.content) for one in before] == [(one.at, one.content) for one in after]


def _write(
    subscription: Subscription,
    known: Sequence[Phase],
    after: Sequence[Scheduled[UUID]],
    *,
    prorate: bool = True,
    origin: str = "",
    reason: str = "",
) -> None:
    """Make the rows say what was decided: those that go are deleted, those that differ get their items anew."""
    rows, before = {phase.pk: phase for phase in known}, {one.key: one for one in _scheduled(known)}
    kept = {one.key for one in after if one.key is not None}
    Phase.objects.filter(pk__in=[pk for pk in rows if pk not in kept]).delete()
    differing = [one for one in after if one.key is not None and one != before[one.key]]
    PhaseItem.objects.filter(phase__in=[one.key for one in differing]).delete()
    made = [
        Phase(
            subscription=subscription,
            plan_version_id=one.content.version,
            starts_at=one.at,
            prorate=prorate,
            origin=origin,
            actor=context.actor(),
            reason=reason[:500],
        )
        for one in after
        if one.key is None
    ]
    bulk.insert(Phase, made)
    fresh = [one for one in after if one.key is None]
    new_items = [
        *(item for one in differing if one.key for item in _items(rows[one.key], one)),
        *(item for phase, one in zip(made, fresh, strict=True) for item in _items(phase, one)),
    ]
    bulk.insert(PhaseItem, new_items)


def _items(phase: Phase, scheduled: Scheduled[UUID]) -> list[PhaseItem]:
    return [PhaseItem(phase=phase, price_id=one.price, quantity=one.quantity) for one in scheduled.content.lines]
