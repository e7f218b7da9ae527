"""A customer's own pages. Whoever is not a member gets a 404 everywhere."""

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from billing import customers, documents, payments, prompts, wording
from billing.forms import BillingDetailsForm, CardForm
from billing.models import Customer, Invoice, InvoiceLine, Member, Payment, Prompt
from billing.queries import limits_of
from billing.queries import portal as portal_queries
from gtm.shared import countries, db
from gtm.shared.errors import DomainError

PAGE = 25
View = Callable[..., HttpResponse]


def member_only(view: View) -> View:
    """Hand the view the customer named in the address, if the signed-in user is one of its members."""

    @wraps(view)
    @login_required
    def guarded(request: HttpRequest, customer: str, **kwargs: Any) -> HttpResponse:
        found = portal_queries.of_member(request.user, customer)
        if found is None:
            raise Http404
        return view(request, found, **kwargs)

    return guarded


def buyer_only(view: View) -> View:
    """The same, for members who may change what is paid."""

    @wraps(view)
    def guarded(request: HttpRequest, customer: Customer, **kwargs: Any) -> HttpResponse:
        if not get_object_or_404(Member, user=request.user, customer=customer).may_buy:
            raise Http404
        return view(request, customer, **kwargs)

    return member_only(guarded)


def page(
    request: HttpRequest, template: str, customer: Customer, context: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    sections = (
        ("portal_overview", _("Overview")),
        ("portal_usage", _("Usage")),
        ("portal_invoices", _("Invoices")),
        ("portal_plan", _("Plan")),
        ("portal_details", _("Billing details")),
    )
    nav = [{"url": reverse(name, args=[customer.public_id]), "label": label} for name, label in sections]
    for entry in nav:
        entry["active"] = request.path == entry["url"]  # type: ignore[assignment]
    others = [
        {"name": other.name, "url": reverse("portal_overview", args=[other.public_id])}
        for other in Customer.objects.of_member(request.user).exclude(pk=customer.pk).order_by("name")[:20]
    ]
    return render(
        request, template, {"customer": customer, "portal_nav": nav, "customers": others, **context}, status=status
    )


@member_only
def overview(request: HttpRequest, customer: Customer) -> HttpResponse:
    at = db.now_for(customer)
    found = portal_queries.subscriptions(customer)
    latest = list(portal_queries.invoices(customer)[:5])
    unpaid = [invoice for invoice in latest if invoice.status == Invoice.Status.OPEN]
    context = {
        "prompts": _prompts(customer, at),
        "next_steps": [_step(customer, step) for step in portal_queries.next_steps(found, unpaid)],
        "subscriptions": [_subscription(customer, subscription) for subscription in found],
        "usage": _usage(customer, at),
        "invoices": [invoice_row(customer, invoice) for invoice in latest],
        "payment": _payment(customer),
        "pricing_url": reverse("pricing"),
        "usage_url": reverse("portal_usage", args=[customer.public_id]),
        "invoices_url": reverse("portal_invoices", args=[customer.public_id]),
    }
    return page(request, "billing/portal/overview.html", customer, context)


@member_only
def usage(request: HttpRequest, customer: Customer) -> HttpResponse:
    return page(request, "billing/portal/usage.html", customer, {"usage": _usage(customer, db.now_for(customer))})


@member_only
def plan(request: HttpRequest, customer: Customer) -> HttpResponse:
    found = portal_queries.subscriptions(customer)
    context = {
        "subscriptions": [_subscription(customer, subscription) for subscription in found],
        "pricing_url": reverse("pricing"),
    }
    return page(request, "billing/portal/plan.html", customer, context)


@member_only
def invoices(request: HttpRequest, customer: Customer) -> HttpResponse:
    found = Paginator(portal_queries.invoices(customer), PAGE).get_page(request.GET.get("page"))
    context = {
        "invoices": [invoice_row(customer, invoice) for invoice in found],
        "page": found,
        "open_total": portal_queries.open_total(customer),
        "currency": customer.currency,
    }
    return page(request, "billing/portal/invoices.html", customer, context)


@member_only
def invoice(request: HttpRequest, customer: Customer, invoice: str) -> HttpResponse:
    found = _invoice(customer, invoice)
    context = invoice_row(customer, found) | {
        "invoice": found,
        "seller": _party(found.seller),
        "buyer": _party(found.buyer),
        "lines": [_line(line, found.currency) for line in sorted(found.lines.all(), key=lambda line: line.position)],
        "taxes": [
            {"name": tax.name, "rate": tax.percentage / 100, "taxable": tax.taxable, "amount": tax.amount}
            for tax in found.taxes.all()
        ],
        "payments": [
            {"at": row.allocated_at, "text": _paid_by(row.payment), "amount": row.amount}
            for row in found.allocations.all()
        ],
        "invoices_url": reverse("portal_invoices", args=[customer.public_id]),
        "bank": [(_("Bank details"), found.seller["bank_details"])] if found.seller.get("bank_details") else [],
        "tz": customer.timezone,
    }
    return page(request, "billing/portal/invoice.html", customer, context)


@member_only
def pdf(request: HttpRequest, customer: Customer, invoice: str) -> HttpResponse:
    document = documents.pdf_of(invoice=_invoice(customer, invoice), at=db.now_for(customer))
    response = HttpResponse(bytes(document.content), content_type="application/pdf")
    response["Content-Disposition"] = f'attachment; filename="{document.filename}"'
    return response


@buyer_only
def pay(request: HttpRequest, customer: Customer, invoice: str) -> HttpResponse:
    """Pay an open invoice with a card, which becomes the one for renewals."""
    found = _invoice(customer, invoice)
    if found.status != Invoice.Status.OPEN:
        return redirect("portal_invoice", customer.public_id, invoice)
    form = CardForm(request.POST or None)
    if (
        request.method == "POST"
        and form.is_valid()
        and (failure := _try_card(customer, found, form.cleaned_data["card"])) is None
    ):
        messages.success(request, _("Invoice %(number)s is paid. Thank you.") % {"number": found.number})
        return redirect("portal_overview", customer.public_id)
    failed = request.method == "POST"
    context = {"invoice": found, "form": form, "failure": failure if failed and form.is_valid() else ""}
    return page(request, "billing/portal/pay.html", customer, context, status=422 if failed else 200)


@buyer_only
def details(request: HttpRequest, customer: Customer) -> HttpResponse:
    form = BillingDetailsForm(request.POST or None, initial=BillingDetailsForm.initial_of(customer))
    if request.method == "POST" and form.is_valid():
        try:
            customers.change(customer=customer, at=db.now_for(customer), **form.changes())
        except DomainError as error:
            form.add_error(error.attr if error.attr in form.fields else None, error.detail)
        else:
            messages.success(request, _("Saved. Your next invoice will show it."))
            return redirect("portal_details", customer.public_id)
    return page(request, "billing/portal/details.html", customer, {"form": form}, status=422 if form.errors else 200)


@require_POST
@member_only
def dismiss(request: HttpRequest, customer: Customer, prompt: Any) -> HttpResponse:
    prompts.dismiss(prompt=get_object_or_404(Prompt, pk=prompt, customer=customer), at=db.now_for(customer))
    return redirect("portal_overview", customer.public_id)


# --- what the templates take -------------------------------------------------------------------
def _invoice(customer: Customer, public_id: str) -> Invoice:
    found = portal_queries.invoice(customer, public_id)
    if found is None:
        raise Http404
    return found


def invoice_row(customer: Customer, invoice: Invoice) -> dict[str, Any]:
    address = [customer.public_id, invoice.public_id]
    return {
        "number": invoice.number,
        "url": reverse("portal_invoice", args=address),
        "issue_date": invoice.issue_date,
        "due_date": invoice.due_date,
        "status": invoice.status,
        "total": invoice.total,
        "amount_due": invoice.amount_due,
        "currency": invoice.currency,
        "pdf_url": reverse("portal_invoice_pdf", args=address),
        "pay_url": reverse("portal_pay", args=address)
        if invoice.status == Invoice.Status.OPEN and invoice.amount_due
        else "",
    }


def _line(line: InvoiceLine, currency: str) -> dict[str, Any]:
    return {
        "description": line.description,
        "explanation": "\n".join(wording.explain(line.explanation, currency)),
        "period_start": line.period_start,
        "period_end": line.period_end,
        "quantity": line.quantity,
        "unit_amount": line.unit_amount,
        "amount": line.amount,
        "discount_amount": line.discount_amount,
    }


def _party(copied: dict[str, Any]) -> dict[str, Any]:
    """Seller or buyer as the document has it, the address in lines."""
    address = copied.get("address") or {}
    town = " ".join(part for part in (address.get("postal_code"), address.get("city")) if part)
    country = countries.name(address.get("country") or copied.get("country") or "")
    lines = [address.get("line1"), address.get("line2"), town, address.get("state"), country]
    tax_id = ", ".join(copied.get("tax_ids", [])) or copied.get("tax_id", "")
    return {"name": copied.get("name"), "lines": [line for line in lines if line], "tax_id": tax_id}


def _paid_by(payment: Payment | None) -> str:
    return _("Paid by card") if payment is not None and payment.method == "card" else _("Paid")


def _usage(customer: Customer, at: datetime) -> list[dict[str, Any]]:
    return [
        {
            "label": state.feature_name,
            "value": state.used,
            "limit": state.limit,
            "unit": state.unit,
            "resets_at": state.period_end,
        }
        for state in limits_of(customer_ids=[customer.pk], at=at)
    ]


def _subscription(customer: Customer, subscription: Any) -> dict[str, Any]:
    return {
        "plan_name": subscription.plan_version.plan.name,
        "status": subscription.status,
        "summary": portal_queries.summary(subscription),
        "period_start": subscription.current_period_start,
        "period_end": subscription.current_period_end,
        "url": reverse("portal_plan", args=[customer.public_id]),
    }


def _step(customer: Customer, step: portal_queries.Step) -> dict[str, Any]:
    url = reverse("portal_pay", args=[customer.public_id, step.invoice.public_id]) if step.invoice else ""
    return {
        "at": step.at,
        "text": step.text,
        "amount": step.amount,
        "currency": step.currency,
        "tone": step.tone,
        "url": url,
        "action": _("Pay"),
    }


def _prompts(customer: Customer, at: datetime) -> list[dict[str, Any]]:
    return [
        {"text": prompt.text, "url": prompt.link, "label": _("See plans")}
        for prompt in portal_queries.prompts(customer, at)
    ]


def _payment(customer: Customer) -> dict[str, Any] | None:
    method = portal_queries.payment_method(customer)
    return (
        {"label": _("%(brand)s ending in %(last4)s") % {"brand": method.brand.title(), "last4": method.last4}}
        if method
        else None
    )


def _try_card(customer: Customer, invoice: Invoice, token: str) -> str | None:
    """Keep the card and charge it; the failure in words, or None when the invoice is paid."""
    at = db.now_for(customer)
    try:
        method = customers.attach_payment_method(customer=customer, gateway_token=token, default=True, at=at)
        payment = payments.collect(invoice=invoice, payment_method=method, at=at)
    except DomainError as error:
        return error.detail
    return (
        None
        if payment.status == Payment.Status.SUCCEEDED
        else payment.failure_message or _("The payment did not go through.")
    )
