"""The founders' own fields on a form: one control each, ``custom_CODE``, and their values as operations take them."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from crm.custom_fields import definitions
from crm.custom_values import MAX_TEXT, Definition
from gtm.shared.models import Resource

PREFIX = "custom_"


class WithCustomFields(forms.BaseForm):
    """For forms that name their ``entity`` and call ``add_custom_fields``."""

    entity: str

    def add_custom_fields(self, held: Mapping[str, Any]) -> None:
        for definition in definitions(self.entity):
            control = _control(definition)
            control.initial = held.get(definition.code)
            self.fields[f"{PREFIX}{definition.code}"] = control

    def facts(self) -> dict[str, Any]:
        """What was entered, with the founders' own fields under ``custom``."""
        found = {name: value for name, value in self.cleaned_data.items() if not name.startswith(PREFIX)}
        own = {name.removeprefix(PREFIX): value for name, value in self.cleaned_data.items() if name not in found}
        return found | {"custom": own} if own else found

    def add_version(self, seen: Resource) -> None:
        """The version that the form shows, so that it is refused once somebody else has changed it."""
        if not seen._state.adding:
            self.fields["version"] = forms.IntegerField(required=False, widget=forms.HiddenInput, initial=seen.version)


def _control(definition: Definition) -> forms.Field:
    said: dict[str, Any] = {"label": definition.label, "required": definition.required}
    match definition.kind:
        case "number":
            return forms.FloatField(**said)
        case "yes_no":
            answers = [("", "–"), (True, _("Yes")), (False, _("No"))]
            return forms.TypedChoiceField(
                choices=answers, coerce=lambda text: text in (True, "True"), empty_value=None, **said
            )
        case "date":
            return forms.DateField(widget=forms.DateInput(attrs={"type": "date"}), **said)
        case "choice":
            return forms.ChoiceField(choices=[("", "–"), *((word, word) for word in definition.choices)], **said)
        case "link":
            return forms.URLField(max_length=MAX_TEXT, assume_scheme="https", **said)
        case _:
            return forms.CharField(max_length=MAX_TEXT, **said)
