"""What visitors and reps type."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from crm import blockers, needs
from crm.custom_forms import WithCustomFields
from crm.models import Account, Contact
from gtm.shared import countries


def country_choices() -> list[tuple[str, str]]:
    return [("", str(_("Choose a country"))), *countries.choices()]


class NextStepForm(forms.Form):
    """What follows the step of a deal that was due."""

    next_step = forms.CharField(max_length=300)
    next_step_on = forms.DateField()


class LeadStepForm(forms.Form):
    to = forms.CharField(max_length=10)
    reason = forms.CharField(required=False, max_length=500)


class AccountForm(WithCustomFields, forms.ModelForm):  # type: ignore[type-arg]
    """The facts that a person may set by hand."""

    entity = "account"
    country = forms.ChoiceField(label=_("Country"), choices=country_choices, required=False)
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
