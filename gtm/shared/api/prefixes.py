"""Kinds of objects by name and by the prefix of their ids, read from the models that are installed."""

from dataclasses import dataclass
from functools import cache
from uuid import UUID

from django.apps import apps
from django.utils.text import camel_case_to_spaces

from gtm.shared import ids


@dataclass(frozen=True)
class Kind:
    name: str
    prefix: str


@cache
def _kinds() -> dict[str, Kind]:
    """By the model's name in lower case, as ``Event.object_type`` keeps it."""
    return {model._meta.model_name or "": Kind(_words(model.__name__), _prefix(model)) for model in apps.get_models()}


def _words(class_name: str) -> str:
    return camel_case_to_spaces(class_name).replace(" ", "_")


def _prefix(model: type) -> str:
    return getattr(model, "PREFIX", "") or model.__name__.lower()


def kind(object_type: str) -> Kind:
    """How the API names a kind: ``testclock`` is ``test_clock``, with ids that start with ``clock_``."""
    return _kinds().get(object_type) or Kind(object_type, object_type)


def public_id(object_type: str, value: UUID) -> str:
    return ids.encode(kind(object_type).prefix, value)
