"""Contacts: the people at accounts. An address is one person's, so that it stands at one account per test clock."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from crm import history, suggestions
from crm.accounts import fold
from crm.custom_fields import checked
from crm.models import Account, Contact
from gtm.shared import db, outbox, saving
from gtm.shared.domains import business_domain
from gtm.shared.errors import Conflict, Invalid

CHANGEABLE = frozenset(
    {"name", "email", "phone", "title", "buying_role", "unsubscribed", "custom", "external_id", "metadata"}
)
TOLD = frozenset({"buying_role", "unsubscribed"})  # of a person, in facts


@transaction.atomic
def create(*, account: Account, at: datetime, name: str, source: str = "", **said: Any) -> Contact:
    """Take a person in at the account; publishes ``crm.contact.created``. ``source``: where the person came from.

    Takes email, phone, title, buying_role, unsubscribed, custom, external_id and metadata. Raises Invalid for bad
    input, Conflict (``email``) where the address is a contact's already.
    """
    account = db.lock_one(account)
    facts = _clean(Contact(), {"name": name, **said})
    contact = Contact(account=account, test_clock_id=account.test_clock_id, source=source or history.by_whom(), **facts)
    _refuse_known(contact)
    saving.insert(contact)
    history.started(contact, account_id=account.pk, facts=facts, at=at, source=contact.source)
    data = {"source": contact.source, **_told(facts)}
    outbox.publish("crm.contact.created", contact, at=at, account_id=account.pk, data=data)
    suggestions.look(accounts=[account], at=at)
    return contact


@transaction.atomic
def meet(*, account: Account, name: str, email: str, source: str, at: datetime) -> Contact:
    """The person with this address, wherever they are a contact already, else taken in at the account."""
    address = email.strip().lower()
    known = Contact.objects.filter(email=address, test_clock=account.test_clock_id).first()
    return known or create(account=account, at=at, name=name.strip() or address, email=address, source=source)


@transaction.atomic
def change(*, contact: Contact, at: datetime, source: str = "", version: int | None = None, **said: Any) -> Contact:
    """Set what differs; publishes ``crm.contact.changed`` with the names of the fields.

    Raises as ``create`` does, and Conflict (``stale_version``) where ``version`` is no more the latest.
    """
    if unknown := said.keys() - CHANGEABLE:
        raise TypeError(f"a contact has no changeable {', '.join(sorted(unknown))}")
    contact = db.lock_seen(contact, version)
    facts = _clean(contact, said)
    if "email" in facts and facts["email"] != contact.email:
        _refuse_known(contact, facts["email"])
    previous = saving.change(contact, **facts)
    changes = {field: (old, getattr(contact, field)) for field, old in previous.items()}
    if not changes:
        return contact
    source = source or history.by_whom()
    history.record(contact, account_id=contact.account_id, changes=changes, at=at, source=source)
    told = sorted(previous.keys() - {"name_key", "email_domain"})
    data = {"source": source, "changed": told, **_told({field: facts[field] for field in previous})}
    outbox.publish(
        "crm.contact.changed", contact, at=at, account_id=contact.account_id, data=data, previous=_told(previous)
    )
    if "email_domain" in previous:
        suggestions.look(accounts=[contact.account], at=at)
    return contact


def _clean(contact: Contact, said: Mapping[str, Any]) -> dict[str, Any]:
    """What was said, brought to its form, with what follows from it. Raises Invalid."""
    facts: dict[str, Any] = {name: value.strip() if isinstance(value, str) else value for name, value in said.items()}
    if not facts.get("name", "x"):
        raise Invalid("A contact needs a name.", code="required", attr="name")
    if "email" in facts:
        facts["email"] = facts["email"].lower()
        facts["email_domain"] = business_domain(facts["email"]) or ""
    if {"name", "email"} & facts.keys():
        words = (facts.get("name", contact.name), facts.get("email", contact.email))
        facts["name_key"] = fold(" ".join(words))[:460]
    if contact._state.adding or "custom" in facts:
        facts["custom"] = checked(
            entity="contact", values=facts.get("custom") or {}, held=contact.custom, whole=contact._state.adding
        )
    return facts


def _refuse_known(contact: Contact, email: str | None = None) -> None:
    """Say so in words; of two at once the database refuses one."""
    address = contact.email if email is None else email
    known = Contact.objects.filter(email=address, test_clock=contact.test_clock_id).exclude(pk=contact.pk)
    if address and known.exists():
        raise Conflict("This address is a contact's already.", code="email_taken", attr="email")


def _told(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The part that an Event may hold: no name, no address."""
    return {name: value for name, value in facts.items() if name in TOLD}
