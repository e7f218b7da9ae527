"""What visitors and reps type."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from crm import blockers, needs
from crm.custom_forms import WithCustomFields
from crm.models import Account, Contact
from gtm.shared import countries, vendors
from gtm.shared.money import is_currency, parse_major, to_major


def country_choices() -> list[tuple[str, str]]:
    return [("", str(_("Choose a country"))), *countries.choices()]


class NextStepForm(forms.Form):
    """What follows the step of a deal that was due."""

    next_step = forms.CharField(max_length=300)
    next_step_on = forms.DateField()


class LeadStepForm(forms.Form):
    to = forms.CharField(max_length=10)
    reason = forms.CharField(required=False, max_length=500)


class WorthForm(forms.BaseForm):
    """For forms of an account that call ``show_worth``: amounts typed in major units of one currency."""

    AMOUNTS = ("expected_value", "company_revenue")

    def show_worth(self, account: Account) -> None:
        for name in self.AMOUNTS:
            if (amount := getattr(account, name)) is not None:
                self.fields[name].initial = f"{to_major(amount, account.value_currency):f}"
        self.fields["value_currency"].initial = account.value_currency or vendors.current().base_currency

    def read_worth(self) -> None:
        """Make minor units of what was typed; errors stand at their fields. Without amounts there is no currency."""
        typed = {name: _plain(self.cleaned_data.get(name)) for name in self.AMOUNTS}
        currency = str(self.cleaned_data.get("value_currency") or "").upper() if any(typed.values()) else ""
        self.cleaned_data["value_currency"] = currency
        if any(typed.values()) and not is_currency(currency):
            self.add_error("value_currency", _("Give the currency of the amounts, such as EUR."))
            return
        for name, text in typed.items():
            self.cleaned_data[name] = self._minor(name, text, currency) if text else None

    def _minor(self, name: str, text: str, currency: str) -> int | None:
        try:
            amount = parse_major(text, currency)
        except ValueError:
            amount = -1
        if amount < 0:
            self.add_error(name, _("Give an amount such as 12000 or 12000.50."))
        return amount if amount >= 0 else None


def _plain(text: str | None) -> str:
    return (text or "").replace(" ", "").replace(",", "")


def _amount(label: Any, help_text: Any) -> forms.CharField:
    widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})
    return forms.CharField(label=label, help_text=help_text, max_length=30, required=False, widget=widget)


class AccountForm(WorthForm, WithCustomFields, forms.ModelForm):  # type: ignore[type-arg]
    """The facts that a person may set by hand."""

    entity = "account"
    country = forms.ChoiceField(label=_("Country"), choices=country_choices, required=False)
    expected_value = _amount(_("Expected value"), _("What they may come to pay in a year."))
    company_revenue = _amount(_("Their own revenue"), _("What the company takes in a year."))
    value_currency = forms.CharField(label=_("Currency of both"), max_length=3, required=False)
    needs = forms.MultipleChoiceField(label=_("Stated needs"), required=False, widget=forms.CheckboxSelectMultiple)
    blockers = forms.MultipleChoiceField(
        label=_("What keeps them from buying"),
        required=False,
        choices=list(blockers.LABELS.items()),
        widget=forms.CheckboxSelectMultiple,
    )
    feedback_url = forms.URLField(
        label=_("Link to their feedback"),
        required=False,
        max_length=500,
        assume_scheme="https",
        help_text=_("Where what they say about the product is kept."),
    )

    class Meta:
        model = Account
        fields = (
            *("name", "employee_count", "industry", "country", "needs", "blockers"),
            *("target_list", "is_referenceable", "feedback_url"),
        )
        labels = {
            "employee_count": _("Number of employees"),
            "target_list": _("On the target list"),
            "is_referenceable": _("May be named to other customers"),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = [(need, need.replace("_", " ")) for need in self.instance.needs if need not in needs.LABELS]
        self.fields["needs"].choices = [*needs.LABELS.items(), *own]  # type: ignore[attr-defined]
        self.add_custom_fields(self.instance.custom)
        self.add_version(self.instance)
        self.show_worth(self.instance)

    def clean(self) -> dict[str, Any]:
        super().clean()
        self.read_worth()
        return self.cleaned_data


class NewAccountForm(forms.Form):
    """A company by its name and domain; the rest is known by and by."""

    name = forms.CharField(label=_("Company"), max_length=200)
    domain = forms.CharField(
        label=_("Domain"), max_length=253, required=False, help_text=_("Such as acme.com. People are matched by it.")
    )


class PersonForm(WithCustomFields, forms.ModelForm):  # type: ignore[type-arg]
    """A person at an account."""

    entity = "contact"

    class Meta:
        model = Contact
        fields = ("name", "email", "title", "phone", "buying_role", "unsubscribed")
        labels = {
            "email": _("Email"),
            "title": _("Job title"),
            "buying_role": _("Role in buying"),
            "unsubscribed": _("Wants no mail from sales"),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_custom_fields(self.instance.custom)
        self.add_version(self.instance)

    def _post_clean(self) -> None:
        """The operation checks the whole and says what is wrong in words."""


class DomainForm(forms.Form):
    domain = forms.CharField(label=_("Another domain"), max_length=253)


class ParentForm(forms.Form):
    """By its name in the address, its id or one of its domains."""

    parent = forms.CharField(label=_("Belongs to"), max_length=253, required=False)


class MergeForm(forms.Form):
    """Which field is whose, as ``field.NAME``; and that two who pay stay apart."""

    keep_customers_apart = forms.BooleanField(required=False)
    PICK = "field."

    @property
    def picks(self) -> dict[str, str]:
        return {
            name.removeprefix(self.PICK): str(side) for name, side in self.data.items() if name.startswith(self.PICK)
        }
