"""Accounts: found or made once per company, filled from what customers and leads say, changed by people.

``decide`` (segment and motion) and ``assign``, ``give`` (owner) stand in modules of their own and are called from here.
A company is known by its registrable domain; whoever makes or looks for the account of a domain holds the advisory
lock of (test clock, domain), so that two customers of one company at once get one account.
"""

import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from billing import customers as billing_customers
from billing.models import Customer
from crm import owners
from crm.models import Account, AccountCustomer, AccountDomain
from crm.needs import normalised
from crm.owners import assign, give, take
from crm.segments import decide
from gtm.shared import db, outbox, saving
from gtm.shared.countries import is_country
from gtm.shared.domains import business_domain, is_free_mail, registrable_domain
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event, User

__all__ = [
    "assign",
    "change",
    "change_and_give",
    "claim_domain",
    "decide",
    "find_or_make",
    "fold",
    "for_customer",
    "for_domain",
    "give",
    "redecide",
    "review",
    "take",
]

TRAITS = ("employee_count", "industry", "country")
CHANGEABLE = frozenset(
    {"name", "employee_count", "industry", "country", "needs", "target_list", "external_id", "metadata"}
)
TOLD = frozenset({"employee_count", "industry", "country", "needs", "target_list"})  # of an account, in facts


# --- customers ---------------------------------------------------------------------------------
@transaction.atomic
def for_customer(*, customer: Customer, at: datetime) -> Account:
    """The account of the customer; found or made, linked from ``at``, decided and assigned when there is none yet.

    By ``traits.domain``, else by the business domain of its address; a customer with a free-mail address gets a
    personal account. Writes the account's id onto the customer. Accounts of another test clock are never found.
    """
    db.advisory_lock("crm.customer", customer.pk)
    link = AccountCustomer.objects.filter(customer=customer, valid_to=None).select_related("account").first()
    if link is not None:
        return link.account
    owners.lock_pools(at=at)
    account = find_or_make(
        at=at,
        name=customer.name,
        email=customer.email,
        domain=_stated_domain(customer),
        test_clock_id=customer.test_clock_id,
        source="customer",
        facts=_traits(customer),
    )
    AccountCustomer.objects.create(account=account, customer=customer, valid_from=at)
    billing_customers.record_account(customer_id=customer.pk, account_id=account.pk)
    account = decide(account=account, at=at)
    return assign(account=account, at=at, trigger="customer").account


def _stated_domain(customer: Customer) -> str | None:
    """What the vendor's product says the company's domain is; free-mail providers are nobody's."""
    found = registrable_domain(str(customer.traits.get("domain") or ""))
    return None if found is None or is_free_mail(found) else found


def _traits(customer: Customer) -> dict[str, Any]:
    """The traits that have a meaning here, where they are of the right kind; a product may report anything."""
    count, industry = customer.traits.get("employee_count"), customer.traits.get("industry")
    country = str(customer.traits.get("country") or customer.country).upper()
    facts = {
        "employee_count": count if isinstance(count, int) and 0 <= count < 2**31 and count is not True else None,
        "industry": industry[:100] if isinstance(industry, str) else "",
        "country": country if is_country(country) else "",
    }
    return {name: value for name, value in facts.items() if value not in (None, "")}


@transaction.atomic
def review(*, customer: Customer, at: datetime) -> Account:
    """Bring the account up to what the customer's traits and subscriptions say now; made where it is missing."""
    account = for_customer(customer=customer, at=at)
    _lock_for_assigning(account, at)
    domain = _stated_domain(customer)
    if domain and not AccountDomain.objects.filter(domain=domain, test_clock=account.test_clock_id).exists():
        claim_domain(account=account, domain=domain, at=at)
    account = db.lock_one(account)
    _fill(account, _traits(customer), at=at, source="traits")
    return redecide(account=account, at=at, trigger="customer")


@transaction.atomic
def redecide(*, account: Account, at: datetime, trigger: str = "review") -> Account:
    """Motion anew, and the owner where there is none who can stay."""
    _lock_for_assigning(account, at)
    account = decide(account=account, at=at)
    if account.owner is not None and owners.may_own(account.owner):
        return account
    return assign(account=account, at=at, trigger=trigger).account


def _lock_for_assigning(account: Account, at: datetime) -> None:
    """The pools' locks come before the account's; who needs no new owner needs neither."""
    if account.owner is None or not owners.may_own(account.owner):
        owners.lock_pools(at=at)


# --- found or made -----------------------------------------------------------------------------
@transaction.atomic
def for_domain(*, domain: str, at: datetime, name: str = "", test_clock_id: UUID | None = None) -> Account:
    """The account of a company's registrable domain, found or made. Raises Invalid for what is no such domain."""
    found = registrable_domain(domain)
    if found is None or is_free_mail(found):
        raise Invalid("Give the domain of a company, such as acme.com.", attr="domain")
    return find_or_make(at=at, name=name or found, domain=found, test_clock_id=test_clock_id, source="domain")


@transaction.atomic
def find_or_make(
    *,
    at: datetime,
    name: str,
    source: str,
    email: str = "",
    domain: str | None = None,
    names_company: bool = False,
    test_clock_id: UUID | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Account:
    """The account of a company or person on that test clock. ``facts`` fill what is empty and overwrite nothing.

    ``domain`` is a registrable domain that is known to be the company's; without it the business domain of ``email``
    counts, unverified. An address at a free-mail provider belongs to whoever used it before, else to a new account: a
    personal one, unless ``name`` names a company.
    """
    company = domain or business_domain(email)
    if company or email:
        db.advisory_lock("crm.account", test_clock_id, company or email.lower())
    account = _of_domain(company, test_clock_id) if company else _of_address(email, test_clock_id)
    if account is None:
        personal = company is None and bool(email) and not names_company
        account = _make(name, personal, test_clock_id, facts or {}, at=at, source=source)
        if company:
            _add_domain(account, company, verified_at=at if domain else None)
        return account
    account = db.lock_one(account)
    _fill(account, facts or {}, at=at, source=source)
    return account


def _of_domain(domain: str, test_clock_id: UUID | None) -> Account | None:
    return Account.objects.filter(domains__domain=domain, domains__test_clock=test_clock_id).first()


def _of_address(email: str, test_clock_id: UUID | None) -> Account | None:
    """The account at which this free-mail address is a contact or a customer."""
    if not email:
        return None
    accounts = Account.objects.filter(test_clock=test_clock_id).order_by("pk")
    of_contact = accounts.filter(contacts__email=email.lower()).first()
    links = {"customer_links__customer__email__in": {email, email.lower()}, "customer_links__valid_to": None}
    of_customer = accounts.filter(personal=True, **links)
    return of_contact or of_customer.first()


def _make(
    name: str, personal: bool, test_clock_id: UUID | None, facts: Mapping[str, Any], *, at: datetime, source: str
) -> Account:
    account = Account.objects.create(
        name=name[:200],
        name_key=fold(name)[:200],
        personal=personal,
        test_clock_id=test_clock_id,
        first_source=source[:60],
        **facts,
    )
    data = {"source": source, "personal": personal, **_told(facts)}
    outbox.publish("crm.account.created", account, at=at, account_id=account.pk, data=data)
    return account


def _add_domain(account: Account, domain: str, *, verified_at: datetime | None) -> AccountDomain:
    primary = not account.domains.filter(is_primary=True).exists()
    return AccountDomain.objects.create(
        account=account,
        domain=domain,
        is_primary=primary,
        verified_at=verified_at,
        test_clock_id=account.test_clock_id,
    )


def fold(name: str) -> str:
    """A name as lists sort it and searches find it: without case, accents and surrounding space."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    return " ".join("".join(c for c in decomposed if not unicodedata.combining(c)).split())


# --- facts -------------------------------------------------------------------------------------
def _fill(account: Account, facts: Mapping[str, Any], *, at: datetime, source: str) -> None:
    """Fill what is empty. What the product reported before is its own to correct; needs add up."""
    changes = {
        name: value
        for name, value in facts.items()
        if name != "needs" and value != getattr(account, name) and _may_fill(account, name, source)
    }
    if new := [need for need in facts.get("needs", ()) if need not in account.needs]:
        changes["needs"] = [*account.needs, *new]
    _write(account, changes, at=at, source=source)


def _may_fill(account: Account, name: str, source: str) -> bool:
    if getattr(account, name) in (None, ""):
        return True
    if source != "traits":
        return False
    stated = Event.objects.filter(object_id=account.pk, type__startswith="crm.account.", data__has_key=name)
    latest = stated.order_by("-position").values_list("data__source", flat=True).first()
    return latest in {"traits", "customer"}


def _write(account: Account, changes: Mapping[str, Any], *, at: datetime, source: str) -> None:
    """Write what differs and publish ``crm.account.changed`` with the previous values."""
    derived = {"name_key": fold(changes["name"])[:200]} if "name" in changes else {}
    previous = saving.change(account, **changes, **derived)
    if not previous:
        return
    data = {"source": source, "changed": sorted(previous.keys() - derived.keys()), **_told(changes)}
    outbox.publish("crm.account.changed", account, at=at, account_id=account.pk, data=data, previous=_told(previous))


def _told(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the facts about a company that an Event may hold: no names, no free text of others."""
    return {name: value for name, value in facts.items() if name in TOLD}


@transaction.atomic
def change(*, account: Account, at: datetime, **facts: Any) -> Account:
    """Set facts by a person's or an integrator's decision; motion and, where nobody owns it, owner are decided anew.

    Takes name, employee_count, industry, country, needs, target_list, external_id and metadata. Raises Invalid, and
    TypeError for other names.
    """
    if unknown := facts.keys() - CHANGEABLE:
        raise TypeError(f"an account has no changeable {', '.join(sorted(unknown))}")
    if "needs" in facts:
        facts["needs"] = normalised(facts["needs"])
    if not str(facts.get("name", "x")).strip():
        raise Invalid("An account needs a name.", attr="name")
    if facts.get("country") and not is_country(facts["country"]):
        raise Invalid("Give a country code of ISO 3166.", attr="country")
    _lock_for_assigning(account, at)
    account = db.lock_one(account)
    _write(account, facts, at=at, source="hand")
    return redecide(account=account, at=at, trigger="facts")


@transaction.atomic
def change_and_give(*, account: Account, at: datetime, owner: User | None = None, **facts: Any) -> Account:
    """Set facts and, where ``owner`` is given, the owner, in one step. Raises as ``change`` and ``give`` do."""
    if facts:
        account = change(account=account, at=at, **facts)
    return give(account=account, owner=owner, at=at) if owner else account


@transaction.atomic
def claim_domain(*, account: Account, domain: str, at: datetime, verified: bool = True) -> AccountDomain:
    """Make a registrable domain the account's. Raises Invalid for no company's domain, Conflict when another has it."""
    found = registrable_domain(domain)
    if found is None or is_free_mail(found):
        raise Invalid("Give the domain of a company, such as acme.com.", attr="domain")
    db.advisory_lock("crm.account", account.test_clock_id, found)
    account = db.lock_one(account)
    row = AccountDomain.objects.filter(domain=found, test_clock=account.test_clock_id).first()
    if row is None:
        _write(account, {"personal": False}, at=at, source="domain")
        return _add_domain(account, found, verified_at=at if verified else None)
    if row.account_id != account.pk:
        raise Conflict(f"{found} belongs to another account.", code="domain_taken", attr="domain")
    return row
