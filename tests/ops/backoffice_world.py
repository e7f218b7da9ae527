"""One of everything that the back office has a page for, made by the operations that make it in earnest."""

from datetime import timedelta
from decimal import Decimal

from billing import (
    balances,
    catalog,
    documents,
    dunning_policies,
    dunning_runs,
    members,
    quote_requests,
    subscriptions,
    usage,
    usage_corrections,
)
from billing.models import BillingRun, Customer, GatewayEvent, Invoice, LegalEntity, Payment, Plan
from crm import (
    calendars,
    custom_fields,
    emails,
    held_leads,
    lead_forms,
    lead_terms,
    leaves,
    mail_templates,
    pipelines,
    policies,
    policy_runs,
    pools,
    routing_runs,
    scopes,
    target_list,
    teams,
)
from crm.models import Account
from gtm.shared import exchange_rates, keys, users, vendors
from gtm.shared.models import Event, PendingFact, User
from gtm.shared.webhooks import deliveries, endpoints
from gtm.shared.webhooks.transport import Answer
from signals import trigger_rules
from signals.models import Signal, TriggerRuleVersion
from tests import world
from tests.billing import makers
from tests.crm import makers as crm_makers
from tests.world import JAN_1


def install() -> None:
    """What there is one of."""
    vendors.change(name="Vendor")
    makers.legal_entity()
    crm_makers.sales(world.ann())
    trigger_rules.install_defaults(at=JAN_1)
    pipelines.create(at=JAN_1, code="partners", name="Partners")
    scopes.create(role="csm", reads="team", writes="own", at=JAN_1)


def one_more(number: int) -> None:
    """One more of all that there can be several of."""
    rep = world.user(email=f"rep{number}@vendor.example", name=f"Rep {number}", roles=("ae",))
    _catalogue(number)
    customer = _customer(number)
    _desk(number, customer)
    leaves.create(at=JAN_1, user=rep, starts_at=JAN_1, ends_at=JAN_1 + timedelta(days=7))
    _lead_forms(number)
    custom_fields.create(at=JAN_1, entity="contact", code=f"own{number}", label=f"Own {number}")
    target_list.upload(lines=[f"wanted{number}.com"], at=JAN_1)
    keys.issue(name=f"Key {number}", scope="write", user=rep)
    users.create_staff(at=JAN_1, email=f"new{number}@vendor.example", roles=["csm"])
    exchange_rates.create(at=JAN_1, date=JAN_1.date() + timedelta(days=number), currency="EUR", rate=Decimal("0.92"))
    makers.clock(name=f"Clock {number}")
    BillingRun.objects.create(cutoff=JAN_1)
    _webhooks(number)
    _gateway(number, customer)
    _correction(customer, number)
    quoted = makers.plan(code=f"quoted{number}", name="Enterprise", purchase_mode="quote_only", published=True)
    quote_requests.request(customer=customer, plan=quoted, at=JAN_1)
    PendingFact.objects.get_or_create(event=Event.objects.latest("position"), defaults={"last_error": "It broke."})


def _correction(customer: Customer, number: int) -> None:
    """A voided event."""
    usage.record(events=[makers.usage_event(customer, f"event{number}", timestamp=JAN_1)], at=JAN_1)
    usage_corrections.void(event_id=f"event{number}", reason="Sent twice.", at=JAN_1)


def _webhooks(number: int) -> None:
    """An endpoint, with a delivery that failed once."""
    endpoint, _secret = endpoints.create(at=JAN_1, url=f"https://hooks{number}.example.com/")
    endpoints.ping(endpoint=endpoint, at=JAN_1)
    for attempt in deliveries.claim(at=JAN_1, limit=10):
        deliveries.settle([(attempt, Answer(status=500, error="It answered 500."))], at=JAN_1)


def _gateway(number: int, customer: Customer) -> None:
    """A payment that its bank asks about, and the event that told so."""
    makers.dispute(Payment.objects.filter(customer=customer).earliest("pk"))
    GatewayEvent.objects.create(
        gateway="stripe", event_id=f"evt_{number}", type="invoice.created", status="failed", due_at=None
    )


def _catalogue(number: int) -> None:
    meter = makers.meter(code=f"meter{number}")
    makers.feature(code=f"feature{number}", meter=meter)
    makers.published_plan(code=f"plan{number}", name=f"Plan {number}")
    catalog.create_tax_rate(
        at=JAN_1, code=f"rate{number}", name="VAT", percentage=Decimal(19), country="DE", valid_from=JAN_1.date()
    )
    LegalEntity.objects.create(code=f"entity{number}", name=f"Entity {number}")


def _customer(number: int) -> Customer:
    """With a card, a paid invoice, its document, part of it refunded, credit, and a member."""
    customer = makers.customer(name=f"Customer {number}", email=f"billing@customer{number}.com")
    makers.card(customer)
    coupon, plan = makers.coupon(f"COUPON{number}", percent_off=Decimal(10)), Plan.objects.get(code=f"plan{number}")
    subscriptions.create(customer=customer, plan=plan, coupons=[coupon], at=JAN_1)
    invoice = Invoice.objects.get(customer=customer)
    documents.invoice_pdf(invoice=invoice, at=JAN_1)
    makers.credited(invoice, 100, settle="refund")
    _arrears(customer)
    balances.adjust(customer=customer, amount=100, reason="An outage", at=JAN_1)
    member = world.user(email=f"cora@customer{number}.com")
    members.add(customer=customer, user=member, role="owner", at=JAN_1)
    return customer


def _arrears(customer: Customer) -> None:
    """Another company's bill on terms, which a case of its own looks after."""
    customer = makers.customer(name=f"Debtor of {customer.name}", collection_method="send_invoice")
    dunning_policies.create(code=f"policy-{customer.pk.hex[-12:]}", name="Calm", at=JAN_1)
    makers.invoiced(customer, 1000)
    dunning_runs.run_due(at=JAN_1 + timedelta(days=2))


def _lead_forms(number: int) -> None:
    form = lead_forms.create(at=JAN_1, code=f"form{number}", title=f"Form {number}")
    said = {"name": "Spam", "email": f"spam{number}@acme.com"}
    held_leads.take_in(at=JAN_1, said=said, because=["trap"], form=None if number == 1 else form)
    lead_terms.create_terms(at=JAN_1, segment=f"segment{number}")


def _desk(number: int, customer: Customer) -> None:
    account = crm_makers.account(domain=f"company{number}.com", at=JAN_1)
    version = TriggerRuleVersion.objects.get(rule__code="usage_over_80")
    signal = Signal.objects.create(
        dedup_key=f"signal {number}",
        rule_version=version,
        account=account,
        customer=customer,
        evidence="used 842 of 1,000 API calls (84.2 %)",
        motion="sales_led",
        outcome=Signal.Outcome.ALERT,
        occurred_at=JAN_1,
    )
    crm_makers.opportunity(account=account, at=JAN_1)
    crm_makers.alert(account=Account.objects.get(pk=account.pk), signal_id=signal.pk, customer=customer, at=JAN_1)
    trigger_rules.create(at=JAN_1, code=f"rule{number}", name=f"Rule {number}", threshold=Decimal("0.9"))
    words = {"subject": "Hello", "body": "Dear Cora", "at": JAN_1}
    rep = User.objects.get(email=f"rep{number}@vendor.example")
    emails.send(account=account, contact=account.contacts.get(email=f"cora@company{number}.com"), user=rep, **words)
    _teams(number)
    _runs(number)


def _runs(number: int) -> None:
    """Drafts of policies and rules, and who would move by them."""
    rep = User.objects.get(email="ann@vendor.example")
    draft = policies.draft_policy(
        at=JAN_1, name=f"Draft {number}", segments=policies.INSTALLED_SEGMENTS, employee_bounds=[1, 2]
    )
    policies.draft_ruleset(at=JAN_1, name=f"Draft {number}", rules=[])
    policy_runs.dry_run(policy=draft, at=JAN_1)
    routing_runs.preview(at=JAN_1, of_owner=rep)
    policy_runs.work_off()
    routing_runs.work_off()


def _teams(number: int) -> None:
    rep = User.objects.get(email=f"rep{number}@vendor.example")
    words = {"name": f"Letter {number}", "subject": "Hello", "body": "Dear {{ contact.name }}"}
    mail_templates.create(at=JAN_1, code=f"letter{number}", **words)
    team = teams.create_team(at=JAN_1, code=f"team{number}", name=f"Team {number}", members=[teams.MemberTerms(rep)])
    calendar = calendars.create_calendar(at=JAN_1, code=f"cal{number}", name=f"Calendar {number}", country="DE")
    calendars.create_hours(at=JAN_1, team=team, calendar=calendar)
    teams.create_queue(at=JAN_1, code=f"queue{number}", name=f"Queue {number}", team=team)
    pools.create_pool(at=JAN_1, code=f"pool{number}", name=f"Pool {number}", members=[pools.TurnTerms(rep)])
