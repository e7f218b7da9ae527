"""Stripe, with one key: the only module that imports its library.

The version of its API is pinned, so that an upgrade of the account changes nothing here. A connection that breaks is
tried once more with the same idempotency key; after that nobody knows, and AnswerLost says so. What Stripe's objects
mean is in ``stripe_objects``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import stripe
from django.utils.translation import gettext as _

from billing.gateways import amounts, stripe_objects, words
from billing.gateways.base import (
    NOTHING,
    Action,
    AnswerLost,
    AttachedMethod,
    ChargeResult,
    ChargeStatus,
    Forged,
    Funding,
    GatewayUnavailable,
    MethodRefused,
    Order,
    RefundResult,
    SeenDispute,
    SeenEvent,
    SeenTransfer,
    Setup,
    SetupResult,
    TestMethod,
    UnknownToken,
)

API_VERSION = "2026-10-28.endive"
SCRIPT = "https://js.stripe.com/v3/"
TOLERANCE_SECONDS = 300
_CONNECT_SECONDS, _READ_SECONDS = 5, 25
_CLOCKS_DIFFER = timedelta(minutes=15)
_TRANSFERS = {
    "EUR": {"type": "eu_bank_transfer"},
    "GBP": {"type": "gb_bank_transfer"},
    "USD": {"type": "us_bank_transfer"},
    "JPY": {"type": "jp_bank_transfer"},
    "MXN": {"type": "mx_bank_transfer"},
}
_EU_ACCOUNTS = ("DE", "BE", "ES", "FR", "IE", "NL")  # where Stripe has accounts for transfers in EUR


class StripeGateway:
    keys_last: timedelta | None = timedelta(hours=23)  # Stripe keeps them for a day

    def __init__(
        self, *, name: str, secret_key: str, publishable_key: str, api_base: str = "", script: str = ""
    ) -> None:
        self.name, self.publishable_key, self.script = name, publishable_key, script or SCRIPT
        client = stripe.StripeClient(
            secret_key,
            stripe_version=API_VERSION,
            max_network_retries=1,
            http_client=stripe.RequestsClient(timeout=(_CONNECT_SECONDS, _READ_SECONDS)),
            base_addresses={"api": api_base} if api_base else None,
        )
        self._api = client.v1

    # --- people and methods --------------------------------------------------------------------
    def create_customer(self, *, customer_id: UUID, name: str, email: str) -> str:
        """Made by a call that is the same however often it is sent, then named."""
        with _speaking():
            made = self._api.customers.create(
                {"metadata": {"customer": str(customer_id)}}, {"idempotency_key": f"customer-{customer_id}"}
            )
            self._api.customers.update(made.id, {"name": name, **({"email": email} if email else {})})
            return made.id

    def attach(self, *, token: str, customer: str) -> AttachedMethod:
        with _speaking(token):
            return stripe_objects.method(_plain(self._api.payment_methods.attach(token, {"customer": customer})))

    def method(self, *, reference: str) -> AttachedMethod:
        with _speaking(reference):
            return stripe_objects.method(_plain(self._api.payment_methods.retrieve(reference)))

    def detach(self, *, reference: str) -> None:
        try:
            with _speaking():
                self._api.payment_methods.detach(reference)
        except stripe.InvalidRequestError:  # it is nobody's already
            return

    def create_setup(
        self, *, customer: str, kinds: Sequence[str] = ("card",), metadata: Mapping[str, str] = NOTHING
    ) -> Setup:
        asked: Any = {"customer": customer, "usage": "off_session", "payment_method_types": [*kinds]}
        with _speaking():
            made = self._api.setup_intents.create(asked | ({"metadata": {**metadata}} if metadata else {}))
        return Setup(made.id, str(made.client_secret))

    def setup_result(self, *, reference: str) -> SetupResult:
        with _speaking(reference):
            found = _plain(self._api.setup_intents.retrieve(reference))
        status, customer = found["status"], found.get("customer") or ""
        if status == "succeeded":
            return SetupResult("succeeded", customer, method=self.method(reference=found["payment_method"]))
        if status in {"requires_action", "requires_confirmation"}:
            return SetupResult("requires_action", customer)
        if status == "processing":
            return SetupResult("processing", customer)
        code = stripe_objects.failure_code(found.get("last_setup_error") or {}) or "canceled"
        return SetupResult("failed", customer, failure_code=code, message=words.of(code))

    # --- charges -------------------------------------------------------------------------------
    def charge(self, order: Order) -> ChargeResult:
        try:
            intended = _intent(order)
        except amounts.NotChargeable:
            return _failed("amount_not_chargeable")
        try:
            with _speaking():
                made = self._api.payment_intents.create(
                    intended,  # type: ignore[arg-type]  # a plain dict of its parameters
                    {"idempotency_key": f"attempt-{order.attempt_id}"},
                )
        except stripe.CardError as refusal:
            return self._refused(order, refusal)
        except stripe.InvalidRequestError as refusal:
            return _failed(stripe_objects.failure_code(_error(refusal)) or "invalid_request")
        return self._unless_unfunded(order, _told(_plain(made)))

    def _refused(self, order: Order, refusal: stripe.CardError) -> ChargeResult:
        """Refused at once: the charge is in the error, or among those of the customer."""
        error = _error(refusal)
        found = error.get("payment_intent") or self._find(order) or {}
        code = stripe_objects.failure_code(error) or "card_declined"
        asks = code in stripe_objects.NEEDS_HOLDER and found
        status: ChargeStatus = "requires_action" if asks else "failed"
        return ChargeResult(status, found.get("id", ""), failure_code=code, message=words.of(code))

    def _unless_unfunded(self, order: Order, result: ChargeResult) -> ChargeResult:
        """A transfer is charged when it has come in: one that still waits for money is given up."""
        if order.kind != "bank_transfer" or result.status != "requires_action":
            return result
        canceled = self.cancel(reference=result.reference)
        return canceled if canceled.status == "succeeded" else _failed("insufficient_funds", canceled.reference)

    def lookup(self, order: Order, *, reference: str = "") -> ChargeResult | None:
        if reference:
            return self.retrieve(reference=reference)
        found = self._find(order)
        return _told(found) if found else None

    def _find(self, order: Order) -> dict[str, Any] | None:
        """The attempt's charge among the customer's: a list knows it at once, the search only after a while.

        Of somebody who was deleted at Stripe nothing is found.
        """
        since = int((order.since - _CLOCKS_DIFFER).timestamp())
        try:
            with _speaking():
                theirs = self._api.payment_intents.list(
                    {"customer": order.customer, "created": {"gte": since}, "limit": 100}
                )
                for intent in theirs.auto_paging_iter():
                    if (found := _plain(intent)).get("metadata", {}).get("attempt") == str(order.attempt_id):
                        return found
        except stripe.InvalidRequestError:
            return None
        return None

    def retrieve(self, *, reference: str) -> ChargeResult:
        return _told(self._intent_of(reference))

    def _intent_of(self, reference: str) -> dict[str, Any]:
        with _speaking(reference):
            return _plain(self._api.payment_intents.retrieve(reference))

    def cancel(self, *, reference: str) -> ChargeResult:
        try:
            with _speaking():
                return _told(_plain(self._api.payment_intents.cancel(reference)))
        except stripe.InvalidRequestError:  # it is over: how?
            return self.retrieve(reference=reference)

    def action(self, *, reference: str) -> Action | None:
        intent = self._intent_of(reference)
        if stripe_objects.charge(intent).status != "requires_action":
            return None
        refused = (intent.get("last_payment_error") or {}).get("payment_method") or {}
        method = intent.get("payment_method") or refused.get("id") or ""
        return Action("script", self.publishable_key, intent["client_secret"], method)

    # --- refunds, disputes, transfers ----------------------------------------------------------
    def refund(self, *, refund_id: UUID, reference: str, amount: int, currency: str) -> RefundResult:
        try:
            wanted = amounts.outward(amount, currency)
            with _speaking():
                made = self._api.refunds.create(
                    {"payment_intent": reference, "amount": wanted, "metadata": {"refund": str(refund_id)}},
                    {"idempotency_key": f"refund-{refund_id}"},
                )
        except amounts.NotChargeable:
            return RefundResult("failed", "", failure_code="amount_not_chargeable")
        except (stripe.InvalidRequestError, stripe.CardError) as refusal:
            code = stripe_objects.failure_code(_error(refusal)) or "invalid_request"
            return RefundResult("failed", "", failure_code=code)
        return stripe_objects.refund(_plain(made))

    def refund_lookup(self, *, refund_id: UUID, charge: str, reference: str = "") -> RefundResult | None:
        with _speaking(reference or charge):
            if reference:
                return stripe_objects.refund(_plain(self._api.refunds.retrieve(reference)))
            for one in self._api.refunds.list({"payment_intent": charge, "limit": 100}).auto_paging_iter():
                if (found := stripe_objects.refund(_plain(one))).refund == str(refund_id):
                    return found
        return None

    def dispute(self, *, reference: str) -> SeenDispute:
        with _speaking(reference):
            return stripe_objects.dispute(_plain(self._api.disputes.retrieve(reference)))

    def funding(self, *, customer: str, currency: str, country: str) -> Funding | None:
        if (asked := _bank_transfer(currency, country)) is None:
            return None
        try:
            with _speaking():
                told = self._api.customers.funding_instructions.create(
                    customer,
                    {"currency": currency.lower(), "funding_type": "bank_transfer", "bank_transfer": asked},  # type: ignore[typeddict-item]
                )
        except stripe.InvalidRequestError:  # this account takes no transfers in that currency
            return None
        lines = stripe_objects.account_lines(_plain(told))
        return Funding(currency, [(_(label), text) for label, text in lines])

    def transfer(self, *, customer: str, reference: str) -> SeenTransfer | None:
        with _speaking(reference):
            found = self._api.customers.cash_balance_transactions.retrieve(customer, reference)
        return stripe_objects.transfer(_plain(found))

    def test_methods(self) -> Sequence[TestMethod]:
        return ()


def read_event(*, body: bytes, signature: str, secrets: Sequence[str]) -> SeenEvent:
    """What a webhook says, if one of our secrets has signed it within the last minutes. Raises Forged."""
    if not any(_is_signed(body, signature, secret) for secret in secrets):
        raise Forged("The signature is not ours, or too old.")
    try:
        event = json.loads(body)
        told, occurred = event["data"]["object"], stripe_objects.instant(event["created"])
        return SeenEvent(
            gateway="stripe" if event.get("livemode") else "stripe_test",
            event_id=str(event["id"])[:200],
            type=str(event["type"])[:100],
            object_id=str(told.get("id") or "")[:200],
            payload=stripe_objects.without_secrets(told),
            occurred_at=occurred,
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise Forged("It is signed, but not an event.", code="not_an_event") from error


def _is_signed(body: bytes, signature: str, secret: str) -> bool:
    try:
        return stripe.WebhookSignature.verify_header(body, signature, secret, TOLERANCE_SECONDS)
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        return False


@contextmanager
def _speaking(token: str = "") -> Iterator[None]:
    """Say what went wrong in our words. Refusals of the card, and of the request, are left to the caller.

    With a ``token`` those are said too: it is unknown, or the bank doesn't want it.
    """
    try:
        yield
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        raise GatewayUnavailable(_("Payments are not available just now.")) from error
    except stripe.CardError as error:
        if not token:
            raise
        code = stripe_objects.failure_code(_error(error)) or "card_declined"
        raise MethodRefused(words.of(code), code=code, attr="gateway_token") from error
    except stripe.InvalidRequestError as error:
        if not token:
            raise
        raise UnknownToken(token) from error
    except stripe.StripeError as error:  # not reached, no answer, too many calls, an error of its own
        raise AnswerLost from error


def _intent(order: Order) -> dict[str, Any]:
    """The parameters of a charge. Raises NotChargeable."""
    intended: dict[str, Any] = {
        "amount": amounts.outward(order.amount, order.currency),
        "currency": order.currency.lower(),
        "customer": order.customer,
        "confirm": True,
        "metadata": {"attempt": str(order.attempt_id), "payment": order.payment},
    }
    if order.kind == "bank_transfer":
        return intended | _by_transfer(order.currency)
    intended |= {"payment_method": order.method, "payment_method_types": [order.kind]}
    return intended | ({"use_stripe_sdk": True} if order.on_session else {"off_session": True})


def _by_transfer(currency: str) -> dict[str, Any]:
    funding = {"funding_type": "bank_transfer", "bank_transfer": _bank_transfer(currency, "")}
    return {
        "payment_method_types": ["customer_balance"],
        "payment_method_data": {"type": "customer_balance"},
        "payment_method_options": {"customer_balance": funding},
    }


def _bank_transfer(currency: str, country: str) -> dict[str, Any] | None:
    kind = _TRANSFERS.get(currency)
    if kind is None or currency != "EUR":
        return kind  # type: ignore[return-value]
    return kind | {"eu_bank_transfer": {"country": country if country in _EU_ACCOUNTS else _EU_ACCOUNTS[0]}}


def _told(intent: dict[str, Any]) -> ChargeResult:
    result = stripe_objects.charge(intent)
    message = words.of(result.failure_code)
    return ChargeResult(result.status, result.reference, result.failure_code, message, result.attempt)


def _failed(code: str, reference: str = "") -> ChargeResult:
    return ChargeResult("failed", reference, failure_code=code, message=words.of(code))


def _error(refusal: stripe.StripeError) -> dict[str, Any]:
    body = refusal.json_body if isinstance(refusal.json_body, dict) else {}
    error = body.get("error")
    return error if isinstance(error, dict) else {}


def _plain(found: stripe.StripeObject) -> dict[str, Any]:
    return found.to_dict()
