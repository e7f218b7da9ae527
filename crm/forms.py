"""What visitors and reps type."""

from datetime import timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from crm import needs
from crm.models import Account, Alert
from gtm.shared import countries


def country_choices() -> list[tuple[str, str]]:
    return [("", str(_("Choose a country"))), *countries.choices()]


class AlertStepForm(forms.Form):
    """A button on an alert's card."""

    SNOOZES = {"1d": timedelta(days=1), "3d": timedelta(days=3), "7d": timedelta(days=7)}

    to = forms.ChoiceField(choices=Alert.State.choices)
    until = forms.ChoiceField(choices=[(name, name) for name in SNOOZES], required=False)
    feedback = forms.ChoiceField(choices=[("useful", "useful"), ("not_useful", "not useful")], required=False)
    reason = forms.CharField(required=False, max_length=500)


class LeadStepForm(forms.Form):
    to = forms.CharField(max_length=10)
    reason = forms.CharField(required=False, max_length=500)


class AccountForm(forms.ModelForm):  # type: ignore[type-arg]
    """The facts that a person may set by hand."""

    country = forms.ChoiceField(label=_("Country"), choices=country_choices, required=False)
    needs = forms.MultipleChoiceField(label=_("Stated needs"), required=False, widget=forms.CheckboxSelectMultiple)

    class Meta:
        model = Account
        fields = ("name", "employee_count", "industry", "country", "needs", "target_list")
        labels = {"employee_count": _("Number of employees"), "target_list": _("On the target list")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = [(need, need.replace("_", " ")) for need in self.instance.needs if need not in needs.LABELS]
        self.fields["needs"].choices = [*needs.LABELS.items(), *own]  # type: ignore[attr-defined]
