"""What crm does when it hears of customers and subscriptions. Facts come in any order: the current state is read."""

from django.db.models import Q

from billing.models import Customer, Member
from crm import accounts, arrears, buying, collection_policy, contacts, lead_steps, notifications, sla_mail, todos
from crm.models import Account, Call, EmailMessage, Lead, Opportunity
from gtm.shared import db, nudges
from gtm.shared.models import Event

AGREED = ("quote", "admin")


def customer_created(event: Event) -> None:
    """A new customer makes or finds its account."""
    customer = _customer(event)
    if customer is not None:
        at = db.now_for(customer)
        account = accounts.for_customer(customer=customer, at=at)
        arrears.write_down(account=account, at=at)
        collection_policy.write_down(account=account, at=at)


def customer_changed(event: Event) -> None:
    """The customer's traits may change what its account is."""
    _review(event)


def subscription_changed(event: Event) -> None:
    """So may what it pays."""
    _review(event)


def member_added(event: Event) -> None:
    """Whoever signs in for a customer is a person at its account, unless they are known somewhere already."""
    member = Member.objects.filter(pk=event.object_id).select_related("customer", "user").first()
    if member is not None:
        at = db.now_for(member.customer)
        account = accounts.for_customer(customer=member.customer, at=at)
        contacts.meet(account=account, name=member.user.name, email=member.user.email, source="portal", at=at)


def payment_late(event: Event) -> None:
    """The owner hears of it, before anything happens to the customer."""
    customer = _customer(event)
    if customer is not None:
        arrears.tell(event=event, customer=customer, at=db.now_for(customer))


def _review(event: Event) -> None:
    customer = _customer(event)
    if customer is not None:
        at = db.now_for(customer)
        account = accounts.review(customer=customer, at=at)
        arrears.write_down(account=account, at=at)
        collection_policy.write_down(account=account, at=at)


def motion_decided(event: Event) -> None:
    """Whether somebody looks after its customers; who is helped to buy may choose how to pay."""
    account = Account.objects.filter(pk=event.object_id).first()
    if account is not None:
        at = db.now_for(account)
        arrears.write_down(account=account, at=at)
        collection_policy.write_down(account=account, at=at)


def owner_assigned(event: Event) -> None:
    """The work that is open goes along, and the new owner is told, where somebody else gave it to them."""
    account = Account.objects.filter(pk=event.object_id).select_related("owner").first()
    if account is None or account.owner is None:
        return
    at = db.now_for(account)
    todos.follow_owner(account=account, at=at)
    given = event.actor.startswith("user:") and event.actor != f"user:{account.owner.public_id}"
    if given and event.data.get("owner") == account.owner.public_id:
        notifications.owns(account=account, at=at, actor=event.actor)


def policy_published(event: Event) -> None:
    """Its segments may name other dunning policies, which may be many customers' and is left to a task; accounts are
    decided again by the nightly review.
    """
    nudges.on_commit("crm.tasks.write_down_policies")


def answer_due(event: Event) -> None:
    """Who is to answer is reminded, their managers hear of what is late, and who it went to that it is theirs."""
    sla_mail.tell(event=event)


def upgraded_large(event: Event) -> None:
    """The owner hears of it; the customer has bought already. What sales agreed on by itself is no news."""
    customer = _customer(event)
    if customer is not None and event.data.get("origin") not in AGREED:
        buying.upgraded(event=event, customer=customer, at=db.now_for(customer))


def quote_requested(event: Event) -> None:
    """The owner or the team of the queue answers; the customer goes on meanwhile."""
    customer = _customer(event)
    if customer is not None:
        buying.quote_requested(event=event, customer=customer, at=db.now_for(customer))


def lead_contacted(event: Event) -> None:
    """A call or mail about a lead, or to whoever sent it, is its answer."""
    calls, mails = (found.filter(pk=event.object_id) for found in (Call.objects.all(), EmailMessage.objects.all()))
    said = calls.first() if event.object_type == "call" else mails.first()
    if said is None:
        return
    waiting = Lead.objects.filter(lifecycle=Lead.Lifecycle.LEAD, answered_at=None, created_at__lte=event.recorded_at)
    about = Q(pk=said.lead_id) if said.lead_id else Q(contact=said.contact_id, contact__isnull=False)
    for lead in waiting.filter(about).order_by("pk"):
        lead_steps.answer(lead=lead, at=event.occurred_at)


def deal_closed(event: Event) -> None:
    """Lost as not qualified, it takes its lead with it; taken up again, it gives it back."""
    deal = Opportunity.objects.filter(pk=event.object_id, lead__isnull=False).select_related("lead").first()
    if deal is not None and deal.lead is not None:
        lead_steps.review_deal(lead=deal.lead, at=event.occurred_at)


def _customer(event: Event) -> Customer | None:
    """None when the customer has gone with its test clock."""
    return Customer.objects.filter(pk=event.customer_id or event.object_id).first()
