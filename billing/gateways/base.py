"""What Tandem asks of a payment gateway.

Every call leaves the machine, so none is made under a lock or in a transaction. A charge carries the id of an attempt
row that was committed before: repeating the call with the same id takes the money once, and ``lookup`` tells what
became of it. Where nobody knows whether a call took effect, it raises ``AnswerLost``: that is never a failure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal, Protocol
from uuid import UUID

from billing.gateways import words
from gtm.shared.errors import Conflict, Invalid

ChargeStatus = Literal["succeeded", "failed", "requires_action", "processing"]
DisputeStatus = Literal["needs_response", "under_review", "won", "lost"]
NOTHING: Mapping[str, str] = MappingProxyType({})


class UnknownToken(Invalid):
    """The gateway knows no such token."""

    code = "unknown_token"

    def __init__(self, token: str) -> None:
        super().__init__(f"The payment gateway knows no token {token!r}.", attr="gateway_token")


class MethodRefused(Invalid):
    """The gateway won't keep this payment method: the bank declined it. ``code`` says why."""


class GatewayUnavailable(Conflict):
    """No gateway may be used for this customer, or its keys are refused."""

    code = "gateway_unavailable"


class GatewayRemoved(GatewayUnavailable):
    """There is no key (any more) for the gateway that keeps a charge or a payment method."""

    code = "gateway_removed"


class AnswerLost(Conflict):
    """The gateway was not reached, or didn't answer: the call may have taken effect or not. It may be repeated."""

    status = 503
    code = "gateway_unreachable"

    def __init__(self) -> None:
        super().__init__(words.of(self.code))


class Forged(Invalid):
    """What claims to come from the gateway isn't signed by it, or was signed too long ago."""

    code = "bad_signature"


@dataclass(frozen=True, slots=True)
class AttachedMethod:
    """A payment method as the gateway keeps it: its ``reference`` there, and what may be shown.

    ``customer`` is whose it is, by the gateway's own name; empty where it is nobody's (any more).
    """

    reference: str
    kind: str
    brand: str = ""
    last4: str = ""
    exp_month: int | None = None
    exp_year: int | None = None
    country: str = ""
    fingerprint: str = ""
    mandate_reference: str = ""
    customer: str = ""


@dataclass(frozen=True, slots=True)
class TestMethod:
    """A method of the sandbox to choose from: its token, what it is and what it does, in words."""

    __test__ = False  # not a test class

    token: str
    label: str


@dataclass(frozen=True, slots=True)
class Setup:
    """A payment method that is being given. The page gives ``client_secret`` to the gateway's script; it isn't kept."""

    reference: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SetupResult:
    """What became of it: ``succeeded`` has a ``method``. ``customer`` is whose it is, by the gateway's own name."""

    status: Literal["succeeded", "failed", "requires_action", "processing"]
    customer: str
    method: AttachedMethod | None = None
    failure_code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """What a charge takes: built from the attempt's row alone, so that it is the same however often it is sent.

    ``amount`` is in minor units; ``method`` and ``customer`` are the gateway's own names. ``on_session``: the payer is
    there, and can confirm. ``since`` is when the attempt was made, in wall time.
    """

    attempt_id: UUID
    amount: int
    currency: str
    kind: str
    method: str
    customer: str
    since: datetime
    on_session: bool = False
    payment: str = ""


@dataclass(frozen=True, slots=True)
class ChargeResult:
    """What became of a charge. ``processing`` is not final: the janitor asks again.

    ``attempt`` is the id that it was made with, where the gateway was asked by its own ``reference``.
    """

    status: ChargeStatus
    reference: str
    failure_code: str = ""
    message: str = ""
    attempt: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """What the payer's page needs to have a charge confirmed; ``client_secret`` is given to that page and kept nowhere.

    ``kind`` is ``script`` (the gateway's script asks) or ``form`` (the sandbox: two buttons).
    """

    kind: Literal["script", "form"]
    publishable_key: str = ""
    client_secret: str = field(default="", repr=False)
    method: str = ""


@dataclass(frozen=True, slots=True)
class RefundResult:
    status: Literal["succeeded", "failed", "processing"]
    reference: str
    failure_code: str = ""
    refund: str = ""


@dataclass(frozen=True, slots=True)
class SeenDispute:
    """A dispute as it stands at the gateway. ``charge`` is the reference of the charge it is about.

    ``holds``: whether the money was taken back (an inquiry takes none). ``amount`` is in minor units.
    """

    reference: str
    charge: str
    status: DisputeStatus
    kind: Literal["chargeback", "inquiry", "return"]
    amount: int
    currency: str
    holds: bool
    opened_at: datetime
    reason: str = ""
    respond_by: datetime | None = None


@dataclass(frozen=True, slots=True)
class Funding:
    """Where a payer's transfer goes: the account that the gateway keeps for this payer, as lines (label, text)."""

    currency: str
    lines: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class SeenTransfer:
    """Money that a payer has sent: ``reference`` names it once, ``memo`` is what the payer wrote."""

    reference: str
    customer: str
    amount: int
    currency: str
    memo: str = ""


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """What the gateway told us, its signature verified. ``payload`` is the object, without secrets."""

    gateway: str
    event_id: str
    type: str
    object_id: str
    payload: dict[str, object]
    occurred_at: datetime


class Gateway(Protocol):
    """A gateway with its key. ``customer`` and ``reference`` are the gateway's own names.

    Whatever is asked may raise AnswerLost, and GatewayUnavailable where the keys are refused.
    """

    name: str
    publishable_key: str
    script: str
    """The address of the script that the payer's page loads; empty where it needs none."""
    keys_last: timedelta | None
    """How long a call can be repeated without taking effect twice; None for ever."""

    def create_customer(self, *, customer_id: UUID, name: str, email: str) -> str:
        """The gateway's name for a customer, the same however often it is asked."""

    def attach(self, *, token: str, customer: str) -> AttachedMethod:
        """Keep the method that ``token`` stands for. Raises UnknownToken and MethodRefused."""

    def method(self, *, reference: str) -> AttachedMethod:
        """The method as it stands at the gateway. Raises UnknownToken."""

    def detach(self, *, reference: str) -> None:
        """Forget a method; one that is forgotten already stays so."""

    def create_setup(
        self, *, customer: str, kinds: Sequence[str] = ("card",), metadata: Mapping[str, str] = NOTHING
    ) -> Setup:
        """Begin to take a payment method from a payer who is there; its events tell the ``metadata``, too."""

    def setup_result(self, *, reference: str) -> SetupResult:
        """What became of it. Raises UnknownToken."""

    def charge(self, order: Order) -> ChargeResult:
        """Take the money, once for each ``attempt_id`` however often it is called."""

    def lookup(self, order: Order, *, reference: str = "") -> ChargeResult | None:
        """What became of an attempt; None when it never arrived."""

    def retrieve(self, *, reference: str) -> ChargeResult:
        """The charge as it stands. Raises UnknownToken."""

    def cancel(self, *, reference: str) -> ChargeResult:
        """Give up a charge that nobody confirmed; the answer says if it has succeeded meanwhile."""

    def action(self, *, reference: str) -> Action | None:
        """What a page needs to have the charge confirmed; None where there is nothing to confirm (any more)."""

    def refund(self, *, refund_id: UUID, reference: str, amount: int, currency: str) -> RefundResult:
        """Give back part of a charge, once for each ``refund_id``."""

    def refund_lookup(self, *, refund_id: UUID, charge: str, reference: str = "") -> RefundResult | None:
        """The refund as it stands, by its own ``reference`` where it is known; None when it never arrived.

        One that succeeded may fail days later.
        """

    def dispute(self, *, reference: str) -> SeenDispute:
        """The dispute as it stands."""

    def funding(self, *, customer: str, currency: str, country: str) -> Funding | None:
        """Where to send a transfer; None where the gateway takes none in that currency or country."""

    def transfer(self, *, customer: str, reference: str) -> SeenTransfer | None:
        """Money that has come in by transfer; None for any other movement of that account."""

    def test_methods(self) -> Sequence[TestMethod]:
        """What may be chosen instead of a card, in the order to show; nothing where real methods are given."""
