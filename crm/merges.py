"""Merging an account into another, with a preview, and undoing it for 30 days.

What hangs on the merged account goes over to the one that stays; its customers go with their links, and stay customers
of their own: subscriptions, invoices, payers and cards are theirs as before. The merged account keeps its row, so that
its address can say where it went and so that there is a way back; its decisions about motion and owner stay with it.

Lock order: pools, the hierarchy, both accounts by id, their customers by id.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import models, transaction
from django.db.models import F
from django.db.models.functions import Now

from billing import customers as billing_customers
from billing.models import Customer, Subscription
from crm import accounts, hierarchy, merging, owners, suggestions
from crm.account_facts import write_down
from crm.history import plain
from crm.models import Account, AccountCustomer, AccountDomain, MergeLog, Suggestion
from gtm.shared import context, db, outbox
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Resource, write

UNDO_FOR = timedelta(days=30)
SOURCE = "merge"
PAID = (Subscription.Status.ACTIVE, Subscription.Status.PAST_DUE, Subscription.Status.UNPAID)

# Everything that names an account, by table and column; a test sees to it that nothing is forgotten.
GOES_OVER = (
    "crm.Account.parent",
    "crm.Account.merged_into",
    "crm.AccountCustomer.account",
    "crm.AccountDomain.account",
    "crm.Alert.account",
    "crm.Call.account",
    "crm.Contact.account",
    "crm.EmailMessage.account",
    "crm.FieldChange.account",
    "crm.Lead.account",
    "crm.Note.account",
    "crm.Notification.account",
    "crm.Opportunity.account",
    "crm.Task.account",
    "signals.Signal.account",
)
STAYS = {
    "crm.MergeLog.merged": "the merge itself",
    "crm.MergeLog.survivor": "merges into it before; they can be undone once this one is",
    "crm.MotionDecision.account": "history of decisions about the merged account",
    "crm.MotionOverride.account": "a decision about the merged account; the other has its own",
    "crm.OwnerDecision.account": "history of decisions about the merged account",
    "crm.PolicyMove.account": "a record of what a policy did",
    "crm.RoutingMove.account": "a record of what a rule set did",
    "crm.Suggestion.first": "answered by the merge",
    "crm.Suggestion.second": "answered by the merge",
}
SHOWN = {
    "crm.Contact.account": "contacts",
    "crm.AccountDomain.account": "domains",
    "crm.AccountCustomer.account": "customers",
    "crm.Opportunity.account": "opportunities",
    "crm.Lead.account": "leads",
    "crm.Alert.account": "alerts",
    "crm.Task.account": "tasks",
    "crm.Note.account": "notes",
    "crm.Call.account": "calls",
    "crm.EmailMessage.account": "messages",
    "crm.Account.parent": "subsidiaries",
}


@dataclass(frozen=True, slots=True)
class Preview:
    """What a merge would do: each field, how many rows of a kind go over, and whether both pay for a subscription."""

    survivor: Account
    merged: Account
    lines: list[merging.Line]
    moving: dict[str, int]
    both_pay: bool


# --- before ------------------------------------------------------------------------------------
def preview(*, survivor: Account, merged: Account, fields: Mapping[str, str] | None = None) -> Preview:
    """Writes nothing; one query for each kind of row. Raises Invalid for two that can't be merged, or a bad pick."""
    _check(survivor, merged)
    lines = merging.lines(_said(survivor), _said(merged), fields or {})
    moving = {
        SHOWN[name]: relation.related_model._base_manager.filter(**{relation.field.name: merged.pk}).count()
        for name, relation in relations().items()
        if name in SHOWN
    }
    return Preview(survivor, merged, lines, moving, _both_pay(survivor, merged))


def relations() -> dict[str, Any]:
    """Every foreign key to an account, by ``app.Model.column``."""
    found = (field for field in Account._meta.get_fields(include_hidden=True) if field.auto_created)
    return {
        f"{relation.related_model._meta.label}.{relation.field.name}": relation
        for relation in found
        if isinstance(relation, models.ManyToOneRel)
    }


def _check(survivor: Account, merged: Account) -> None:
    if survivor.pk == merged.pk:
        raise Invalid("An account can't be merged into itself.", attr="account")
    if survivor.test_clock_id != merged.test_clock_id:
        raise Invalid("The two accounts stand on different test clocks.", code="other_clock", attr="account")


def _both_pay(*pair: Account) -> bool:
    paying = Subscription.objects.filter(customer__account_id__in=[account.pk for account in pair], status__in=PAID)
    return paying.values("customer__account_id").distinct().count() == len(pair)


def _said(account: Account) -> dict[str, Any]:
    return {name: getattr(account, name) for name in merging.FIELDS}


# --- merge -------------------------------------------------------------------------------------
@transaction.atomic
def merge(
    *,
    survivor: Account,
    merged: Account,
    at: datetime,
    fields: Mapping[str, str] | None = None,
    keep_customers_apart: bool = False,
) -> MergeLog:
    """Merge ``merged`` into ``survivor``; publishes ``crm.account.merged`` with both ids and what went over.

    ``fields`` picks, per field, the ``survivor``'s or the ``merged``'s value. Raises Invalid as ``preview`` does, and
    Conflict where one was merged already, or (``both_pay``) where both pay for a subscription and nobody has confirmed
    by ``keep_customers_apart`` that two bills, two payers and two contracts stay.
    """
    _check(survivor, merged)
    survivor, merged = _locked(survivor, merged, at)
    if not keep_customers_apart and _both_pay(survivor, merged):
        raise Conflict(
            "Both accounts pay for a subscription. Confirm that their customers stay apart, each with its own bill.",
            code="both_pay",
            attr="keep_customers_apart",
        )
    lines = merging.lines(_said(survivor), _said(merged), fields or {})
    written = merging.values(lines, ours_personal=survivor.personal, theirs_personal=merged.personal)
    before = _before(survivor, merged)
    moved = _move_all(survivor, merged)
    before["written_parent"] = str(survivor.parent_id or "")
    merged_owner = merged.owner
    _lay_down(merged, survivor)
    write_down(survivor, written, at=at, source=SOURCE)
    moved |= _answer_suggestions(survivor, merged, at)
    _settle(survivor, at=at, heir_of=merged_owner)
    log = MergeLog.objects.create(
        survivor=survivor,
        merged=merged,
        before=before | {"written": {name: plain(value) for name, value in written.items()}},
        moved=moved,
        actor=context.actor(),
        merged_at=at,
        undo_until=at + UNDO_FOR,
    )
    _tell(log, "crm.account.merged", at=at, data={"moved": {name: len(keys) for name, keys in moved.items() if keys}})
    return log


def _locked(survivor: Account, merged: Account, at: datetime) -> tuple[Account, Account]:
    """Both as they are now. Raises Conflict where one has been merged meanwhile."""
    owners.lock_pools(at=at)
    hierarchy.lock(survivor.test_clock_id)
    rows = {row.pk: row for row in db.lock(Account, [survivor.pk, merged.pk])}
    if len(rows) < 2:
        raise Conflict("One of them was merged already.", code="merged", attr="account")
    db.lock(Customer, Customer.objects.filter(account_id__in=rows).values_list("pk", flat=True))
    return rows[survivor.pk], rows[merged.pk]


def _before(survivor: Account, merged: Account) -> dict[str, Any]:
    primary = AccountDomain.objects.filter(account=merged, is_primary=True).values_list("pk", flat=True).first()
    return {
        "survivor": {name: plain(value) for name, value in _said(survivor).items()},
        "merged": {name: plain(value) for name, value in _said(merged).items()},
        "survivor_parent": str(survivor.parent_id or ""),
        "merged_parent": str(merged.parent_id or ""),
        "merged_primary": str(primary or ""),
    }


def _move_all(survivor: Account, merged: Account) -> dict[str, list[str]]:
    """Let everything go over, one statement for each table; the keys of what went."""
    _make_room(survivor, merged)
    found = relations()
    return {name: move(found[name], merged, survivor) for name in GOES_OVER}


def _make_room(survivor: Account, merged: Account) -> None:
    """One primary domain, and nobody above itself: what stood below the merged account will stand below this one."""
    if AccountDomain.objects.filter(account=survivor, is_primary=True).exists():
        AccountDomain.objects.filter(account=merged).update(is_primary=False)
    if merged.pk in hierarchy.above(survivor.pk) or (
        survivor.parent_id is None and survivor.pk not in hierarchy.above(merged.pk)
    ):
        write(survivor, parent_id=merged.parent_id)


def move(relation: Any, source: Account, target: Account, keys: Iterable[str] | None = None) -> list[str]:
    """Point the rows of one table, or those of ``keys`` that are still there, from one account to the other."""
    model, column = relation.related_model, relation.field.name
    rows = model._base_manager.filter(**{column: source.pk}).exclude(pk=target.pk)
    if keys is not None:
        rows = rows.filter(pk__in=list(keys))
    found = list(rows.values_list("pk", flat=True))
    stamp = {"version": F("version") + 1, "updated_at": Now()} if issubclass(model, Resource) else {}
    still_there = model._base_manager.filter(pk__in=found, **{column: source.pk})  # none that went on meanwhile
    still_there.update(**{column: target.pk}, **stamp)
    if model is AccountCustomer:
        links = AccountCustomer.objects.filter(pk__in=found, valid_to=None)
        billing_customers.record_account_of_many(
            customer_ids=list(links.values_list("customer", flat=True)), account_id=target.pk
        )
    return [str(key) for key in found]


def _lay_down(merged: Account, survivor: Account) -> None:
    """Leave the row as a signpost, without what must be unique or would be counted."""
    write(merged, merged_into=survivor, parent=None, external_id=None)


def _answer_suggestions(survivor: Account, merged: Account, at: datetime) -> dict[str, list[str]]:
    """Those about the merged account are answered. What was dismissed for it stays dismissed for the one that stays."""
    theirs = suggestions.pairs_of(merged.pk)
    still_open = [row for row in theirs if row.state == Suggestion.State.OPEN]
    for row in still_open:
        write(row, state=Suggestion.State.MERGED, closed_at=at, closed_by=context.actor())
    dismissed = [row for row in theirs if row.state == Suggestion.State.DISMISSED]
    copies = [_dismissed_for(survivor, merged, row) for row in dismissed if survivor.pk not in _pair(row)]
    Suggestion.objects.bulk_create(copies, ignore_conflicts=True)
    before = {row.pk for row in suggestions.pairs_of(survivor.pk)} - {row.pk for row in copies}
    suggestions.look(accounts=[survivor], at=at)
    made = {row.pk for row in suggestions.pairs_of(survivor.pk)} - before
    return {
        "suggestions answered": [str(row.pk) for row in still_open],
        "suggestions made": [str(key) for key in sorted(made)],
    }


def _pair(row: Suggestion) -> tuple[UUID, UUID]:
    return row.first_id, row.second_id


def _dismissed_for(survivor: Account, merged: Account, row: Suggestion) -> Suggestion:
    other = row.second_id if row.first_id == merged.pk else row.first_id
    first, second = sorted((survivor.pk, other))
    return Suggestion(
        first_id=first,
        second_id=second,
        domain=row.domain,
        state=row.state,
        reason=row.reason,
        closed_at=row.closed_at,
        closed_by=row.closed_by,
        test_clock_id=row.test_clock_id,
    )


def _settle(account: Account, *, at: datetime, heir_of: Any = None) -> None:
    """Motion and owner by what is known now; what came over has the account's owner."""
    if heir_of is not None and account.owner is None and owners.may_own(heir_of):
        owners.give(account=account, owner=heir_of, at=at, reason=SOURCE, trigger=SOURCE)
    account = accounts.redecide(account=account, at=at, trigger=SOURCE)
    owners.bring_along([account.pk])


# --- undo --------------------------------------------------------------------------------------
@transaction.atomic
def undo(*, log: MergeLog, at: datetime) -> MergeLog:
    """Take a merge back; publishes ``crm.account.unmerged``.

    What went over goes back where it is still there; fields are as before where nobody has changed them since. An owner
    whom the surviving account got by the merge stays. Raises Conflict after 30 days, for one undone already, and where
    the surviving account was itself merged since.
    """
    owners.lock_pools(at=at)
    survivor, merged = _locked_again(log, at)
    log = MergeLog.objects.select_for_update(of=("self",)).get(pk=log.pk)
    if log.undone_at is not None:
        raise Conflict("This merge was undone already.", code="wrong_state")
    found = relations()
    for name in GOES_OVER:
        move(found[name], survivor, merged, keys=log.moved.get(name, ()))
    _take_back_fields(log, survivor, at)
    _stand_up(log, survivor, merged)
    answered, made = (log.moved.get(f"suggestions {word}", []) for word in ("answered", "made"))
    Suggestion.objects.filter(pk__in=made).delete()
    Suggestion.objects.filter(pk__in=answered).update(
        state=Suggestion.State.OPEN, closed_at=None, closed_by="", version=F("version") + 1, updated_at=Now()
    )
    for account in (survivor, merged):
        _settle(db.lock_one(account), at=at)
    log.undone_at, log.undone_by = at, context.actor()
    log.save(update_fields=["undone_at", "undone_by"])
    _tell(log, "crm.account.unmerged", at=at, data={})
    return log


def _locked_again(log: MergeLog, at: datetime) -> tuple[Account, Account]:
    if at > log.undo_until:
        raise Conflict("A merge can be undone for 30 days.", code="too_late")
    hierarchy.lock(log.survivor.test_clock_id)
    keys = sorted([log.survivor_id, log.merged_id])
    rows = {row.pk: row for row in Account.everything.select_for_update(no_key=True).filter(pk__in=keys).order_by("pk")}
    survivor, merged = rows[log.survivor_id], rows[log.merged_id]
    if survivor.merged_into_id is not None:
        raise Conflict("Its account was merged into another since: undo that merge first.", code="merged")
    db.lock(Customer, Customer.objects.filter(account_id=survivor.pk).values_list("pk", flat=True))
    return survivor, merged


def _take_back_fields(log: MergeLog, survivor: Account, at: datetime) -> None:
    """Where the value is still the one that the merge wrote."""
    before, written = log.before["survivor"], log.before["written"]
    untouched = {name for name, value in written.items() if plain(getattr(survivor, name)) == value}
    write_down(survivor, {name: before[name] for name in untouched}, at=at, source="merge_undone")


def _stand_up(log: MergeLog, survivor: Account, merged: Account) -> None:
    """The merged account is one again: with its number, its parent where that can be, and its primary domain."""
    before = log.before
    number = before["merged"].get("external_id")
    if number and Account.everything.filter(external_id=number).exists():
        raise Conflict(f"Another account is {number} now.", code="unique", attr="external_id")
    if str(survivor.parent_id or "") == before["written_parent"] != before["survivor_parent"]:
        write(survivor, parent_id=_standing(before["survivor_parent"], survivor))
    write(merged, merged_into=None, external_id=number)
    write(merged, parent_id=_standing(before["merged_parent"], merged))
    if before["merged_primary"]:
        AccountDomain.objects.filter(account=merged).update(is_primary=False)  # another became that meanwhile
        AccountDomain.objects.filter(account=merged, pk=before["merged_primary"]).update(is_primary=True)
    for account in (survivor, merged):
        _ensure_primary(account)


def _standing(parent: str, account: Account) -> UUID | None:
    """The parent of before, unless it has gone or stands below the account by now."""
    found = Account.everything.filter(pk=parent).first() if parent else None
    return found.pk if found and account.pk not in hierarchy.above(found.pk) else None


def _ensure_primary(account: Account) -> None:
    domains = account.domains.order_by("-is_primary", "pk")
    if (first := domains.first()) and not first.is_primary:
        first.is_primary = True
        first.save(update_fields=["is_primary"])


def _tell(log: MergeLog, fact: str, *, at: datetime, data: dict[str, Any]) -> None:
    ids = {"survivor": log.survivor.public_id, "merged": log.merged.public_id}
    for account in (log.survivor, log.merged):
        outbox.publish(fact, account, at=at, account_id=account.pk, data=ids | data)
