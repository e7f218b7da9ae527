"""Money that doesn't come: by which policy an account's customers are asked for it, and what its owner is told."""

from datetime import datetime
from typing import NamedTuple

from billing import customers
from billing.models import Customer, Invoice
from crm import alerts, policies
from crm.models import Account, Alert, Motion
from gtm.shared import ids
from gtm.shared.models import Event
from gtm.shared.templatetags.tandem import money


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


def write_down_policies(*, at: datetime) -> None:
    """Another segment policy counts: the dunning policies that it names, onto the customers of each segment.

    Those of test clocks follow when their account is looked at next.
    """
    current = policies.current_policy(at=at)
    for segment in current.segments:
        accounts = Account.objects.filter(segment=segment["code"], test_clock=None).values("pk")
        named = policies.dunning_policy_of(current, segment["code"])
        customers.record_care(account_ids=accounts, dunning_policy=named, at=at)


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
