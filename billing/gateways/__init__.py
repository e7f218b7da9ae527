"""The payment gateways by name, and which of them a customer uses.

``stripe`` is the live key, ``stripe_test`` the test key: two gateways, as neither knows what the other keeps. Without
any key the sandbox answers. Customers of test clocks always use the sandbox.
"""

from django.conf import settings

from billing.gateways.base import (
    Action,
    AnswerLost,
    AttachedMethod,
    ChargeResult,
    Forged,
    Funding,
    Gateway,
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


def named(name: str) -> Gateway:
    """The gateway that keeps a payment method (``PaymentMethod.gateway``)."""
    return {"sandbox": _SANDBOX}[name]


def of_customer(customer: Customer) -> Gateway:
    """The gateway for a customer's new payment methods and charges.

    The sandbox, which moves no money, is refused where a live key says that money is meant; test clocks always use it.
    """
    if customer.test_clock_id is None and is_live():
        raise GatewayUnavailable("Payments by card are not set up: the sandbox can't be used together with a live key.")
    return _SANDBOX


def entry(gateway: Gateway) -> dict[str, str] | None:
    """The script and the key with which a page takes a card; None where a test method is chosen from a list."""
    return {"script": gateway.script, "key": gateway.publishable_key} if gateway.script else None


def is_live() -> bool:
    """Whether the installation holds a live Stripe key."""
    return settings.STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_"))
