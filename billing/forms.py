"""What visitors and customers type."""

from collections.abc import Collection, Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.utils.translation import gettext_lazy as _

from billing.gateways.sandbox import LABELS
from billing.models import Checkout, Customer
from gtm.shared import countries, languages
from gtm.shared.models import User

MAX_QUANTITY = 100_000


def country_choices() -> list[tuple[str, str]]:
    return [("", str(_("Choose a country"))), *countries.choices()]


class CardForm(forms.Form):
    """The sandbox's list of test cards; there is no field for a number, so that nobody types a real one."""

    card = forms.ChoiceField(
        label=_("Test card"), choices=list(LABELS.items()), widget=forms.RadioSelect, initial="pm_card_visa"
    )


class CheckoutForm(CardForm):
    """One purchase. ``asks`` names what isn't known yet; ``offer`` is what was on sale when the page was shown."""

    checkout = forms.UUIDField(widget=forms.HiddenInput)
    offer = forms.CharField(widget=forms.HiddenInput, required=False)
    interval = forms.ChoiceField(label=_("Billing"), widget=forms.RadioSelect)
    quantity = forms.IntegerField(label=_("Quantity"), min_value=1, max_value=MAX_QUANTITY, initial=1)
    coupon = forms.CharField(
        label=_("Have a code?"), max_length=60, required=False, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    email = forms.EmailField(label=_("Email"), widget=forms.EmailInput(attrs={"autocomplete": "email"}))
    password = forms.CharField(
        label=_("Password"),
        help_text=_("At least 10 characters. You sign in with it later."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    name = forms.CharField(
        label=_("Company or name"), max_length=200, widget=forms.TextInput(attrs={"autocomplete": "organization"})
    )
    country = forms.ChoiceField(
        label=_("Country"),
        help_text=_("It decides the tax."),
        choices=country_choices,
        widget=forms.Select(attrs={"autocomplete": "country"}),
    )
    state = forms.CharField(
        label=_("State or region"),
        max_length=100,
        required=False,
        help_text=_("In the United States and Canada its two letters, such as CA."),
        widget=forms.TextInput(attrs={"autocomplete": "address-level1"}),
    )

    OPTIONAL = ("quantity", "coupon", "email", "password", "name", "country", "state", "card")
    field_order = ("checkout", "offer", "interval", *OPTIONAL)

    def __init__(self, *args: Any, intervals: Sequence[tuple[str, str]], asks: Collection[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["interval"].choices = intervals  # type: ignore[attr-defined]
        if len(intervals) == 1:
            self.fields["interval"].widget = forms.HiddenInput()
        for name in self.OPTIONAL:
            if name not in asks:
                del self.fields[name]

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"].lower()
        begun = self.cleaned_data.get("checkout")  # the second of two clicks finds whom the first has signed up
        is_own = begun is not None and Checkout.objects.filter(pk=begun, user__email=email).exists()
        if not is_own and User.objects.filter(email=email).exists():
            known = _("There is an account with this address already. Sign in to buy with it.")
            raise forms.ValidationError(known, code="known")
        return email

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        validate_password(password, User(email=self.data.get("email", ""), name=self.data.get("name", "")))
        return password

    def clean(self) -> None:
        """Nobody pays a price other than the one that was shown."""
        super().clean()
        if self.cleaned_data.get("offer") not in ("", self.initial["offer"]):
            self.data = {**self.data, "offer": self.initial["offer"]}
            changed = _("The price has changed since you opened this page. Look at your order before you buy.")
            self.add_error(None, forms.ValidationError(changed, code="changed"))

    @property
    def sections(self) -> list[tuple[str, list[forms.BoundField]]]:
        groups = (
            (_("Plan"), ("interval", "quantity", "coupon")),
            (_("About you"), ("email", "password", "name", "country", "state")),
            (_("Payment"), ("card",)),
        )
        shown = {field.name: field for field in self.visible_fields()}
        found = [(str(title), [shown[name] for name in names if name in shown]) for title, names in groups]
        return [(title, fields) for title, fields in found if fields]


class BillingDetailsForm(forms.Form):
    """What stands on the next invoices; issued ones keep what they say."""

    name = forms.CharField(label=_("Company or name"), max_length=200)
    email = forms.EmailField(label=_("Email for invoices"))
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
    preferred_locale = forms.ChoiceField(
        label=_("Language"),
        required=False,
        help_text=_("Of your invoices and of mail about them."),
        choices=settings.LANGUAGES,
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
            "preferred_locale": languages.supported(customer.preferred_locale),
        }

    def changes(self) -> dict[str, Any]:
        """The fields of ``customers.change``."""
        data = self.cleaned_data
        address = {name: data[name] for name in self.ADDRESS if data[name]} | {"country": data["country"]}
        names = ["name", "email", "country", "tax_id", "po_number"]
        if data["preferred_locale"] not in ("", self.initial.get("preferred_locale")):  # de-AT stays what it is
            names.append("preferred_locale")
        return {name: data[name] for name in names} | {"billing_address": address}
