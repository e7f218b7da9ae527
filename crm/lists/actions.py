"""What is done to many rows of any list: give them an owner, set a field, put them into a view."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from crm.lists.filters import reps
from crm.lists.listing import Action, Column, Edit
from crm.models import SavedView, SavedViewRow
from gtm.shared import ids
from gtm.shared.errors import Invalid
from gtm.shared.models import User

Apply = Callable[[Any, Mapping[str, Any], datetime, User], dict[str, Any] | None]
Undo = Callable[[Any, dict[str, Any], datetime, User], str]


class RepField(forms.TypedChoiceField):
    """One of those who may own something."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=[("", gettext_lazy("Choose somebody")), *reps()], coerce=_user, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return value.public_id if isinstance(value, User) else value


def _user(public_id: str) -> User:
    return User.objects.get(pk=ids.decode(public_id, prefix=User.PREFIX))


def owner_field(_user: User) -> forms.Field:
    return RepField(label=gettext_lazy("Owner"))


class ActionForm(forms.Form):
    """Asks for what an action needs; ``params`` are that as it is stored with the job."""

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def params(self) -> dict[str, Any]:
        return {name: _stored(value) for name, value in self.cleaned_data.items()}


def _stored(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, User):
        return value.public_id
    return str(value) if isinstance(value, date | Decimal) else value


class OwnerForm(ActionForm):
    field_order = ("owner", "reason")
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=500, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["owner"] = owner_field(self.user)
        self.order_fields(self.field_order)


class SnoozeForm(ActionForm):
    days = forms.TypedChoiceField(
        label=gettext_lazy("For"),
        choices=[("1", gettext_lazy("1 day")), ("3", gettext_lazy("3 days")), ("7", gettext_lazy("7 days"))],
        coerce=int,
    )


class ViewForm(ActionForm):
    """One's own views of picked rows, or a new one."""

    view = forms.ChoiceField(label=gettext_lazy("View"), required=False)
    name = forms.CharField(label=gettext_lazy("Or a new one"), max_length=60, required=False)

    def __init__(self, *args: Any, entity: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.entity = entity
        own = SavedView.objects.filter(owner=self.user, entity=entity, picked=True).order_by("name")
        self.fields["view"].choices = [("", "–"), *((view.public_id, view.name) for view in own)]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if not data.get("view") and not data.get("name", "").strip():
            raise forms.ValidationError(_("Choose a view, or name a new one."))
        return data

    def params(self) -> dict[str, Any]:
        data = self.cleaned_data
        return {"view": data["view"] or _new_view(self.user, self.entity, data["name"].strip()).public_id}


def _new_view(user: User, entity: str, name: str) -> SavedView:
    """Of that name, the one there is already counts."""
    view, made = SavedView.objects.get_or_create(
        owner=user, entity=entity, name=name, defaults={"picked": True, "position": 100}
    )
    if made:
        SavedView.objects.filter(pk=view.pk).update(query=f"view={view.public_id}")
    return view


def add_to_view(row: Any, params: Mapping[str, Any], _at: datetime, user: User) -> dict[str, Any] | None:
    view = SavedView.objects.get(pk=ids.decode(params["view"], prefix=SavedView.PREFIX), owner=user)
    _found, made = SavedViewRow.objects.get_or_create(view=view, object_id=row.pk)
    return {"view": params["view"]} if made else None


def remove_from_view(row: Any, before: dict[str, Any], _at: datetime, user: User) -> str:
    view = ids.decode(before["view"], prefix=SavedView.PREFIX)
    SavedViewRow.objects.filter(view=view, view__owner=user, object_id=row.pk).delete()
    return ""


# --- owners ------------------------------------------------------------------------------------
def assigning(column: str, give: Callable[[Any, User, datetime, str], Any]) -> tuple[Apply, Undo]:
    """Give the row to somebody; the undoing gives it back to who had it, where the new one has it still."""

    def apply(row: Any, params: Mapping[str, Any], at: datetime, _user_: User) -> dict[str, Any] | None:
        owner, before = _user(params["owner"]), getattr(row, column)
        if before == owner:
            return None
        give(row, owner, at, params.get("reason", ""))
        return {"owner": before.public_id if before else None, "now": params["owner"]}

    def undo(row: Any, before: dict[str, Any], at: datetime, _user_: User) -> str:
        owner = getattr(row, column)
        if owner is None or owner.public_id != before["now"]:
            return _("Somebody else was given it since.")
        if before["owner"] is None:
            return _("It had no owner: it stays with the new one.")
        give(row, _user(before["owner"]), at, _("bulk edit undone"))
        return ""

    return apply, undo


# --- fields ------------------------------------------------------------------------------------
class FieldForm(ActionForm):
    """A new value for one column; it is stored as it was typed, and read again for each row."""

    def __init__(self, *args: Any, edit: Edit, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["value"] = edit.form_field(self.user)

    def params(self) -> dict[str, Any]:
        return {"value": self.fields["value"].widget.value_from_datadict(self.data, self.files, "value")}


def setting(column: Column) -> Action:
    """Set one column of many rows, by the operation of its cell."""
    edit = column.edit
    assert edit is not None

    def apply(row: Any, params: Mapping[str, Any], at: datetime, user: User) -> dict[str, Any] | None:
        value, before = _cleaned(edit, params["value"], user), edit.value(row)
        if value == before:
            return None
        edit.write(row, value, at)
        return {"before": _stored(before), "now": params["value"]}

    def undo(row: Any, before: dict[str, Any], at: datetime, user: User) -> str:
        if edit.value(row) != _cleaned(edit, before["now"], user):
            return _("It was changed since.")
        edit.write(row, _cleaned(edit, before["before"], user), at)
        return ""

    label = gettext_lazy("Set: %(field)s") % {"field": column.label}
    return Action(f"set_{column.code}", label, partial(FieldForm, edit=edit), apply, undo)


def _cleaned(edit: Edit, value: Any, user: User) -> Any:
    try:
        return edit.form_field(user).clean("" if value is None else value)
    except ValidationError as error:
        raise Invalid(" ".join(error.messages)) from error
