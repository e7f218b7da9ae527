"""What visitors and customers type."""

from typing import Any

from django import forms
from django.contrib.auth.password_validation import validate_password
from django.utils.translation import gettext_lazy as _

from billing.gateways.sandbox import CARDS
from billing.models import Customer
from billing.wording import billed
from gtm.shared import countries
from gtm.shared.models import User

CARD_LABELS = {
    "pm_card_visa": _("Visa 4242 (pays)"),
    "pm_card_mastercard": _("Mastercard 4444 (pays)"),
    "pm_card_chargeDeclined": _("Visa 0002 (is declined)"),
    "pm_card_chargeDeclinedInsufficientFunds": _("Visa 9995 (has insufficient funds)"),
    "pm_card_authenticationRequired": _("Visa 3184 (asks for confirmation)"),
}
assert CARD_LABELS.keys() <= CARDS.keys()
MAX_QUANTITY = 100_000


def country_choices() -> list[tuple[str, str]]:
    return [("", str(_("Choose a country"))), *countries.choices()]


class CardForm(forms.Form):
    """The sandbox's list of test cards; there is no field for a number, so that nobody types a real one."""

    card = forms.ChoiceField(
        label=_("Test card"), choices=list(CARD_LABELS.items()), widget=forms.RadioSelect, initial="pm_card_visa"
    )


class CheckoutForm(CardForm):
    checkout = forms.UUIDField(widget=forms.HiddenInput)
    interval = forms.ChoiceField(label=_("Billing"), widget=forms.RadioSelect)
    quantity = forms.IntegerField(label=_("Quantity"), min_value=1, max_value=MAX_QUANTITY, initial=1)
    email = forms.EmailField(label=_("E-mail"), widget=forms.EmailInput(attrs={"autocomplete": "email"}))
    password = forms.CharField(
        label=_("Password"),
        help_text=_("At least 10 characters. You sign in with it later."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    name = forms.CharField(
        label=_("Company or name"), max_length=200, widget=forms.TextInput(attrs={"autocomplete": "organization"})
    )
    country = forms.ChoiceField(label=_("Country"), help_text=_("It decides the tax."), choices=country_choices)

    field_order = ("interval", "quantity", "email", "password", "name", "country", "card", "checkout")

    def __init__(
        self,
        *args: Any,
        intervals: list[tuple[str, str]],
        per_seat: bool,
        user: User | None,
        customer: Customer | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.intervals, self.customer = intervals, customer
        self.fields["interval"].choices = [(name, billed(name, 1)) for name in intervals]  # type: ignore[attr-defined]
        known = [
            name
            for name, absent in (
                ("quantity", not per_seat),
                ("email", user),
                ("password", user),
                ("name", customer),
                ("country", customer and customer.place),
            )
            if absent
        ]
        for name in known:
            del self.fields[name]

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"].lower()
        if User.objects.filter(email=email).exists():
            raise forms.ValidationError(
                _("There is an account with this address. Sign in first, then come back to this page."), code="known"
            )
        return email

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        validate_password(password, User(email=self.data.get("email", "")))
        return password

    @property
    def sections(self) -> list[tuple[str, list[forms.BoundField]]]:
        groups = (
            (_("Your order"), ("interval", "quantity")),
            (_("About you"), ("email", "password", "name", "country")),
            (_("Payment"), ("card",)),
        )
        return [
            (str(title), found)
            for title, names in groups
            if (found := [self[name] for name in names if name in self.fields])
        ]


class BillingDetailsForm(forms.Form):
    """What stands on the next invoices; issued ones keep what they say."""

    name = forms.CharField(label=_("Company or name"), max_length=200)
    email = forms.EmailField(label=_("E-mail for invoices"))
    line1 = forms.CharField(label=_("Street and number"), max_length=200, required=False)
    line2 = forms.CharField(label=_("Second line"), max_length=200, required=False)
    postal_code = forms.CharField(label=_("Postal code"), max_length=20, required=False)
    city = forms.CharField(label=_("City"), max_length=100, required=False)
    state = forms.CharField(label=_("State or region"), max_length=100, required=False)
    country = forms.ChoiceField(label=_("Country"), choices=country_choices)
    tax_id = forms.CharField(label=_("VAT or tax number"), max_length=40, required=False)
    po_number = forms.CharField(
        label=_("PO number"), max_length=100, required=False, help_text=_("Printed on your invoices.")
    )

    ADDRESS = ("line1", "line2", "postal_code", "city", "state")

    @classmethod
    def initial_of(cls, customer: Customer) -> dict[str, Any]:
        address = {name: customer.billing_address.get(name, "") for name in cls.ADDRESS}
        return address | {
            "name": customer.name,
            "email": customer.email,
            "country": customer.place,
            "tax_id": customer.tax_id,
            "po_number": customer.po_number,
        }

    def changes(self) -> dict[str, Any]:
        """The fields of ``customers.change``."""
        data = self.cleaned_data
        address = {name: data[name] for name in self.ADDRESS if data[name]} | {"country": data["country"]}
        return {name: data[name] for name in ("name", "email", "country", "tax_id", "po_number")} | {
            "billing_address": address
        }
