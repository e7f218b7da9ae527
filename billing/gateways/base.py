"""What Tandem asks of a payment gateway.

Every call leaves the machine, so none is made under a lock or in a transaction. A charge carries the id of an attempt
row that was committed before: repeating the call with the same id takes the money once, and ``lookup`` tells what
became of it.
"""

from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from gtm.shared.errors import Conflict, Invalid

ChargeStatus = Literal["succeeded", "failed", "requires_action", "processing"]


class UnknownToken(Invalid):
    """The gateway knows no such token."""

    code = "unknown_token"

    def __init__(self, token: str) -> None:
        super().__init__(f"The payment gateway knows no token {token!r}.", attr="gateway_token")


class GatewayUnavailable(Conflict):
    """No gateway may be used for this customer."""

    code = "gateway_unavailable"


@dataclass(frozen=True, slots=True)
class AttachedMethod:
    """A payment method as the gateway keeps it: its ``reference`` there, and what may be shown."""

    reference: str
    kind: str
    brand: str = ""
    last4: str = ""
    exp_month: int | None = None
    exp_year: int | None = None


@dataclass(frozen=True, slots=True)
class ChargeResult:
    """What became of a charge. ``processing`` is not final: the janitor asks again."""

    status: ChargeStatus
    reference: str
    failure_code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class RefundResult:
    status: Literal["succeeded", "failed", "processing"]
    reference: str
    failure_code: str = ""


class Gateway(Protocol):
    """``amount`` is in minor units; ``method`` and ``reference`` are the gateway's own names."""

    name: str

    def attach(self, *, token: str, customer_reference: str) -> AttachedMethod:
        """Keep the method that ``token`` stands for. Raises UnknownToken."""

    def charge(self, *, attempt_id: UUID, amount: int, currency: str, method: str) -> ChargeResult:
        """Take the money, once for each ``attempt_id`` however often it is called."""

    def lookup(self, *, attempt_id: UUID) -> ChargeResult | None:
        """What became of an attempt; None when it never arrived."""

    def refund(self, *, refund_id: UUID, reference: str, amount: int, currency: str) -> RefundResult:
        """Give back part of a charge, once for each ``refund_id``."""
