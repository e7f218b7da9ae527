"""The figures that stand in mail to customers, as (label, value), in the active language."""

from collections.abc import Sequence

from django.utils.translation import gettext as _

from billing import wording
from billing.models import CollectionMethod, CreditNote, Invoice, Payment, Phase, Subscription
from billing.papers import invoice as invoice_words
from billing.papers import parts
from billing.queries import portal
from gtm.shared.templatetags.tandem import day_text, money, period

Facts = list[tuple[str, str]]


def of_invoice(invoice: Invoice) -> Facts:
    """What is to be paid, until when and how."""
    found = [(_("Total"), money(invoice.total, invoice.currency))]
    if invoice.amount_due != invoice.total:
        found.append((_("Amount due"), money(invoice.amount_due, invoice.currency)))
    if invoice.amount_due and invoice.due_date:
        found.append((_("Due"), day_text(invoice.due_date)))
    if invoice.po_number:
        found.append((_("PO number"), invoice.po_number))
    return found + (_transfer(invoice) if invoice_words.is_by_transfer(invoice) else [])


def _transfer(invoice: Invoice) -> Facts:
    """Where to send the money; how much and until when is said already."""
    said = {_("Amount"), _("Payment terms")}
    known = [(label, value) for label, value in invoice_words.transfer_facts(invoice) if label not in said]
    details = str(invoice.seller.get("bank_details", "")).strip()
    return [*([(_("Bank details"), details)] if details else []), *known]


def of_payment(payment: Payment, invoices: Sequence[Invoice]) -> Facts:
    """When, by what and for which invoices."""
    return [
        (_("Paid"), day_text(payment.paid_at, payment.legal_entity.timezone)),
        (_("Payment method"), parts.method_text(payment.payment_method, payment.method, payment.reference)),
        *([(_("Invoice"), ", ".join(str(invoice.number) for invoice in invoices))] if invoices else []),
    ]


def of_failed(payment: Payment | None, invoices: Sequence[Invoice]) -> Facts:
    found = [(_("Invoice"), ", ".join(str(invoice.number) for invoice in invoices))]
    if payment is not None and payment.payment_method is not None:
        found.append((_("Payment method"), str(payment.payment_method)))
    return found


def of_credit_note(note: CreditNote) -> Facts:
    """Where the money goes."""
    shares = (
        (_("Taken off the invoice"), note.offset_amount),
        (_("Added to your balance"), note.balance_amount),
        (_("Sent back to you"), note.refund_amount),
    )
    return [(label, money(amount, note.currency)) for label, amount in shares if amount]


def of_subscription(subscription: Subscription) -> Facts:
    """Plan, prices, what comes off and the period; of one that ``portal.shown_subscriptions`` has read."""
    found = _consists_of(subscription)
    if subscription.current_period_start and subscription.current_period_end:
        zone = subscription.customer.timezone
        days = period(subscription.current_period_start, subscription.current_period_end, tz=zone)
        found.append((_("Current period"), days))
    return found


def _consists_of(subscription: Subscription) -> Facts:
    found = [(_("Plan"), subscription.plan_version.plan.name)]
    if summary := portal.summary(subscription):
        found.append((_("Billing"), summary))
    prices = [text for text in portal.price_texts(subscription) if text]
    found += [(_("Price, before tax"), "\n".join(prices))] if prices else []
    return found + [(_("Discount"), text) for text in portal.discount_texts(subscription)]


def of_phase(phase: Phase) -> Facts:
    """What a subscription will consist of."""
    prices = [wording.price_text(item.price) for item in phase.items.all()]
    return [
        (_("Plan"), phase.plan_version.plan.name),
        (_("Price, before tax"), "\n".join(text for text in prices if text)),
    ]


def of_renewal(subscription: Subscription, phase: Phase | None) -> Facts:
    """What the next period costs: the items as they are, or as a scheduled change will have them."""
    found = of_phase(phase) if phase else _consists_of(subscription)
    return [*found, (_("Payment method"), _paid_by(subscription))]


def _paid_by(subscription: Subscription) -> str:
    if subscription.collection_method == CollectionMethod.SEND_INVOICE:
        return _("By invoice")
    method = subscription.payment_method or portal.payment_method(subscription.payer)
    return str(method) if method else _("None yet")
