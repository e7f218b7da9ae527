"""What visitors fill in: the contact form, and the forms that founders make. Nothing in them is a riddle."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.core import signing
from django.utils.translation import gettext_lazy as _

from crm import lead_forms, needs, spam
from crm.forms import country_choices
from crm.leads import MAX_EMPLOYEES, MAX_MESSAGE
from crm.models import LeadForm, LeadFormField
from crm.spam import Sending

_SIGNED = signing.Signer(salt="crm.opened")
Kind = LeadFormField.Kind


def opened_at(page: str, at: datetime) -> str:
    """Says, signed, when ``page`` was opened: it needs no cookie, which a page within another's is not given."""
    return _SIGNED.sign(f"{page}:{int(at.timestamp())}")


def age_of(stamp: str, page: str, at: datetime) -> timedelta | None:
    """How long ago the page was opened by the stamp; None for a stamp that is none of that page's."""
    try:
        name, _colon, seconds = _SIGNED.unsign(stamp).rpartition(":")
    except signing.BadSignature:
        return None
    return at - datetime.fromtimestamp(int(seconds), UTC) if name == page else None


class Guarded(forms.Form):
    """Carries what tells people from programs: a stamp of when it was opened, and a field that people do not see."""

    PAGE = ""
    LENIENT = False
    SHORT: tuple[str, ...] = ("name", "company")
    LONG: tuple[str, ...] = ("message",)

    opened = forms.CharField(required=False, max_length=200, widget=forms.HiddenInput)
    referral_code = forms.CharField(required=False, max_length=200)

    def __init__(self, *args: Any, at: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.at = at
        self.fields["opened"].initial = opened_at(self.PAGE, at)

    @property
    def shown_fields(self) -> list[forms.BoundField]:
        return [field for field in self.visible_fields() if field.name != "referral_code"]

    def suspicions(self, *, one_of_many: bool, from_allowed_page: bool = False) -> list[str]:
        said = self.cleaned_data
        sending = Sending(
            age=age_of(said["opened"], self.PAGE, self.at),
            trap=said["referral_code"],
            from_allowed_page=from_allowed_page,
            one_of_many=one_of_many,
            lenient=self.LENIENT,
            short=" ".join(str(said.get(name, "")) for name in self.SHORT),
            long=" ".join(str(said.get(name, "")) for name in self.LONG),
        )
        return spam.suspicions(sending)


def name_field() -> forms.CharField:
    widget = forms.TextInput(attrs={"autocomplete": "name"})
    return forms.CharField(label=_("Your name"), max_length=200, widget=widget)


def email_field() -> forms.EmailField:
    widget = forms.EmailInput(attrs={"autocomplete": "email"})
    return forms.EmailField(label=_("Work email"), max_length=254, widget=widget)


def company_field(**said: Any) -> forms.CharField:
    widget = forms.TextInput(attrs={"autocomplete": "organization"})
    named: dict[str, Any] = {"label": _("Company"), "max_length": 200, "widget": widget}
    return forms.CharField(**named | said)


def employees_field(**said: Any) -> forms.IntegerField:
    widget = forms.NumberInput(attrs={"inputmode": "numeric"})
    named: dict[str, Any] = {
        "label": _("Number of employees"),
        "help_text": _("A rough figure will do."),
        "widget": widget,
    }
    return forms.IntegerField(min_value=1, max_value=MAX_EMPLOYEES, **named | said)


def country_field(**said: Any) -> forms.ChoiceField:
    widget = forms.Select(attrs={"autocomplete": "country"})
    named: dict[str, Any] = {"label": _("Country"), "required": False, "widget": widget}
    return forms.ChoiceField(choices=country_choices, **named | said)


def needs_field(**said: Any) -> forms.MultipleChoiceField:
    named: dict[str, Any] = {"label": _("What do you need?"), "required": False, "widget": forms.CheckboxSelectMultiple}
    return forms.MultipleChoiceField(choices=list(needs.LABELS.items()), **named | said)


def message_field(**said: Any) -> forms.CharField:
    widget = forms.Textarea(attrs={"rows": 4})
    named: dict[str, Any] = {"label": _("What would you like to know?"), "required": False, "widget": widget}
    return forms.CharField(max_length=MAX_MESSAGE, **named | said)


class ContactForm(Guarded):
    """Who only asks is let through at any speed: companies that are ready to talk are few."""

    PAGE = "contact"
    LENIENT = True

    name = name_field()
    email = email_field()
    company = company_field()
    employee_count = employees_field()
    country = country_field()
    needs = needs_field()
    message = message_field()
    plan = forms.SlugField(required=False, max_length=60, widget=forms.HiddenInput)


class VisitorForm(Guarded):
    """A form of the founders', as its visitors see it: name and address, its fields, and consent where it asks."""

    OF_LEADS = {
        Kind.COMPANY: company_field,
        Kind.EMPLOYEE_COUNT: employees_field,
        Kind.COUNTRY: country_field,
        Kind.NEEDS: needs_field,
        Kind.MESSAGE: message_field,
    }

    def __init__(self, *args: Any, form: LeadForm, at: datetime, **kwargs: Any) -> None:
        self.PAGE = f"form:{form.code}"
        super().__init__(*args, at=at, **kwargs)
        self.fields |= {"name": name_field(), "email": email_field(), **dict(self._asked(form))}
        if form.consent_text:
            self.fields["consent"] = forms.BooleanField(label=form.consent_text)

    def _asked(self, form: LeadForm) -> Iterator[tuple[str, forms.Field]]:
        for terms in lead_forms.terms(form):
            said: dict[str, Any] = {"required": terms.required} | ({"label": terms.label} if terms.label else {})
            made = self.OF_LEADS.get(Kind(terms.kind))
            yield terms.code, made(**said) if made else _question(terms, said)
            if terms.kind in (Kind.TEXT, Kind.CHOICE):
                self.SHORT = (*self.SHORT, terms.code)
            elif terms.kind == Kind.LONG_TEXT:
                self.LONG = (*self.LONG, terms.code)


def _question(terms: lead_forms.FieldTerms, said: dict[str, Any]) -> forms.Field:
    if terms.kind == Kind.CHOICE:
        return forms.ChoiceField(choices=[("", "–"), *((choice, choice) for choice in terms.choices)], **said)
    if terms.kind == Kind.YES_NO:
        return forms.BooleanField(**said)
    widget = forms.Textarea(attrs={"rows": 3}) if terms.kind == Kind.LONG_TEXT else forms.TextInput()
    return forms.CharField(max_length=2000 if terms.kind == Kind.LONG_TEXT else 200, widget=widget, **said)
