"""Using the back office as a person does: open a page, change what it shows, and send the form."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.forms import BaseForm, BoundField, CheckboxInput, CheckboxSelectMultiple, MultiWidget, SelectMultiple
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from gtm.shared.models import Event, User


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def address(page: str, *args: Any) -> str:
    """``address("billing_plan_change", plan.pk)``."""
    return reverse(f"admin:{page}", args=args)


def status_of(client: Client, path: str) -> int:
    """The answer's status alone: the test client keeps a copy of every template's context, which takes its time."""
    environ = client._base_environ(PATH_INFO=path, REQUEST_METHOD="GET")  # type: ignore[attr-defined]
    return int(client.handler(environ).status_code)


def submit(client: Client, path: str, **changes: Any) -> HttpResponse:
    """Open the form at ``path`` and send it back with ``changes``; None empties a field or unticks it.

    Rows are named as the page names them: ``**{"prices-0-unit_amount": "49"}``.
    """
    page = client.get(path)
    assert page.status_code == 200, page
    data = filled_in(page) | changes
    return client.post(path, {name: value for name, value in data.items() if value is not None})


def filled_in(page: HttpResponse) -> dict[str, Any]:
    """What the browser would send if nothing were touched."""
    data = {"_seen": page.context["seen"]} if "seen" in page.context else {}
    for form in _forms(page.context):
        for field in form:
            data |= dict(_sent(field))
    return data


def _forms(context: Any) -> Iterator[BaseForm]:
    yield context["adminform"].form if "adminform" in context else context["form"]
    for rows in context.get("inline_admin_formsets", ()):
        yield rows.formset.management_form
        yield from rows.formset.forms


def _sent(field: BoundField) -> Iterable[tuple[str, Any]]:
    widget, name, value = field.field.widget, field.html_name, field.value()
    if field.field.disabled:
        return ()
    if isinstance(widget, CheckboxInput):
        return [(name, "on")] if value else []
    if isinstance(widget, MultiWidget):
        shown = widget.get_context(name, value, {})["widget"]["subwidgets"]
        return [(part["name"], part["value"] or "") for part in shown]
    if isinstance(widget, SelectMultiple | CheckboxSelectMultiple):
        return [(name, list(value or ()))]
    shown = widget.format_value(value)
    shown = shown[0] if isinstance(shown, list) and shown else shown
    return [(name, "" if shown is None else shown)]


def errors(page: HttpResponse) -> dict[str, list[str]]:
    """What the page complains of, by the name of the field; ``__all__`` for the whole form."""
    assert page.status_code == 200, f"accepted: {page.get('Location')}"
    found: dict[str, list[str]] = {}
    for form in _forms(page.context):
        if form.is_bound:
            found |= {form.add_prefix(name): list(said) for name, said in form.errors.items()}
    return found


def facts(*types: str) -> list[str]:
    """The types of the facts that were published, oldest first; just those named, where any are."""
    events = Event.objects.filter(type__in=types) if types else Event.objects.all()
    return list(events.order_by("position").values_list("type", flat=True))
