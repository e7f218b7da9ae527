"""Pages of the back office: each save and each deletion calls the operation that publishes its fact.

A page can add, change or delete only what its class has an operation for. What an operation refuses is shown on the
form, at the field it names. Of two people who edit one object at once, the second is told.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import models
from django.forms.models import InlineForeignKeyField, construct_instance
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode
from unfold.admin import ModelAdmin, StackedInline, TabularInline

from gtm.shared import db, saving
from gtm.shared.errors import Conflict, DomainError
from gtm.shared.models import Resource, Role

SEEN = "_seen"
STALE = "Somebody else changed this while you edited it, so nothing was saved. Open the page again to see it as it is."

_ONE_SAVE_BUTTON = {"show_save_and_add_another": False, "show_save_and_continue": False}


def is_founder(request: HttpRequest) -> bool:
    user = request.user
    return user.is_authenticated and (user.is_superuser or user.has_role(Role.FOUNDER))


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an operation said no to, and which form of the page it concerns (None: the main one)."""

    detail: str
    attr: str | None = None
    prefix: str | None = None


class RowRefused(Exception):
    """An operation refused what one row of a page says; ``prefix`` names the row's form."""

    def __init__(self, error: DomainError, prefix: str | None) -> None:
        super().__init__(error.detail)
        self.error, self.prefix = error, prefix


@contextmanager
def row(form: forms.BaseForm) -> Iterator[None]:
    """Let a refusal inside be shown at this row of the page."""
    try:
        yield
    except DomainError as error:
        raise RowRefused(error, form.prefix) from error


class OperationForm(forms.ModelForm):
    """Checks each field by itself. Rules across fields are the operation's, which says them in words."""

    refusal: ClassVar[Refusal | None] = None

    def _post_clean(self) -> None:
        """Django's own way without the constraints, of which it only knows the names; and what was refused before."""
        exclude = self._get_validation_exclusions()  # type: ignore[attr-defined]
        exclude |= {name for name, field in self.fields.items() if isinstance(field, InlineForeignKeyField)}
        self.instance = construct_instance(self, self.instance, self._meta.fields, self._meta.exclude)
        try:
            self.instance.clean_fields(exclude=exclude)
        except ValidationError as error:
            self._update_errors(error)  # type: ignore[attr-defined]
        if self._validate_unique:  # type: ignore[attr-defined]
            self.validate_unique()
        if self.refusal is not None and self.refusal.prefix == self.prefix:
            self.add_error(self._field_of(self.refusal.attr or ""), self.refusal.detail)

    def _field_of(self, attr: str) -> str | None:
        """The field that an operation names; of ``billing_address.city`` the form may have either part."""
        parts = (attr, attr.rpartition(".")[2], attr.partition(".")[0])
        return next((part for part in parts if part in self.fields), None)

    def values(self) -> dict[str, Any]:
        """What was entered, for an operation that creates: fields left empty take the model's defaults."""
        return {name: value for name, value in self.cleaned_data.items() if value not in (None, "")}

    def changes(self) -> dict[str, Any]:
        """What differs from what was shown, for an operation that changes."""
        return {name: self.cleaned_data[name] for name in self.changed_data if name in self.cleaned_data}


class OperationAdmin(ModelAdmin):
    """A page whose writes are operations. Subclasses give ``create``, ``change`` and ``remove`` where there is one."""

    form = OperationForm
    list_per_page = 50
    show_full_result_count = False
    warn_unsaved_form = True
    compressed_fields = False
    list_filter_sheet = True

    # --- the operations, given by the subclass -----------------------------------------------------
    def create(self, *, at: datetime, **values: Any) -> models.Model:
        raise NotImplementedError

    def change(self, instance: Any, *, at: datetime, **changes: Any) -> models.Model:
        raise NotImplementedError

    def remove(self, instance: Any, *, at: datetime) -> None:
        raise NotImplementedError

    def save_rows(self, request: HttpRequest, instance: Any, formset: Any) -> None:
        """Save what was entered in the rows of an inline."""
        raise NotImplementedError

    def notes(self, request: HttpRequest, instance: Any) -> list[str]:
        """What a reader of the page should know first: why something can't be changed, what a change will do."""
        return []

    def warnings(self, request: HttpRequest, instance: Any) -> list[str]:
        """What a reader of the page should be warned of."""
        return []

    def _offers(self, operation: str) -> bool:
        return getattr(type(self), operation) is not getattr(OperationAdmin, operation)

    # --- who may -----------------------------------------------------------------------------------
    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.admin_site.has_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.admin_site.has_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._offers("create") and is_founder(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._offers("change") and is_founder(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._offers("remove") and is_founder(request)

    def has_founder_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_founder(request)

    def has_money_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Steps about money are finance's work too, who are the others that may enter."""
        return self.admin_site.has_permission(request)

    # --- saving ------------------------------------------------------------------------------------
    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm]:
        form: type[forms.ModelForm] = super().get_form(request, obj, change, **kwargs)
        form.refusal = refusal_in(request)  # type: ignore[attr-defined]
        return form

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """A refused save is rolled back, and the page shown again with the refusal among the form's errors."""
        context = (extra_context or {}) | self._page_context(request, object_id)
        try:
            return super().changeform_view(request, object_id, form_url, context)
        except (DomainError, RowRefused, ValidationError) as error:
            request.refusal = _refusal(error)  # type: ignore[attr-defined]
            return super().changeform_view(request, object_id, form_url, context)

    def _page_context(self, request: HttpRequest, object_id: str | None) -> dict[str, Any]:
        instance = self.get_object(request, object_id) if object_id else None
        if instance is None:
            return _ONE_SAVE_BUTTON | {"title": f"Create {self.opts.verbose_name}"}
        seen = request.POST.get(SEEN) or self.state_of(instance)
        told = {"notes": self.notes(request, instance), "warnings": self.warnings(request, instance)}
        return _ONE_SAVE_BUTTON | {"seen": seen} | told | self.extra_context(request, instance)

    def extra_context(self, request: HttpRequest, instance: Any) -> dict[str, Any]:
        """What the page's own templates show besides the form."""
        return {}

    def state_of(self, instance: Any) -> str:
        """Changes when anything does that the page shows for editing."""
        if hasattr(instance, "version"):
            return str(instance.version)
        return digest([getattr(instance, field.attname) for field in instance._meta.concrete_fields if field.editable])

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Create or change by the operation; what it stored is what the page goes on with."""
        if not change:
            stored = self.create(at=db.now(), **form.values())
        else:
            stored = self._locked(request, obj)
            if changes := form.changes():
                stored = self.change(stored, at=instant_of(stored), **changes)
        vars(obj).update(vars(stored))

    def _locked(self, request: HttpRequest, obj: Any) -> Any:
        stored = db.lock_one(obj)
        if request.POST.get(SEEN, self.state_of(stored)) != self.state_of(stored):
            raise Conflict(STALE, code="stale")
        return stored

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        for formset in formsets:
            if formset.has_changed():
                self.save_rows(request, form.instance, formset)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """The buttons that make sense for the object as it is."""
        instance = self.get_object(request, str(object_id))
        offered = super().get_actions_detail(request, object_id)
        return [action for action in offered if instance and _applies(action, instance)]

    # --- deleting ----------------------------------------------------------------------------------
    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            return super().delete_view(request, object_id, extra_context)
        except DomainError as error:
            self.message_user(request, error.detail, messages.ERROR)
            return redirect(page_of(self.model, object_id))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.remove(obj, at=instant_of(obj))

    # --- the trail is the facts, not the admin's own log -----------------------------------------------
    def construct_change_message(self, *args: Any, **kwargs: Any) -> list[Any]:
        return []

    def log_addition(self, *args: Any, **kwargs: Any) -> None:
        """The operation has published a fact."""

    def log_change(self, *args: Any, **kwargs: Any) -> None:
        """The operation has published a fact."""

    def log_deletions(self, *args: Any, **kwargs: Any) -> None:
        """The operation has published a fact."""

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponseRedirect:
        address = reverse("admin:shared_event_changelist")
        return HttpResponseRedirect(f"{address}?{urlencode({'object_id__exact': object_id})}")


class ReadOnlyAdmin(OperationAdmin):
    """A page to read. What can be done about the object is among its steps."""

    warn_unsaved_form = False


def digest(values: Any) -> str:
    """The same in every process, unlike a hash."""
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


def _applies(action: Any, instance: models.Model) -> bool:
    return bool(getattr(action.method, "applies", lambda instance: True)(instance))


def refusal_in(request: HttpRequest) -> Refusal | None:
    """What the operation said no to when this request was tried the first time."""
    found: Refusal | None = getattr(request, "refusal", None)
    return found


def _refusal(error: DomainError | RowRefused | ValidationError) -> Refusal:
    if isinstance(error, RowRefused):
        return Refusal(error.error.detail, error.error.attr, error.prefix)
    found = saving.refusal(error) if isinstance(error, ValidationError) else error
    return Refusal(found.detail, found.attr)


def instant_of(instance: models.Model) -> datetime:
    """When something happens to the object that a page shows: its test clock's time, else the database's."""
    return db.now_for(instance) if isinstance(instance, Resource) else db.now()


def page_of(model: type[models.Model] | models.Model, key: object) -> str:
    """The address of an object's page."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[key])


# --- rows on the page of another object ------------------------------------------------------------
class _OperationRows:
    """Rows that founders edit; the page's ``save_rows`` calls the operations."""

    form = OperationForm
    extra = 0
    hide_title = False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True  # whoever sees the page

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_founder(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_founder(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_founder(request)

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)  # type: ignore[misc]
        formset.form.refusal = refusal_in(request)
        return formset


class OperationTable(_OperationRows, TabularInline):
    """In a table the head names the fields; who can't see it hears the name at each."""

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None:
            field.widget.attrs.setdefault("aria-label", field.label)
        return field


class OperationStack(_OperationRows, StackedInline):
    pass


class ReadOnlyTable(TabularInline):
    """Rows to read, with the objects in ``related`` read along."""

    related: tuple[str, ...] = ()
    extra = 0
    can_delete = False
    show_change_link = True
    hide_title = True

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[Any, ...]:
        return tuple(self.fields or ())

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        rows: models.QuerySet[Any] = super().get_queryset(request).select_related(*self.related)
        return rows

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True  # whoever sees the page

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
