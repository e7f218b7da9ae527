"""The payment gateways by name, and which of them a customer uses.

``stripe`` is the live key, ``stripe_test`` the test key: two gateways, as neither knows what the other keeps. Without
any key the sandbox answers. Customers of test clocks always use the sandbox.
"""

from functools import cache
from importlib import import_module
from typing import Any

from django.conf import settings
from django.utils.functional import SimpleLazyObject

from billing.gateways.base import (
    Action,
    AnswerLost,
    AttachedMethod,
    ChargeResult,
    Forged,
    Funding,
    Gateway,
    GatewayRemoved,
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
from billing.gateways.sandbox import SandboxGateway
from billing.models import Customer

__all__ = [
    "Action",
    "AnswerLost",
    "AttachedMethod",
    "ChargeResult",
    "Forged",
    "Funding",
    "Gateway",
    "GatewayRemoved",
    "GatewayUnavailable",
    "MethodRefused",
    "Order",
    "RefundResult",
    "SeenDispute",
    "SeenEvent",
    "SeenTransfer",
    "Setup",
    "SetupResult",
    "TestMethod",
    "UnknownToken",
]

_SANDBOX = SandboxGateway()
_stripe_module: Any = SimpleLazyObject(lambda: import_module("billing.gateways.stripe"))  # 30 MB, for who has a key
LIVE, TEST = "stripe", "stripe_test"


def named(name: str) -> Gateway:
    """The gateway that keeps a payment method (``PaymentMethod.gateway``). Raises GatewayRemoved without a key."""
    if name == _SANDBOX.name:
        return _SANDBOX
    secret, publishable = _keys().get(name, ("", ""))
    if not secret:
        raise GatewayRemoved(f"There is no key for the gateway {name!r}.")
    return _stripe(name, secret, publishable, settings.STRIPE_API_BASE, settings.STRIPE_SCRIPT)


def of_customer(customer: Customer) -> Gateway:
    """The gateway for a customer's new payment methods and charges.

    The sandbox, which moves no money, answers where there is no key, and on test clocks always. Beside a live key the
    test key is for customers in test mode alone; raises GatewayRemoved for these where there is none.
    """
    return named(name_of(customer))


def name_of(customer: Customer) -> str:
    """The name of that gateway, whether or not there is a key for it."""
    if customer.test_clock_id is not None or not _keys():
        return _SANDBOX.name
    return LIVE if is_live() and not customer.test_mode else TEST


def entry(gateway: Gateway) -> dict[str, str] | None:
    """The script and the key with which a page takes a card; None where a test method is chosen from a list."""
    return {"script": gateway.script, "key": gateway.publishable_key} if gateway.script else None


def is_live() -> bool:
    """Whether the installation holds a live Stripe key."""
    return LIVE in _keys()


def answering() -> frozenset[str]:
    """The names of those that serve customers outside test clocks."""
    return frozenset(_keys()) or frozenset({_SANDBOX.name})


def has_key() -> bool:
    """Whether a gateway of the outside answers, live or for tests."""
    return bool(_keys())


def read_event(*, body: bytes, signature: str) -> SeenEvent:
    """What a webhook says, signed by any of our secrets. Raises Forged."""
    return _stripe_module.read_event(body=body, signature=signature, secrets=settings.STRIPE_WEBHOOK_SECRETS)


def _keys() -> dict[str, tuple[str, str]]:
    """Secret and publishable key by the gateway's name: which one the first is for, it says itself."""
    found = {}
    if settings.STRIPE_TEST_SECRET_KEY and not is_for_money(settings.STRIPE_TEST_SECRET_KEY):
        found[TEST] = (settings.STRIPE_TEST_SECRET_KEY, settings.STRIPE_TEST_PUBLISHABLE_KEY)
    if settings.STRIPE_SECRET_KEY:
        name = LIVE if is_for_money(settings.STRIPE_SECRET_KEY) else TEST
        found[name] = (settings.STRIPE_SECRET_KEY, settings.STRIPE_PUBLISHABLE_KEY)
    return found


def is_for_money(secret: str) -> bool:
    """Whether a key is a live one."""
    return secret.startswith(("sk_live_", "rk_live_"))


@cache
def _stripe(name: str, secret: str, publishable: str, api_base: str, script: str) -> Gateway:
    """One client for each key, which keeps its connections."""
    return _stripe_module.StripeGateway(
        name=name, secret_key=secret, publishable_key=publishable, api_base=api_base, script=script
    )
