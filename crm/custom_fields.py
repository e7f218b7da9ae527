"""The founders' own fields on accounts, contacts, leads and opportunities, and the values they take."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from crm.custom_values import Definition, merged
from crm.models import CustomField
from gtm.shared import db, outbox, saving
from gtm.shared.errors import Invalid

SETTLED = ("entity", "code", "kind")
MAX_ACTIVE = 50  # of one entity


def definitions(entity: str) -> list[Definition]:
    """The fields in use, in the order in which they are shown. One query."""
    rows = CustomField.objects.filter(entity=entity, is_active=True).order_by("position", "code")
    return [Definition(r.code, r.label, r.kind, tuple(r.choices), r.is_required) for r in rows]


def checked(*, entity: str, values: Mapping[str, Any], held: Mapping[str, Any], whole: bool) -> dict[str, Any]:
    """What the object holds after ``values`` are set. Raises Invalid (``custom.CODE``); see ``custom_values``."""
    return merged(definitions(entity), values, held, whole=whole)


@transaction.atomic
def create(*, at: datetime, entity: str, code: str, label: str, **terms: Any) -> CustomField:
    """Define a field; publishes ``crm.custom_field.created``. Raises Invalid for a code that is taken."""
    db.advisory_lock("crm.custom_fields", entity)
    if CustomField.objects.filter(entity=entity, is_active=True).count() >= MAX_ACTIVE:
        raise Invalid(f"At most {MAX_ACTIVE} fields of one kind of object.", attr="entity")
    field = CustomField(entity=entity, code=code, label=label, **_clean(terms))
    _refuse_no_choices(field)
    saving.insert(field)
    outbox.publish("crm.custom_field.created", field, at=at, data={"entity": entity, "code": code})
    return field


@transaction.atomic
def change(*, field: CustomField, at: datetime, **terms: Any) -> CustomField:
    """Change label, choices, order, whether it is required or in use; entity, code and kind stay as they were.

    Values that were given before stay. Publishes ``crm.custom_field.changed``.
    """
    field = db.lock_one(field)
    if settled := {
        name for name in ("entity", "code", "kind") if terms.get(name, getattr(field, name)) != getattr(field, name)
    }:
        raise Invalid("This can't be changed: values were given under it.", attr=min(settled))
    for name, value in _clean(terms).items():
        setattr(field, name, value)
    _refuse_no_choices(field)
    saving.clean(field)
    field.save(update_fields=list(terms))
    data = {"entity": field.entity, "code": field.code, "changed": sorted(terms)}
    outbox.publish("crm.custom_field.changed", field, at=at, data=data)
    return field


def _clean(terms: Mapping[str, Any]) -> dict[str, Any]:
    """Choices without blanks and repetitions."""
    found = dict(terms)
    if "choices" in found:
        words = [str(word).strip()[:100] for word in found["choices"]]
        found["choices"] = list(dict.fromkeys(word for word in words if word))
    return found


def _refuse_no_choices(field: CustomField) -> None:
    if field.kind == CustomField.Kind.CHOICE and not field.choices:
        raise Invalid("Say what one may choose from.", code="required", attr="choices")
