"""The target list: domains of companies that founders want. An account that has one is marked, whoever came first."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Subquery
from django.db.models.functions import Now

from crm import history
from crm.account_facts import write_down
from crm.models import Account, AccountDomain, FieldChange, TargetDomain
from gtm.shared import context, db, outbox
from gtm.shared.domains import is_free_mail, registrable_domain
from gtm.shared.errors import Invalid

SOURCE = "target_list"
AT_A_TIME = 20_000


@dataclass(frozen=True, slots=True)
class Uploaded:
    """How many domains are new, how many stood on the list, which lines name no company, how many accounts it marks."""

    added: int
    known: int
    refused: tuple[str, ...]
    marked: int


@transaction.atomic
def upload(*, lines: Iterable[str], at: datetime) -> Uploaded:
    """Put the domains on the list, one a line (addresses and URLs will do), and mark the accounts that have them.

    Publishes ``crm.target_list.changed``, and ``crm.account.changed`` for each account. Raises Invalid for too many.
    """
    said = list(dict.fromkeys(text for line in lines if (text := line.strip().strip(",;\"'").strip())))
    if len(said) > AT_A_TIME:
        raise Invalid(f"At most {AT_A_TIME} domains at a time.", attr="domains")
    found = {text: registrable_domain(text) for text in said}
    domains = {domain for domain in found.values() if domain and not is_free_mail(domain)}
    refused = tuple(text[:100] for text, domain in found.items() if domain not in domains)
    known = set(TargetDomain.objects.filter(domain__in=domains).values_list("domain", flat=True))
    rows = [TargetDomain(domain=name, added_at=at, added_by=context.actor()) for name in sorted(domains - known)]
    TargetDomain.objects.bulk_create(rows, ignore_conflicts=True)
    if rows:
        outbox.publish("crm.target_list.changed", rows[0], at=at, data={"added": len(rows)})
    having = AccountDomain.objects.filter(domain__in=domains, account__target_list=False)
    marked = _set(having.values_list("account", flat=True), to=True, at=at)
    return Uploaded(len(rows), len(known), refused, marked)


@transaction.atomic
def remove(*, targets: Collection[TargetDomain], at: datetime) -> None:
    """Take domains off the list. Accounts that only the list had marked are no targets any more."""
    domains = [target.domain for target in targets]
    accounts = list(AccountDomain.objects.filter(domain__in=domains).values_list("account", flat=True))
    for target in targets:
        outbox.publish("crm.target_list.changed", target, at=at, data={"removed": 1})
    TargetDomain.objects.filter(pk__in=[target.pk for target in targets]).delete()
    unmark(accounts, at=at)


def mark(account: Account, *, domain: str, at: datetime) -> None:
    """Mark the locked account if the domain that it got is on the list."""
    if not account.target_list and TargetDomain.objects.filter(domain=domain).exists():
        write_down(account, {"target_list": True}, at=at, source=SOURCE)


def unmark(account_ids: Collection[UUID], *, at: datetime) -> None:
    """Those that have no domain of the list any more, unless somebody put them there by hand."""
    still = AccountDomain.objects.filter(account=OuterRef("pk"), domain__in=TargetDomain.objects.values("domain"))
    said = FieldChange.objects.filter(object_id=OuterRef("pk"), field="target_list").order_by("-at", "-id")
    found = Account.objects.filter(~Exists(still), pk__in=account_ids, target_list=True)
    by_list = found.annotate(said_by=Subquery(said.values("source")[:1])).filter(said_by=SOURCE)
    _set(by_list.values_list("pk", flat=True), to=False, at=at)


def _set(account_ids: Iterable[UUID], *, to: bool, at: datetime) -> int:
    """Mark or unmark many, under their locks, by a fixed number of statements."""
    rows = [row for row in db.lock(Account, set(account_ids)) if row.target_list != to]
    Account.objects.filter(pk__in=[row.pk for row in rows]).update(
        target_list=to, version=F("version") + 1, updated_at=Now()
    )
    changes = {"target_list": (not to, to)}
    history.keep(
        change for row in rows for change in history.rows(row, account_id=row.pk, changes=changes, at=at, source=SOURCE)
    )
    data = {"source": SOURCE, "changed": ["target_list"], "target_list": to}
    previous = {"target_list": not to}
    facts = [
        outbox.fact("crm.account.changed", row, at=at, account_id=row.pk, data=data, previous=previous) for row in rows
    ]
    if facts:
        outbox.publish_many(facts)
    return len(rows)
