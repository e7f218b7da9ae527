"""Write an object of the API so that a broken rule of its model becomes an anticipated refusal, and not a crash.

Fields are checked before the write; uniqueness is left to the database, which alone decides between two at once. When
it refuses, the whole model is checked again to say in words which rule was broken.
"""

from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import IntegrityError, models, transaction

from gtm.shared.errors import Invalid
from gtm.shared.models import Resource, write


def insert(instance: models.Model) -> None:
    """Insert a new row. Raises Invalid for a field that doesn't fit, and for a value that is taken (``unique``)."""
    clean(instance)
    try:
        with transaction.atomic():
            instance.save(force_insert=True)
    except IntegrityError:
        _check_rules(instance)
        raise


def change(instance: Resource, **changes: Any) -> dict[str, Any]:
    """Set what differs, raise the version, and return the previous values; nothing is written where nothing differs.

    Raises Invalid as ``insert`` does.
    """
    previous = {name: getattr(instance, name) for name, value in changes.items() if getattr(instance, name) != value}
    if not previous:
        return {}
    for name in previous:
        setattr(instance, name, changes[name])
    clean(instance, only=set(previous))
    try:
        with transaction.atomic():
            write(instance, **{name: getattr(instance, name) for name in previous})
    except IntegrityError:
        _check_rules(instance)
        raise
    return previous


def clean(instance: models.Model, *, only: set[str] | None = None) -> None:
    """Bring the fields to their types and check each by itself. Raises Invalid."""
    skipped = set() if only is None else {field.name for field in instance._meta.fields} - only
    try:
        instance.clean_fields(exclude=skipped)
    except ValidationError as error:
        raise refusal(error) from error


def refusal(error: ValidationError) -> Invalid:
    """The first complaint of Django's validation, as an error of the domain."""
    if not hasattr(error, "error_dict"):
        return Invalid(" ".join(error.messages), code=error.error_list[0].code or "invalid")
    field, problems = next(iter(error.error_dict.items()))
    attr = None if field == NON_FIELD_ERRORS else field
    return Invalid(" ".join(problems[0].messages), code=problems[0].code or "invalid", attr=attr)


def _check_rules(instance: models.Model) -> None:
    try:
        instance.validate_unique()
        instance.validate_constraints()
    except ValidationError as error:
        raise refusal(error) from error
