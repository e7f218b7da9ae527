"""How an object is named from outside: by id, by code where it has one, by ``external_id:`` and the integrator's id."""

from contextlib import suppress
from functools import reduce
from operator import or_
from typing import Any, TypeVar, cast

from django.conf import settings
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.utils.module_loading import import_string

from gtm.shared import ids
from gtm.shared.models import Row, User

R = TypeVar("R", bound=Row)
CUSTOMER = "cus"
EXTERNAL = "external_id:"


def visible(model: type[R], user: User | None) -> models.QuerySet[R]:
    """The rows that ``user`` (None: the installation) may see, by the QuerySet's ``visible_to`` where it has one.

    Other tables follow the customer: billing knows no sales, so that it can't say whose customers are whose, and
    ``settings.CUSTOMER_SCOPE`` names the function that can. What belongs to no customer is for all of the staff.
    """
    queryset = model._default_manager.all()
    if visible_to := getattr(queryset, "visible_to", None):
        return cast("models.QuerySet[R]", visible_to(user))
    columns = _customer_columns(model)
    if user is None or user.sees_all or not columns:
        return queryset
    customers = import_string(settings.CUSTOMER_SCOPE)(user)
    conditions = [models.Q(**{f"{column}__in": customers}) for column in columns]
    return queryset.filter(reduce(or_, conditions))


def workable(model: type[R], user: User | None) -> models.QuerySet[R]:
    """The rows that ``user`` may change, by the QuerySet's ``workable_by`` where it has one; else those it may see."""
    queryset = model._default_manager.all()
    if workable_by := getattr(queryset, "workable_by", None):
        return cast("models.QuerySet[R]", workable_by(user))
    return visible(model, user)


def is_workable(row: Row, user: User | None) -> bool:
    """Whether ``user``, who sees the row, may change it. Asks nothing where its table makes no difference."""
    queryset = type(row)._default_manager.all()
    if user is None or not hasattr(queryset, "workable_by"):
        return True
    return bool(queryset.workable_by(user).filter(pk=row.pk).exists())


def may_add(model: type[Row], user: User | None) -> bool:
    """Whether ``user`` may make such a row at all: who works nothing adds nothing either."""
    workable_by = getattr(model._default_manager.all(), "workable_by", None)
    return user is None or workable_by is None or not workable_by(user).query.is_empty()


def _customer_columns(model: type[Row]) -> list[str]:
    """Where the table says whose a row is."""
    if model.PREFIX == CUSTOMER:
        return ["pk"]
    return [field.name for field in model._meta.fields if getattr(field.related_model, "PREFIX", "") == CUSTOMER]


def find(queryset: models.QuerySet[R], text: str) -> R | None:
    """The one row of ``queryset`` that ``text`` names."""
    conditions = lookup(queryset.model, text)
    return queryset.filter(**conditions).first() if conditions else None


def lookup(model: type[Row], text: str) -> dict[str, Any] | None:
    """The conditions that ``text`` stands for, without asking the database; None where it can't name anything.

    A code that looks like an id of the same kind is read as the id.
    """
    if "\0" in text:
        return None
    if text.startswith(EXTERNAL) and is_unique(model, "external_id"):
        return {"external_id": text.removeprefix(EXTERNAL)}
    with suppress(ValueError):
        return {"pk": ids.decode(text, prefix=model.PREFIX)}
    return {"code": text} if is_unique(model, "code") else None


def is_unique(model: type[models.Model], name: str) -> bool:
    """Whether the model has such a column, and at most one row for each value of it."""
    with suppress(FieldDoesNotExist):
        column = cast("models.Field[Any, Any]", model._meta.get_field(name))
        constraints = (one for one in model._meta.constraints if isinstance(one, models.UniqueConstraint))
        return column.unique or any(one.fields == (name,) and one.condition is None for one in constraints)
    return False


def ways(model: type[Row]) -> str:
    """How to name an object of this kind, in words, for the API's documentation."""
    ways = [f"`{model.PREFIX}_…`"]
    if is_unique(model, "code"):
        ways.append("its code")
    if is_unique(model, "external_id"):
        ways.append("`external_id:` and your own id")
    return ", ".join(ways)
