"""A metered life: a plan with one price on one meter, bought on 1 January by a customer that pays by invoice.

It is made and moved by operations, which is quick, and read by the API.
"""

from decimal import Decimal
from typing import Any

from billing import subscriptions, usage
from billing.usage import UsageInput
from gtm import clocks
from gtm.shared import db
from gtm.shared.models import TestClock
from tests.billing import api, makers
from tests.billing.lives import Body, Life, local
from tests.world import JAN_1

_NUMBERS = ("unit_amount", "included_units", "percentage", "fixed_amount", "free_units")


class MeteredLife(Life):
    """``begin_metered(model="per_unit", unit_amount=2)``: a subscription to that price since 1 January."""

    @classmethod
    def begin_metered(
        cls,
        *,
        meter: dict[str, Any] | None = None,
        customer: dict[str, Any] | None = None,
        commitment: int | None = None,
        **price: Any,
    ) -> "MeteredLife":
        makers.legal_entity(timezone="UTC")
        clock = clocks.create(name="Life", frozen_time=JAN_1)
        payer = makers.customer(test_clock=clock, **{"collection_method": "send_invoice"} | (customer or {}))
        life = cls(api.caller(), clock.public_id, payer.public_id, "UTC", "USD")
        sums = {"code": "used", "event_name": "used", "aggregation": "sum", "property": "amount"} | (meter or {})
        terms = {"unit_amount": None, "timing": "in_arrears", "meter": makers.meter(**sums)} | price
        decimals = {name: Decimal(str(terms[name])) for name in terms if name in _NUMBERS and terms[name] is not None}
        makers.price(plan=(plan := makers.plan(code="metered")), code="used", **terms | decimals)
        life.subscription = subscriptions.create(
            customer=payer, plan=plan, minimum_amount=commitment, at=JAN_1
        ).public_id
        return life

    def report(self, *events: tuple[str, str, Any], name: str = "used") -> None:
        """Events as (id, instant, amount)."""
        rows = [
            UsageInput(id=key, name=name, customer=self.customer, timestamp=local(at), properties={"amount": amount})
            for key, at, amount in events
        ]
        assert usage.record(events=rows, at=db.now()).accepted == len(rows)

    def until(self, instant: str) -> None:
        assert clocks.advance(clock=TestClock.objects.get(), to=local(instant)).status == TestClock.Status.READY

    def lines(self) -> list[Body]:
        """All lines of all invoices that are not void, oldest first."""
        return [line for invoice in self.invoices() if invoice["status"] != "void" for line in invoice["lines"]]
