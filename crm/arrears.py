"""Money that doesn't come: by which policy an account's customers are asked for it, and what its owner is told."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from billing import customers
from billing.models import Customer, Invoice
from crm import alerts, policies
from crm.models import Account, Alert, Motion, SegmentPolicy
from gtm.shared import db, ids
from gtm.shared.models import Event
from gtm.shared.templatetags.tandem import money

BATCH = 500  # customers whose locks are held at once


class _Batch(NamedTuple):
    """The last customer that was looked at, and how many of them were written."""

    last: UUID
    written: int


class _Telling(NamedTuple):
    """An alert: its name, how urgent it is, the sentence to say and what to do."""

    name: str
    severity: str
    sentence: str
    play: str


TELLINGS = {
    "opened": _Telling(
        "Payment is late",
        Alert.Severity.MEDIUM,
        "{amount} for {invoices} has not been paid{reason}.",
        "Ask whether they need another way to pay, before reminders do it",
    ),
    "final_action_due": _Telling(
        "Decide about unpaid invoices",
        Alert.Severity.HIGH,
        "{amount} for {invoices} is still unpaid after every reminder{reason}. Nothing is cut off by itself.",
        "Agree on a date with them, or ask finance to end the subscription",
    ),
}


def write_down(*, account: Account, at: datetime) -> None:
    """Let billing know whether somebody looks after the account's customers, its owner or the team of its queue; and
    the dunning policy of its segment.
    """
    policy = policies.dunning_policy_of(policies.current_policy(at=at), account.segment)
    managed = account.motion != Motion.SELF_SERVE
    customers.record_care(account_ids=[account.pk], managed=managed, dunning_policy=policy, at=at)


def write_down_policies(*, at: datetime) -> int:
    """Another segment policy counts: the dunning policies that it names, onto the customers of its segments; return for
    how many that is new.

    Those of test clocks follow when their account is looked at next. Batch by batch, each in a transaction of its own:
    bill runs and buyers wait for no more than one.
    """
    written, last = 0, UUID(int=0)
    while (batch := _write_down_after(last, at=at)) is not None:
        last = batch.last
        written += batch.written
    return written


@transaction.atomic
def _write_down_after(last: UUID, *, at: datetime) -> _Batch | None:
    """The next customers by id. Segments are read under their locks: an account may move to another one meanwhile."""
    db.advisory_lock("crm.dunning_policies")
    policy = policies.current_policy(at=at)
    keys = list(_misfits(policy).filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:BATCH])
    if not keys:
        return None
    found = db.lock(Customer, keys)
    accounts = Account.objects.filter(pk__in={customer.account_id for customer in found})
    segments = dict(accounts.values_list("pk", "segment"))
    named = {
        one.pk: policies.dunning_policy_of(policy, segments[one.account_id])
        for one in found
        if one.account_id in segments
    }
    return _Batch(keys[-1], customers.record_dunning_policies(found, named=named, at=at))


def _misfits(policy: SegmentPolicy) -> QuerySet[Customer]:
    """The customers with another dunning policy than their segment names."""
    wrong = Q()
    for segment in policy.segments:
        accounts = Account.objects.filter(segment=segment["code"], test_clock=None).values("pk")
        named = policies.dunning_policy_of(policy, segment["code"])
        wrong |= Q(account_id__in=accounts) & ~Q(dunning_policy=named)
    return Customer.objects.filter(wrong)


def tell(*, event: Event, customer: Customer, at: datetime) -> None:
    """Put what dunning comes to on the desk of the account's owner; nobody calls a customer who serves itself."""
    account = Account.objects.filter(pk=customer.account_id).first() if customer.account_id else None
    telling = TELLINGS[event.type.rpartition(".")[2]]
    if account is None or account.motion == Motion.SELF_SERVE:
        return
    alerts.raise_alert(
        account=account,
        customer=customer,
        rule_code="dunning",
        rule_name=telling.name,
        rule_version=1,
        signal_id=event.pk,
        severity=telling.severity,
        evidence=_evidence(telling, event),
        value_at_stake=event.data["amount"],
        currency=event.data["currency"],
        play=telling.play,
        at=at,
    )


def _evidence(telling: _Telling, event: Event) -> str:
    keys = [ids.decode(one, prefix=Invoice.PREFIX) for one in event.data["invoices"]]
    numbers = Invoice.objects.filter(pk__in=keys).order_by("number").values_list("number", flat=True)
    code = event.data["failure_code"]
    return telling.sentence.format(
        amount=money(event.data["amount"], event.data["currency"]),
        invoices=", ".join(str(number) for number in numbers) or "an invoice",
        reason=f" ({code.replace('_', ' ')})" if code else "",
    )
