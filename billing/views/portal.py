"""A customer's own pages. Whoever is not a member gets a 404 everywhere."""

import uuid

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from billing import (
    collection,
    confirmations,
    customers,
    dunning_cases,
    gateways,
    payment_methods,
    payments,
    prompts,
    upcoming_invoice,
)
from billing.forms import BillingDetailsForm, CardForm
from billing.gateways import AnswerLost, words
from billing.models import Customer, Invoice, Member, Payment, Prompt
from billing.queries import entitlements_of, portal_steps
from billing.queries import portal as queries
from billing.views import cards, portal_documents
from billing.views import portal_parts as parts
from billing.views.portal_parts import buyer_only, member_only, page, sent
from gtm.shared import db
from gtm.shared.errors import DomainError

PAGE = 25


@require_safe
@member_only
def overview(request: HttpRequest, member: Member) -> HttpResponse:
    customer = member.customer
    at = db.time_of(customer)
    found = queries.subscriptions(customer)
    upcoming = upcoming_invoice.of_payer(customer)
    unpaid = queries.unpaid(customer)
    steps = portal_steps.next_steps(found, unpaid, upcoming)
    address = [customer.public_id]
    context = {
        "held_up": parts.held_up(member),
        "prompts": [parts.prompt_row(member, prompt) for prompt in queries.prompts(customer, at)],
        "next_steps": [parts.step_row(member, step) for step in steps],
        "subscriptions": [parts.subscription_row(member, subscription) for subscription in found],
        "usage": parts.usage_rows(customer, entitlements_of(customer_id=customer.pk, at=at)),
        "invoices": [parts.invoice_row(member, invoice) for invoice in queries.invoices(customer)[:5]],
        "payment": parts.payment_row(member, queries.payment_method(customer)),
        "way": parts.way_row(member),
        "credit": queries.credit(customer),
        "currency": customer.currency,
        "pay_open_url": reverse("portal_pay_open", args=address) if member.may_buy and len(unpaid) > 1 else "",
        "pricing_url": reverse("pricing"),
        "usage_url": reverse("portal_usage", args=address),
        "invoices_url": reverse("portal_invoices", args=address),
    }
    return page(request, "billing/portal/overview.html", member, context)


# --- invoices ----------------------------------------------------------------------------------
@require_safe
@member_only
def invoices(request: HttpRequest, member: Member) -> HttpResponse:
    customer = member.customer
    found = Paginator(queries.invoices(customer), PAGE).get_page(request.GET.get("page"))
    context = {
        "invoices": [parts.invoice_row(member, invoice) for invoice in found],
        "page": found,
        "open_total": queries.open_total(customer),
        "credit": queries.credit(customer),
        "pay_open_url": reverse("portal_pay_open", args=[customer.public_id]) if member.may_buy else "",
        "credit_notes": [parts.credit_note_row(member, note) for note in queries.credit_notes(customer)],
        "currency": customer.currency,
    }
    return page(request, "billing/portal/invoices.html", member, context)


@require_safe
@member_only
def invoice(request: HttpRequest, member: Member, invoice: str) -> HttpResponse:
    found = portal_documents.invoice_of(member, invoice)
    context = {
        **parts.invoice_row(member, found),
        **portal_documents.invoice_parts(member, found),
        "invoice": found,
        "invoices_url": reverse("portal_invoices", args=[member.customer.public_id]),
        "tz": member.customer.timezone,
    }
    return page(request, "billing/portal/invoice.html", member, context)


@buyer_only
def pay(request: HttpRequest, member: Member, invoice: str) -> HttpResponse:
    """Pay an open invoice with a card, which becomes the one for renewals once it has paid."""
    found = portal_documents.invoice_of(member, invoice)
    if found.status != Invoice.Status.OPEN:
        return redirect("portal_invoice", member.customer.public_id, invoice)
    if cards.wants_setup(request):
        return cards.setup(request, member.customer, default=False)
    form, failure = CardForm(sent(request), gateway=gateways.of_customer(member.customer)), ""
    if request.method == "POST" and form.is_valid():
        payment, failure = _try_card(member.customer, found, form.cleaned_data["card"])
        if payment is not None and payment.status == Payment.Status.REQUIRES_ACTION:
            return redirect(confirmations.path(payment.pk, at=db.now()))
        if payment is not None and payment.is_going:
            messages.info(request, _("Your payment is being processed. This page shows it as soon as it is through."))
            return redirect("portal_invoice", member.customer.public_id, invoice)
        if not failure:
            messages.success(request, _("Invoice %(number)s is paid. Thank you.") % {"number": found.number})
            return redirect("portal_overview", member.customer.public_id)
    context = {"invoice": found, "form": form, "failure": failure}
    shown = page(request, "billing/portal/pay.html", member, context, status=422 if failure or form.errors else 200)
    return cards.opened(shown, form.gateway.script)


def _try_card(customer: Customer, invoice: Invoice, given: str) -> tuple[Payment | None, str]:
    """Charge the card, and keep it: the payment, and the failure in words, empty when it is through or under way."""
    at = db.now_for(customer)
    try:
        method = payment_methods.take(customer=customer, given=given, default=False, at=at)
        payment = payments.collect(invoice=invoice, payment_method=method, at=at, on_session=True, make_default=True)
    except AnswerLost:
        return None, words.of("gateway_unreachable")
    except DomainError as error:
        return None, error.detail
    if payment.status == Payment.Status.SUCCEEDED or payment.is_going:
        return payment, ""
    return payment, payment.failure_message or _("The payment did not go through.")


# --- card and details ---------------------------------------------------------------------------
@buyer_only
def card(request: HttpRequest, member: Member) -> HttpResponse:
    """Another card for renewals. What had failed is charged to it at once, and nothing else."""
    customer = member.customer
    if cards.wants_setup(request):
        return cards.setup(request, customer)
    form = CardForm(sent(request), gateway=gateways.of_customer(customer))
    if request.method == "POST" and form.is_valid() and (kept := _kept(customer, form)):
        if request.GET.get("then") == "card" and customer.collection_method != collection.BY_CARD:
            collection.switch(customer=customer, method=collection.BY_CARD, at=db.now_for(customer))
        if kept.to_confirm is not None:
            return redirect(confirmations.path(kept.to_confirm.pk, at=db.now()))
        messages.success(request, _("Saved. Your next invoice is charged to this card."))
        return redirect("portal_overview", customer.public_id)
    context = {"form": form, "failed": dunning_cases.failing_of(customer)}
    shown = page(request, "billing/portal/card.html", member, context, status=422 if form.errors else 200)
    return cards.opened(shown, form.gateway.script)


def _kept(customer: Customer, form: CardForm) -> cards.Replaced | None:
    """What became of the card; None where the form says what is wrong with it."""
    kept = cards.replace(customer, form.cleaned_data["card"], at=db.now_for(customer))
    if kept.failure:
        form.add_error("card", kept.failure)
        return None
    return kept


@buyer_only
def details(request: HttpRequest, member: Member) -> HttpResponse:
    customer = member.customer
    form = BillingDetailsForm(sent(request), initial=BillingDetailsForm.initial_of(customer))
    if request.method == "POST" and form.is_valid():
        try:
            customers.change(customer=customer, at=db.now_for(customer), **form.changes())
        except DomainError as error:
            form.add_error(error.attr if error.attr in form.fields else None, error.detail)
        else:
            messages.success(request, _("Saved. Your next invoice will show it."))
            return redirect("portal_details", customer.public_id)
    context = {"form": form, "tax_note": "" if form.is_bound else _tax_note(customer)}
    return page(request, "billing/portal/details.html", member, context, status=422 if form.errors else 200)


def _tax_note(customer: Customer) -> str:
    """Why a number that is kept takes no tax off: its digits are wrong."""
    if not customer.tax_id or not customers.is_wrong_tax_id(customer):
        return ""
    return _("The check digits of %(id)s are wrong, so tax is charged as without it.") % {"id": customer.tax_id}


@require_POST
@member_only
def dismiss(request: HttpRequest, member: Member, prompt: uuid.UUID) -> HttpResponse:
    found = get_object_or_404(Prompt, pk=prompt, customer=member.customer)
    prompts.dismiss(prompt=found, at=db.now_for(member.customer))
    return redirect("portal_overview", member.customer.public_id)
