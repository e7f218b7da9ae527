"""Hand-overs: the book of somebody who leaves goes to one colleague, or evenly to a pool, and can come back.

Who gets what is written down first, row by row; then each row is given by the operation that a single one takes, in
batches, so that a killed worker loses nothing and a second one finds the same work. What changed hands meanwhile by
somebody else's doing is left alone, when giving as when taking back.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.db import IntegrityError, OperationalError, transaction
from django.db.models import Count, F, Q
from django.db.models.functions import Now

from crm import opportunities, owners
from crm.models import Account, Alert, HandOver, HandOverRow, Lead, Opportunity, Pool, Stage, Task
from crm.queries import books, roster
from crm.spreading import spread
from gtm.shared import bulk, context, db, nudges, outbox, users
from gtm.shared.errors import Conflict, DomainError, Invalid
from gtm.shared.models import Resource, User, write

log = structlog.get_logger(__name__)
BATCH = 100
TASK = "crm.tasks.work_hand_overs"
Kind, State = HandOverRow.Kind, HandOverRow.State
MODELS: dict[str, type[Resource]] = {
    Kind.ACCOUNT: Account,
    Kind.OPPORTUNITY: Opportunity,
    Kind.LEAD: Lead,
    Kind.TASK: Task,
    Kind.ALERT: Alert,
}


# --- begun -------------------------------------------------------------------------------------
@transaction.atomic
def start(
    *,
    leaver: User,
    user: User,
    at: datetime,
    receiver: User | None = None,
    pool: Pool | None = None,
    reason: str = "",
    deactivates: bool = False,
) -> HandOver:
    """Write down who gets what of ``leaver``'s book, and have a worker do it; publishes ``crm.hand_over.started``.

    Raises Invalid for a receiver who may own nothing or is the leaver, and for a pool of which nobody is there;
    Conflict (``at_work``) while another hand-over of the same book is under way, and for an empty book
    (``nothing_to_hand_over``).
    """
    receivers = _receivers(leaver, receiver, pool, at)
    hand_over = HandOver(
        leaver=leaver, receiver=receiver, pool=pool, user=user, reason=reason.strip()[:200], deactivates=deactivates
    )
    rows = _rows(hand_over, receivers)
    if not rows and not deactivates:
        raise Conflict(f"{leaver} owns nothing.", code="nothing_to_hand_over", attr="leaver")
    hand_over.total = len(rows)
    try:
        with transaction.atomic():
            hand_over.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict("This book is being handed over already.", code="at_work", attr="leaver") from error
    bulk.insert(HandOverRow, rows)
    data = {"leaver": leaver.public_id, "receivers": [one.public_id for one in receivers], "rows": len(rows)}
    outbox.publish("crm.hand_over.started", hand_over, at=at, data=data)
    nudges.on_commit(TASK)
    return hand_over


def _receivers(leaver: User, receiver: User | None, pool: Pool | None, at: datetime) -> list[User]:
    if (receiver is None) == (pool is None):
        raise Invalid("Name one colleague, or a pool.", attr="receiver")
    if receiver is not None:
        if receiver == leaver or not owners.may_own(receiver):
            raise Invalid("An active colleague who sells takes over.", attr="receiver")
        return [receiver]
    members = User.objects.filter(pool_memberships__pool=pool).exclude(pk=leaver.pk).order_by("email")
    there = roster.available(user_ids=set(members.values_list("pk", flat=True)), at=at)
    found = [member for member in members if member.pk in there]
    if not found:
        raise Invalid("Nobody of this pool is there to take over.", attr="pool")
    return found


def _rows(hand_over: HandOver, receivers: Sequence[User]) -> list[HandOverRow]:
    """Accounts in the order of their keys, as they are locked; then what does not go along with an account."""
    found = books.of(hand_over.leaver)
    open_deals = Count("opportunities", filter=Q(opportunities__state=Stage.Type.OPEN))
    weights = list(found[Kind.ACCOUNT].annotate(deals=open_deals).order_by("pk").values_list("pk", "deals"))
    by_account = spread(weights, receivers)
    rows = [(Kind.ACCOUNT, key, by_account[key]) for key, _deals in weights]
    loose = []
    for kind in (Kind.OPPORTUNITY, Kind.LEAD, Kind.TASK, Kind.ALERT):
        for key, account in found[kind].order_by("pk").values_list("pk", "account"):
            if account not in by_account:
                loose.append((kind, key))
            elif kind in (Kind.OPPORTUNITY, Kind.TASK):  # leads and alerts go with the account by themselves
                rows.append((kind, key, by_account[account]))
    rows += [(kind, key, one) for (kind, key), one in spread([(pair, 0) for pair in loose], receivers).items()]
    return [
        HandOverRow(hand_over=hand_over, position=position, kind=kind, object_id=key, receiver=one)
        for position, (kind, key, one) in enumerate(rows)
    ]


# --- worked off --------------------------------------------------------------------------------
@transaction.atomic
def work(*, hand_over: HandOver, at: datetime) -> bool:
    """Deal with the next batch of rows; True while there is more. Publishes ``crm.hand_over.done`` at the end."""
    hand_over = db.lock_one(hand_over)
    if not hand_over.is_working:
        return False
    with context.acting(f"user:{hand_over.user.public_id}"):
        return _take_back(hand_over, at) if hand_over.state == HandOver.State.UNDOING else _give(hand_over, at)


def _give(hand_over: HandOver, at: datetime) -> bool:
    waiting = hand_over.rows.filter(position__gte=hand_over.position).select_related("receiver").order_by("position")
    rows = list(waiting[:BATCH])
    _move(rows, {row.pk: row.receiver for row in rows}, given_by=hand_over.leaver_id, done=State.DONE, at=at)
    HandOver.objects.filter(pk=hand_over.pk).update(
        state=HandOver.State.RUNNING, position=F("position") + len(rows), worked_at=at
    )
    if hand_over.position + len(rows) < hand_over.total:
        return True
    _finish(hand_over, HandOver.State.DONE, at)
    if hand_over.deactivates:
        _shut_out(hand_over.leaver, at)
    return False


def _shut_out(leaver: User, at: datetime) -> None:
    """Whoever still owns something (a row was refused, a lead came in meanwhile) stays until that is handed over."""
    with suppress(Conflict), transaction.atomic():
        users.change(user=leaver, at=at, is_active=False)


def _take_back(hand_over: HandOver, at: datetime) -> bool:
    given = hand_over.rows.filter(state=State.DONE).order_by("position")
    rows = list(given[:BATCH])
    leaver = hand_over.leaver
    _move(rows, dict.fromkeys((row.pk for row in rows), leaver), given_by=None, done=State.UNDONE, at=at)
    HandOver.objects.filter(pk=hand_over.pk).update(undone=F("undone") + len(rows), worked_at=at)
    if given.exists():
        return True
    _finish(hand_over, HandOver.State.UNDONE, at)
    return False


def _finish(hand_over: HandOver, state: str, at: datetime) -> None:
    HandOver.objects.filter(pk=hand_over.pk).update(state=state, finished_at=at)
    kept = hand_over.rows.filter(state=State.KEPT).count()
    data = {"leaver": hand_over.leaver.public_id, "rows": hand_over.total, "kept": kept}
    outbox.publish(f"crm.hand_over.{state}", hand_over, at=at, data=data)


def _move(rows: list[HandOverRow], to: dict[UUID, User], *, given_by: UUID | None, done: str, at: datetime) -> None:
    """Give each row's object to whom ``to`` names, if it is still with ``given_by`` (None: with the row's receiver)."""
    objects = _objects(rows)
    for row in rows:
        thing, holder = objects.get(row.object_id), given_by or row.receiver_id
        if thing is None or _holder(thing) != holder:
            row.state, row.note = State.KEPT, "With somebody else by now."
            continue
        try:
            with transaction.atomic():
                _assign(thing, to[row.pk], at)
            row.state = done
        except DomainError as refused:
            row.state, row.note = State.KEPT, refused.detail[:200]
        except OperationalError:  # a deadlock, a lost connection: the batch is tried again
            raise
        except Exception:  # whatever is wrong with one row, the others change hands
            log.exception("hand_over_row_failed", hand_over=str(row.hand_over_id), row=row.position)
            row.state, row.note = State.KEPT, "Something went wrong here, and it was left where it is."
    HandOverRow.objects.bulk_update(rows, ["state", "note"])


def _objects(rows: list[HandOverRow]) -> dict[UUID, Any]:
    found: dict[UUID, Any] = {}
    for kind, model in MODELS.items():
        if keys := [row.object_id for row in rows if row.kind == kind]:
            found |= {thing.pk: thing for thing in db.lock(model, keys)}
    return found


def _holder(thing: Any) -> UUID | None:
    holder: UUID | None = thing.assignee_id if isinstance(thing, Task) else thing.owner_id
    return holder


def _assign(thing: Any, user: User, at: datetime) -> None:
    if isinstance(thing, Account):
        owners.give(account=thing, owner=user, at=at, reason="hand_over", trigger="hand_over")
    elif isinstance(thing, Opportunity):
        opportunities.change(opportunity=thing, at=at, owner=user)
    else:
        _assign_work(thing, user, at)


def _assign_work(thing: Any, user: User, at: datetime) -> None:
    """A task, or a lead or alert whose account is somebody else's."""
    previous = {"owner": thing.assignee.public_id if isinstance(thing, Task) else thing.owner.public_id}
    if isinstance(thing, Task):
        write(thing, assignee=user)
    else:
        write(thing, owner=user, queue=None)
    name = f"crm.{thing._meta.model_name}.handed_over"
    outbox.publish(name, thing, at=at, account_id=thing.account_id, data={"owner": user.public_id}, previous=previous)


# --- taken back --------------------------------------------------------------------------------
@transaction.atomic
def undo(*, hand_over: HandOver, at: datetime) -> HandOver:
    """Give everything back that the receivers still hold; publishes ``crm.hand_over.undone`` when it is done.

    Raises Conflict (``wrong_state``) unless it is done, and (``leaver_gone``) where the leaver may own nothing: who was
    shut out is let in again by the back office first, never by this.
    """
    hand_over = db.lock_one(hand_over)
    if hand_over.state != HandOver.State.DONE:
        raise Conflict("Only a finished hand-over can be undone.", code="wrong_state")
    leaver = hand_over.leaver
    if not leaver.is_active:
        detail = f"{leaver} can't sign in. Ask a founder to let them in again first."
        raise Conflict(detail, code="leaver_gone")
    if not owners.may_own(leaver):
        raise Conflict(f"{leaver} works no accounts any more.", code="leaver_gone")
    HandOver.objects.filter(pk=hand_over.pk).update(state=HandOver.State.UNDOING, worked_at=Now(), finished_at=None)
    hand_over.refresh_from_db()
    nudges.on_commit(TASK)
    return hand_over
