"""Domains of accounts: added, verified, made the primary one, removed. One belongs to one account per test clock."""

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from crm import history, suggestions, target_list
from crm.account_facts import write_down
from crm.models import Account, AccountDomain
from gtm.shared import db, outbox
from gtm.shared.domains import is_access_provider, is_education, is_free_mail, registrable_domain
from gtm.shared.errors import Conflict, Invalid

CAUTIONS: dict[str, Promise] = {
    "education": _("A domain of schools or universities: many who have nothing to do with each other share it."),
    "access_provider": _("Private people have addresses at this access provider: they are not matched to the account."),
}


def company_domain(text: str) -> str:
    """The registrable domain in ``text``. Raises Invalid for what is no company's: none at all, or free mail's."""
    found = registrable_domain(text)
    if found is None or (is_free_mail(found) and not is_access_provider(found)):
        raise Invalid("Give the domain of a company, such as acme.com.", attr="domain")
    return found


def caution(domain: str) -> str:
    """A code of ``CAUTIONS`` for a domain that tells little about who has an address there, else nothing."""
    if is_access_provider(domain):
        return "access_provider"
    return "education" if is_education(domain) else ""


def caution_text(domain: str) -> str:
    return str(CAUTIONS.get(caution(domain), ""))


@transaction.atomic
def add(*, account: Account, domain: str, at: datetime, verified: bool = False) -> AccountDomain:
    """Add a domain by a person's word; publishes ``crm.account.domain_added``.

    Raises Invalid for no company's domain, Conflict (``domain_taken``) when an account has it.
    """
    found = company_domain(domain)
    db.advisory_lock("crm.account", account.test_clock_id, found)
    account = db.lock_one(account)
    refuse_taken(found, account.test_clock_id)
    row = attach(account, found, at=at, verified=verified, source=history.by_whom())
    suggestions.look(accounts=[account], at=at)
    return row


def refuse_taken(domain: str, test_clock_id: UUID | None) -> None:
    """Raise Conflict when an account has it. The caller holds the domain's lock."""
    if AccountDomain.objects.filter(domain=domain, test_clock=test_clock_id).exists():
        raise Conflict(f"{domain} belongs to an account already.", code="domain_taken", attr="domain")


def attach(account: Account, domain: str, *, at: datetime, verified: bool, source: str) -> AccountDomain:
    """Give the locked account a domain that nobody has: the first one is the primary one, no person is behind it any
    more, and it is on the target list if the domain is.
    """
    row = AccountDomain.objects.create(
        account=account,
        domain=domain,
        is_primary=not account.domains.filter(is_primary=True).exists(),
        verified_at=at if verified else None,
        test_clock_id=account.test_clock_id,
    )
    write_down(account, {"personal": False}, at=at, source=source)
    _tell(row, "crm.account.domain_added", changes=(None, domain), at=at, source=source)
    target_list.mark(account, at=at, domain=domain)
    return row


@transaction.atomic
def verify(*, domain: AccountDomain, at: datetime) -> AccountDomain:
    """Take a person's word that it is the company's; publishes ``crm.account.domain_verified``."""
    db.lock_one(domain.account)
    domain = db.lock_one(domain)
    if domain.verified_at is None:
        domain.verified_at = at
        domain.save(update_fields=["verified_at"])
        _tell(domain, "crm.account.domain_verified", at=at)
    return domain


@transaction.atomic
def make_primary(*, domain: AccountDomain, at: datetime) -> AccountDomain:
    """Let it stand for the account; publishes ``crm.account.primary_domain_changed``."""
    db.lock_one(domain.account)
    domain = db.lock_one(domain)
    if not domain.is_primary:
        AccountDomain.objects.filter(account=domain.account_id, is_primary=True).update(is_primary=False)
        domain.is_primary = True
        domain.save(update_fields=["is_primary"])
        _tell(domain, "crm.account.primary_domain_changed", at=at)
    return domain


@transaction.atomic
def remove(*, domain: AccountDomain, at: datetime) -> None:
    """Take a domain away; another one becomes the primary one. Publishes ``crm.account.domain_removed``."""
    account = db.lock_one(domain.account)
    domain = db.lock_one(domain)
    _tell(domain, "crm.account.domain_removed", changes=(domain.domain, None), at=at, source=history.by_whom())
    domain.delete()
    if domain.is_primary and (heir := account.domains.order_by("-verified_at", "pk").first()):
        heir.is_primary = True
        heir.save(update_fields=["is_primary"])
    target_list.unmark([account.pk], at=at)


def _tell(
    row: AccountDomain,
    fact: str,
    *,
    at: datetime,
    changes: tuple[str | None, str | None] | None = None,
    source: str = "",
) -> None:
    if changes:
        history.record(row.account, account_id=row.account_id, changes={"domains": changes}, at=at, source=source)
    outbox.publish(fact, row.account, at=at, account_id=row.account_id)
