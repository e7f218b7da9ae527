"""Coming into the portal from the vendor's product."""

from typing import Any
from urllib.parse import urlsplit

from django.test import Client

from billing.models import Customer
from tests.billing.api import BASE, caller


def begun(customer: Customer, **wanted: str) -> dict[str, Any]:
    """The portal session that an integrator begins, as the API answers."""
    answer = caller().post(f"{BASE}/customers/{customer.public_id}/portal_session", wanted)
    assert answer.status_code == 201, answer.content
    made: dict[str, Any] = answer.json()
    return made


def path_of(session: dict[str, Any]) -> str:
    return urlsplit(session["url"]).path


def visiting(customer: Customer, **wanted: str) -> Client:
    """A browser that has opened the customer's portal by a session."""
    client = Client()
    answer = client.post(path_of(begun(customer, **wanted)))
    assert answer.status_code == 302, answer.content
    return client
