"""The gateway without a key: it answers by the token's name, as Stripe's test cards do, and moves no money.

Its table stands for the far side of the wire. Like a real gateway it commits on its own, so that a transaction of ours
that rolls back takes none of its memory with it: calling it inside one raises.
"""

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from billing.gateways.base import AttachedMethod, ChargeResult, ChargeStatus, RefundResult, UnknownToken
from billing.models import SandboxCharge


@dataclass(frozen=True, slots=True)
class TestCard:
    """A card and the answer it gives."""

    __test__ = False  # not a test class

    brand: str
    last4: str
    outcome: ChargeStatus = "succeeded"
    failure_code: str = ""
    refundable: bool = True


CARDS: dict[str, TestCard] = {
    "pm_card_visa": TestCard("visa", "4242"),
    "pm_card_mastercard": TestCard("mastercard", "4444"),
    "pm_card_amex": TestCard("amex", "0005"),
    "pm_card_chargeDeclined": TestCard("visa", "0002", "failed", "card_declined"),
    "pm_card_chargeDeclinedInsufficientFunds": TestCard("visa", "9995", "failed", "insufficient_funds"),
    "pm_card_chargeDeclinedStolenCard": TestCard("visa", "9979", "failed", "stolen_card"),
    "pm_card_chargeDeclinedExpiredCard": TestCard("visa", "0069", "failed", "expired_card"),
    "pm_card_refundFail": TestCard("visa", "5126", refundable=False),
    "pm_card_authenticationRequired": TestCard("visa", "3184", "requires_action", "authentication_required"),
}
_UNREFUNDABLE = "sandbox_refund_fails"  # how the reference of a charge begins that can't be given back
EXPIRY = (12, 2034)  # as Stripe's test cards


class SandboxGateway:
    name = "sandbox"

    def attach(self, *, token: str, customer_reference: str) -> AttachedMethod:
        card = CARDS.get(token)
        if card is None:
            raise UnknownToken(token)
        month, year = EXPIRY
        return AttachedMethod(
            reference=token, kind="card", brand=card.brand, last4=card.last4, exp_month=month, exp_year=year
        )

    @transaction.atomic(durable=True)
    def charge(self, *, attempt_id: UUID, amount: int, currency: str, method: str) -> ChargeResult:
        card = CARDS[method]
        answer = SandboxCharge(
            idempotency_key=str(attempt_id),
            reference=f"{'sandbox' if card.refundable else _UNREFUNDABLE}_{attempt_id.hex}",
            outcome=card.outcome,
            failure_code=card.failure_code,
            amount=amount,
            currency=currency,
        )
        SandboxCharge.objects.bulk_create([answer], ignore_conflicts=True)
        return _result(SandboxCharge.objects.get(pk=answer.pk))

    def lookup(self, *, attempt_id: UUID) -> ChargeResult | None:
        known = SandboxCharge.objects.filter(pk=str(attempt_id)).first()
        return _result(known) if known else None

    def refund(self, *, refund_id: UUID, reference: str, amount: int, currency: str) -> RefundResult:
        given = f"sandbox_{refund_id.hex}"
        if reference.startswith(_UNREFUNDABLE):
            return RefundResult(status="failed", reference=given, failure_code="expired_or_canceled_card")
        return RefundResult(status="succeeded", reference=given)


def _result(charge: SandboxCharge) -> ChargeResult:
    return ChargeResult(
        status=charge.outcome,  # type: ignore[arg-type]  # only ever written from a TestCard
        reference=charge.reference,
        failure_code=charge.failure_code,
        message=_message(charge.failure_code),
    )


def _message(failure_code: str) -> str:
    messages = {
        "card_declined": _("Your card was declined."),
        "insufficient_funds": _("Your card has insufficient funds."),
        "stolen_card": _("Your card was declined."),
        "expired_card": _("Your card has expired."),
        "authentication_required": _("Your bank asks you to confirm this payment."),
    }
    return messages.get(failure_code, "")
