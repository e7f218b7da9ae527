"""Leads as the desk shows them: the queue by lifecycle, what a lead may double, and which account it may be of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q, QuerySet

from crm.accounts import fold
from crm.models import Account, Lead
from gtm.shared.domains import business_domain
from gtm.shared.models import User

OPEN = (Lead.Lifecycle.LEAD, Lead.Lifecycle.MQL, Lead.Lifecycle.SQL)
SHOWN, MOST_CANDIDATES = 30, 10
RECENT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Column:
    """The leads at one place of their way: how many there are, and those that are shown."""

    lifecycle: str
    count: int
    leads: Sequence[Lead]


def queue(user: User, *, at: datetime) -> list[Column]:
    """New, MQL and SQL, who waits longest first; the SAL of the last 30 days; what is worth another look. Six queries.

    Only leads without a test clock, whose time is the desk's.
    """
    seen = Lead.objects.visible_to(user).filter(test_clock=None)
    again = Q(lifecycle=Lead.Lifecycle.REJECTED, revisit_at__lte=at)
    accepted = Q(lifecycle=Lead.Lifecycle.SAL, accepted_at__gte=at - RECENT)
    wanted = {
        **{name: Q(lifecycle=name) for name in OPEN},
        Lead.Lifecycle.SAL: accepted,
        Lead.Lifecycle.REJECTED: again,
    }
    counts = seen.aggregate(**{str(name): Count("pk", filter=which) for name, which in wanted.items()})
    orders = {Lead.Lifecycle.SAL: ("-accepted_at", "-pk"), Lead.Lifecycle.REJECTED: ("revisit_at", "pk")}
    shown = seen.select_related("owner", "queue", "account", "rejected_reason")
    return [
        Column(name, counts[name], list(shown.filter(which).order_by(*orders.get(name, ("sla_due_at", "pk")))[:SHOWN]))
        for name, which in wanted.items()
    ]


def duplicates(lead: Lead, user: User) -> list[Lead]:
    """Other open leads of the same person or company, among what the user sees."""
    same = Q(email=lead.email) | Q(account=lead.account_id)
    found = Lead.objects.visible_to(user).filter(same, lifecycle__in=OPEN, test_clock=lead.test_clock_id)
    return list(
        found.exclude(pk=lead.pk).select_related("owner", "queue").order_by("-created_at", "-pk")[:MOST_CANDIDATES]
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """An account that the lead may be of, and what says so: ``domain``, ``own``, ``name`` or ``search``."""

    account: Account
    because: str


def candidates(lead: Lead, user: User, *, words: str = "") -> list[Candidate]:
    """The account of the lead's domain first, then the one it has, then those of that name and of the words searched
    for: only what the user may work, so that nobody learns here of accounts that are others'.
    """
    workable = Account.objects.workable_by(user).filter(test_clock=lead.test_clock_id).select_related("owner", "queue")
    domain, name = business_domain(lead.email), fold(lead.company)
    found: dict[object, Candidate] = {}
    for because, accounts in (
        ("domain", _by_domain(workable, domain)),
        ("own", workable.filter(leads=lead)),
        ("name", workable.filter(name_key=name) if name else workable.none()),
        ("search", workable.filter(name_key__startswith=fold(words)) if words.strip() else workable.none()),
    ):
        for account in accounts.order_by("name_key", "pk")[:MOST_CANDIDATES]:
            found.setdefault(account.pk, Candidate(account, because))
    return list(found.values())


def _by_domain(workable: QuerySet[Account], domain: str | None) -> QuerySet[Account]:
    return workable.filter(domains__domain=domain) if domain else workable.none()
