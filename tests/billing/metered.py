"""A metered life through the API alone: a clock, a plan with one price on a meter, a customer, its events and invoices.

The customer pays by invoice, so that no card decides anything, and stands on a clock at 1 January.
"""

from typing import Any

from rest_framework.test import APIClient

from tests.billing import makers
from tests.billing.api import BASE, caller

START = "2026-01-01T00:00:00Z"


class Life:
    """``Life(model="per_unit", unit_amount="2")``: a subscription to that price since 1 January."""

    def __init__(self, *, meter: dict[str, Any] | None = None, customer: dict[str, Any] | None = None, **price: Any):
        makers.legal_entity(timezone="UTC")
        self.api: APIClient = caller()
        self.clock = self.post("test_clocks", name="Life", frozen_time=START)["id"]
        wished = {"code": "used", "name": "Used", "event_name": "used", "aggregation": "sum", "property": "amount"}
        self.meter = self.post("meters", **wished | (meter or {}))["code"]
        self.post("plans", code="metered", name="Metered")
        terms = {"code": "used", "currency": "USD", "interval": "month", "timing": "in_arrears", "meter": self.meter}
        self.price = self.post("prices", plan="metered", **terms | price)["id"]
        payer = {"name": "Acme", "currency": "USD", "country": "US", "collection_method": "send_invoice"}
        self.customer = self.post("customers", test_clock=self.clock, **payer | (customer or {}))["id"]
        self.subscription = self.post("subscriptions", customer=self.customer, items=[{"price": self.price}])["id"]

    def post(self, path: str, **body: Any) -> Any:
        response = self.api.post(f"{BASE}/{path}", body)
        assert response.status_code in {200, 201, 204}, (path, response.status_code, response.content)
        return response.json() if response.content else None

    def get(self, path: str) -> Any:
        response = self.api.get(f"{BASE}/{path}")
        assert response.status_code == 200, (path, response.status_code, response.content)
        return response.json()

    def send(self, *events: tuple[str, str, Any], **fields: Any) -> None:
        """Events as (id, instant, amount)."""
        rows = [
            {"id": key, "name": "used", "customer": self.customer, "timestamp": at, "properties": {"amount": amount}}
            | fields
            for key, at, amount in events
        ]
        assert self.post("usage_events", events=rows)["accepted"] == len(rows)

    def advance(self, to: str) -> None:
        assert self.post(f"test_clocks/{self.clock}/advance", frozen_time=to)["status"] == "ready"

    def invoices(self) -> list[Any]:
        """Oldest first."""
        found: list[Any] = self.get(f"invoices?customer={self.customer}")["results"]
        return found[::-1]

    def lines(self) -> list[Any]:
        """All lines of all invoices, oldest first."""
        return [line for invoice in self.invoices() for line in invoice["lines"]]
