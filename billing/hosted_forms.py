"""What whoever holds a link to an invoice may say: by which card it is paid, and its purchase order."""

import uuid
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing import gateways
from billing.gateways import GatewayUnavailable
from billing.models import Customer, PaymentMethod
from gtm.shared.templatetags.tandem import money

SAVED, NEW = "saved", "new"


class PayForm(forms.Form):
    """The payer's own card, or another. ``amount`` is what was shown; ``attempt`` makes a second click the same one."""

    card = forms.ChoiceField(label=gettext_lazy("Payment method"), widget=forms.RadioSelect)
    keep = forms.BooleanField(label=gettext_lazy("Use this card for later invoices, too"), required=False)
    amount = forms.IntegerField(widget=forms.HiddenInput)
    attempt = forms.UUIDField(widget=forms.HiddenInput)
    given = forms.CharField(widget=forms.HiddenInput, max_length=200, required=False)

    def __init__(
        self, sent: Any = None, *, payer: Customer, saved: PaymentMethod | None, amount: int, currency: str
    ) -> None:
        super().__init__(sent, initial={"amount": amount, "attempt": uuid.uuid4()})
        self.due, self.currency = amount, currency
        self.entry = _entry(payer)
        self.choices = [*_on_file(saved), *(_another(saved) if self.entry else _others(payer))]
        self.fields["card"].choices = self.choices  # type: ignore[attr-defined]
        self.fields["card"].initial = self.choices[0][0] if self.choices else None

    @property
    def uses_saved(self) -> bool:
        return bool(self.cleaned_data["card"] == SAVED)

    @property
    def card_field(self) -> forms.BoundField:
        """What the gateway's card field brings: see ``billing/_card.html``."""
        return self["given"]

    def clean(self) -> None:
        """Nobody pays another amount than the one that was shown."""
        super().clean()
        if self.cleaned_data.get("card") == NEW and not self.cleaned_data.get("given"):
            self.add_error("given", _("Enter your card."))
        if self.cleaned_data.get("amount") not in (None, self.due):
            self.data = {name: self.data.get(name) for name in self.data} | {"amount": str(self.due)}
            values = {"amount": money(self.due, self.currency)}
            self.add_error(None, _("What is due has changed: it is %(amount)s now.") % values)


def _on_file(saved: PaymentMethod | None) -> list[tuple[str, str]]:
    return [(SAVED, _("%(card)s, on file") % {"card": saved})] if saved else []


def _another(saved: PaymentMethod | None) -> list[tuple[str, str]]:
    return [(NEW, _("Another card") if saved else _("Card"))]


def _entry(payer: Customer) -> dict[str, str] | None:
    try:
        return gateways.entry(gateways.of_customer(payer))
    except GatewayUnavailable:
        return None


def _others(payer: Customer) -> list[tuple[str, str]]:
    """What can be chosen from a list: the sandbox's methods. A gateway with a script of its own asks on its page."""
    try:
        return [(method.token, method.label) for method in gateways.of_customer(payer).test_methods()]
    except GatewayUnavailable:
        return []


class PurchaseOrderForm(forms.Form):
    po_number = forms.CharField(label=gettext_lazy("PO number"), max_length=100, required=False)
