"""Makers of billing's nouns, through the operations that make them in earnest, with the defaults of a small example.

The example: the plan "Pro" at 49.00 USD a month or 490.00 USD a year, with 1,000 API calls in each billing period.
"""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from billing import (
    catalog,
    coupons,
    credit_notes,
    customers,
    disputes,
    drafting,
    invoices,
    members,
    payments,
    subscriptions,
    usage,
)
from billing.catalog import EntitlementTerms
from billing.credit_notes import LineCredit
from billing.gateways import SeenDispute
from billing.models import (
    Charge,
    Coupon,
    CreditNote,
    Customer,
    Dispute,
    Feature,
    Invoice,
    LegalEntity,
    Member,
    Meter,
    Payment,
    PaymentMethod,
    Plan,
    Price,
    Subscription,
    TaxRate,
)
from billing.usage import UsageInput
from gtm.shared import vendors
from gtm.shared.models import TestClock, User
from tests import world
from tests.world import JAN_1


def legal_entity(**fields: Any) -> LegalEntity:
    """The default entity, in Berlin unless told otherwise; the one there is, if there is one already."""
    defaults = {
        "name": "Vendor GmbH",
        "country": "DE",
        "timezone": "Europe/Berlin",
        "address": {"line1": "Hauptstr. 1", "postal_code": "10115", "city": "Berlin", "country": "DE"},
        "tax_ids": ["DE136695976"],
        "is_default": True,
    }
    return LegalEntity.objects.get_or_create(code="main", defaults=defaults | fields)[0]


def clock(*, frozen_time: datetime = JAN_1, **fields: Any) -> TestClock:
    return TestClock.objects.create(frozen_time=frozen_time, **fields)


def meter(*, at: datetime = JAN_1, code: str = "api_calls", **fields: Any) -> Meter:
    """Counts events named ``api.call``."""
    return catalog.create_meter(
        at=at, code=code, **{"name": "API calls", "event_name": "api.call", "unit": "API calls"} | fields
    )


def feature(*, at: datetime = JAN_1, code: str = "api_calls", meter: Meter | None = None, **fields: Any) -> Feature:
    """A limit on ``meter``; a switch without one."""
    defaults = {"name": "API calls", "type": Feature.Type.LIMIT if meter else Feature.Type.BOOLEAN}
    return catalog.create_feature(at=at, code=code, meter=meter, **defaults | fields)


def plan(*, at: datetime = JAN_1, code: str = "pro", **fields: Any) -> Plan:
    """A draft: not published, without prices and entitlements."""
    return catalog.create_plan(at=at, code=code, **{"name": "Pro"} | fields)


def price(*, plan: Plan, at: datetime = JAN_1, code: str = "pro-month", **terms: Any) -> Price:
    """49.00 USD a month, flat and in advance."""
    defaults: dict[str, Any] = {"currency": "USD", "interval": "month", "model": "flat", "unit_amount": 4900}
    return catalog.create_price(plan=plan, at=at, code=code, **defaults | terms)


def published_plan(*, at: datetime = JAN_1, code: str = "pro", limit: int | None = 1000, **fields: Any) -> Plan:
    """The example: a monthly and a yearly price, and ``limit`` API calls in each billing period (None: unlimited)."""
    found = Feature.objects.filter(code="api_calls").first() or feature(
        meter=Meter.objects.filter(code="api_calls").first() or meter(at=at), at=at
    )
    made = plan(at=at, code=code, **fields)
    price(plan=made, at=at, code=f"{code}-month")
    price(plan=made, at=at, code=f"{code}-year", interval="year", unit_amount=49000)
    catalog.set_entitlements(plan=made, entitlements=[EntitlementTerms(feature=found, limit=limit)], at=at)
    return catalog.publish(plan=made, at=at)


def customer(*, at: datetime = JAN_1, name: str = "Acme", **fields: Any) -> Customer:
    """In the United States, paying in USD by card."""
    return customers.create(at=at, name=name, **{"currency": "USD", "country": "US"} | fields)


def card(
    customer: Customer,
    token: str = "pm_card_visa",  # noqa: S107 -- a test card's name
    *,
    at: datetime = JAN_1,
    default: bool = True,
) -> PaymentMethod:
    return customers.attach_payment_method(customer=customer, gateway_token=token, default=default, at=at)


def usage_event(customer: Customer, id: str, **fields: Any) -> UsageInput:  # noqa: A002 -- the field's name
    """One API call."""
    return UsageInput(id=id, customer=customer.public_id, **{"name": "api.call"} | fields)


def calls(customer: Customer, count: int, *, at: datetime) -> None:
    """So many API calls at one instant, through the stream."""
    events = [usage_event(customer, f"{customer.pk}-{at.isoformat()}-{n}", timestamp=at) for n in range(count)]
    assert not usage.record(events=events, at=at).rejected


def member(customer: Customer, email: str, *, role: str = Member.Role.OWNER, at: datetime = JAN_1) -> User:
    """Somebody who signs in for the customer."""
    user = world.user(email=email, name=email.partition("@")[0].title())
    members.add(customer=customer, user=user, role=role, at=at)
    return user


def subscribed(customer: Customer, *, plan: Plan, at: datetime = JAN_1, **terms: Any) -> Subscription:
    """By card, which is attached where there is none."""
    if not customer.payment_methods.filter(is_default=True).exists():
        card(customer, at=at)
    return subscriptions.create(customer=customer, plan=plan, at=at, **terms)


def tax_rate(percentage: str = "20", *, code: str = "vat", country: str = "US", at: datetime = JAN_1) -> TaxRate:
    return catalog.create_tax_rate(
        at=at, code=code, name="VAT", percentage=Decimal(percentage), country=country, valid_from=date(2020, 1, 1)
    )


def invoiced(customer: Customer, *amounts: int, at: datetime = JAN_1, **fields: Any) -> Invoice:
    """A finalized invoice with a line for each amount, for nothing that recurs."""
    Charge.objects.bulk_create(
        Charge(
            customer=customer,
            payer=customer,
            kind="one_off",
            reason="manual",
            currency=customer.currency,
            amount=amount,
            quantity=1,
            description="Work",
            invoice_at=at,
            test_clock_id=customer.test_clock_id,
            **fields,
        )
        for amount in amounts
    )
    with transaction.atomic():
        context = drafting.context(vendor=vendors.current(), at=at)
        (made,) = invoices.bill_pending(payers=[customer], subscriptions=[], context=context)
    return Invoice.objects.get(pk=made.pk)


def paid(invoice: Invoice, amount: int | None = None, *, at: datetime = JAN_1) -> Payment:
    """By transfer; in full unless told otherwise."""
    return payments.record_manual(
        customer=invoice.customer,
        invoices=[invoice],
        method="bank_transfer",
        amount=invoice.amount_due if amount is None else amount,
        paid_at=at,
        at=at,
    )


def dispute(payment: Payment, *, at: datetime = JAN_1) -> Dispute:
    """The payer's bank asks about a payment by card; no money is taken back by that."""
    seen = SeenDispute(
        reference=f"dp_{payment.pk.hex}",
        charge=payment.gateway_reference,
        status="needs_response",
        kind="inquiry",
        amount=payment.amount,
        currency=payment.currency,
        holds=False,
        opened_at=at,
        respond_by=at + timedelta(days=7),
    )
    return disputes.record(gateway=payment.gateway, seen=seen, at=at)


def coupon(code: str = "SUMMER20", *, at: datetime = JAN_1, **terms: Any) -> Coupon:
    """20 % off the first billing period."""
    given = {"amount_off", "percent_off"} & terms.keys()
    return coupons.create(at=at, code=code, **({} if given else {"percent_off": Decimal(20)}) | terms)


def credited(invoice: Invoice, *amounts: int, settle: str = "balance", at: datetime = JAN_1) -> CreditNote:
    """A credit note over so much of each line, in their order; 0 leaves one out."""
    lines = zip(invoice.lines.order_by("position"), amounts, strict=False)
    return credit_notes.issue(
        invoice=invoice,
        lines=[LineCredit(line, amount) for line, amount in lines if amount],
        settle=settle,
        reason="Not delivered",
        origin="admin",
        at=at,
    )
