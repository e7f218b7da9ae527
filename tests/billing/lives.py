"""Lives on test clocks, by the API alone: what an integrator would send, and what it would read back."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from rest_framework.test import APIClient

from gtm.shared import vendors
from tests.billing import api, makers

Body = dict[str, Any]


def local(text: str, zone: str = "UTC") -> datetime:
    """An instant, in UTC: of a text with an offset as it is, of a date or a naive time in the zone."""
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def day_of(instant: datetime, zone: str) -> str:
    return instant.astimezone(ZoneInfo(zone)).date().isoformat()


def opening_of(instant: datetime, zone: str) -> datetime:
    """The local midnight that begins the day of an instant, in UTC."""
    return local(day_of(instant, zone), zone)


def closing_of(instant: datetime, zone: str) -> datetime:
    """The local midnight that ends the day of an instant, in UTC."""
    return opening_of(opening_of(instant, zone) + timedelta(hours=36), zone)


@dataclass
class Life:
    """One customer on a clock of its own, and its newest subscription.

    Money is in minor units of ``currency``; every call must succeed, with ``refused`` for those that must not.
    """

    client: APIClient
    clock: str
    customer: str
    zone: str
    currency: str
    subscription: str = ""
    _numbers: Iterable[int] = field(default_factory=itertools.count)

    # --- the set-up ----------------------------------------------------------------------------
    @classmethod
    def begin(
        cls,
        at: datetime,
        *,
        zone: str = "UTC",
        currency: str = "EUR",
        unit: str = "day",
        tax: str = "",
        card: str = "pm_card_visa",
        entity_zone: str = "",
        **customer: Any,
    ) -> "Life":
        """A customer whose time is ``at``; ``tax`` is the percentage that its country takes, if any."""
        vendors.change(proration_unit=unit)
        makers.legal_entity(timezone=entity_zone or zone)
        client = api.caller()
        life = cls(client, "", "", zone, currency)
        if tax:
            life.send("tax_rates", code="vat", name="VAT", percentage=tax, country="FR", valid_from="1970-01-01")
        life.clock = life.send("test_clocks", name="Life", frozen_time=at.isoformat())["id"]
        body = {"name": "Acme", "currency": currency, "timezone": zone, "country": "FR", "test_clock": life.clock}
        life.customer = life.send("customers", **body | customer)["id"]
        if card:
            life.send(f"customers/{life.customer}/payment_methods", gateway_token=card)
        return life

    def plan(self, code: str, amount: int | None = None, **terms: Any) -> str:
        """A published plan, with a flat monthly price in advance of the same code where ``amount`` is given."""
        self.send("plans", **{"code": code, "name": code.title(), "published": True} | terms)
        if amount is not None:
            self.price(code, code, unit_amount=str(amount))
        return code

    def price(self, plan: str, code: str, **terms: Any) -> str:
        """Flat, monthly and in advance unless told otherwise."""
        defaults = {"name": code, "currency": self.currency, "interval": "month", "model": "flat", "published": True}
        self.send("prices", plan=plan, code=code, **defaults | terms)
        return code

    def meter(self, code: str, **terms: Any) -> str:
        """Sums the quantities of events that are called as it is."""
        self.send("meters", **{"code": code, "name": code, "event_name": code, "aggregation": "sum"} | terms)
        return code

    # --- what happens --------------------------------------------------------------------------
    def subscribe(self, **body: Any) -> Body:
        made = self.send("subscriptions", **{"customer": self.customer} | body)
        self.subscription = made["id"]
        return made

    def act(self, verb: str, **body: Any) -> Body:
        """``change``, ``cancellation``, ``pause`` and the like of the newest subscription."""
        return self.send(f"subscriptions/{self.subscription}/{verb}", **body)

    def go(self, to: datetime) -> None:
        """Let time pass up to and including an instant."""
        answer = self.send(f"test_clocks/{self.clock}/advance", frozen_time=to.isoformat())
        assert answer["status"] == "ready", answer

    def use(self, meter: str, quantity: float | str, *, at: datetime, **fields: Any) -> None:
        """So much of it at an instant; further fields are the event's."""
        event = {"id": f"{meter}-{next(iter(self._numbers))}", "name": meter, "customer": self.customer}
        told = self.send("usage_events", events=[event | {"quantity": quantity, "timestamp": at.isoformat()} | fields])
        assert told["accepted"] == 1, told

    # --- what came of it -----------------------------------------------------------------------
    @property
    def state(self) -> Body:
        return self.get(f"subscriptions/{self.subscription}")

    @property
    def balance(self) -> int:
        balance: int = self.get(f"customers/{self.customer}")["credit_balance"]
        return balance

    def invoices(self) -> list[Body]:
        """All of them in the order in which they were made."""
        return sorted(self.all(f"invoices?customer={self.customer}"), key=lambda one: (one["created_at"], one["id"]))

    def issued(self) -> list[Body]:
        """Those that were finalized and not taken back, in the order of their numbers."""
        found = [one for one in self.invoices() if one["status"] not in ("draft", "void")]
        return sorted(found, key=lambda one: one["number"])

    def notes(self) -> list[Body]:
        """The credit notes in the order of their numbers."""
        return sorted(self.all(f"credit_notes?customer={self.customer}"), key=lambda one: one["number"])

    def facts(self) -> list[str]:
        """The types of all facts about the customer, in their order."""
        return [one["type"] for one in reversed(self.all(f"events?customer={self.customer}"))]

    def bills_nothing_more(self) -> None:
        """A second run at the same instant changes nothing."""
        before = (self.invoices(), self.facts(), self.balance)
        self.go(local(self.get(f"test_clocks/{self.clock}")["frozen_time"]))
        assert (self.invoices(), self.facts(), self.balance) == before

    # --- the wire ------------------------------------------------------------------------------
    def send(self, path: str, **body: Any) -> Body:
        response = self.client.post(f"{api.BASE}/{path}", body, format="json")
        assert response.status_code in (200, 201), (path, body, response.content)
        answer: Body = response.json()
        return answer

    def refused(self, path: str, *, status: int, **body: Any) -> tuple[str, str | None]:
        return api.problem(self.client.post(f"{api.BASE}/{path}", body, format="json"), status=status)

    def get(self, path: str) -> Body:
        response = self.client.get(f"{api.BASE}/{path}")
        assert response.status_code == 200, (path, response.content)
        answer: Body = response.json()
        return answer

    def all(self, path: str) -> list[Body]:
        """All pages of a list."""
        found, page = [], self.get(f"{path}&limit=100")
        while True:
            found += page["results"]
            if not page["next"]:
                return found
            page = self.client.get(page["next"]).json()


def lines_of(invoice: Body, *names: str) -> list[Any]:
    """The lines of an invoice by some of their fields; by their amounts alone where none is named."""
    if not names:
        return [line["amount"] for line in invoice["lines"]]
    return [tuple(line[name] for name in names) for line in invoice["lines"]]


def line(invoice: Body, where: Callable[[Body], bool]) -> Body:
    """The one line of which ``where`` is true."""
    (found,) = [line for line in invoice["lines"] if where(line)]
    return found
