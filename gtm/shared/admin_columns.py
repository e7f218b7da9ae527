"""Columns of lists and read-only fields: money, statuses and links, written as everywhere else."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db import models
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import display

from gtm.shared.admin_base import page_of
from gtm.shared.templatetags import tandem

Column = Callable[..., Any]


def money(field: str, title: str | None = None, *, currency: str = "currency") -> Column:
    """Minor units in ``field`` as money of the object's currency, aligned by its last digit."""

    @display(description=title or field.replace("_", " ").capitalize(), ordering=field)
    def column(_page: Any, instance: Any) -> str:
        amount, code = _follow(instance, field), _follow(instance, currency)
        if amount is None or not code:
            return tandem.ABSENT
        return format_html('<span class="money">{}</span>', tandem.money(int(amount), code))

    return column


def rate(field: str, title: str, *, currency: str = "currency") -> Column:
    """A rate in decimal minor units, with all its places."""

    @display(description=title, ordering=field)
    def column(_page: Any, instance: Any) -> str:
        return tandem.unit_price(_follow(instance, field), _follow(instance, currency))

    return column


def number(field: str, title: str) -> Column:
    """A count or a measure, grouped, without trailing zeros."""

    @display(description=title, ordering=field)
    def column(_page: Any, instance: Any) -> str:
        value: Decimal | None = _follow(instance, field)
        return format_html('<span class="money">{}</span>', tandem.quantity(value))

    return column


def words(field: str, title: str) -> Column:
    """A code as it is read: change_scheduled is "Change scheduled"."""

    @display(description=title, ordering=field)
    def column(_page: Any, instance: Any) -> str:
        return str(_follow(instance, field)).replace("_", " ").capitalize()

    return column


def status(field: str = "status", title: str | None = None) -> Column:
    """A status by its word and its colour."""

    @display(description=title or field.replace("_", " ").capitalize(), ordering=field)
    def column(_page: Any, instance: Any) -> str:
        return tandem.status_badge(str(_follow(instance, field)))

    return column


def link(field: str, title: str | None = None) -> Column:
    """The object in ``field``, linked to its page."""

    @display(description=title or field.replace("_", " ").capitalize(), ordering=field)
    def column(_page: Any, instance: Any) -> str:
        return linked(_follow(instance, field))

    return column


def linked(instance: models.Model | None, words: str = "") -> str:
    """The object's name as a link to its page; a dash where there is none."""
    if instance is None:
        return tandem.ABSENT
    return format_html('<a class="text-link" href="{}">{}</a>', page_of(instance, instance.pk), words or instance)


def anchor(page: str, key: object, words: str) -> str:
    """A link to the page of an object that need not be read for it."""
    return link_to(reverse(page, args=[key]), words)


def link_to(address: str, words: str) -> str:
    return format_html('<a class="text-link" href="{}">{}</a>', address, words)


def _follow(instance: Any, path: str) -> Any:
    for name in path.split("__"):
        instance = getattr(instance, name, None)
    return instance
