"""Credit notes, the balance of customers, and refunds: to read, with the steps that make and end them."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpResponse
from unfold import widgets
from unfold.decorators import display

from billing import credit_notes, documents, refunds, wording
from billing.credit_notes import LineCredit
from billing.models import BalanceEntry, CreditNote, CreditNoteLine, CreditNoteTax, Invoice, Payment, Refund
from billing.views import files
from gtm.shared import admin_columns as columns
from gtm.shared import db
from gtm.shared.admin_actors import NamesActors
from gtm.shared.admin_base import ReadOnlyAdmin, ReadOnlyTable
from gtm.shared.admin_fields import AmountField, Choice, to_minor
from gtm.shared.admin_filters import OnTestClock
from gtm.shared.admin_steps import StepForm, handout, step
from gtm.shared.templatetags import tandem

Settle = CreditNote.Settle


def minor(amount: Decimal, currency: str) -> int:
    """Minor units of what was entered. Raises ValidationError for more places than the currency has."""
    exact = to_minor(Decimal(amount), currency)
    if exact != exact.to_integral_value():
        raise forms.ValidationError("There is no such small amount of this currency.")
    return int(exact)


class CreditForm(StepForm):
    """A field for each line that has something left to give, and where the money goes."""

    settle = Choice(choices=Settle.choices, label="What is not open goes", initial=Settle.BALANCE)
    reason = forms.CharField(
        max_length=500,
        required=False,
        widget=widgets.UnfoldAdminTextInputWidget(),
        help_text="It stands on the credit note.",
    )

    def __init__(self, *args: Any, instance: Invoice, **kwargs: Any) -> None:
        super().__init__(*args, instance=instance, **kwargs)
        lines = list(instance.lines.select_related("invoice__customer").order_by("position"))
        left = credit_notes.creditable(lines)
        self.lines = [line for line in lines if left[line.pk]]
        for line in self.lines:
            most = tandem.money(left[line.pk], instance.currency)
            self.fields[f"line_{line.position}"] = AmountField(
                label=line.description, help_text=f"Before tax, {most} at most."
            )
        self.given: list[LineCredit] = []

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        self.given = [credit for line in self.lines if (credit := self._credit(line, cleaned)) is not None]
        if not self.given and not self.errors:
            raise forms.ValidationError("Enter what is given back of some line.")
        return {"lines": self.given, "settle": cleaned.get("settle"), "reason": cleaned.get("reason", "")}

    def _credit(self, line: Any, cleaned: dict[str, Any]) -> LineCredit | None:
        name = f"line_{line.position}"
        if not (entered := cleaned.get(name)):
            return None
        try:
            return LineCredit(line, minor(entered, self._invoice.currency))
        except forms.ValidationError as error:
            self.add_error(name, error)
            return None

    @property
    def _invoice(self) -> Invoice:
        assert isinstance(self.instance, Invoice)
        return self.instance

    def outcome(self) -> Sequence[str]:
        totals, money = credit_notes.preview(
            invoice=self._invoice, lines=self.given, settle=self.cleaned_data["settle"]
        )
        currency = self._invoice.currency
        parts = [
            ("Net", totals.subtotal),
            *((f"{tax.rate.name} {tax.rate.percentage.normalize():f} %", tax.amount) for tax in totals.taxes),
            ("Total", totals.total),
            ("Off what is open", money.offset),
            ("To the balance", money.balance),
            ("Refunded", money.refund),
        ]
        always = {"Net", "Total"}
        return [f"{name}: {tandem.money(amount, currency)}" for name, amount in parts if amount or name in always]

    def field_of(self, attr: str | None) -> str | None:
        """``lines.N.amount`` is about the N-th line that was filled in."""
        parts = (attr or "").split(".")
        if len(parts) == 3 and parts[0] == "lines" and int(parts[1]) < len(self.given):
            return f"line_{self.given[int(parts[1])].line.position}"
        return super().field_of(attr)


class NoteLineRows(ReadOnlyTable):
    model = CreditNoteLine
    related = ("credit_note", "invoice_line")
    verbose_name_plural = "lines"
    ordering = ("position",)
    fields = ("description", "period_start", "period_end", "net", "tax", "why")
    net = columns.money("amount", "Amount", currency="credit_note__currency")
    tax = columns.money("tax_amount", "Tax", currency="credit_note__currency")

    @display(description="How it comes about")
    def why(self, line: CreditNoteLine) -> str:
        return "; ".join(wording.explain(line.explanation, line.credit_note.currency))


class NoteTaxRows(ReadOnlyTable):
    model = CreditNoteTax
    related = ("credit_note",)
    verbose_name_plural = "taxes"
    fields = ("name", "percentage", "base", "sum")
    base = columns.money("taxable", "Taxable", currency="credit_note__currency")
    sum = columns.money("amount", "Tax", currency="credit_note__currency")


class RefundRows(ReadOnlyTable):
    model = Refund
    related = ("payment",)
    verbose_name_plural = "refunds"
    ordering = ("created_at",)
    fields = ("payment", "sum", "state", "by_hand", "failure_code", "refunded_at")
    sum = columns.money("amount", "Amount")
    state = columns.status("status")


class NoteRows(ReadOnlyTable):
    """The credit notes of an invoice or a customer."""

    model = CreditNote
    verbose_name_plural = "credit notes"
    ordering = ("-created_at",)
    fields = ("document", "issue_date", "sum", "settle", "reason")
    sum = columns.money("total", "Total")

    @display(description="Number")
    def document(self, note: CreditNote) -> str:
        return columns.linked(note)


@admin.register(CreditNote)
class CreditNoteAdmin(ReadOnlyAdmin):
    list_display = ("number", "customer", "invoice", "total_amount", "settle", "issue_date")
    list_filter = (OnTestClock, "settle", ("issue_date", admin.DateFieldListFilter))
    list_select_related = ("customer", "invoice")
    search_fields = ("number", "invoice__number", "customer__name", "customer__email")
    ordering = ("-created_at",)
    inlines = (NoteLineRows, NoteTaxRows, RefundRows)
    fieldsets = (
        (None, {"fields": (("number", "customer"), ("invoice", "issue_date"), "reason")}),
        ("Amounts", {"fields": (("net_amount", "tax_amount"), "total_amount")}),
        ("Settled", {"fields": ("settle", ("off_open", "to_balance"), "refunded")}),
        ("E-invoice", {"fields": ("e_invoice",)}),
        ("Parties, as they stand on it", {"fields": ("seller", "buyer"), "classes": ("collapse",)}),
    )
    net_amount = columns.money("subtotal", "Net")
    tax_amount = columns.money("tax_total", "Tax")
    total_amount = columns.money("total", "Total")
    off_open = columns.money("offset_amount", "Off what was open")
    to_balance = columns.money("balance_amount", "To the balance")
    refunded = columns.money("refund_amount", "Refunded")
    actions_detail = ("pdf", "xml", "ubl")

    @handout("PDF")
    def pdf(self, note: CreditNote) -> HttpResponse:
        return files.pdf(documents.credit_note_pdf(note=note, at=db.time_of(note)))

    @handout("XML")
    def xml(self, note: CreditNote) -> HttpResponse:
        return files.e_invoice(note, "cii")

    @handout("UBL")
    def ubl(self, note: CreditNote) -> HttpResponse:
        return files.e_invoice(note, "ubl")

    @display(description="E-invoice")
    def e_invoice(self, note: CreditNote) -> str:
        return documents.why_no_e_invoice(note) or "Inside the PDF (EN 16931)"


class EntryRows(NamesActors, ReadOnlyTable):
    """What moved a customer's balance, with the sum after each movement."""

    model = BalanceEntry
    tab = True
    per_page = 20
    related = ("invoice", "credit_note", "payment")
    verbose_name_plural = "balance"
    ordering = ("-created_at", "-id")
    fields = ("occurred_at", "kind", "moved", "sum", "where", "reason", "who")
    moved = columns.money("amount", "Amount")
    sum = columns.money("balance_after", "Balance")

    @display(description="From")
    def where(self, entry: BalanceEntry) -> str:
        return columns.linked(entry.credit_note or entry.invoice or entry.payment)


@admin.register(BalanceEntry)
class BalanceEntryAdmin(NamesActors, ReadOnlyAdmin):
    list_display = ("occurred_at", "customer", "kind", "moved", "sum", "reason")
    list_filter = (OnTestClock, "kind", ("occurred_at", admin.DateFieldListFilter))
    list_select_related = ("customer",)
    search_fields = ("customer__name", "customer__email", "reason")
    ordering = ("-created_at", "-id")
    fields = (
        ("customer", "occurred_at"),
        ("kind", "who"),
        ("moved", "sum"),
        "reason",
        ("invoice", "credit_note"),
        ("payment", "refund"),
    )
    moved = columns.money("amount", "Amount")
    sum = columns.money("balance_after", "Balance afterwards")


class PaidOutForm(StepForm):
    reference = forms.CharField(
        max_length=200,
        required=False,
        widget=widgets.UnfoldAdminTextInputWidget(),
        help_text="As on the bank statement.",
    )


def _waits_for_hand(refund: Refund) -> bool:
    return refund.by_hand and refund.status == Refund.Status.PENDING


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    list_display = ("public_id", "customer", "money", "state", "by_hand", "failure_code", "created_at")
    list_filter = (OnTestClock, "status", "by_hand")
    list_select_related = ("customer",)
    search_fields = ("customer__name", "customer__email", "gateway_reference__exact")
    ordering = ("-created_at",)
    fieldsets = (
        (None, {"fields": (("customer", "payment"), ("money", "state"), ("credit_note", "reason"))}),
        ("How", {"fields": (("by_hand", "refunded_at"), ("gateway_reference", "failure_code"))}),
    )
    actions_detail = ("paid_out", "give_up")
    state = columns.status("status")
    money = columns.money("amount", "Amount")

    @step(
        "Paid out",
        explain="The money was sent back by hand.",
        done="The refund is done.",
        form=PaidOutForm,
        applies=_waits_for_hand,
        permission="money",
        main=True,
    )
    def paid_out(self, refund: Refund, *, at: datetime, reference: str) -> None:
        refunds.pay_out(refund=refund, reference=reference, at=at)

    @step(
        "Can't be paid out",
        explain="The amount stands to the customer's credit instead, and pays its next invoices.",
        done="The amount stands to the customer's credit.",
        applies=_waits_for_hand,
        permission="money",
    )
    def give_up(self, refund: Refund, *, at: datetime) -> None:
        refunds.give_up(refund=refund, at=at)


class RefundForm(StepForm):
    amount = AmountField(required=True)
    reason = forms.CharField(max_length=500, required=False, widget=widgets.UnfoldAdminTextInputWidget())

    def __init__(self, *args: Any, instance: Payment, **kwargs: Any) -> None:
        super().__init__(*args, instance=instance, **kwargs)
        left = tandem.money(instance.amount - instance.amount_refunded, instance.currency)
        self.fields["amount"].help_text = f"{left} at most, and no more than stands to the customer's credit."

    def clean_amount(self) -> int:
        assert isinstance(self.instance, Payment)
        return minor(self.cleaned_data["amount"], self.instance.currency)
