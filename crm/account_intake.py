"""Accounts from a file: known again by domain or by the integrator's id, made and changed in batches.

A new account is decided and routed as any other; where it came from first is the import, for good. What a row says
overwrites what stands there, but an empty cell overwrites nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from crm import history, import_fields, owners, segments, suggestions
from crm.account_facts import fold, told
from crm.import_fields import Field, Row
from crm.intake import REFUSED, SOURCE, Outcome, State, advisory_locks, changed, related_keys
from crm.models import Account, AccountDomain, OwnerDecision, TargetDomain
from gtm.shared import bulk, db, outbox
from gtm.shared.models import Resource, User

_WEB = ("website", "web site", "url", "homepage", "company domain", "email")
FIELDS: Sequence[Field] = (
    Field("name", "Name", import_fields.text(200), ("company", "company name", "account", "account name", "firma")),
    Field(
        "domain", "Domain", import_fields.domain, ("website", "web site", "url", "homepage", "company domain", "email")
    ),
    Field("external_id", "Your own id", import_fields.text(200), ("id", "external id", "crm id", "account id")),
    Field(
        "employee_count", "Employees", import_fields.employees, ("number of employees", "size", "headcount", "staff")
    ),
    Field("industry", "Industry", import_fields.text(100), ("sector", "branch", "vertical")),
    Field("country", "Country", import_fields.country, ("country code", "land", "billing country", "nation")),
    Field("target_list", "Target list", import_fields.yes_no, ("target", "target account")),
)
KEYS: Sequence[str] = ("domain", "external_id")
MODEL: type[Resource] = Account
BATCH = 500
FACTS = ("name", "employee_count", "industry", "country", "target_list", "external_id")
OWN = frozenset(  # what comes with an account, and goes with it
    {
        "crm.AccountDomain",
        "crm.MotionDecision",
        "crm.OwnerDecision",
        "crm.FieldChange",
        "crm.Suggestion",
        "crm.PolicyMove",  # what a policy or rules say of it, and nothing that somebody did
        "crm.RoutingMove",
        "crm.Notification",
    }
)


def lock(rows: Sequence[Row], at: datetime) -> None:
    """The pools, then the domains of the batch, as whoever makes the account of one domain does."""
    owners.lock_pools(at=at)
    advisory_locks("crm.account", {row.values["domain"] for row in rows if "domain" in row.values})


# --- decided -----------------------------------------------------------------------------------
def plan(rows: Sequence[Row], *, key: str, user: User, at: datetime) -> list[Outcome]:
    """Three queries: the accounts of the domains, those of the ids, and which of them the user may change."""
    by_domain = _by_domain([row.values["domain"] for row in rows if "domain" in row.values])
    ids = [row.values["external_id"] for row in rows if "external_id" in row.values]
    by_id = {account.external_id: account for account in Account.objects.filter(external_id__in=ids)} if ids else {}
    known = {account.pk for account in (*by_domain.values(), *by_id.values())}
    workable = (
        set(Account.objects.workable_by(user).filter(pk__in=known, test_clock=None).values_list("pk", flat=True))
        if known
        else set()
    )
    return [_outcome(row, key, by_domain, by_id, workable) for row in rows]


def _by_domain(domains: Collection[str]) -> dict[str, Account]:
    owning = AccountDomain.objects.filter(domain__in=domains, test_clock=None).select_related("account")
    return {row.domain: row.account for row in owning} if domains else {}


def _outcome(
    row: Row, key: str, by_domain: Mapping[str, Account], by_id: Mapping[Any, Account], workable: Collection[UUID]
) -> Outcome:
    outcome = Outcome(row)
    named, numbered = by_domain.get(row.values.get("domain", "")), by_id.get(row.values.get("external_id"))
    found = named if key == "domain" else numbered
    if row.errors:
        outcome.state = State.REFUSED
    elif key not in row.values:
        outcome.refuse(key, f"{_label(key)}: it is empty, and rows are known by it")
    elif found is None and not row.values.get("name"):
        outcome.refuse("name", "Name: a new account needs one")
    elif any(one is not None and (one.pk not in workable or one != found) for one in (named, numbered, found)):
        outcome.refuse("", REFUSED)
    elif found is not None:
        _compare(outcome, found)
    return outcome


def _label(code: str) -> str:
    return next(field.label for field in FIELDS if field.code == code)


def _compare(outcome: Outcome, found: Account) -> None:
    outcome.found = found
    outcome.before, outcome.after = changed(found, outcome.row.values, FACTS)
    outcome.state = State.UPDATED if outcome.after else State.SKIPPED


# --- written -----------------------------------------------------------------------------------
def carry_out(outcomes: Sequence[Outcome], *, at: datetime) -> None:
    made = _make([one for one in outcomes if one.state == State.CREATED], at)
    updated = [(one.found, one.after) for one in outcomes if one.state == State.UPDATED]
    _change(updated, at=at, source=SOURCE)
    touched = [account.pk for account in made] + [account.pk for account, _after in updated]
    _place(touched, at)
    if made:
        suggestions.look(accounts=made, at=at)


def _make(outcomes: Sequence[Outcome], at: datetime) -> list[Account]:
    if not outcomes:
        return []
    domains = {one.row.values["domain"] for one in outcomes if "domain" in one.row.values}
    targets = set(TargetDomain.objects.filter(domain__in=domains).values_list("domain", flat=True))
    for one in outcomes:
        one.new = _new(one.row.values, at, is_target=one.row.values.get("domain") in targets)
        one.after = {name: one.row.values[name] for name in FACTS if name in one.row.values}
    made = [one.new for one in outcomes]
    bulk.insert(Account, made)
    bulk.insert(
        AccountDomain,
        [
            bulk.new(AccountDomain, account=one.new, domain=one.row.values["domain"], is_primary=True)
            for one in outcomes
            if "domain" in one.row.values
        ],
    )
    said = [(one.new, {**one.after, "domains": one.row.values.get("domain")}) for one in outcomes]
    keep_history([(account, _beginning(values)) for account, values in said], at=at, source=SOURCE)
    outbox.publish_many(_created(account, at) for account in made)
    return made


def _new(values: Mapping[str, Any], at: datetime, *, is_target: bool) -> Account:
    said = {name: values[name] for name in FACTS if name in values}
    said["target_list"] = bool(said.get("target_list")) or is_target
    return bulk.new(Account, **said, name_key=fold(values["name"])[:200], first_source=SOURCE, first_touch_at=at)


def _beginning(values: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: (None, value) for name, value in values.items() if value not in (None, "", False)}


def _created(account: Account, at: datetime) -> Any:
    facts = {name: getattr(account, name) for name in ("employee_count", "industry", "country", "target_list")}
    data = {"source": SOURCE, "personal": False, **told({k: v for k, v in facts.items() if v not in (None, "", False)})}
    return outbox.fact("crm.account.created", account, at=at, account_id=account.pk, data=data)


def _change(changes: Sequence[tuple[Account, Mapping[str, Any]]], *, at: datetime, source: str) -> None:
    """Each account its new values, under locks that are taken here; history and facts as ``accounts.change`` tells."""
    if not changes:
        return
    locked = {account.pk: account for account in db.lock(Account, [account.pk for account, _after in changes])}
    said, facts, written = [], [], []
    for account, after in ((locked[account.pk], after) for account, after in changes):
        previous = {name: getattr(account, name) for name in after}
        vars(account).update(after)
        account.name_key = fold(account.name)[:200]
        account.touch()
        said.append((account, {name: (previous[name], after[name]) for name in after}))
        data = {"source": source, "changed": sorted(after), **told(after)}
        facts.append(
            outbox.fact(
                "crm.account.changed", account, at=at, account_id=account.pk, data=data, previous=told(previous)
            )
        )
        written.append(account)
    bulk.update(Account, written, (*FACTS, "name_key", "version", "updated_at"))
    keep_history(said, at=at, source=source)
    outbox.publish_many(facts)


def keep_history(said: Sequence[tuple[Account, Mapping[str, tuple[Any, Any]]]], *, at: datetime, source: str) -> None:
    history.keep(
        row
        for account, changes in said
        for row in history.rows(account, account_id=account.pk, changes=changes, at=at, source=source)
    )


def _place(keys: Sequence[UUID], at: datetime) -> None:
    """Motion anew for all, and an owner by the rules for those whom nobody owns, in the order of the file."""
    if not keys:
        return
    segments.decide_many(account_ids=keys, at=at)
    owned = set(Account.objects.filter(pk__in=keys, owner__isnull=False).values_list("pk", flat=True))
    homeless = [key for key in keys if key not in owned]
    if homeless:
        owners.assign_many(account_ids=homeless, at=at, trigger=SOURCE)


# --- taken back --------------------------------------------------------------------------------
def restore(things: Sequence[tuple[Any, Mapping[str, Any]]], *, at: datetime) -> None:
    _change(things, at=at, source=f"{SOURCE} undone")
    _place([account.pk for account, _before in things], at)


def remove(things: Collection[Any], *, at: datetime) -> None:
    """The accounts with what came with them; publishes ``crm.account.removed``. Their facts stay."""
    keys = [account.pk for account in things]
    outbox.publish_many([outbox.fact("crm.account.removed", one, at=at, account_id=one.pk) for one in things])
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL tandem.takes_back = 'on'")  # their history may go with them: see the migration
    Account.everything.filter(pk__in=keys).delete()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL tandem.takes_back = 'off'")


def hanging(keys: Sequence[UUID]) -> set[UUID]:
    return related_keys(Account, keys, own=OWN)


def worked(keys: Sequence[UUID]) -> set[UUID]:
    """Those that somebody was given by hand, or of which somebody verified a domain."""
    given = OwnerDecision.objects.filter(account__in=keys, reasons__contains=[{"code": "by_hand"}])
    verified = AccountDomain.objects.filter(account__in=keys, verified_at__isnull=False)
    return {*given.values_list("account_id", flat=True), *verified.values_list("account_id", flat=True)}
