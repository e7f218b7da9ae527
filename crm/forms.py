"""What visitors and reps type."""

import re
from datetime import timedelta
from typing import Any

from django import forms
from django.core import signing
from django.utils.translation import gettext_lazy as _

from crm import needs
from crm.leads import MAX_EMPLOYEES, MAX_MESSAGE
from crm.models import Account, Alert
from gtm.shared import countries

_LINK = re.compile(r"https?://|www\.", re.IGNORECASE)
_SHOWN = "crm.contact"


def country_choices() -> list[tuple[str, str]]:
    return [("", str(_("Choose a country"))), *countries.choices()]


class ContactForm(forms.Form):
    """The contact form. Nothing in it is a riddle: spam is told by what people do not do.

    A field that people do not see must stay empty, and who sends links at once, or without having opened the page,
    is asked to leave the links out.
    """

    PERSON_TAKES = timedelta(seconds=2)
    PAGE_LASTS = timedelta(days=2)

    name = forms.CharField(label=_("Your name"), max_length=200, widget=forms.TextInput(attrs={"autocomplete": "name"}))
    email = forms.EmailField(
        label=_("Work email"), max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )
    company = forms.CharField(
        label=_("Company"), max_length=200, widget=forms.TextInput(attrs={"autocomplete": "organization"})
    )
    employee_count = forms.IntegerField(
        label=_("Number of employees"),
        min_value=1,
        max_value=MAX_EMPLOYEES,
        help_text=_("A rough figure will do."),
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )
    country = forms.ChoiceField(
        label=_("Country"),
        choices=country_choices,
        required=False,
        widget=forms.Select(attrs={"autocomplete": "country"}),
    )
    needs = forms.MultipleChoiceField(
        label=_("What do you need?"),
        choices=list(needs.LABELS.items()),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    message = forms.CharField(
        label=_("What would you like to know?"),
        max_length=MAX_MESSAGE,
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
    )
    plan = forms.SlugField(required=False, max_length=60, widget=forms.HiddenInput)
    opened = forms.CharField(required=False, max_length=200, widget=forms.HiddenInput)
    referral_code = forms.CharField(required=False, max_length=200)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["opened"].initial = signing.TimestampSigner(salt=_SHOWN).sign("page")

    @property
    def shown_fields(self) -> list[forms.BoundField]:
        return [field for field in self.visible_fields() if field.name != "referral_code"]

    @property
    def is_trap_sprung(self) -> bool:
        return bool(self.cleaned_data.get("referral_code"))

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        written = " ".join(str(data.get(name, "")) for name in ("name", "company", "message"))
        if _LINK.search(written) and self._was_too_quick(data.get("opened", "")):
            raise forms.ValidationError(_("Please send your message without links."), code="links")
        return data

    def _was_too_quick(self, opened: str) -> bool:
        """Whether the page was opened a moment ago, or long ago, or never."""
        signer = signing.TimestampSigner(salt=_SHOWN)
        try:
            signer.unsign(opened, max_age=self.PAGE_LASTS)
        except signing.BadSignature:  # or SignatureExpired, which is one
            return True
        try:
            signer.unsign(opened, max_age=self.PERSON_TAKES)
        except signing.SignatureExpired:
            return False
        return True


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
