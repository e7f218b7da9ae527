"""What somebody owns that others will have to take over: counts, rows, and what to ask before. Set-based."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Q, QuerySet, Sum

from billing.models import Customer, Invoice
from crm.models import Account, Alert, Contact, HandOverRow, Lead, Opportunity, Risk, Stage, Stakeholder, Task
from gtm.shared.models import User

Kind = HandOverRow.Kind
SHOWN = 50
DUE = F("total") - F("amount_paid") - F("amount_credited") - F("balance_applied")
LATE_PHASE = Stage.Phase.VENDOR_OF_CHOICE
NOUNS = {
    Kind.ACCOUNT: ("account", "accounts"),
    Kind.OPPORTUNITY: ("open opportunity", "open opportunities"),
    Kind.LEAD: ("open lead", "open leads"),
    Kind.TASK: ("open task", "open tasks"),
    Kind.ALERT: ("open alert", "open alerts"),
}


def of(user: User) -> dict[str, QuerySet[Any]]:
    """What the user owns and has not finished, by kind. Test clocks' rows stay with their clock."""
    return {
        Kind.ACCOUNT: Account.objects.filter(owner=user, test_clock=None),
        Kind.OPPORTUNITY: Opportunity.objects.filter(owner=user, state=Stage.Type.OPEN, test_clock=None),
        Kind.LEAD: Lead.objects.filter(owner=user, test_clock=None).exclude(
            lifecycle__in=[Lead.Lifecycle.SAL, Lead.Lifecycle.REJECTED]
        ),
        Kind.TASK: Task.objects.filter(assignee=user, state=Task.State.OPEN, test_clock=None),
        Kind.ALERT: Alert.objects.filter(owner=user, test_clock=None).exclude(
            state__in=[Alert.State.DONE, Alert.State.DISMISSED]
        ),
    }


def counts(user: User) -> dict[str, int]:
    """How many of each kind; one query each."""
    return {kind: rows.count() for kind, rows in of(user).items()}


def told(user: User) -> str:
    """The counts in words, such as "12 accounts, 1 open task"; empty for somebody who owns nothing."""
    found = ((NOUNS[Kind(kind)], count) for kind, count in counts(user).items() if count)
    return ", ".join(f"{count:,} {one if count == 1 else many}" for (one, many), count in found)


def loads(user_ids: Collection[UUID]) -> dict[UUID, dict[str, int]]:
    """How much each of several people has on their desk, by kind; one query for each kind."""
    found: dict[UUID, dict[str, int]] = {key: dict.fromkeys(Kind.values, 0) for key in user_ids}
    for kind, column in zip(Kind.values, ("owner", "owner", "owner", "assignee", "owner"), strict=True):
        rows = _open_ones()[kind].filter(**{f"{column}__in": user_ids}).values(column).annotate(count=Count("pk"))
        for row in rows.values_list(column, "count"):
            found[row[0]][kind] = row[1]
    return found


def _open_ones() -> dict[str, QuerySet[Any]]:
    return {
        Kind.ACCOUNT: Account.objects.filter(test_clock=None),
        Kind.OPPORTUNITY: Opportunity.objects.filter(state=Stage.Type.OPEN, test_clock=None),
        Kind.LEAD: Lead.objects.filter(lifecycle=Lead.Lifecycle.LEAD, test_clock=None),
        Kind.TASK: Task.objects.filter(state=Task.State.OPEN, test_clock=None),
        Kind.ALERT: Alert.objects.filter(state__in=[Alert.State.OPEN, Alert.State.ACKNOWLEDGED], test_clock=None),
    }


@dataclass(slots=True)
class Checklist:
    """What the next owner of an account has to be told: who is for us, who pays, what is out, what may go wrong."""

    account: Account
    champions: list[str] = field(default_factory=list)
    economic_buyers: list[str] = field(default_factory=list)
    opportunities: int = 0
    proposals: int = 0
    risks: list[str] = field(default_factory=list)
    open_invoices: int = 0
    amounts_due: list[tuple[int, str]] = field(default_factory=list)

    @property
    def gaps(self) -> int:
        """How much a deal lacks that a hand-over should know; without a deal nobody asks."""
        return (not self.champions) + (not self.economic_buyers) if self.opportunities else 0


def checklists(user: User, *, limit: int = SHOWN) -> list[Checklist]:
    """The user's first accounts by open deals and name, each with its checklist; five queries for any number."""
    is_open = Q(opportunities__state=Stage.Type.OPEN)
    late = is_open & Q(opportunities__stage__phase=LATE_PHASE)
    found = of(user)[Kind.ACCOUNT].annotate(
        deals=Count("opportunities", filter=is_open), late_deals=Count("opportunities", filter=late)
    )
    accounts = list(found.order_by("-deals", "name_key", "pk")[:limit])
    lists = {one.pk: Checklist(one, opportunities=one.deals, proposals=one.late_deals) for one in accounts}
    _people(lists)
    _risks(lists)
    _invoices(lists)
    return list(lists.values())


def _people(lists: Mapping[UUID, Checklist]) -> None:
    roles = [Stakeholder.Role.CHAMPION, Stakeholder.Role.ECONOMIC_BUYER]
    stakes = Stakeholder.objects.filter(opportunity__account__in=lists, opportunity__state="open", role__in=roles)
    known = stakes.values_list("opportunity__account", "role", "contact__name")
    at_accounts = Contact.objects.filter(account__in=lists, buying_role__in=roles)
    for key, role, name in sorted({*known, *at_accounts.values_list("account", "buying_role", "name")}, key=str):
        wanted = lists[key].champions if role == Stakeholder.Role.CHAMPION else lists[key].economic_buyers
        wanted.append(name)


def _risks(lists: Mapping[UUID, Checklist]) -> None:
    open_ones = Risk.objects.filter(opportunity__account__in=lists, opportunity__state="open", resolved_at=None)
    for key, text in open_ones.order_by("raised_at").values_list("opportunity__account", "text"):
        lists[key].risks.append(text)


def _invoices(lists: Mapping[UUID, Checklist]) -> None:
    of_accounts = Customer.objects.filter(account_id__in=lists).values_list("pk", "account_id")
    owners = {key: account for key, account in of_accounts if account is not None}
    due = Invoice.objects.filter(customer__in=owners, status=Invoice.Status.OPEN).values("customer", "currency")
    for row in due.annotate(count=Count("pk"), amount=Sum(DUE)).order_by("currency"):
        one = lists[owners[row["customer"]]]
        one.open_invoices += row["count"]
        one.amounts_due.append((row["amount"], row["currency"]))


def rows(user: User, *, limit: int = SHOWN) -> dict[str, list[Any]]:
    """The first of each kind but the accounts, with the account that each hangs on."""
    return {
        kind: list(found.select_related("account").order_by("pk")[:limit])
        for kind, found in of(user).items()
        if kind != Kind.ACCOUNT
    }
