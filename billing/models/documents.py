"""Documents as they were rendered, once."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from billing.models.credit_notes import CreditNote
from billing.models.invoices import Invoice
from billing.models.payments import Payment
from gtm.shared.models import Row


class Document(Row):
    """The PDF of an invoice, a credit note or a payment (a receipt), kept with its hash and served ever after."""

    invoice = models.ForeignKey(Invoice, null=True, on_delete=models.PROTECT, related_name="documents")
    credit_note = models.ForeignKey(CreditNote, null=True, on_delete=models.PROTECT, related_name="documents")
    payment = models.ForeignKey(Payment, null=True, on_delete=models.PROTECT, related_name="documents")
    kind = models.CharField(max_length=20, default="invoice")
    locale = models.CharField(max_length=10)
    filename = models.CharField(max_length=120)
    content = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    settled = models.BigIntegerField(
        default=0, help_text="Minor units of the invoice that were settled when it was rendered: what it says is paid."
    )
    rendered_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["invoice", "kind", "locale"], name="billing_document_once"),
            models.UniqueConstraint(
                fields=["credit_note", "locale"],
                condition=Q(credit_note__isnull=False),
                name="billing_document_of_credit_note_once",
            ),
            models.UniqueConstraint(
                fields=["payment", "locale"],
                condition=Q(payment__isnull=False),
                name="billing_document_of_payment_once",
            ),
            models.CheckConstraint(
                condition=Q(invoice__isnull=False, credit_note=None, payment=None)
                | Q(invoice=None, credit_note__isnull=False, payment=None)
                | Q(invoice=None, credit_note=None, payment__isnull=False),
                name="billing_document_shows_one_thing",
            ),
        ]
