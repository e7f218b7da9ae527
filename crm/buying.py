"""What customers do by themselves that their account's owner should know of: large upgrades, requests for quotes.

Nothing here holds anybody up: it is told of when it has happened.
"""

from datetime import datetime

from billing.models import Customer, Plan, QuoteRequest
from crm import accounts, alerts
from crm.models import Alert
from gtm.shared.models import Event
from gtm.shared.templatetags.tandem import money

LARGE_UPGRADE, QUOTE_REQUEST = "large_upgrade", "quote_request"
VERSION = 1
_MESSAGE_SHOWN = 300


def upgraded(*, event: Event, customer: Customer, at: datetime) -> Alert:
    """Tell the owner, or the team of the queue, of a large upgrade; once for each fact."""
    data = event.data
    worth, currency = int(data["delta_arr"]), str(data["currency"])
    names = dict(Plan.objects.filter(code__in=[data["plan"], data["previous_plan"]]).values_list("code", "name"))
    plan, previous = (names.get(data[name], data[name]) for name in ("plan", "previous_plan"))
    moved = f"went from {previous} to {plan}" if plan != previous else f"added to {plan}"
    return alerts.raise_alert(
        account=accounts.for_customer(customer=customer, at=at),
        customer=customer,
        rule_code=LARGE_UPGRADE,
        rule_name="Large upgrade",
        rule_version=VERSION,
        signal_id=event.pk,
        severity="medium",
        evidence=f"{customer.name} {moved} by itself: {money(worth, currency)} more a year.",
        value_at_stake=worth,
        currency=currency,
        play="Thank them, and ask in two weeks how it goes.",
        at=at,
    )


def quote_requested(*, event: Event, customer: Customer, at: datetime) -> Alert | None:
    """Tell the owner, or the team of the queue, that a customer asks for a quote; None where the request has gone."""
    request = QuoteRequest.objects.select_related("plan").filter(pk=event.object_id).first()
    if request is None:
        return None
    number = f" for {request.quantity}" if request.quantity else ""
    words = f" \u201c{request.message[:_MESSAGE_SHOWN]}\u201d" if request.message else ""
    return alerts.raise_alert(
        account=accounts.for_customer(customer=customer, at=at),
        customer=customer,
        rule_code=QUOTE_REQUEST,
        rule_name="Quote requested",
        rule_version=VERSION,
        signal_id=event.pk,
        severity="high",
        evidence=f"{customer.name} asks for a quote of {request.plan.name}{number}.{words}",
        value_at_stake=None,
        currency="",
        play="Answer today: ask what they need, and send a quote.",
        at=at,
    )
