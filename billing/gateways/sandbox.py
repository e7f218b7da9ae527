"""The gateway without a key: it answers by the token's name, as Stripe's test methods do, and moves no money.

Its table stands for the far side of the wire. Like a real gateway it commits on its own, so that a transaction of ours
that rolls back takes none of its memory with it: calling it inside one raises.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy

from billing.gateways import words
from billing.gateways.base import (
    NOTHING,
    Action,
    AttachedMethod,
    ChargeResult,
    ChargeStatus,
    DisputeStatus,
    Funding,
    Order,
    RefundResult,
    SeenDispute,
    SeenTransfer,
    Setup,
    SetupResult,
    TestMethod,
    UnknownToken,
)
from billing.models import SandboxCharge


@dataclass(frozen=True, slots=True)
class TestCard:
    """A card or account and the answer it gives; ``later`` is what a direct debit comes to, days after.

    What was paid with one that is ``disputed`` is taken back by its bank: see ``sandbox_disputes``.
    """

    __test__ = False  # not a test class

    brand: str
    last4: str
    outcome: ChargeStatus = "succeeded"
    failure_code: str = ""
    refundable: bool = True
    kind: str = "card"
    later: ChargeStatus = "succeeded"
    disputed: bool = False


CARDS: dict[str, TestCard] = {
    "pm_card_visa": TestCard("visa", "4242"),
    "pm_card_mastercard": TestCard("mastercard", "4444"),
    "pm_card_amex": TestCard("amex", "0005"),
    "pm_card_chargeDeclined": TestCard("visa", "0002", "failed", "card_declined"),
    "pm_card_chargeDeclinedInsufficientFunds": TestCard("visa", "9995", "failed", "insufficient_funds"),
    "pm_card_chargeDeclinedStolenCard": TestCard("visa", "9979", "failed", "stolen_card"),
    "pm_card_chargeDeclinedExpiredCard": TestCard("visa", "0069", "failed", "expired_card"),
    "pm_card_createDispute": TestCard("visa", "0259", disputed=True),
    "pm_card_refundFail": TestCard("visa", "5126", refundable=False),
    "pm_card_authenticationRequired": TestCard("visa", "3184", "requires_action", "authentication_required"),
    "pm_sepa_debit": TestCard("", "3000", "processing", kind="sepa_debit"),
    "pm_sepa_debit_fails": TestCard(
        "", "3001", "processing", "debit_not_authorized", kind="sepa_debit", later="failed"
    ),
}
LABELS = {
    "pm_card_visa": gettext_lazy("Visa 4242 (pays)"),
    "pm_card_mastercard": gettext_lazy("Mastercard 4444 (pays)"),
    "pm_card_chargeDeclined": gettext_lazy("Visa 0002 (is declined)"),
    "pm_card_chargeDeclinedInsufficientFunds": gettext_lazy("Visa 9995 (has insufficient funds)"),
    "pm_card_authenticationRequired": gettext_lazy("Visa 3184 (asks for confirmation)"),
    "pm_card_createDispute": gettext_lazy("Visa 0259 (pays, and is disputed)"),
    "pm_sepa_debit": gettext_lazy("SEPA direct debit 3000 (pays after a while)"),
    "pm_sepa_debit_fails": gettext_lazy("SEPA direct debit 3001 (is refused after a while)"),
}
assert LABELS.keys() <= CARDS.keys()
_UNREFUNDABLE = "sandbox_refund_fails"  # how the reference of a charge begins that can't be given back
DISPUTE = "dispute_of_"  # how the reference of one begins, before that of its charge
_DISPUTES: dict[str, DisputeStatus] = {
    SandboxCharge.COMING: "needs_response",
    "needs_response": "needs_response",
    "won": "won",
    "lost": "lost",
}
EXPIRY = (12, 2034)  # as Stripe's test cards


class SandboxGateway:
    name = "sandbox"
    publishable_key = ""
    script = ""
    keys_last: timedelta | None = None

    def create_customer(self, *, customer_id: UUID, name: str, email: str) -> str:
        return f"sandbox_{customer_id.hex}"

    def attach(self, *, token: str, customer: str) -> AttachedMethod:
        return self.method(reference=token)

    def method(self, *, reference: str) -> AttachedMethod:
        card = CARDS.get(reference)
        if card is None:
            raise UnknownToken(reference)
        month, year = EXPIRY if card.kind == "card" else (None, None)
        return AttachedMethod(
            reference=reference, kind=card.kind, brand=card.brand, last4=card.last4, exp_month=month, exp_year=year
        )

    def detach(self, *, reference: str) -> None:
        """Its methods are everybody's."""

    def create_setup(
        self, *, customer: str, kinds: Sequence[str] = ("card",), metadata: Mapping[str, str] = NOTHING
    ) -> Setup:
        """There is nothing to set up: the page offers ``test_methods``, whose token is attached as it is."""
        return Setup(reference="", client_secret="")

    def setup_result(self, *, reference: str) -> SetupResult:
        """As if the token that was chosen had been set up."""
        return SetupResult(status="succeeded", customer="", method=self.method(reference=reference))

    @transaction.atomic(durable=True)
    def charge(self, order: Order) -> ChargeResult:
        card = CARDS[order.method]
        answer = SandboxCharge(
            idempotency_key=str(order.attempt_id),
            reference=f"{'sandbox' if card.refundable else _UNREFUNDABLE}_{order.attempt_id.hex}",
            outcome=card.outcome,
            later=card.later if card.outcome == "processing" else "",
            dispute=SandboxCharge.COMING if card.disputed else "",
            failure_code=card.failure_code,
            amount=order.amount,
            currency=order.currency,
        )
        SandboxCharge.objects.bulk_create([answer], ignore_conflicts=True)
        return _result(SandboxCharge.objects.get(pk=answer.pk))

    def lookup(self, order: Order, *, reference: str = "") -> ChargeResult | None:
        """What is processing comes to its end when it is first asked about."""
        ours = SandboxCharge.objects.filter(pk=str(order.attempt_id))
        if (known := ours.first()) and known.later:
            ours.exclude(later="").update(outcome=known.later, later="")
            known = ours.get()
        return _result(known) if known else None

    def retrieve(self, *, reference: str) -> ChargeResult:
        return _result(_charge(reference))

    def cancel(self, *, reference: str) -> ChargeResult:
        self.confirm(reference=reference, accepted=False)
        return self.retrieve(reference=reference)

    def action(self, *, reference: str) -> Action | None:
        return Action(kind="form") if _charge(reference).outcome == "requires_action" else None

    def confirm(self, *, reference: str, accepted: bool) -> ChargeResult:
        """What the holder's bank would be told on its own page; only the sandbox can be told here."""
        waiting = SandboxCharge.objects.filter(reference=reference, outcome="requires_action")
        if accepted:
            waiting.update(outcome="succeeded", failure_code="")
        else:
            waiting.update(outcome="failed", failure_code="authentication_failed")
        return self.retrieve(reference=reference)

    def refund(self, *, refund_id: UUID, reference: str, amount: int, currency: str) -> RefundResult:
        given = f"sandbox_{refund_id.hex}"
        if reference.startswith(_UNREFUNDABLE):
            return RefundResult(status="failed", reference=given, failure_code="expired_or_canceled_card")
        return RefundResult(status="succeeded", reference=given)

    def refund_lookup(self, *, refund_id: UUID, charge: str, reference: str = "") -> RefundResult | None:
        """It answers at once, and always the same: there is nothing to look up."""
        return None

    def dispute(self, *, reference: str) -> SeenDispute:
        """It is named by the charge that it is about."""
        charge = _charge(reference.removeprefix(DISPUTE))
        status: DisputeStatus | None = _DISPUTES.get(charge.dispute)
        if status is None:
            raise UnknownToken(reference)
        return SeenDispute(
            reference=reference,
            charge=charge.reference,
            status=status,
            kind="chargeback",
            amount=charge.amount,
            currency=charge.currency,
            holds=status != "won",
            opened_at=charge.created_at,
            reason="fraudulent",
        )

    def begin_dispute(self, *, reference: str) -> None:
        """What the holder's bank would do; only the sandbox can be told so."""
        SandboxCharge.objects.filter(reference=reference.removeprefix(DISPUTE), dispute=SandboxCharge.COMING).update(
            dispute="needs_response"
        )

    def decide_dispute(self, *, reference: str, won: bool) -> None:
        """What the bank would decide, once."""
        undecided = SandboxCharge.objects.filter(reference=reference.removeprefix(DISPUTE), dispute="needs_response")
        undecided.update(dispute="won" if won else "lost")

    def funding(self, *, customer: str, currency: str, country: str) -> Funding | None:
        return None

    def transfer(self, *, customer: str, reference: str) -> SeenTransfer | None:
        return None

    def test_methods(self) -> Sequence[TestMethod]:
        return [TestMethod(token, str(label)) for token, label in LABELS.items()]


def _charge(reference: str) -> SandboxCharge:
    found = SandboxCharge.objects.filter(reference=reference).first()
    if found is None:
        raise UnknownToken(reference)
    return found


def _result(charge: SandboxCharge) -> ChargeResult:
    is_known = charge.outcome not in {"succeeded", "processing"}
    return ChargeResult(
        status=charge.outcome,  # type: ignore[arg-type]  # only ever written from a TestCard
        reference=charge.reference,
        failure_code=charge.failure_code if is_known else "",
        message=words.of(charge.failure_code) if is_known else "",
        attempt=charge.idempotency_key,
    )
