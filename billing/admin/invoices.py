"""Invoices to read, with what they are made of and what settles them; documents and charges."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from unfold import widgets
from unfold.decorators import display

from billing import credit_notes, documents, invoices, payments, settlement, wording
from billing.admin.credit_notes import CreditForm, NoteRows, minor
from billing.models import Allocation, Charge, Document, Invoice, InvoiceLine, InvoiceTax, SubscriptionChange
from billing.views import files
from gtm.shared import admin_columns as columns
from gtm.shared import db
from gtm.shared.admin_base import ReadOnlyAdmin, ReadOnlyTable
from gtm.shared.admin_fields import AmountField, to_major
from gtm.shared.admin_filters import OnTestClock
from gtm.shared.admin_steps import StepForm, handout, step
from gtm.shared.templatetags import tandem

Status = Invoice.Status


class LineRows(ReadOnlyTable):
    model = InvoiceLine
    related = ("invoice",)
    verbose_name_plural = "lines"
    ordering = ("position",)
    fields = ("description", "count", "period_start", "period_end", "net", "off", "tax", "why")
    net = columns.money("amount", "Amount", currency="invoice__currency")
    off = columns.money("discount_amount", "Discount", currency="invoice__currency")
    tax = columns.money("tax_amount", "Tax", currency="invoice__currency")

    @display(description="Quantity")
    def count(self, line: InvoiceLine) -> str:
        """Of usage, it opens to the days, hours and events that it is made of."""
        shown = tandem.quantity(line.quantity)
        words = columns.anchor("admin:billing_usage_line", line.pk, shown) if line.meter_id else shown
        return format_html('<span class="money">{}</span>', words)

    @display(description="How it comes about")
    def why(self, line: InvoiceLine) -> str:
        return "; ".join(wording.explain(line.explanation, line.invoice.currency))


class TaxRows(ReadOnlyTable):
    model = InvoiceTax
    related = ("invoice",)
    verbose_name_plural = "taxes"
    fields = ("name", "percentage", "base", "sum")
    base = columns.money("taxable", "Taxable", currency="invoice__currency")
    sum = columns.money("amount", "Tax", currency="invoice__currency")


class AllocationRows(ReadOnlyTable):
    model = Allocation
    related = ("invoice", "payment", "credit_note")
    verbose_name_plural = "settled by"
    ordering = ("allocated_at", "id")
    fields = ("kind", "payment", "credit_note", "allocated_at", "sum")
    sum = columns.money("amount", "Amount", currency="invoice__currency")


class DocumentRows(ReadOnlyTable):
    model = Document
    verbose_name_plural = "documents"
    fields = ("filename", "locale", "rendered_at", "sha256")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Document]:
        rows: QuerySet[Document] = super().get_queryset(request).defer("content")
        return rows


class TransferForm(StepForm):
    amount = AmountField(required=True)
    paid_at = forms.DateTimeField(label="Paid on", widget=widgets.UnfoldAdminTextInputWidget(attrs={"type": "date"}))
    reference = forms.CharField(
        max_length=200,
        required=False,
        widget=widgets.UnfoldAdminTextInputWidget(),
        help_text="As on the bank statement.",
    )

    def __init__(self, *args: Any, instance: Invoice, **kwargs: Any) -> None:
        super().__init__(*args, instance=instance, **kwargs)
        self.fields["amount"].initial = to_major(instance.amount_due, instance.currency)
        self.fields["amount"].help_text = instance.currency
        self.fields["paid_at"].initial = timezone.localdate().isoformat()

    def clean_amount(self) -> int:
        return minor(self.cleaned_data["amount"], self.instance.currency)  # type: ignore[attr-defined]

    def outcome(self) -> Sequence[str]:
        assert isinstance(self.instance, Invoice)
        due, currency = self.instance.amount_due, self.instance.currency
        if (too_much := self.cleaned_data["amount"] - due) <= 0:
            return ()
        return [
            f"Only {tandem.money(due, currency)} is still due.",
            f"To the customer's balance: {tandem.money(too_much, currency)}",
        ]


class WriteOffForm(StepForm):
    reason = forms.CharField(max_length=500, widget=widgets.UnfoldAdminTextInputWidget())


class VoidForm(StepForm):
    reason = forms.CharField(max_length=500, widget=widgets.UnfoldAdminTextInputWidget())
    waive = forms.BooleanField(
        label="Ask for nothing instead",
        required=False,
        widget=widgets.UnfoldBooleanSwitchWidget(),
        help_text="Otherwise the customer's next invoice asks for the same again.",
    )


def _creditable(invoice: Invoice) -> bool:
    final = (Status.OPEN, Status.PAID, Status.UNCOLLECTIBLE)
    return invoice.status in final and invoice.credit_note_total < invoice.total


@admin.register(Invoice)
class InvoiceAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "customer", "state", "paid", "total_amount", "open_amount", "issue_date", "due_date")
    list_filter = (
        OnTestClock,
        "status",
        "payment_status",
        "collection_method",
        ("issue_date", admin.DateFieldListFilter),
    )
    list_select_related = ("customer",)
    search_fields = ("number", "customer__name", "customer__email", "po_number", "external_id__exact")
    ordering = ("-created_at",)
    inlines = (LineRows, TaxRows, AllocationRows, NoteRows, DocumentRows)
    fieldsets = (
        (None, {"fields": (("number", "customer"), ("state", "paid"), ("issue_date", "due_date"))}),
        (
            "Amounts",
            {
                "fields": (
                    ("net_amount", "discount_amount"),
                    ("tax_amount", "total_amount"),
                    ("paid_amount", "from_balance"),
                    ("credited_amount", "open_amount"),
                )
            },
        ),
        (
            "Terms",
            {
                "fields": (
                    ("collection_method", "payment_method"),
                    ("net_terms_days", "po_number"),
                    ("legal_entity", "test_clock"),
                    "e_invoice",
                )
            },
        ),
        ("Parties, as they stand on it", {"fields": ("seller", "buyer"), "classes": ("collapse",)}),
    )
    actions_detail = ("pdf", "xml", "ubl", "mark_as_paid", "charge", "finalize", "credit", "void", "write_off")
    state = columns.status("status")
    paid = columns.status("payment_status", "Payment")
    net_amount = columns.money("subtotal", "Net")
    discount_amount = columns.money("discount_total", "Discount")
    tax_amount = columns.money("tax_total", "Tax")
    total_amount = columns.money("total", "Total")
    paid_amount = columns.money("amount_paid", "Paid")
    from_balance = columns.money("balance_applied", "From the balance")
    credited_amount = columns.money("credit_note_total", "Credit notes")
    open_amount = columns.money("amount_due", "Still due")

    @handout("PDF", applies=lambda invoice: invoice.status != Status.DRAFT)
    def pdf(self, invoice: Invoice) -> HttpResponse:
        return files.pdf(documents.invoice_pdf(invoice=invoice, at=db.time_of(invoice)))

    @handout("XML", applies=lambda invoice: invoice.status not in {Status.DRAFT, Status.VOID})
    def xml(self, invoice: Invoice) -> HttpResponse:
        return files.e_invoice(invoice, "cii")

    @handout("UBL", applies=lambda invoice: invoice.status not in {Status.DRAFT, Status.VOID})
    def ubl(self, invoice: Invoice) -> HttpResponse:
        return files.e_invoice(invoice, "ubl")

    @display(description="E-invoice")
    def e_invoice(self, invoice: Invoice) -> str:
        if invoice.status == Status.DRAFT:
            return tandem.ABSENT
        return documents.why_no_e_invoice(invoice) or "Inside the PDF (EN 16931)"

    @step(
        "Mark as paid",
        explain=lambda invoice: (
            f"Money for {invoice} came another way: a transfer, a cheque. A part of it is fine too."
        ),
        done="The payment is recorded.",
        form=TransferForm,
        applies=lambda invoice: settlement.open_amount(invoice) > 0,
        permission="money",
        main=True,
    )
    def mark_as_paid(self, invoice: Invoice, *, at: datetime, **asked: Any) -> None:
        payments.record_manual(customer=invoice.customer, invoices=[invoice], method="transfer", at=at, **asked)

    @step(
        "Charge now",
        explain=lambda invoice: f"What is still due on {invoice} is taken from the customer's card at once.",
        done=lambda invoice: f"{invoice} was charged: see its payment for how that went.",
        applies=lambda invoice: invoice.status == Status.OPEN,
        permission="money",
    )
    def charge(self, invoice: Invoice, *, at: datetime) -> None:
        payments.collect(invoice=invoice, at=at)

    @step(
        "Finalize",
        explain="The draft gets its number and is fixed for good: nothing on it changes afterwards.",
        done="The invoice is issued.",
        applies=lambda invoice: invoice.status == Status.DRAFT,
        permission="money",
        main=True,
    )
    def finalize(self, invoice: Invoice, *, at: datetime) -> None:
        invoices.finalize(invoice=invoice, at=at)

    @step(
        "Credit note",
        explain=lambda invoice: (
            f"What is given back of {invoice}, line by line and before tax. What is still open is reduced first."
        ),
        done="The credit note is issued.",
        form=CreditForm,
        applies=_creditable,
        permission="money",
    )
    def credit(self, invoice: Invoice, *, at: datetime, **asked: Any) -> None:
        credit_notes.issue(invoice=invoice, origin=SubscriptionChange.Origin.ADMIN, at=at, **asked)

    @step(
        "Write off",
        explain=lambda invoice: (
            f"The money of {invoice} isn't expected any more. Should it come all the same, it settles the invoice."
        ),
        done=lambda invoice: f"{invoice} is uncollectible.",
        form=WriteOffForm,
        applies=lambda invoice: invoice.status == Status.OPEN,
        permission="money",
        danger=True,
    )
    def write_off(self, invoice: Invoice, *, at: datetime, **asked: Any) -> None:
        invoices.write_off(invoice=invoice, at=at, **asked)

    @step(
        "Void",
        explain=lambda invoice: (
            f"{invoice} is taken back. It keeps its number and stays in the books; this can't be undone."
        ),
        done=lambda invoice: f"{invoice} is void.",
        form=VoidForm,
        applies=lambda invoice: invoice.status == Status.OPEN,
        permission="money",
        danger=True,
    )
    def void(self, invoice: Invoice, *, at: datetime, **asked: Any) -> None:
        invoices.void(invoice=invoice, at=at, **asked)


@admin.register(Document)
class DocumentAdmin(ReadOnlyAdmin):
    list_display = ("filename", "kind", "about", "locale", "rendered_at")
    list_filter = ("kind",)
    list_select_related = ("invoice", "credit_note", "payment")
    search_fields = ("filename",)
    ordering = ("-rendered_at",)
    fields = ("filename", ("kind", "about"), ("locale", "rendered_at"), "sha256")
    actions_detail = ("download",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Document]:
        found: QuerySet[Document] = super().get_queryset(request).defer("content")
        return found

    @display(description="About")
    def about(self, document: Document) -> str:
        return columns.linked(document.invoice or document.credit_note or document.payment)

    @handout("Open the PDF")
    def download(self, document: Document) -> HttpResponse:
        return files.pdf(document)


@admin.register(Charge)
class ChargeAdmin(ReadOnlyAdmin):
    list_display = ("description", "payer", "kind", "state", "money", "invoice_at", "invoice")
    list_filter = (OnTestClock, "status", "kind")
    list_select_related = ("payer", "invoice_line__invoice")
    search_fields = ("payer__name", "description")
    ordering = ("-created_at",)
    fieldsets = (
        (None, {"fields": ("description", ("payer", "customer"), ("kind", "reason"), ("state", "invoice"))}),
        ("Amount", {"fields": (("money", "count"), "why")}),
        ("Period", {"fields": (("period_start", "period_end"), ("period_index", "revision"), "invoice_at")}),
    )
    state = columns.status("status")
    money = columns.money("amount", "Amount")
    count = columns.number("quantity", "Quantity")

    @display(description="Invoice")
    def invoice(self, charge: Charge) -> str:
        return columns.linked(charge.invoice_line.invoice if charge.invoice_line else None)

    @display(description="How it comes about")
    def why(self, charge: Charge) -> str:
        return "; ".join(wording.explain(charge.explanation, charge.currency))
