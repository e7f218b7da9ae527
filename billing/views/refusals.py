"""What a buyer is told of refusals that are worded for integrators."""

from dataclasses import dataclass

from django import forms
from django.urls import reverse
from django.utils.translation import gettext as _

from billing import dunning_cases
from billing.models import Customer
from billing.taxation import PlaceUnknown
from gtm.shared.errors import DomainError


def explain(form: forms.Form, error: DomainError) -> None:
    """Say what is wrong where it can be put right."""
    field = {"region": "state", "gateway_token": "card"}.get(error.attr or "", error.attr)
    is_place = isinstance(error, PlaceUnknown)
    if field in form.fields:
        in_words = _("Needed to work out the tax.") if is_place else _in_words(error.code)
        form.add_error(field, in_words or error.detail)
    else:
        form.add_error(None, _in_words(PlaceUnknown.code if is_place else error.code) or error.detail)


def of(error: DomainError) -> str:
    """The refusal as a sentence for a customer."""
    return _in_words(error.code) or error.detail


def _in_words(code: str) -> str:
    """What a buyer is told of refusals that are worded for integrators."""
    return {
        "unknown_token": _("Enter your card again."),
        PlaceUnknown.code: _("Your billing details lack a country or a state, which the tax depends on."),
        "meter_in_use": _("Another subscription of yours bills this usage already. Cancel it first, or write to us."),
        "payer_parked": _("Billing of your account is held up. Write to us, and we sort it out."),
        "collection_not_allowed": _("Your account is billed by invoice. Write to us, and we set it up."),
    }.get(code, "")


@dataclass(frozen=True, slots=True)
class HeldUp:
    """Why billing waits, in words for the customer, with the page on which it can be mended; empty for none."""

    text: str
    url: str = ""
    label: str = ""


def held_up(customer: Customer) -> HeldUp | None:
    """What a customer is told whose billing is parked. The reason that is kept is worded for staff."""
    if customer.parked_at is None:
        return None
    if customer.parked_code != PlaceUnknown.code:
        text = _("Your next invoice takes a little longer: we are looking into it. There is nothing for you to do.")
        return HeldUp(f"{text} {_meanwhile(customer)}".strip())
    text = _("We need your country, and in some countries the state, to work out the tax on your next invoice.")
    url = reverse("portal_details", args=[customer.public_id])
    return HeldUp(f"{text} {_meanwhile(customer)}".strip(), url, _("Complete your billing details"))


def _meanwhile(customer: Customer) -> str:
    """Nothing of it is true while a failed charge is tried again, and access may end with it."""
    if dunning_cases.is_troubled(customer):
        return ""
    return _("Until then nothing is charged, and you keep your access.")


def in_words(form: forms.Form) -> str:
    """What the form says of itself, for a page that isn't shown anew."""
    told = {name: " ".join(map(str, problems)) for name, problems in form.errors.items()}
    return " ".join(
        f"{form.fields[name].label}: {text}" if name in form.fields else text for name, text in told.items()
    )
