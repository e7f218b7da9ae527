"""What a buyer is told of refusals that are worded for integrators."""

from django import forms
from django.utils.translation import gettext as _

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


def _in_words(code: str) -> str:
    """What a buyer is told of refusals that are worded for integrators."""
    return {
        "unknown_token": _("Enter your card again."),
        PlaceUnknown.code: _("Your billing details lack a country or a state, which the tax depends on."),
        "meter_in_use": _("Another subscription of yours bills this usage already. Cancel it first, or write to us."),
        "payer_parked": _("Billing of your account is held up. Write to us, and we sort it out."),
        "collection_not_allowed": _("Your account is billed by invoice. Write to us, and we set it up."),
    }.get(code, "")


def in_words(form: forms.Form) -> str:
    """What the form says of itself, for a page that isn't shown anew."""
    told = {name: " ".join(map(str, problems)) for name, problems in form.errors.items()}
    return " ".join(
        f"{form.fields[name].label}: {text}" if name in form.fields else text for name, text in told.items()
    )
