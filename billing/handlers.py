"""What billing tells customers when it hears of itself. Facts come in any order: the current state is read."""

from functools import partial
from typing import Any

from billing import (
    attempts,
    confirmations,
    declines,
    dunning_cases,
    hosted,
    notice_words,
    notices,
    payment_methods,
    phases,
)
from billing.gateways import words
from billing.models import (
    Allocation,
    CollectionMethod,
    CreditNote,
    Customer,
    Dispute,
    Invoice,
    Member,
    Payment,
    PaymentMethod,
    Plan,
    PlanVersion,
    Prompt,
    Refund,
    Subscription,
    SubscriptionChange,
)
from billing.papers import parts
from billing.queries import portal
from gtm.shared import db, ids
from gtm.shared.models import Event, User

_BY_PRODUCT = f"requested_by_{SubscriptionChange.Origin.API}"


# --- documents ---------------------------------------------------------------------------------
def invoice_finalized(event: Event) -> None:
    """Whoever is to pay it gets it; a card that is charged brings a receipt instead."""
    invoice = _invoices([event.object_id])
    if invoice and _is_sent(invoice[0]):
        _send("invoice", invoice[0].customer, event, _about(invoice[0]), [invoice[0].pk])


def _is_sent(invoice: Invoice) -> bool:
    if invoice.status in {Invoice.Status.DRAFT, Invoice.Status.VOID} or not invoice.total:
        return False
    return invoice.collection_method == CollectionMethod.SEND_INVOICE or invoice.balance_applied == invoice.total


def invoice_link_requested(event: Event) -> None:
    for invoice in _invoices([event.object_id]):
        _send("invoice_link", invoice.customer, event, _about(invoice))


def payment_succeeded(event: Event) -> None:
    """A receipt, with the invoices that weren't sent when they were issued."""
    payment = _payment(event)
    if payment is None or payment.status != Payment.Status.SUCCEEDED:
        return
    settled = Allocation.objects.filter(payment=payment, kind=Allocation.Kind.PAYMENT)
    invoices = _invoices(settled.values_list("invoice", flat=True))
    by_card = [one.pk for one in invoices if one.collection_method == CollectionMethod.CHARGE_AUTOMATICALLY]
    context = {
        "payment": payment,
        "facts": partial(notice_words.of_payment, payment, invoices),
        "hosted_url": _url(invoices[0]) if len(invoices) == 1 else "",
    }
    _send("receipt", payment.customer, event, context, [payment.pk, *by_card])


def credit_note_issued(event: Event) -> None:
    note = CreditNote.objects.select_related("invoice", "customer").filter(pk=event.object_id).first()
    if note is not None:
        context = _about(note.invoice) | {"note": note, "facts": partial(notice_words.of_credit_note, note)}
        _send("credit_note", note.customer, event, context, [note.pk])


def refund_succeeded(event: Event) -> None:
    related = ("customer", "payment__payment_method")
    refund = Refund.objects.select_related(*related).filter(pk=event.object_id).first()
    if refund is not None:
        payment = refund.payment
        method = partial(parts.method_text, payment.payment_method, payment.method)
        _send("refund", refund.customer, event, {"refund": refund, "method": method, "facts": []})


# --- payments that need somebody ---------------------------------------------------------------
def payment_failed(event: Event) -> None:
    """Unless whoever was paying saw it on the page."""
    _payment_stuck(event, "payment_failed")


def payment_requires_action(event: Event) -> None:
    _payment_stuck(event, "action_required")


def _payment_stuck(event: Event, template: str) -> None:
    payment = _payment(event)
    named = [ids.decode(one, prefix=Invoice.PREFIX) for one in event.data.get("invoices", ())]
    invoices = [one for one in _invoices(named or [event.object_id]) if one.status == Invoice.Status.OPEN]
    if not invoices or _is_on_the_page(event, invoices[0].customer):
        return
    code, amount = event.data.get("failure_code", ""), event.data["amount"]
    context = _stuck(payment, invoices, amount=amount, needs_card=_needs_card(invoices[0], code)) | {
        "reason": partial(words.of, "" if code == attempts.NoPaymentMethod.code else code),
    }
    if payment and template == "action_required":
        context["pay_url"] = _confirm_url(payment)
    _send(template, invoices[0].customer, event, context)


def _needs_card(invoice: Invoice, code: str) -> bool:
    """Whether dunning waits for another card. A first payment, which has no case, is made on the invoice's own page."""
    return invoice.dunning_case_id is not None and (code == attempts.NoPaymentMethod.code or declines.is_hard(code))


def dispute_lost(event: Event) -> None:
    """What is open by it is asked for: by another card, or by the same one where that is tried again."""
    related = ("payment__payment_method", "customer")
    dispute = Dispute.objects.select_related(*related).filter(pk=event.object_id).first()
    if dispute is None:
        return
    failing = dunning_cases.failing_of(dispute.customer).filter(allocations__payment=dispute.payment)
    invoices = _invoices(failing.values_list("pk", flat=True))
    if invoices:
        case, amount = invoices[0].dunning_case, sum(one.amount_due for one in invoices)
        needs_card = case is not None and case.needs_method
        context = _stuck(dispute.payment, invoices, amount=amount, needs_card=needs_card)
        _send("payment_failed", dispute.customer, event, context)


def _stuck(payment: Payment | None, invoices: list[Invoice], *, amount: int, needs_card: bool) -> dict[str, Any]:
    """What a mail says about money that didn't come, with a link to pay by, or to give another card."""
    card_url = hosted.card_url(invoices[0].customer_id, at=db.now())
    return _about(invoices[0]) | {
        "amount": amount,
        "currency": invoices[0].currency,
        "next_attempt": invoices[0].next_payment_attempt,
        "card_url": card_url if needs_card else "",
        "other_card_url": card_url,
        "pay_url": _url(invoices[0]),
        "facts": partial(notice_words.of_failed, payment, invoices),
    }


def _confirm_url(payment: Payment) -> str:
    return hosted.absolute(confirmations.path(payment.pk, at=db.now()))


def _is_on_the_page(event: Event, customer: Customer) -> bool:
    """Whether the customer itself was paying: a visitor at the checkout, or one of its members."""
    kind, _sep, who = event.actor.partition(":")
    if kind != "user":
        return kind in {"visitor", "portal_session"}
    return Member.objects.filter(customer=customer, user=ids.decode(who, prefix=User.PREFIX)).exists()


def bill_reminded(event: Event) -> None:
    """The last reminder says that it is the last one."""
    for invoice in _named_in(event):
        day = event.data["day"]
        overdue = {"overdue": day > 0, "ends_at": None, "pay_url": _url(invoice)}
        template = "final_notice" if day > 0 and event.data["last"] else "invoice_reminder"
        _send(template, invoice.customer, event, _about(invoice) | overdue)


def access_ended(event: Event) -> None:
    for invoice in _named_in(event)[:1]:
        plans = Plan.objects.filter(versions__subscriptions__in=dunning_cases.behind([invoice])).distinct()
        ended = {"plan": ", ".join(plan.name for plan in plans), "access_ended": True, "pay_url": _url(invoice)}
        _send("final_notice", invoice.customer, event, _about(invoice) | ended)


def _named_in(event: Event) -> list[Invoice]:
    """The invoices that the fact names and that are still open."""
    found = _invoices(ids.decode(one, prefix=Invoice.PREFIX) for one in event.data["invoices"])
    return [one for one in found if one.status == Invoice.Status.OPEN]


def card_expiring(event: Event) -> None:
    """Unless it was replaced meanwhile."""
    method = PaymentMethod.objects.select_related("customer").filter(pk=event.object_id, detached_at=None).first()
    if method is not None:
        context = {"payment_method": method, "card_url": hosted.card_url(method.customer_id, at=db.now()), "facts": []}
        _send("card_expiring", method.customer, event, context)


# --- plans -------------------------------------------------------------------------------------
def subscription_activated(event: Event) -> None:
    """The first time that it begins; not when a trial ends well."""
    if event.previous.get("status") == Subscription.Status.INCOMPLETE:
        _tell("welcome", event)


def subscription_created(event: Event) -> None:
    """One that begins with a trial; another is welcome when it is active."""
    if event.data.get("status") == Subscription.Status.TRIALING:
        _tell("welcome", event, lambda one: {"trial_until": one.trial_end})


def trial_started(event: Event) -> None:
    _tell("welcome", event, lambda one: {"trial_until": one.trial_end})


def subscription_changed(event: Event) -> None:
    """Another plan, or what somebody has set; not what the vendor's product counts by itself, such as seats."""
    before = event.previous.get("plan_version")
    if before is None:
        return
    version = PlanVersion.objects.get(pk=ids.decode(before, prefix=PlanVersion.PREFIX))
    is_same = Subscription.objects.filter(pk=event.object_id, plan_version=version).exists()
    if not is_same or event.reason != _BY_PRODUCT:
        _tell("plan_changed", event)


def change_scheduled(event: Event) -> None:
    subscription = _subscription(event)
    phase = phases.waiting(subscription).first() if subscription else None
    if phase is not None:
        context = {"effective_at": phase.starts_at, "facts": partial(notice_words.of_phase, phase)}
        _tell("plan_changed", event, lambda one: context)


def cancellation_scheduled(event: Event) -> None:
    """Its end has a mail of its own."""
    subscription = _subscription(event)
    if subscription and subscription.cancel_at and subscription.status not in Subscription.ENDED:
        _tell("plan_canceled", event, lambda one: {"ended": False, "ends_at": one.cancel_at})


def subscription_canceled(event: Event) -> None:
    _tell("plan_canceled", event, lambda one: {"ended": True})


def subscription_paused(event: Event) -> None:
    _tell("plan_paused", event, lambda one: {"resumes_at": one.resume_at})


def subscription_resumed(event: Event) -> None:
    _tell("plan_resumed", event)


def renewal_upcoming(event: Event) -> None:
    subscription = _subscription(event)
    if subscription is None or subscription.cancel_at is not None or subscription.current_period_end is None:
        return
    phase = phases.waiting(subscription).filter(starts_at=subscription.current_period_end).first()
    context = {
        "renews_at": subscription.current_period_end,
        "facts": partial(notice_words.of_renewal, subscription, phase),
    }
    _tell("renewal_notice", event, lambda one: context, to_payer=True)


def trial_ending(event: Event) -> None:
    subscription = _subscription(event)
    if subscription is None or subscription.cancel_at is not None:
        return
    charged = subscription.plan_version.trial_end == PlanVersion.TrialEnd.CHARGE
    by_card = subscription.collection_method == CollectionMethod.CHARGE_AUTOMATICALLY
    has_card = payment_methods.usable_by(subscription.payer).filter(is_default=True).exists()
    context = {
        "ends_at": subscription.trial_end,
        "trial_end": subscription.plan_version.trial_end,
        "is_charged": charged,
        "needs_card": charged and by_card and not has_card and subscription.payment_method_id is None,
        "facts": partial(notice_words.of_renewal, subscription, None),
    }
    _tell("trial_ending", event, lambda one: context, to_payer=True)


def prompt_shown(event: Event) -> None:
    """What the portal says is mailed, too, to whoever wants that; the end of a trial has a mail of its own."""
    prompt = Prompt.objects.select_related("customer").filter(pk=event.object_id).first()
    if prompt is None or prompt.dismissed_at is not None or prompt.code.startswith("trial"):
        return
    template = "product_hint" if prompt.code.startswith("product") else "usage_hint"
    _send(template, prompt.customer, event, {"text": prompt.text, "url": hosted.absolute(prompt.link)})


# --- parts -------------------------------------------------------------------------------------
def _tell(template: str, event: Event, more: Any = lambda one: {}, *, to_payer: bool = False) -> None:
    """Mail about a subscription, to its customer or its payer."""
    one = _subscription(event)
    if one is None:
        return
    customer = one.payer if to_payer else one.customer
    context = {"plan": one.plan_version.plan.name, "facts": partial(notice_words.of_subscription, one)}
    _send(template, customer, event, context | more(one))


def _send(template: str, customer: Customer, event: Event, context: dict[str, Any], attachments: Any = ()) -> None:
    notices.send(template, customer=customer, event=event, context=context, attachments=attachments)


def _about(invoice: Invoice) -> dict[str, Any]:
    return {
        "invoice": invoice,
        "hosted_url": _url(invoice),
        "facts": partial(notice_words.of_invoice, invoice),
    }


def _url(invoice: Invoice) -> str:
    return hosted.invoice_url(invoice.pk, at=db.now())


def _invoices(keys: Any) -> list[Invoice]:
    found = Invoice.objects.filter(pk__in=list(keys)).select_related("customer", "legal_entity")
    return list(found.order_by("finalized_at", "pk"))


def _payment(event: Event) -> Payment | None:
    related = ("customer", "legal_entity", "payment_method")
    return Payment.objects.select_related(*related).filter(pk=event.object_id).first()


def _subscription(event: Event) -> Subscription | None:
    """None when it has gone with its test clock."""
    found = portal.shown_subscriptions().select_related("customer", "payer", "payment_method")
    return found.filter(pk=event.object_id).first()
