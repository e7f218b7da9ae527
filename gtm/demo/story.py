"""How the demonstration comes about: a diary is worked through day by day, with the real operations.

Stories of buyers: "cancels" ends with its second month, "card declines" loses its card after a month and is past due,
"trial" tries Pro for 14 days, "pays late" leaves its invoice open beyond its terms.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from decimal import Decimal
from functools import cache, partial
from typing import Any

from django.contrib.auth.hashers import make_password

from billing import cancellation, catalog, coupons, customers, members, payments, runs, subscriptions, usage
from billing.catalog import EntitlementTerms
from billing.models import (
    CollectionMethod,
    Coupon,
    Customer,
    Feature,
    Invoice,
    LegalEntity,
    Member,
    Meter,
    Plan,
    Price,
    Subscription,
)
from billing.selection import ItemTerms
from crm import accounts, alerts, leads, policies
from crm.models import Alert, Lead, Pool, PoolMember, Team, TeamMembership
from gtm.demo import companies, deals, lead_forms, views, work, zones
from gtm.demo.company import (
    BUYERS,
    DOMAIN,
    EVENT,
    FEATURE,
    FEATURES,
    METER,
    OFFERS,
    PASSWORD,
    PORTAL_CUSTOMER,
    PORTAL_EMAIL,
    QUALIFIED,
    REQUESTS,
    STAFF,
    TAX_RATES,
    Buyer,
    Offer,
    Request,
)
from gtm.shared import users, vendors
from gtm.shared.models import Mail, Role, User
from signals import detection

BEGAN = timedelta(days=115)
UNLIMITED_CALLS = 60_000  # a month, of a customer without a limit
PAYS_AFTER = timedelta(days=18)
DONE_AFTER = timedelta(days=14)
NOON = time(12)


@dataclass(frozen=True, slots=True)
class Summary:
    """What was made, counted."""

    customers: int
    invoices: int
    leads: int
    open_alerts: int


@dataclass(slots=True)
class _World:
    """What the story has made so far."""

    now: datetime
    buyers: dict[str, Buyer] = field(default_factory=dict)
    customers: dict[str, Customer] = field(default_factory=dict)
    sent: dict[tuple[str, str], int] = field(default_factory=dict)


Entry = tuple[datetime, Callable[[_World, datetime], None]]


def tell(*, now: datetime) -> Summary:
    """Let nearly four months pass until ``now``."""
    began = now - BEGAN
    world = _World(now=now)
    _open_shop(began)
    diary = sorted(_diary(now), key=lambda entry: entry[0])
    for at in _days(began, now):
        while diary and diary[0][0] <= at:
            moment, happen = diary.pop(0)
            happen(world, moment)
        _bill(at)
        if _is_told(at, now):
            _settle_transfers(at)
            _use(world, at)
    deals.make(now=now)
    views.make()
    companies.know(now=now)
    _work_off(now)
    work.done(now=now)
    zones.tell(now=now)
    Mail.objects.filter(status=Mail.Status.QUEUED).update(status=Mail.Status.KEPT)  # nobody is to hear of all this
    return _summary()


def _days(began: datetime, now: datetime) -> Iterator[datetime]:
    """Each day's noon, and now at last."""
    day = datetime.combine(began.date(), NOON, tzinfo=began.tzinfo)
    while day < now:
        yield day
        day += timedelta(days=1)
    yield now


def _bill(at: datetime) -> None:
    """As beat does every minute; here only on days with something to bill, for the sake of speed."""
    drafts = Invoice.objects.filter(status=Invoice.Status.DRAFT, finalize_at__lte=at)
    if Subscription.objects.filter(next_bill_at__lte=at).exists() or drafts.exists():
        runs.bill_due(at=at)


def _is_told(at: datetime, now: datetime) -> bool:
    """Usage and transfers are told of every third day, and of each of the last days."""
    return at.toordinal() % 3 == 0 or now - at < timedelta(days=4)


def _diary(now: datetime) -> Iterator[Entry]:
    for buyer in BUYERS:
        joined = _joined(buyer, now)
        yield joined, partial(_join, buyer)
        if buyer.story == "cancels":
            yield joined + timedelta(days=45), partial(_cancel, buyer)
        if buyer.story == "card declines":
            yield joined + timedelta(days=40), partial(_lose_card, buyer)
    for request in REQUESTS:
        yield now - timedelta(days=request.days_ago), partial(_write_in, request)
    yield from lead_forms.diary(now, now - BEGAN)


def _joined(buyer: Buyer, now: datetime) -> datetime:
    return now - timedelta(days=buyer.joined, hours=3)


# --- the vendor --------------------------------------------------------------------------------
def _open_shop(at: datetime) -> None:
    vendors.change(name="Brightwater", support_email=f"help@{DOMAIN}", base_currency="USD")
    LegalEntity.objects.update_or_create(
        code="main",
        defaults={
            "name": "Brightwater Software Ltd",
            "country": "IE",
            "timezone": "Europe/Dublin",
            "address": {"line1": "14 Mill Lane", "city": "Dublin", "postal_code": "D02 XY45", "country": "IE"},
            "tax_ids": ["IE6388047V"],
            "email": f"billing@{DOMAIN}",
            "bank_details": "Bank of the Liffey",
            "iban": "IE29AIBK93115212345678",
            "bic": "AIBKIE2D",
            "registration_number": "CRO 512345",
            "is_default": True,
        },
    )
    for code, name, percentage, country in TAX_RATES:
        catalog.create_tax_rate(
            at=at, code=code, name=name, percentage=Decimal(percentage), country=country, valid_from=at.date()
        )
    _hire(at)
    _fill_catalogue(at)


def _hire(at: datetime) -> None:
    policies.install_defaults(at=at)
    team, pool = Team.objects.get(code=policies.SALES_TEAM), Pool.objects.get(code=policies.SALES_POOL)
    for position, person in enumerate(STAFF):
        user = _user(person.email, name=person.name, roles=list(person.roles), is_staff=True)
        if user.sells:
            TeamMembership.objects.create(team=team, user=user, is_manager=Role.SALES_MANAGER in person.roles)
        if Role.AE in person.roles:
            PoolMember.objects.create(pool=pool, user=user, position=position)


def _user(email: str, **fields: Any) -> User:
    return User.objects.create(email=email, password=_hashed(), **fields)


@cache
def _hashed() -> str:
    """Hashing takes a while, on purpose: once is enough for a password that everybody knows."""
    return make_password(PASSWORD)


def _fill_catalogue(at: datetime) -> None:
    meter = catalog.create_meter(
        at=at, code=METER, name="API calls", event_name=EVENT, aggregation=Meter.Aggregation.SUM, unit="API calls"
    )
    calls = catalog.create_feature(at=at, code=FEATURE, name="API calls", type=Feature.Type.LIMIT, meter=meter)
    switches = {
        code: catalog.create_feature(at=at, code=code, name=name, type=Feature.Type.BOOLEAN) for code, name in FEATURES
    }
    for position, offer in enumerate(OFFERS):
        _offer(offer, position, meter, calls, switches, at)
    _name_what_stays_customers(at)


def _name_what_stays_customers(at: datetime) -> None:
    """What those who cancel are offered: three months at half price, and from Pro the smaller plan."""
    starter, pro = (Plan.objects.get(code=code) for code in ("starter", "pro"))
    stay = coupons.create(
        at=at, code="STAY50", percent_off=Decimal(50), duration=Coupon.Duration.REPEATING, duration_in_periods=3
    )
    catalog.change_plan(plan=starter, at=at, cancel_offer=Plan.CancelOffer.COUPON, cancel_coupon=stay)
    catalog.change_plan(plan=pro, at=at, cancel_offer=Plan.CancelOffer.DOWNGRADE, cancel_plan=starter)


def _offer(
    offer: Offer, position: int, meter: Meter, calls: Feature, switches: dict[str, Feature], at: datetime
) -> None:
    limit = EntitlementTerms(feature=calls, limit=offer.calls, reset="month")
    granted = [EntitlementTerms(feature=switches[code]) for code in offer.features]
    plan = catalog.create_plan(
        at=at,
        code=offer.code,
        name=offer.name,
        description=offer.description,
        purchase_mode=offer.mode,
        talk_to_us=offer.talk_to_us,
        position=position,
        trial_days=offer.trial_days,
        entitlements=[limit, *granted],
    )
    for interval, amount in (("month", offer.monthly), ("year", offer.yearly)):
        if amount is not None:
            _price(plan, offer, interval, amount, at)
    if offer.overage is not None:
        catalog.create_price(
            plan=plan,
            at=at,
            code=f"{offer.code}-calls",
            name=f"{offer.name}, API calls beyond the limit",
            currency="USD",
            model="per_unit",
            unit_amount=offer.overage,
            included_units=offer.included,
            meter=meter,
        )
    catalog.publish(plan=plan, at=at)


def _price(plan: Plan, offer: Offer, interval: str, amount: int, at: datetime) -> Price:
    return catalog.create_price(
        plan=plan,
        at=at,
        code=f"{offer.code}-{interval}",
        name=f"{offer.name}, by the {interval}",
        currency="USD",
        interval=interval,
        model="per_unit" if offer.seats else "flat",
        unit_amount=amount,
        published=offer.for_sale,
    )


# --- its customers -----------------------------------------------------------------------------
def _join(buyer: Buyer, world: _World, at: datetime) -> None:
    customer = customers.create(
        at=at,
        name=buyer.name,
        email=buyer.email,
        country=buyer.country,
        currency="USD",
        billing_address={"line1": "1 Main Street", "city": buyer.name.split()[0], "country": buyer.country},
        traits={"domain": f"{buyer.domain}.example", "employee_count": buyer.employees},
    )
    accounts.for_customer(customer=customer, at=at)
    world.customers[buyer.name], world.buyers[buyer.name] = customer, buyer
    if not buyer.by_invoice:
        customers.attach_payment_method(customer=customer, gateway_token="pm_card_visa", at=at)  # noqa: S106 -- a test card
    if buyer.name == PORTAL_CUSTOMER:
        user = _user(PORTAL_EMAIL, name="Mira Castellanos")
        users.confirm(user=user)
        members.add(customer=customer, user=user, role=Member.Role.OWNER, at=at)
    _subscribe(buyer, customer, at)


def _subscribe(buyer: Buyer, customer: Customer, at: datetime) -> None:
    plan = Plan.objects.get(code=buyer.plan)
    prices = plan.current_version.prices.filter(interval=buyer.interval, meter=None)
    metered = plan.current_version.prices.filter(meter__isnull=False)
    by_invoice: dict[str, Any] = {"collection_method": CollectionMethod.SEND_INVOICE, "net_terms_days": 30}
    subscriptions.create(
        customer=customer,
        plan=plan,
        items=[*(ItemTerms(price, buyer.seats) for price in prices), *(ItemTerms(price) for price in metered)],
        trial_days=14 if buyer.story == "trial" else 0,
        at=at,
        **(by_invoice if buyer.by_invoice else {}),
    )


def _cancel(buyer: Buyer, world: _World, at: datetime) -> None:
    subscription = Subscription.objects.get(customer=world.customers[buyer.name])
    cancellation.cancel(subscription=subscription, reason="We closed the online shop.", at=at)
    del world.customers[buyer.name]  # and uses nothing any more


def _lose_card(buyer: Buyer, world: _World, at: datetime) -> None:
    customer = world.customers[buyer.name]
    token = "pm_card_chargeDeclinedInsufficientFunds"  # noqa: S105 -- a test card's name
    customers.attach_payment_method(customer=customer, gateway_token=token, at=at)


def _settle_transfers(at: datetime) -> None:
    """Who pays by invoice transfers the money some weeks later, but for the one who pays late."""
    late = [buyer.email for buyer in BUYERS if buyer.story == "pays late"]
    due = Invoice.objects.filter(
        status=Invoice.Status.OPEN,
        collection_method=CollectionMethod.SEND_INVOICE,
        finalized_at__lte=at - PAYS_AFTER,
    )
    for invoice in due.exclude(customer__email__in=late).select_related("customer"):
        payments.record_manual(
            customer=invoice.customer,
            invoices=[invoice],
            method="bank_transfer",
            amount=invoice.amount_due,
            reference=f"Payment of {invoice.number}",
            paid_at=at,
            at=at,
        )


# --- what they use -----------------------------------------------------------------------------
def _use(world: _World, at: datetime) -> None:
    """Every customer reports its API calls since the last time; what is noticed of it is told at once."""
    events = [event for name in world.customers if (event := _calls_of(world, name, at))]
    if events:
        usage.record(events=events, at=at)
        detection.evaluate(customer_ids=[customer.pk for customer in world.customers.values()], at=at)


def _calls_of(world: _World, name: str, at: datetime) -> usage.UsageInput | None:
    """As many calls as bring the month so far to where it should be."""
    month = f"{at:%Y-%m}"
    calls = math.floor(_target(world, world.buyers[name], at)) - world.sent.get((name, month), 0)
    if calls <= 0:
        return None
    world.sent[name, month] = world.sent.get((name, month), 0) + calls
    return usage.UsageInput(
        id=f"demo-{world.buyers[name].domain}-{at:%Y%m%d%H%M%S}",
        name=EVENT,
        customer=world.customers[name].public_id,
        timestamp=at,
        quantity=Decimal(calls),
    )


def _target(world: _World, buyer: Buyer, at: datetime) -> float:
    """Calls in this month until ``at``: the buyer's share of the limit by now, and somewhat less in earlier months."""
    limit = _limit_of(buyer)
    first = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    start = max(first, _joined(buyer, world.now))
    if (at.year, at.month) == (world.now.year, world.now.month):
        return limit * buyer.share * ((at - start) / (world.now - start))
    end = (first + timedelta(days=32)).replace(day=1)
    dampened = random.Random(f"{buyer.domain}{at:%Y%m}").uniform(0.6, 0.97)  # noqa: S311 -- the same in every demonstration
    return limit * buyer.share * dampened * ((at - start) / (end - start))


def _limit_of(buyer: Buyer) -> int:
    """The buyer's calls a month: those of the plan for each seat that it has."""
    calls = next(offer.calls for offer in OFFERS if offer.code == buyer.plan)
    return UNLIMITED_CALLS if calls is None else calls * buyer.seats


# --- sales -------------------------------------------------------------------------------------
def _write_in(request: Request, world: _World, at: datetime) -> None:
    lead = leads.submit(
        at=at,
        kind=Lead.Kind.CONTACT_SALES,
        name=request.name,
        email=f"{request.name.split()[0].lower()}@{request.domain}.example",
        company=request.company,
        employee_count=request.employees,
        country=request.country,
        needs=request.needs,
        message=request.message,
        source="contact form",
    )
    for number, step in enumerate(request.steps, start=1):
        then = at + timedelta(hours=5 * number)
        lead = leads.transition(lead=lead, to=step, at=then, reason=request.reason, qualification=QUALIFIED)


def _work_off(now: datetime) -> None:
    """Alerts of past weeks were dealt with; one of today's was put off."""
    for alert in Alert.objects.filter(state=Alert.State.OPEN, raised_at__lt=now - DONE_AFTER):
        after = alert.raised_at + timedelta(days=2)
        alerts.transition(alert=alert, to=Alert.State.DONE, at=after, feedback="useful", reason="Talked to them.")
    if newest := Alert.objects.filter(state=Alert.State.OPEN).order_by("raised_at").first():
        alerts.transition(alert=newest, to=Alert.State.SNOOZED, at=now, until=now + timedelta(days=3))


def _summary() -> Summary:
    return Summary(
        customers=Customer.objects.count(),
        invoices=Invoice.objects.exclude(status=Invoice.Status.DRAFT).count(),
        leads=Lead.objects.count(),
        open_alerts=Alert.objects.filter(state=Alert.State.OPEN).count(),
    )
