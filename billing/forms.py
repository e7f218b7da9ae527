"""What visitors and customers type."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.validators import validate_email
from django.utils.html import format_html
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy as _

from billing import gateways, wording
from billing.gateways import Gateway
from billing.models import Customer, Member, Price
from billing.selection import ItemTerms
from gtm.shared import countries, languages
from gtm.shared.models import User, Vendor
from gtm.shared.templatetags.tandem import price as price_text

MAX_QUANTITY = 100_000


def country_choices() -> list[tuple[str, str]]:
    return [("", str(_("Choose a country"))), *countries.choices()]


def _text(label: Any, autocomplete: str, most: int = 100, **options: Any) -> forms.CharField:
    """A line of text that may be left empty."""
    widget = forms.TextInput(attrs={"autocomplete": autocomplete})
    return forms.CharField(label=label, max_length=most, required=False, widget=widget, **options)


class CardForm(forms.Form):
    """How to pay. There is no field for a number: Stripe has its own, and the sandbox a list of test methods.

    ``card`` comes back as the reference of a setup or as a test method's token (see ``payment_methods.take``).
    """

    card = forms.CharField(widget=forms.HiddenInput, max_length=200, error_messages={"required": _("Enter your card.")})

    def __init__(self, *args: Any, gateway: Gateway | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gateway = gateway or gateways.of_customer(Customer())
        if methods := self.gateway.test_methods():
            choices = [(method.token, method.label) for method in methods]
            self.fields["card"] = forms.ChoiceField(
                label=_("Test card"), choices=choices, widget=forms.RadioSelect, initial=choices[0][0]
            )

    @property
    def card_field(self) -> forms.BoundField:
        return self["card"]

    @property
    def entry(self) -> dict[str, str] | None:
        """The gateway's script and key for the card field of the page; None where a test method is chosen."""
        return gateways.entry(self.gateway) if "card" in self.fields else None


class CheckoutForm(CardForm):
    """One purchase. ``asks`` names what isn't known yet; ``offer`` is what was on sale when the page was shown."""

    checkout = forms.UUIDField(widget=forms.HiddenInput)
    offer = forms.CharField(widget=forms.HiddenInput, required=False)
    interval = forms.ChoiceField(label=_("Billing"), widget=forms.RadioSelect)
    quantity = forms.IntegerField(label=_("Quantity"), min_value=1, max_value=MAX_QUANTITY, initial=1)
    coupon = _text(_("Have a code?"), "off", 60)
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
    state = _text(
        _("State or region"),
        "address-level1",
        help_text=_("In the United States and Canada its two letters, such as CA."),
    )
    line1 = _text(_("Street and number"), "address-line1", 200)
    line2 = _text(_("Second line"), "address-line2", 200)
    postal_code = _text(_("Postal code"), "postal-code", 20)
    city = _text(_("City"), "address-level2")
    tax_id = _text(
        _("VAT or tax number"),
        "off",
        40,
        help_text=_("If you buy for a company. A valid VAT id of another EU country means reverse charge."),
    )
    terms = forms.BooleanField(error_messages={"required": _("Please agree before you buy.")})

    STREET = ("line1", "postal_code", "city")
    OPTIONAL = (
        "quantity",
        "coupon",
        "email",
        "password",
        "name",
        "country",
        "state",
        "tax_id",
        "line1",
        "line2",
        "postal_code",
        "city",
        "card",
        "terms",
    )
    field_order = ("checkout", "offer", "interval", *OPTIONAL)

    def __init__(
        self,
        *args: Any,
        intervals: Sequence[tuple[str, str]],
        asks: Collection[str],
        add_ons: Sequence[Price] = (),
        vendor: Vendor | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.fields["interval"].choices = intervals  # type: ignore[attr-defined]
        if len(intervals) == 1:
            self.fields["interval"].widget = forms.HiddenInput()
        for name in self.OPTIONAL:
            if name not in asks:
                del self.fields[name]
        self.add_ons = {add_on_field(price): price for price in add_ons}
        for name, price in self.add_ons.items():
            self.fields[name] = _add_on(price)
        if "terms" in self.fields and vendor:
            self.fields["terms"].label = agreement(vendor)

    def ordered(self, values: Mapping[str, Any]) -> tuple[ItemTerms, ...]:
        """The add-ons among what was typed or is known, valid or not yet."""
        found = ((price, _count(values.get(name))) for name, price in self.add_ons.items())
        return tuple(ItemTerms(price, count) for price, count in found if count)

    def clean_email(self) -> str:
        """Whether it is known is only said to who buys in earnest: a form alone must not tell who is a customer."""
        return str(self.cleaned_data["email"]).lower()

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        validate_password(password, User(email=self.data.get("email", ""), name=self.data.get("name", "")))
        return password

    def clean(self) -> None:
        """Nobody pays a price other than the one that was shown. An invoice with a VAT id needs the whole address."""
        super().clean()
        for name in self.STREET if self.cleaned_data.get("tax_id") else ():
            if name in self.fields and not self.cleaned_data.get(name):
                self.add_error(
                    name, forms.ValidationError(_("An invoice with a tax number needs it."), code="required")
                )
        if self.entry and set(self.errors) > {"card"}:
            del self._errors["card"]  # type: ignore[attr-defined]  # the card is asked for when the rest is right
        if self.cleaned_data.get("offer") not in ("", self.initial["offer"]):
            self.data = {**self.data, "offer": self.initial["offer"]}
            changed = _("The price has changed since you opened this page. Look at your order before you buy.")
            self.add_error(None, forms.ValidationError(changed, code="changed"))

    @property
    def sections(self) -> list[dict[str, Any]]:
        """Groups of fields with a ``title``; one that is ``folded`` need not be seen."""
        groups = (
            (_("Plan"), ("interval", "quantity", *self.add_ons, "coupon"), False),
            (_("About you"), ("email", "password", "name", "country", "state", "tax_id"), False),
            (_("Billing address"), ("line1", "line2", "postal_code", "city"), True),
        )
        shown = {field.name: field for field in self.visible_fields()}
        found = [(str(title), [shown[name] for name in names if name in shown], fold) for title, names, fold in groups]
        return [
            {"title": title, "fields": fields, "folded": fold, "open": any(one.errors or one.value() for one in fields)}
            for title, fields, fold in found
            if fields
        ]


def add_on_field(price: Price) -> str:
    return f"add_on_{price.code}"


def _add_on(price: Price) -> forms.Field:
    """How many, or whether at all."""
    line = wording.price_line(price)
    costs = f"{price_text(line['amount'], line['currency'])} {line['per']}" if line["amount"] is not None else ""
    label = ": ".join(filter(None, [price.name or price.code, "; ".join(filter(None, [costs, line["text"]]))]))
    if wording.is_per_seat(price):
        return forms.IntegerField(label=label, min_value=0, max_value=MAX_QUANTITY, required=False, initial=0)
    return forms.BooleanField(label=label, required=False)


def _count(value: Any) -> int:
    """How many were typed: 1 for a box that is ticked, 0 for nonsense."""
    text = str(value or "")
    if text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_QUANTITY)):
        return min(int(text), MAX_QUANTITY)
    return 1 if text in {"on", "True"} else 0


def agreement(vendor: Vendor) -> str:
    """What is agreed to, with links to it."""
    links = {
        "terms": format_html('<a href="{}" target="_blank" rel="noopener">{}</a>', vendor.terms_url, _("terms")),
        "privacy": format_html(
            '<a href="{}" target="_blank" rel="noopener">{}</a>', vendor.privacy_url, _("privacy policy")
        ),
    }
    both = _("I agree to the %(terms)s and the %(privacy)s.")
    return mark_safe((both if vendor.privacy_url else _("I agree to the %(terms)s.")) % links)  # noqa: S308 -- the links are escaped, the rest is ours


class BillingDetailsForm(forms.Form):
    """What stands on the next invoices; issued ones keep what they say."""

    name = forms.CharField(label=_("Company or name"), max_length=200)
    email = forms.EmailField(label=_("Email for invoices"))
    billing_emails = forms.CharField(
        label=_("Further addresses for invoices"),
        required=False,
        max_length=1000,
        help_text=_("One on each line. They get your invoices instead of the address above."),
        widget=forms.Textarea(attrs={"rows": 2, "autocomplete": "off"}),
    )
    line1 = _text(_("Street and number"), "address-line1", 200)
    line2 = _text(_("Second line"), "address-line2", 200)
    postal_code = _text(_("Postal code"), "postal-code", 20)
    city = _text(_("City"), "address-level2")
    state = _text(_("State or region"), "address-level1")
    country = forms.ChoiceField(label=_("Country"), choices=country_choices)
    tax_id = _text(_("VAT or tax number"), "off", 40)
    po_number = _text(_("PO number"), "off", help_text=_("Printed on your invoices."))
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
            "billing_emails": "\n".join(customer.billing_emails),
            "country": customer.place,
            "tax_id": customer.tax_id,
            "po_number": customer.po_number,
            "preferred_locale": languages.supported(customer.preferred_locale),
        }

    def clean_billing_emails(self) -> list[str]:
        found = [part for part in re.split(r"[\s,;]+", self.cleaned_data["billing_emails"]) if part]
        for address in found:
            validate_email(address)
        return list(dict.fromkeys(found))

    def changes(self) -> dict[str, Any]:
        """The fields of ``customers.change``."""
        data = self.cleaned_data
        address = {name: data[name] for name in self.ADDRESS if data[name]} | {"country": data["country"]}
        names = ["name", "email", "billing_emails", "country", "tax_id", "po_number"]
        if data["preferred_locale"] not in ("", self.initial.get("preferred_locale")):  # de-AT stays what it is
            names.append("preferred_locale")
        return {name: data[name] for name in names} | {"billing_address": address}


# --- people ------------------------------------------------------------------------------------
def role_choices() -> list[tuple[str, str]]:
    return [(role, wording.role_name(role)) for role in Member.Role.values]


class RoleForm(forms.Form):
    role = forms.ChoiceField(label=_("Role"), choices=role_choices, initial=Member.Role.VIEWER)


class InvitationForm(RoleForm):
    email = forms.EmailField(label=_("Email"), widget=forms.EmailInput(attrs={"autocomplete": "off"}))
    field_order = ("email", "role")
