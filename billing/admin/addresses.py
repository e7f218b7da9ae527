"""Addresses as people write them, line by line, over the one column that keeps them."""

from typing import Any, ClassVar

from django import forms
from unfold import widgets

from gtm.shared.admin_base import OperationForm

PARTS = ("line1", "line2", "postal_code", "city", "state")
ROWS = (("line1", "line2"), ("postal_code", "city"), ("state", "country"))


def _line(label: str, length: int = 200) -> forms.CharField:
    return forms.CharField(
        label=label, max_length=length, required=False, widget=widgets.UnfoldAdminTextInputWidget(), initial=""
    )


class AddressForm(OperationForm):
    """A form with an address in the column ``ADDRESS``; its country is the form's own ``country``."""

    ADDRESS: ClassVar[str]
    line1 = _line("Street and number")
    line2 = _line("Second line")
    postal_code = _line("Postal code", 20)
    city = _line("City", 100)
    state = _line("State or region", 100)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kept = getattr(self.instance, self.ADDRESS) or {}
        self.initial.update({name: kept.get(name, "") for name in PARTS})

    def values(self) -> dict[str, Any]:
        return self._with_address(super().values())

    def changes(self) -> dict[str, Any]:
        changed = super().changes()
        moved = not changed.keys().isdisjoint({*PARTS, "country"})
        return self._with_address(changed) if moved else changed

    def _with_address(self, values: dict[str, Any]) -> dict[str, Any]:
        entered = {name: self.cleaned_data[name] for name in (*PARTS, "country") if self.cleaned_data.get(name)}
        return {name: value for name, value in values.items() if name not in PARTS} | {self.ADDRESS: entered}
