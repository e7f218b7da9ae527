"""One invoice by a signed link, for whoever was sent it: to look at, to take along, to pay. Nobody signs in.

The link is the key, so that its pages tell no other site where they were come from, and no search engine keeps them.
That also takes the ``Origin`` from their forms, which need no token beside: who can't make the link can't forge them.
"""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from billing import confirmations, customers, documents, hosted, invoices, payment_methods, payments, settlement
from billing.gateways import AnswerLost, words
from billing.hosted_forms import PayForm, PurchaseOrderForm
from billing.models import AttemptShare, CreditNote, Invoice, Payment, PaymentMethod
from billing.queries import hosted as queries
from billing.queries import portal
from billing.views import cards, files, invoice_page
from gtm.shared import db, languages, links
from gtm.shared.errors import DomainError
from gtm.shared.flooding import is_flooded

View = Callable[..., HttpResponse]
FRESH_LINKS, PAYMENTS = "5/h", "20/h"
FRAME = {"base_template": "billing/hosted_frame.html"}


# --- who may see it ----------------------------------------------------------------------------
def linked(view: View) -> View:
    """Hand the view the invoice that the link names. An expired one leads to a page that offers another."""

    @wraps(view)
    @never_cache
    def opened(request: HttpRequest, token: str, **kwargs: Any) -> HttpResponse:
        try:
            response = view(request, _invoice(request, links.read(hosted.INVOICE, token, at=db.now())), token, **kwargs)
        except links.LinkInvalid:
            response = render(request, "billing/hosted_unknown.html", FRAME, status=404)
        except links.LinkExpired:
            response = _expired(request, token)
        except DomainError as refusal:  # such as a test clock that is being advanced
            response = refused(request, refusal)
        return _remember_language(request, private(response))

    return csrf_exempt(opened)


def refused(request: HttpRequest, refusal: DomainError) -> HttpResponse:
    context = FRAME | {"refusal": refusal.detail}
    return render(request, "billing/portal/refused.html", context, status=refusal.status)


def private(response: HttpResponse) -> HttpResponse:
    """Keep the link to whoever holds it."""
    response["Referrer-Policy"], response["X-Robots-Tag"] = "no-referrer", "noindex, nofollow"
    return response


def _invoice(request: HttpRequest, key: UUID) -> Invoice:
    found = queries.invoice(key)
    if found is None:
        raise links.LinkInvalid
    _choose_language(request, found.buyer.get("locale") or found.customer.preferred_locale)
    return found


def _expired(request: HttpRequest, token: str) -> HttpResponse:
    return render(request, "billing/hosted_expired.html", FRAME | {"token": token}, status=410)


def _choose_language(request: HttpRequest, preferred: str) -> None:
    """The buyer's, unless the reader has chosen another: by the address, as the usual switch needs an ``Origin``."""
    if (chosen := request.GET.get("language")) in dict(settings.LANGUAGES):
        translation.activate(str(chosen))
        request.LANGUAGE_CODE = str(chosen)  # type: ignore[attr-defined]  # as Django's own does
    else:
        languages.prefer(request, preferred)


def _remember_language(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    if (chosen := request.GET.get("language")) in dict(settings.LANGUAGES):
        response.set_cookie(
            settings.LANGUAGE_COOKIE_NAME,
            str(chosen),
            max_age=settings.LANGUAGE_COOKIE_AGE,
            secure=settings.LANGUAGE_COOKIE_SECURE,
            samesite=settings.LANGUAGE_COOKIE_SAMESITE,  # type: ignore[arg-type]
        )
    return response


# --- its page ----------------------------------------------------------------------------------
@linked
@require_safe
def show(request: HttpRequest, invoice: Invoice, token: str) -> HttpResponse:
    return _page(request, invoice, token)


def _page(
    request: HttpRequest,
    invoice: Invoice,
    token: str,
    *,
    pay_form: PayForm | None = None,
    order_form: PurchaseOrderForm | None = None,
    failure: str = "",
    status: int = 200,
) -> HttpResponse:
    due, under_way = settlement.open_amount(invoice), _is_under_way(invoice)
    may_pay = due > 0 and not under_way
    receipts = set(queries.payments(invoice).values_list("pk", flat=True))
    issued, form = invoice.status != Invoice.Status.DRAFT, pay_form or _pay_form(invoice)
    addresses = invoice_page.Addresses(
        xml=reverse("hosted_invoice_xml", args=[token]),
        receipt=lambda one: reverse("hosted_receipt", args=[token, one.public_id]) if one.pk in receipts else "",
        credit_note=partial(_credit_note_row, token),
    )
    context = {
        **FRAME,
        **invoice_page.of_invoice(invoice, addresses),
        "invoice": invoice,
        "token": token,
        "language_url": reverse("hosted_invoice", args=[token]),
        "tz": invoice.buyer.get("timezone") or invoice.customer.timezone,
        "pdf_url": reverse("hosted_invoice_pdf", args=[token]) if issued else "",
        "pay_url": "#pay" if may_pay and form.choices else "",
        "pay_form": form if may_pay and form.choices else None,
        "order_form": (order_form or _order_form(invoice)) if _takes_order(invoice) else None,
        "under_way": under_way,
        "failure": failure,
    }
    shown = render(request, "billing/hosted_invoice.html", context, status=status)
    return cards.opened(shown, form.entry["script"] if may_pay and form.entry else "")


def _credit_note_row(token: str, note: CreditNote) -> dict[str, Any]:
    url = reverse("hosted_credit_note", args=[token, note.public_id])
    return {"number": note.number, "issue_date": note.issue_date, "total": note.total, "pdf_url": url}


def _is_under_way(invoice: Invoice) -> bool:
    return AttemptShare.objects.filter(invoice=invoice, live=True).exists()


# --- to take along -----------------------------------------------------------------------------
@linked
@require_safe
def pdf(request: HttpRequest, invoice: Invoice, token: str) -> HttpResponse:
    if invoice.status == Invoice.Status.DRAFT:
        raise Http404
    return files.pdf(documents.invoice_pdf(invoice=invoice, at=db.time_of(invoice)), to_keep=True)


@linked
@require_safe
def xml(request: HttpRequest, invoice: Invoice, token: str) -> HttpResponse:
    try:
        return files.e_invoice(invoice, documents.UBL)
    except DomainError:  # a draft, or there is none: the page doesn't offer it
        raise Http404 from None


@linked
@require_safe
def receipt(request: HttpRequest, invoice: Invoice, token: str, payment: str) -> HttpResponse:
    found = queries.payment(invoice, payment)
    if found is None:
        raise Http404
    return files.pdf(documents.receipt(payment=found, at=db.time_of(found)), to_keep=True)


@linked
@require_safe
def credit_note(request: HttpRequest, invoice: Invoice, token: str, note: str) -> HttpResponse:
    found = queries.credit_note(invoice, note)
    if found is None:
        raise Http404
    return files.pdf(documents.credit_note_pdf(note=found, at=db.time_of(found)), to_keep=True)


# --- to pay ------------------------------------------------------------------------------------
def _pay_form(invoice: Invoice, sent: Any = None) -> PayForm:
    saved = portal.payment_method(invoice.customer)
    due = settlement.open_amount(invoice)
    return PayForm(sent, payer=invoice.customer, saved=saved, amount=due, currency=invoice.currency)


@linked
def pay(request: HttpRequest, invoice: Invoice, token: str) -> HttpResponse:
    """Charge the payer's own card or another one for what is due, once however often the button is pressed."""
    if request.method != "POST" or settlement.open_amount(invoice) <= 0 or _is_under_way(invoice):
        return redirect("hosted_invoice", token)
    if cards.wants_setup(request):
        return cards.setup(request, invoice.customer, default=False)
    form = _pay_form(invoice, request.POST)
    if not form.is_valid():
        return _page(request, invoice, token, pay_form=form, status=422)
    if is_flooded(request, page="hosted_payment", senders=[("invoice", str(invoice.pk), PAYMENTS)]):
        failure = _("Too many payments were tried. Please try again in an hour.")
        return _page(request, invoice, token, pay_form=form, failure=failure, status=429)
    payment, failure = _try(invoice, form)
    if payment is not None and payment.status == Payment.Status.REQUIRES_ACTION:
        return redirect(confirmations.path(payment.pk, at=db.now()))
    if failure:
        invoice = _invoice(request, invoice.pk)
        return _page(request, invoice, token, pay_form=_pay_form(invoice), failure=failure, status=422)
    if not _is_under_way(invoice):
        messages.success(request, _("Invoice %(number)s is paid. Thank you.") % {"number": invoice.number})
    return redirect("hosted_invoice", token)


def _try(invoice: Invoice, form: PayForm) -> tuple[Payment | None, str]:
    """Charge the card: the payment, and the failure in words, empty when the invoice is paid or it is under way."""
    try:
        at = db.now_for(invoice)
        method = _method(invoice, form, at)
        payment = payments.collect(
            invoice=invoice, payment_method=method, at=at, on_session=True, make_default=form.cleaned_data["keep"]
        )
    except AnswerLost:
        return None, words.of("gateway_unreachable")
    except DomainError as refusal:
        return None, refusal.detail
    if payment.status in {Payment.Status.SUCCEEDED, Payment.Status.PENDING, Payment.Status.PROCESSING}:
        return payment, ""  # what is under way is told by the page
    return payment, payment.failure_message or _("The payment did not go through.")


def _method(invoice: Invoice, form: PayForm, at: Any) -> PaymentMethod:
    """The card on file, or the new one: nothing else is charged to it before it has paid."""
    saved = portal.payment_method(invoice.customer)
    if form.uses_saved and saved is not None:
        return saved
    if form.entry is not None:
        given = form.cleaned_data["given"]
        return payment_methods.take(customer=invoice.customer, given=given, default=False, at=at)
    return customers.attach_payment_method(
        customer=invoice.customer,
        gateway_token=form.cleaned_data["card"],
        default=False,
        at=at,
        payment_method_id=form.cleaned_data["attempt"],
    )


# --- purchase order ----------------------------------------------------------------------------
def _takes_order(invoice: Invoice) -> bool:
    return invoice.status not in {Invoice.Status.VOID, Invoice.Status.UNCOLLECTIBLE}


def _order_form(invoice: Invoice, sent: Any = None) -> PurchaseOrderForm:
    is_draft = invoice.status == Invoice.Status.DRAFT
    number = invoice.po_number if is_draft else invoice.customer.po_number
    return PurchaseOrderForm(sent, initial={"po_number": number})


@linked
def purchase_order(request: HttpRequest, invoice: Invoice, token: str) -> HttpResponse:
    """On this invoice while it is a draft; on the next ones when it is issued, as it can't change any more."""
    form = _order_form(invoice, request.POST)
    if request.method != "POST" or not _takes_order(invoice):
        return redirect("hosted_invoice", token)
    if not form.is_valid():
        return _page(request, invoice, token, order_form=form, status=422)
    number = form.cleaned_data["po_number"]
    try:
        invoices.set_po_number(invoice=invoice, po_number=number, at=db.now_for(invoice))
    except DomainError as refusal:
        form.add_error(None, refusal.detail)
        return _page(request, invoice, token, order_form=form, status=refusal.status)
    messages.success(request, _("The PO number is saved."))
    return redirect("hosted_invoice", token)


# --- another link ------------------------------------------------------------------------------
@csrf_exempt
@never_cache
def fresh(request: HttpRequest, token: str) -> HttpResponse:
    """Send a new link to the billing address, whoever asks; the answer is the same whether one is sent or not."""
    if request.method != "POST":
        return redirect("hosted_invoice", token)
    try:
        links.read(hosted.INVOICE, token, at=db.now())
    except links.LinkInvalid:
        response = render(request, "billing/hosted_unknown.html", FRAME, status=404)
    except links.LinkExpired as expired:
        _send_fresh(request, expired.subject_id)
        response = render(request, "billing/hosted_expired.html", FRAME | {"token": token, "sent": True})
    else:
        response = redirect("hosted_invoice", token)
    return private(response)


def _send_fresh(request: HttpRequest, invoice_id: UUID) -> None:
    found = Invoice.objects.select_related("customer").filter(pk=invoice_id).first()
    if found is None or is_flooded(request, page="hosted_link", senders=[("invoice", str(invoice_id), FRESH_LINKS)]):
        return
    invoices.request_link(invoice=found, at=db.time_of(found))
