"""How a customer pays: by card or by invoice, and all that is open at once."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing import collection, confirmations, customers, open_payments
from billing.collection import BY_CARD, ON_TERMS
from billing.models import Customer, Member
from billing.portal_forms import OpenInvoicesForm, TermsForm
from billing.queries import portal as queries
from billing.views import portal_parts as parts
from billing.views.portal_parts import buyer_only, page, sent
from gtm.shared import db

DEFAULT_TERMS = 30


@buyer_only
def way(request: HttpRequest, member: Member) -> HttpResponse:
    """By card or by invoice, from the next invoice on."""
    customer = member.customer
    terms = TermsForm(sent(request), initial={"po_number": customer.po_number})
    if request.method == "POST" and terms.is_valid():
        return _switch(request, member, request.POST.get("method", ""), terms.cleaned_data["po_number"])
    context = {
        "by_card": customer.collection_method == BY_CARD,
        "may_invoice": collection.may_switch(customer, ON_TERMS),
        "terms_days": DEFAULT_TERMS if customer.net_terms_days is None else customer.net_terms_days,
        "terms": terms,
        "payment": parts.payment_row(member, queries.payment_method(customer)),
        "card_url": reverse("portal_card", args=[customer.public_id]),
        "open_total": queries.open_total(customer),
        "open_url": reverse("portal_pay_open", args=[customer.public_id]),
        "why_not": why_not(customer),
    }
    return page(request, "billing/portal/way.html", member, context, status=422 if terms.errors else 200)


def why_not(customer: Customer) -> str:
    """Why it is by card alone, in words for the customer."""
    return (
        ""
        if collection.may_switch(customer, ON_TERMS)
        else _("Payment by invoice comes with larger plans. Write to us if you need it, and we look at it with you.")
    )


def _switch(request: HttpRequest, member: Member, method: str, po_number: str) -> HttpResponse:
    customer, at = member.customer, db.now_for(member.customer)
    if method == BY_CARD and queries.payment_method(customer) is None:
        messages.info(request, _("Add a card first. Then your invoices are charged to it."))
        return redirect(f"{reverse('portal_card', args=[customer.public_id])}?then=card")
    if method == ON_TERMS and po_number != customer.po_number:
        customers.change(customer=customer, po_number=po_number, at=at)
    collection.switch(customer=customer, method=method, at=at)
    if method == BY_CARD:
        messages.success(request, _("Your next invoices are charged to your card. Open invoices stay as they are."))
    else:
        messages.success(request, _("You get your next invoices to pay by transfer. Open invoices stay as they are."))
    return redirect("portal_way", customer.public_id)


# --- what is open ------------------------------------------------------------------------------
@buyer_only
def pay_open(request: HttpRequest, member: Member) -> HttpResponse:
    """Pay several open invoices at once with the card that is kept; what became of each is said."""
    customer, method = member.customer, queries.payment_method(member.customer)
    found = collection.open_invoices(customer)
    form = OpenInvoicesForm(sent(request), open_invoices=found)
    outcomes: list[open_payments.Outcome] = []
    if request.method == "POST" and form.is_valid():
        outcomes = open_payments.pay(invoices=form.chosen(), payment_method=method, at=db.now_for(customer))
        if not any(outcome.failure for outcome in outcomes):
            return _paid(request, member, len(outcomes))
        if (asked := next((one.to_confirm for one in outcomes if one.to_confirm is not None), None)) is not None:
            return redirect(confirmations.path(asked.pk, at=db.now()))
        found = collection.open_invoices(customer)
    context = {
        "form": form,
        "rows": [parts.invoice_row(member, invoice) | {"id": invoice.public_id} for invoice in found],
        "chosen": set(form["invoices"].value() or []),
        "total": sum(invoice.amount_due for invoice in found),
        "currency": customer.currency,
        "outcomes": [_outcome_row(member, outcome) for outcome in outcomes],
        "payment": parts.payment_row(member, method),
        "card_url": reverse("portal_card", args=[customer.public_id]),
        "invoices_url": reverse("portal_invoices", args=[customer.public_id]),
    }
    return page(
        request, "billing/portal/pay_open.html", member, context, status=422 if request.method == "POST" else 200
    )


def _paid(request: HttpRequest, member: Member, number: int) -> HttpResponse:
    told = ngettext("%(n)s invoice is paid. Thank you.", "%(n)s invoices are paid. Thank you.", number)
    messages.success(request, told % {"n": number})
    return redirect("portal_invoices", member.customer.public_id)


def _outcome_row(member: Member, outcome: open_payments.Outcome) -> dict[str, Any]:
    address = [member.customer.public_id, outcome.invoice.public_id]
    return {
        "number": outcome.invoice.number,
        "failure": outcome.failure,
        "pay_url": reverse("portal_pay", args=address) if outcome.failure else "",
    }
