"""What the tests tell Stripe's double, and what Stripe tells us: signed events at the real endpoint."""

import hashlib
import hmac
import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import requests
from django.test import Client

from billing import gateway_events
from billing.models import GatewayEvent
from gtm.shared import db

SECRET, OTHER_SECRET = "whsec_new", "whsec_old"
KEY = ("sk_test_double", "")


@dataclass
class Double:
    """What the tests tell the double, and ask of it."""

    url: str
    session: requests.Session = field(default_factory=requests.Session)

    def reset(self) -> None:
        self.session.delete(f"{self.url}/_double").raise_for_status()

    def cut(self, call: str, times: int) -> None:
        """Lose that many answers of a call, which takes effect."""
        self._tell("cuts", {call: times})

    def serve(self, objects: dict[str, Any]) -> None:
        """Answer ``{"GET /v1/disputes/dp_1": {...}}`` for what localstripe doesn't have."""
        self._tell("objects", objects)

    def decline(self, code: str) -> None:
        """Have the bank say why it declines."""
        self._tell("decline", {"code": code})

    def _tell(self, what: str, told: dict[str, Any]) -> None:
        self.session.post(f"{self.url}/_double/{what}", json=told).raise_for_status()

    def calls(self, call: str) -> list[dict[str, str]]:
        return [one for one in self.session.get(f"{self.url}/_double/calls").json() if one["call"] == call]

    def inbox(self) -> list[dict[str, str]]:
        return self.session.get(f"{self.url}/_double/inbox").json()

    def api(self, method: str, path: str, **form: Any) -> dict[str, Any]:
        """Call Stripe's API as somebody else: the payer's browser, or the vendor at Stripe's own pages."""
        answer = self.session.request(method, f"{self.url}/v1/{path}", data=form or None, auth=KEY)
        return answer.json()

    def card(self, number: str = "4242424242424242") -> str:
        """A payment method's name, as a page would get it."""
        card = {"card[number]": number, "card[exp_month]": 12, "card[exp_year]": 2034, "card[cvc]": "123"}
        return self.api("POST", "payment_methods", type="card", **card)["id"]

    def charges(self) -> list[dict[str, Any]]:
        """What has really been taken."""
        found = self.api("GET", "payment_intents?limit=100")["data"]
        return [one for one in found if one["status"] == "succeeded"]


@dataclass
class Webhooks:
    """The real endpoint, as Stripe calls it."""

    client: Client = field(default_factory=Client)

    def post(self, body: str, signature: str) -> int:
        answer = self.client.post(
            "/webhooks/stripe/", body, content_type="application/json", headers={"stripe-signature": signature}
        )
        return answer.status_code

    def tell(self, type_: str, told: dict[str, Any], *, event_id: str = "") -> GatewayEvent:
        """Send a signed event of that type about an object, and let the worker deal with it."""
        body = event(type_, told, event_id=event_id)
        assert self.post(body, signed(body)) == 200
        gateway_events.process_waiting(at=db.now())
        return GatewayEvent.objects.get(gateway="stripe_test", event_id=json.loads(body)["id"])


def event(type_: str, told: dict[str, Any], *, event_id: str = "", livemode: bool = False) -> str:
    event_id = event_id or f"evt_{uuid.uuid4().hex}"
    return json.dumps(
        {
            "id": event_id,
            "object": "event",
            "type": type_,
            "created": int(time.time()),
            "livemode": livemode,
            "data": {"object": told},
        }
    )


def signed(body: str, *, secret: str = SECRET, age: int = 0) -> str:
    """A signature header by Stripe's scheme, computed here on its own."""
    at = int(time.time()) - age
    mac = hmac.new(secret.encode(), f"{at}.{body}".encode(), hashlib.sha256).hexdigest()
    return f"t={at},v1={mac}"
