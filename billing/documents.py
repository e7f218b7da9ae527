"""Documents: invoices, credit notes and receipts as PDF, rendered once in the reader's language and served ever after.

A document is kept with its hash and never rendered again: an invoice that is paid later still says what was open when
it was rendered, and as of which day; ``settled`` keeps how much that was, so that its e-invoice says the same.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import translation
from django.utils.translation import gettext as _

from billing import einvoice, einvoice_cii, einvoice_rules, einvoice_ubl, entities
from billing.einvoice import EInvoice, NotExpressible, Source
from billing.models import CollectionMethod, CreditNote, Document, Invoice, LegalEntity, Payment
from billing.papers import credit_note as note_words
from billing.papers import factur_x, sources, typesetting
from billing.papers import invoice as invoice_words
from billing.papers import receipt as receipt_words
from gtm.shared import db, languages, vendors
from gtm.shared.errors import Conflict
from gtm.shared.mail import Attachment

log = structlog.get_logger(__name__)
WAIT_FOR_CARD = timedelta(hours=1)
INVOICE, CREDIT_NOTE, RECEIPT = "invoice", "credit_note", "receipt"
CII, UBL = "cii", "ubl"
_WRITERS: dict[str, Callable[[EInvoice], bytes]] = {CII: einvoice_cii.write, UBL: einvoice_ubl.write}


class NoEInvoice(Conflict):
    """EN 16931 can't express this document, or something that it wants to know is missing."""

    code = "no_e_invoice"


@dataclass(frozen=True, slots=True)
class _Paper:
    """Something to render: what the template needs to know, and what goes into an e-invoice, as of now."""

    kind: str
    links: dict[str, Any]
    filename: str
    locale: str
    data: Callable[[], dict[str, Any]]
    source: Callable[[], Source] | None = None
    settled: int = 0


# --- one of them -------------------------------------------------------------------------------
def invoice_pdf(*, invoice: Invoice, at: datetime) -> Document:
    """The document of a finalized invoice, rendered now if it has none. Raises Conflict for a draft."""
    if invoice.status == Invoice.Status.DRAFT:
        raise Conflict(_("A draft has no document yet."), code="invoice_is_draft")
    return _kept(_invoice(invoice, at))


def credit_note_pdf(*, note: CreditNote, at: datetime) -> Document:
    """The document of a credit note, rendered now if it has none."""
    return _kept(_credit_note(note))


def receipt(*, payment: Payment, at: datetime) -> Document:
    """The receipt of a payment, rendered now if it has none. Raises Conflict unless the payment succeeded."""
    if payment.status != Payment.Status.SUCCEEDED:
        raise Conflict(_("Only a payment that succeeded has a receipt."), code="payment_not_succeeded")
    return _kept(_receipt(payment, at))


def e_invoice(*, subject: Invoice | CreditNote, syntax: str, at: datetime) -> bytes:
    """The document as XML: ``cii``, which is what its PDF holds as factur-x.xml, or ``ubl``.

    Raises Conflict for a draft, and NoEInvoice with the reason where there is none.
    """
    if isinstance(subject, CreditNote):
        document = credit_note_pdf(note=subject, at=at)
    else:
        document = invoice_pdf(invoice=subject, at=at)
    if syntax == CII and (embedded := factur_x.embedded(bytes(document.content))):
        return embedded
    with translation.override(document.locale):
        try:
            model = _model(_source(subject, document.settled))
        except NotExpressible as reason:
            raise NoEInvoice(reason.detail, code=f"no_e_invoice_{reason.code}") from reason
        return _WRITERS[syntax](model)


def why_no_e_invoice(subject: Invoice | CreditNote) -> str:
    """For the vendor's staff: why the document has no XML; empty where it has one."""
    try:
        _model(_source(subject, 0))
    except NotExpressible as reason:
        return reason.detail
    return ""


def why_no_e_invoices_of(entity: LegalEntity) -> str:
    """For the vendor's staff: what a legal entity lacks for its taxed invoices to be e-invoices."""
    try:
        einvoice.require_seller(sources.seller(entities.as_seller(entity)))
    except NotExpressible as reason:
        return reason.detail
    return ""


def attachments(subjects: Sequence[uuid.UUID]) -> list[Attachment]:
    """The documents of invoices, credit notes and payments as mail takes them along, in the order of the ids.

    Rendered now where there is none. What mail is about that has gone with its test clock is left out.
    """
    rendered = {
        **{one.pk: invoice_pdf(invoice=one, at=db.time_of(one)) for one in Invoice.objects.filter(pk__in=subjects)},
        **{one.pk: credit_note_pdf(note=one, at=db.time_of(one)) for one in CreditNote.objects.filter(pk__in=subjects)},
        **{one.pk: receipt(payment=one, at=db.time_of(one)) for one in Payment.objects.filter(pk__in=subjects)},
    }
    found = [rendered[key] for key in subjects if key in rendered]
    return [Attachment(one.filename, bytes(one.content), "application/pdf") for one in found]


# --- all that have none ------------------------------------------------------------------------
def render_missing(*, at: datetime, limit: int = 200) -> int:
    """Render what has no document; return how many. What fails is raised when the others are done.

    An invoice whose card is to be charged waits for that, up to an hour, so that the document can say that it is paid.
    """
    waiting = list(_waiting(at, limit))
    failures = [failure for render, subject in waiting if (failure := _failure(render, subject)) is not None]
    if failures:
        raise ExceptionGroup(f"{len(failures)} documents could not be rendered", failures)
    return len(waiting)


def _waiting(at: datetime, limit: int) -> Iterator[tuple[Callable[[], Document], Any]]:
    for invoice in _ready_invoices(at)[:limit]:
        yield lambda invoice=invoice: invoice_pdf(invoice=invoice, at=at), invoice  # type: ignore[misc]
    notes = CreditNote.objects.filter(_has_none("credit_note")).select_related("invoice")
    for note in notes.order_by("issued_at", "pk")[:limit]:
        yield lambda note=note: credit_note_pdf(note=note, at=at), note  # type: ignore[misc]
    payments = Payment.objects.filter(_has_none("payment"), status=Payment.Status.SUCCEEDED)
    for payment in payments.order_by("paid_at", "pk")[:limit]:
        yield lambda payment=payment: receipt(payment=payment, at=at), payment  # type: ignore[misc]


def _has_none(link: str) -> Q:
    return Q(~Exists(Document.objects.filter(**{link: OuterRef("pk")})))


def _ready_invoices(at: datetime) -> QuerySet[Invoice]:
    missing = Invoice.objects.exclude(status=Invoice.Status.DRAFT).filter(_has_none("invoice"))
    settled = ~Q(payment_status__in=[Invoice.PaymentStatus.NONE, Invoice.PaymentStatus.PENDING])
    by_hand = Q(collection_method=CollectionMethod.SEND_INVOICE)
    ready = missing.filter(settled | by_hand | Q(finalized_at__lte=at - WAIT_FOR_CARD))
    return ready.select_related("legal_entity").order_by("finalized_at", "pk")


def _failure(render: Callable[[], Document], subject: Any) -> Exception | None:
    try:
        render()
    except Exception as error:  # whatever is wrong with one document, the others are rendered
        log.exception("document_not_rendered", subject=subject.public_id)
        return error
    return None


# --- rendering ---------------------------------------------------------------------------------
def _invoice(invoice: Invoice, at: datetime) -> _Paper:
    settled = invoice.total - invoice.amount_due if invoice.status != Invoice.Status.VOID else 0
    return _Paper(
        kind=INVOICE,
        links={"invoice": invoice},
        filename=f"{invoice.number}.pdf",
        locale=languages.supported(invoice.buyer.get("locale")),
        data=lambda: invoice_words.data(invoice, vendor=vendors.current(), at=at),
        source=lambda: _source(invoice, settled),
        settled=settled,
    )


def _credit_note(note: CreditNote) -> _Paper:
    return _Paper(
        kind=CREDIT_NOTE,
        links={"credit_note": note},
        filename=f"{note.number}.pdf",
        locale=languages.supported(note.buyer.get("locale")),
        data=lambda: note_words.data(note, vendor=vendors.current()),
        source=lambda: _source(note, 0),
    )


def _receipt(payment: Payment, at: datetime) -> _Paper:
    return _Paper(
        kind=RECEIPT,
        links={"payment": payment},
        filename=f"{payment.public_id}.pdf",
        locale=languages.supported(payment.customer.preferred_locale),
        data=lambda: receipt_words.data(payment, vendor=vendors.current(), at=at),
    )


def _source(subject: Invoice | CreditNote, settled: int) -> Source:
    """Raises NotExpressible for a void invoice, which nobody is to book."""
    if isinstance(subject, CreditNote):
        return sources.of_credit_note(subject)
    if subject.status == Invoice.Status.VOID:
        raise NotExpressible("void", "The invoice is void.")
    return sources.of_invoice(subject, settled=settled)


def _model(source: Source) -> EInvoice:
    return einvoice_rules.require(einvoice.build(source))


def _kept(paper: _Paper) -> Document:
    """The document there is, or a new one; whoever was first is served, so that there are never two that differ."""
    found = Document.objects.filter(**paper.links, kind=paper.kind, locale=paper.locale)
    kept = found.first()
    if kept is not None:
        return kept
    content = render(paper)
    document = Document(
        **paper.links,
        kind=paper.kind,
        locale=paper.locale,
        filename=paper.filename,
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        settled=paper.settled,
    )
    Document.objects.bulk_create([document], ignore_conflicts=True)
    return found.get()


def render(paper: _Paper) -> bytes:
    """The PDF's bytes, of what the rows hold now."""
    with translation.override(paper.locale):
        data, xml = paper.data(), _embedded(paper)
    return typesetting.pdf(paper.kind, data, logo=vendors.current().logo, xml=xml)


def _embedded(paper: _Paper) -> bytes:
    """The e-invoice to put inside; nothing rather than an invalid one."""
    if paper.source is None:
        return b""
    try:
        return einvoice_cii.write(_model(paper.source()))
    except NotExpressible:
        return b""
