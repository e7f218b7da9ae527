"""Accounts: found or made once per company, filled from what customers and leads say, changed by people.

``decide`` (segment and motion) and ``assign``, ``give`` (owner) stand in modules of their own and are called from here.
A company is known by its registrable domain; whoever makes or looks for the account of a domain holds the advisory
lock of (test clock, domain), so that two customers of one company at once get one account.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction

from billing import customers as billing_customers
from billing.models import Customer
from crm import account_domains, blockers, history, owners, suggestions
from crm.account_facts import fold, told, write_down
from crm.custom_fields import checked
from crm.models import Account, AccountCustomer, AccountDomain
from crm.needs import normalised
from crm.owners import assign, give, take
from crm.segments import decide, decide_many
from gtm.shared import db, money, outbox
from gtm.shared.countries import is_country
from gtm.shared.domains import business_domain, is_free_mail, registrable_domain
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event, User

__all__ = [
    "assign",
    "change",
    "change_and_give",
    "claim_domain",
    "create",
    "decide",
    "find_or_make",
    "fold",
    "for_customer",
    "for_domain",
    "give",
    "redecide",
    "review",
    "review_all",
    "take",
]

log = structlog.get_logger(__name__)
REVIEW_BATCH = 500
TRAITS = ("employee_count", "industry", "country")
CHANGEABLE = frozenset(
    {
        *("name", "employee_count", "industry", "country", "needs", "target_list", "blockers", "is_referenceable"),
        *("feedback_url", "custom", "external_id", "metadata"),
        *("expected_value", "company_revenue", "value_currency"),
    }
)


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
    seen_at = business_domain(customer.email) or ""
    AccountCustomer.objects.create(account=account, customer=customer, valid_from=at, email_domain=seen_at)
    billing_customers.record_account(customer_id=customer.pk, account_id=account.pk)
    account = decide(account=account, at=at)
    account = assign(account=account, at=at, trigger="customer").account
    suggestions.look(accounts=[account], at=at)
    return account


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
    _see_address(account, customer, at)
    return redecide(account=account, at=at, trigger="customer")


def _see_address(account: Account, customer: Customer, at: datetime) -> None:
    """The customer's people may be of another company's domain now."""
    seen_at = business_domain(customer.email) or ""
    link = AccountCustomer.objects.filter(customer=customer, valid_to=None).exclude(email_domain=seen_at)
    if link.update(email_domain=seen_at):
        suggestions.look(accounts=[account], at=at)


@transaction.atomic
def redecide(*, account: Account, at: datetime, trigger: str = "review") -> Account:
    """Motion anew, and the owner where there is none who can stay, unless people are to decide."""
    _lock_for_assigning(account, at)
    account = decide(account=account, at=at)
    if account.owner is not None and owners.may_own(account.owner):
        return account
    if account.owner is None and owners.awaiting_people([account.pk]):
        return account
    return assign(account=account, at=at, trigger=trigger).account


def review_all(*, at: datetime) -> int:
    """Decide all accounts that stand on no clock anew, batch by batch, and give owners to those without one who can
    stay; how many they were. Raises what went wrong when all are done.
    """
    done, last, failures = 0, None, []
    standing = Account.objects.filter(test_clock=None).order_by("pk")
    while True:
        rest = standing.filter(pk__gt=last) if last else standing
        if not (keys := list(rest.values_list("pk", flat=True)[:REVIEW_BATCH])):
            break
        done, last = done + len(keys), keys[-1]
        failures += _review_all_of(keys, at)
    if failures:
        raise ExceptionGroup(f"{len(failures)} accounts could not be reviewed", failures)
    return done


def _review_all_of(keys: Collection[UUID], at: datetime) -> list[Exception]:
    """Whatever is wrong with one account, the others are reviewed: together, or each by itself where that fails."""
    try:
        _review_batch(keys, at)
    except Exception as error:
        if len(keys) > 1:
            return [failure for key in keys for failure in _review_all_of([key], at)]
        log.exception("account_not_reviewed", account=str(keys))
        return [error]
    return []


@transaction.atomic
def _review_batch(keys: Collection[UUID], at: datetime) -> None:
    owners.lock_pools(at=at)
    outcomes = decide_many(account_ids=keys, at=at)
    staying = owners.staying({one.account.owner_id for one in outcomes if one.account.owner_id})
    homeless = [one.account.pk for one in outcomes if one.account.owner_id not in staying]
    waiting = owners.awaiting_people(homeless)
    due = [key for key in homeless if key not in waiting]
    owners.assign_many(account_ids=due, at=at, trigger="review")


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
def create(*, name: str, at: datetime, domain: str = "", test_clock_id: UUID | None = None, **facts: Any) -> Account:
    """A company that somebody names, with its owner by the rules. Takes what ``change`` takes.

    Raises Invalid as ``change`` does, Conflict (``domain``) where an account has the domain.
    """
    facts = _clean({"name": name.strip(), **facts})
    custom = checked(entity="account", values=facts.pop("custom", {}), held={}, whole=True)
    company = account_domains.company_domain(domain) if domain else None
    owners.lock_pools(at=at)
    if company:
        db.advisory_lock("crm.account", test_clock_id, company)
        account_domains.refuse_taken(company, test_clock_id)
    said = {**facts, "custom": custom}
    account = _make(said.pop("name"), False, test_clock_id, said, at=at, source=history.by_whom())
    if company:
        account_domains.attach(account, company, at=at, verified=False, source=account.first_source)
        suggestions.look(accounts=[account], at=at)
    return redecide(account=account, at=at, trigger="created")


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
            account_domains.attach(account, company, at=at, verified=bool(domain), source=source)
        return account
    account = _standing(account)
    _fill(account, facts or {}, at=at, source=source)
    return account


def _standing(account: Account) -> Account:
    """The account under its lock; if it was merged before we had it, the one that it was merged into."""
    try:
        return db.lock_one(account)
    except Conflict:
        return db.lock_one(Account.objects.get(merged=account))


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
        first_touch_at=at,
        **facts,
    )
    history.started(account, account_id=account.pk, facts={"name": account.name, **facts}, at=at, source=source)
    data = {"source": source, "personal": personal, **told(facts)}
    outbox.publish("crm.account.created", account, at=at, account_id=account.pk, data=data)
    return account


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
    write_down(account, changes, at=at, source=source)


def _may_fill(account: Account, name: str, source: str) -> bool:
    if getattr(account, name) in (None, ""):
        return True
    if source != "traits":
        return False
    stated = Event.objects.filter(object_id=account.pk, type__startswith="crm.account.", data__has_key=name)
    latest = stated.order_by("-position").values_list("data__source", flat=True).first()
    return latest in {"traits", "customer"}


@transaction.atomic
def change(*, account: Account, at: datetime, version: int | None = None, **facts: Any) -> Account:
    """Set facts by a person's or an integrator's decision; motion and, where nobody owns it, owner are decided anew.

    Takes what is ``CHANGEABLE``. Raises Invalid, Conflict (``stale_version``) where ``version`` is no more the latest,
    and TypeError for other names.
    """
    if unknown := facts.keys() - CHANGEABLE:
        raise TypeError(f"an account has no changeable {', '.join(sorted(unknown))}")
    facts = _clean(facts)
    _lock_for_assigning(account, at)
    account = db.lock_seen(account, version)
    if "custom" in facts:
        facts["custom"] = checked(entity="account", values=facts["custom"], held=account.custom, whole=False)
    write_down(account, facts, at=at, source=history.by_whom())
    return redecide(account=account, at=at, trigger="facts")


def _clean(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts as people give them, in their form. Raises Invalid."""
    found = dict(facts)
    if "needs" in found:
        found["needs"] = normalised(found["needs"])
    if "blockers" in found:
        found["blockers"] = blockers.known(found["blockers"])
    if not str(found.get("name", "x")).strip():
        raise Invalid("An account needs a name.", attr="name")
    if found.get("country") and not is_country(found["country"]):
        raise Invalid("Give a country code of ISO 3166.", attr="country")
    _check_values(found)
    return found


def _check_values(found: Mapping[str, Any]) -> None:
    """What a company may come to be worth, or takes itself: amounts of a currency that is given with them."""
    values = [name for name in ("expected_value", "company_revenue") if found.get(name) is not None]
    for name in values:
        if not 0 <= found[name] < 2**63:
            raise Invalid("Give an amount in minor units, not below zero.", attr=name)
    currency = found.get("value_currency", "" if values else None)
    if currency is not None and (values or currency) and not money.is_currency(currency):
        raise Invalid("Give the currency of the amounts, by its ISO 4217 code.", attr="value_currency")


@transaction.atomic
def change_and_give(
    *, account: Account, at: datetime, owner: User | None = None, owner_reason: str = "", **facts: Any
) -> Account:
    """Set facts and, where ``owner`` is given, the owner, in one step. Raises as ``change`` and ``give`` do."""
    if facts:
        account = change(account=account, at=at, **facts)
    return give(account=account, owner=owner, at=at, reason=owner_reason) if owner else account


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
        return account_domains.attach(account, found, at=at, verified=verified, source="domain")
    if row.account_id != account.pk:
        raise Conflict(f"{found} belongs to another account.", code="domain_taken", attr="domain")
    return row
