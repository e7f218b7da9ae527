"""What is asked on a customer's page before money moves: adjustments, money that came in, invoices made by hand."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.utils import timezone
from unfold import widgets

from billing.admin.credit_notes import minor
from billing.models import Customer, Invoice
from billing.one_off import LineTerms
from gtm.shared import vendors
from gtm.shared.admin_fields import AmountField, to_minor
from gtm.shared.admin_steps import StepForm
from gtm.shared.templatetags import tandem

LINES = 6


def _text(label: str = "", **options: Any) -> forms.CharField:
    return forms.CharField(label=label or None, widget=widgets.UnfoldAdminTextInputWidget(), **options)


class _CustomerForm(StepForm):
    @property
    def customer(self) -> Customer:
        assert isinstance(self.instance, Customer)
        return self.instance

    @property
    def currency(self) -> str:
        return self.customer.currency or vendors.current().base_currency

    def clean_amount(self) -> int:
        return minor(self.cleaned_data["amount"], self.currency)


class AdjustmentForm(_CustomerForm):
    amount = AmountField(required=True, min_value=None, help_text="Less than 0 takes credit away.")
    reason = _text(max_length=500, help_text="The entry keeps it.")


class MoneyForm(_CustomerForm):
    """Money that came in, for all open invoices, the oldest first."""

    amount = AmountField(required=True)
    paid_at = forms.DateTimeField(label="Paid on", widget=widgets.UnfoldAdminTextInputWidget(attrs={"type": "date"}))
    reference = _text(max_length=200, required=False, help_text="As on the bank statement.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["paid_at"].initial = timezone.localdate().isoformat()

    def open_invoices(self) -> list[Invoice]:
        return open_invoices(self.customer)

    def outcome(self) -> Sequence[str]:
        left, told = self.cleaned_data["amount"], []
        for invoice in self.open_invoices():
            part = min(left, invoice.amount_due)
            left -= part
            if part:
                told.append(f"{invoice}: {tandem.money(part, invoice.currency)}")
        if left:
            told.append(f"To the balance: {tandem.money(left, self.currency)}")
        return told


def open_invoices(customer: Customer) -> list[Invoice]:
    """What the customer owes, in its currency and to one entity, the oldest first."""
    found = list(customer.invoices.filter(status=Invoice.Status.OPEN).order_by("due_date", "pk"))
    return [one for one in found if one.amount_due > 0 and one.legal_entity_id == found[0].legal_entity_id]


class InvoiceForm(_CustomerForm):
    """A few lines at a unit price; more of them, or one-time prices, over the API."""

    po_number = _text("PO number", max_length=100, required=False)
    finalize = forms.BooleanField(
        label="Issue it at once",
        required=False,
        widget=widgets.UnfoldBooleanSwitchWidget(),
        help_text="Otherwise it stays a draft.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for n in range(1, LINES + 1):
            self.fields[f"description_{n}"] = _text(f"Line {n}", max_length=500, required=False)
            self.fields[f"quantity_{n}"] = forms.DecimalField(
                label="Quantity", initial=1, min_value=0, widget=widgets.UnfoldAdminDecimalFieldWidget(), required=False
            )
            self.fields[f"price_{n}"] = AmountField(label="Unit price", help_text=self.currency)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        numbers = [n for n in range(1, LINES + 1) if cleaned.get(f"description_{n}") or cleaned.get(f"price_{n}")]
        if not numbers and not self.errors:
            raise forms.ValidationError("Enter a line.")
        return {
            "lines": [self._line(cleaned, n) for n in numbers],
            "po_number": cleaned.get("po_number") or None,
            "finalize": cleaned.get("finalize", False),
        }

    def _line(self, cleaned: dict[str, Any], n: int) -> LineTerms:
        quantity = cleaned.get(f"quantity_{n}")
        return LineTerms(
            description=cleaned.get(f"description_{n}", ""),
            quantity=Decimal(1) if quantity is None else quantity,
            unit_amount=to_minor(cleaned.get(f"price_{n}") or Decimal(), self.currency),
        )
