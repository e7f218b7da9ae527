"""Contacts from a file: known again by their address, each at the account that the row names or its address tells.

A row names its account by domain, by the integrator's id or by its exact name; else the domain of the address tells it.
People of companies that are not known yet come after their companies: import those first.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from crm import history, import_fields, suggestions
from crm.account_facts import fold
from crm.import_fields import Field, Row
from crm.intake import REFUSED, SOURCE, Outcome, State, advisory_locks, changed, related_keys
from crm.models import Account, AccountDomain, Contact
from gtm.shared import bulk, db, outbox
from gtm.shared.domains import business_domain
from gtm.shared.models import Resource, User

_ROLES = {import_fields.plain(str(label)): code for code, label in Contact.BuyingRole.choices}


def _buying_role(cell: str) -> str:
    key = import_fields.plain(cell)
    code = _ROLES.get(key) or next((code for code in _ROLES.values() if import_fields.plain(code) == key), None)
    if code is None:
        raise ValueError(
            f"“{cell[:40]}” is none of {', '.join(str(label) for _code, label in Contact.BuyingRole.choices)}"
        )
    return code


_MAIL = ("mail", "email address", "work email", "email 1")
_COMPANY = ("company name", "account", "account name", "organization", "organisation", "firma")
FIELDS: Sequence[Field] = (
    Field("email", "E-mail", import_fields.email, _MAIL),
    Field("name", "Name", import_fields.text(200), ("full name", "contact", "contact name", "person")),
    Field("title", "Title", import_fields.text(200), ("job title", "position", "role", "funktion")),
    Field("phone", "Phone", import_fields.text(40), ("telephone", "phone number", "mobile", "telefon")),
    Field("buying_role", "Buying role", _buying_role, ()),
    Field("external_id", "Your own id", import_fields.text(200), ("id", "external id", "contact id")),
    Field("account_domain", "Account's domain", import_fields.domain, ("domain", "website", "company domain")),
    Field("account_external_id", "Account's own id", import_fields.text(200), ("account id", "company id")),
    Field("account_name", "Account's name", import_fields.text(200), ("company", *_COMPANY)),
)
KEYS: Sequence[str] = ("email", "external_id")
MODEL: type[Resource] = Contact
BATCH = 500
FACTS = ("name", "email", "title", "phone", "buying_role", "external_id")
DERIVED = ("name_key", "email_domain", "version", "updated_at")
NO_ACCOUNT = "No account of that company is known. Import the company first."


def lock(rows: Sequence[Row], at: datetime) -> None:
    """The addresses of the batch, so that of two imports at once one finds what the other made."""
    advisory_locks("crm.contact", {row.values["email"] for row in rows if "email" in row.values})


# --- decided -----------------------------------------------------------------------------------
def plan(rows: Sequence[Row], *, key: str, user: User, at: datetime) -> list[Outcome]:
    """Six queries: the contacts by address and by id, the accounts by what names them, whom the user may change."""
    by_email = {one.email: one for one in _known("email", rows).filter(test_clock=None)}
    by_id = {one.external_id: one for one in _known("external_id", rows)}
    places = _Places(rows, user)
    contacts = {one.pk for one in (*by_email.values(), *by_id.values())}
    workable = Contact.objects.workable_by(user).filter(pk__in=contacts, test_clock=None)
    mine = set(workable.values_list("pk", flat=True))
    return [_outcome(row, key, by_email, by_id, places, mine) for row in rows]


def _known(field: str, rows: Sequence[Row]) -> Any:
    wanted = {row.values[field] for row in rows if field in row.values}
    return Contact.objects.filter(**{f"{field}__in": wanted}).select_related("account")


class _Places:
    """The accounts that the rows of a batch name; those that the user may not work are as good as unknown."""

    def __init__(self, rows: Sequence[Row], user: User) -> None:
        workable = Account.objects.workable_by(user)
        said = [row.values for row in rows]
        domains = {domain for values in said if (domain := _domain(values))}
        ids = {values["account_external_id"] for values in said if "account_external_id" in values}
        named = {fold(values["account_name"])[:200] for values in said if "account_name" in values}
        owning = AccountDomain.objects.filter(domain__in=domains, test_clock=None, account__in=workable)
        self._by_domain = {row.domain: row.account for row in owning.select_related("account")}
        by_id = workable.filter(external_id__in=ids, test_clock=None)
        self._by_id = {account.external_id: account for account in by_id}
        self._by_name: dict[str, list[Account]] = {}
        for account in workable.filter(name_key__in=named, test_clock=None):
            self._by_name.setdefault(account.name_key, []).append(account)

    def of(self, values: Mapping[str, Any]) -> Account | None:
        if "account_external_id" in values:
            return self._by_id.get(values["account_external_id"])
        if (domain := _domain(values)) in self._by_domain:
            return self._by_domain[str(domain)]
        alike = self._by_name.get(fold(values.get("account_name", ""))[:200], [])
        return alike[0] if len(alike) == 1 else None


def _domain(values: Mapping[str, Any]) -> str | None:
    return values.get("account_domain") or business_domain(values.get("email", ""))


def _outcome(
    row: Row,
    key: str,
    by_email: Mapping[Any, Contact],
    by_id: Mapping[Any, Contact],
    places: _Places,
    mine: Collection[UUID],
) -> Outcome:
    outcome = Outcome(row)
    addressed, numbered = by_email.get(row.values.get("email")), by_id.get(row.values.get("external_id"))
    found = addressed if key == "email" else numbered
    if row.errors:
        outcome.state = State.REFUSED
    elif key not in row.values:
        outcome.refuse(key, "The cell is empty by which rows are known")
    elif any(one is not None and (one.pk not in mine or one != found) for one in (addressed, numbered)):
        outcome.refuse("", REFUSED)
    elif found is not None:
        outcome.found = found
        outcome.before, outcome.after = changed(found, row.values, FACTS)
        outcome.state = State.UPDATED if outcome.after else State.SKIPPED
    elif not row.values.get("name") and not row.values.get("email"):
        outcome.refuse("name", "Name: a new person needs one, or an address")
    elif (account := places.of(row.values)) is None:
        outcome.refuse("account_name", NO_ACCOUNT)
    else:
        outcome.new = _new(row.values, account)
        outcome.after = {name: row.values[name] for name in FACTS if name in row.values}
    return outcome


def _new(values: Mapping[str, Any], account: Account) -> Contact:
    said = {name: values[name] for name in FACTS if name in values}
    said.setdefault("name", said.get("email", "").partition("@")[0])
    email = said.get("email", "")
    key, domain = _derived(said["name"], email)
    return bulk.new(Contact, **said, account=account, name_key=key, email_domain=domain, source=SOURCE)


def _derived(name: str, email: str) -> tuple[str, str]:
    return fold(f"{name} {email}")[:460], business_domain(email) or ""


# --- written -----------------------------------------------------------------------------------
def carry_out(outcomes: Sequence[Outcome], *, at: datetime) -> None:
    made = [one for one in outcomes if one.state == State.CREATED]
    _make(made, at)
    _change([(one.found, one.after) for one in outcomes if one.state == State.UPDATED], at=at, source=SOURCE)
    if made:
        suggestions.look(accounts={one.new.account.pk: one.new.account for one in made}.values(), at=at)


def _make(outcomes: Sequence[Outcome], at: datetime) -> None:
    if not outcomes:
        return
    made: list[Contact] = [one.new for one in outcomes]
    db.lock(Account, {contact.account_id for contact in made})
    bulk.insert(Contact, made)
    history.keep(
        row
        for one in outcomes
        for row in history.rows(
            one.new,
            account_id=one.new.account_id,
            changes={name: (None, value) for name, value in one.after.items()},
            at=at,
            source=SOURCE,
        )
    )
    outbox.publish_many(
        outbox.fact("crm.contact.created", one, at=at, account_id=one.account_id, data=_told(one, {"source": SOURCE}))
        for one in made
    )


def _told(contact: Contact, data: dict[str, Any]) -> dict[str, Any]:
    return data | ({"buying_role": contact.buying_role} if contact.buying_role else {})


def _change(changes: Sequence[tuple[Contact, Mapping[str, Any]]], *, at: datetime, source: str) -> None:
    if not changes:
        return
    locked = {contact.pk: contact for contact in db.lock(Contact, [contact.pk for contact, _after in changes])}
    rows, facts = [], []
    for contact, after in ((locked[contact.pk], after) for contact, after in changes):
        said = {name: (getattr(contact, name), value) for name, value in after.items()}
        vars(contact).update(after)
        contact.name_key, contact.email_domain = _derived(contact.name, contact.email)
        contact.touch()
        rows += history.rows(contact, account_id=contact.account_id, changes=said, at=at, source=source)
        data = _told(contact, {"source": source, "changed": sorted(after)})
        facts.append(outbox.fact("crm.contact.changed", contact, at=at, account_id=contact.account_id, data=data))
    bulk.update(Contact, locked.values(), (*FACTS, *DERIVED))
    history.keep(rows)
    outbox.publish_many(facts)


# --- taken back --------------------------------------------------------------------------------
def restore(things: Sequence[tuple[Any, Mapping[str, Any]]], *, at: datetime) -> None:
    _change(things, at=at, source=f"{SOURCE} undone")


def remove(things: Collection[Any], *, at: datetime) -> None:
    """The people with their history; publishes ``crm.contact.removed``."""
    keys = [contact.pk for contact in things]
    outbox.publish_many([outbox.fact("crm.contact.removed", one, at=at, account_id=one.account_id) for one in things])
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL tandem.takes_back = 'on'")
        cursor.execute("DELETE FROM crm_fieldchange WHERE object_id = ANY(%s)", [keys])
        cursor.execute("SET LOCAL tandem.takes_back = 'off'")
    Contact.objects.filter(pk__in=keys).delete()


def hanging(keys: Sequence[UUID]) -> set[UUID]:
    return related_keys(Contact, keys, own=())


def worked(keys: Sequence[UUID]) -> set[UUID]:
    """All that is done to a person is told by their fields, or hangs on them."""
    return set()
