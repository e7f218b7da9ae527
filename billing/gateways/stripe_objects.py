"""What Stripe's objects mean to Tandem: plain dicts in, values of ``base`` out. Nothing is asked here."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from django.utils.translation import gettext_noop

from billing.gateways import amounts
from billing.gateways.base import (
    AttachedMethod,
    ChargeResult,
    ChargeStatus,
    DisputeStatus,
    RefundResult,
    SeenDispute,
    SeenTransfer,
)

Object = Mapping[str, Any]
NEEDS_HOLDER = frozenset({"authentication_required"})
_CODES = {
    "payment_intent_authentication_failure": "authentication_failed",
    "setup_intent_authentication_failure": "authentication_failed",
    "payment_method_customer_decline": "authentication_failed",
    "resource_missing": "unknown_token",
}
_CHARGES: dict[str, ChargeStatus] = {
    "succeeded": "succeeded",
    "processing": "processing",
    "requires_confirmation": "processing",
    "requires_capture": "processing",
    "requires_action": "requires_action",
    "canceled": "failed",
}
_REFUNDS: dict[str, Literal["succeeded", "failed", "processing"]] = {
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "failed",
}
_DISPUTES: dict[str, DisputeStatus] = {
    "warning_needs_response": "needs_response",
    "warning_under_review": "under_review",
    "needs_response": "needs_response",
    "under_review": "under_review",
    "lost": "lost",
}  # all others are over without the money gone: won, warning_closed, prevented
_HOLDING = frozenset({"needs_response", "under_review", "lost"})


def charge(intent: Object) -> ChargeResult:
    """A PaymentIntent. One that waits for another method has failed, unless it is its holder that it waits for."""
    error = intent.get("last_payment_error") or {}
    code = failure_code(error)
    status = _CHARGES.get(intent["status"], "failed")
    if intent["status"] == "requires_payment_method" and code in NEEDS_HOLDER:
        status = "requires_action"
    if status == "requires_action":
        code = code or "authentication_required"
    elif status == "failed":
        code = code or ("canceled" if intent["status"] == "canceled" else "payment_method_required")
    else:
        code = ""
    return ChargeResult(
        status, intent["id"], failure_code=code, attempt=(intent.get("metadata") or {}).get("attempt", "")
    )


def failure_code(error: Object) -> str:
    """The most exact code of an error: the bank's own where it gave one."""
    code = str(error.get("decline_code") or error.get("code") or "")
    return _CODES.get(code, code)[:60]


def method(found: Object) -> AttachedMethod:
    """A PaymentMethod: a card, or an account that is debited."""
    kind = found["type"]
    detail = found.get(kind) or {}
    return AttachedMethod(
        reference=found["id"],
        kind=kind,
        brand=(detail.get("brand") or "")[:20],
        last4=(detail.get("last4") or "")[:4],
        exp_month=detail.get("exp_month"),
        exp_year=detail.get("exp_year"),
        country=(detail.get("country") or "")[:2],
        fingerprint=(detail.get("fingerprint") or "")[:100],
        mandate_reference=(detail.get("mandate_reference") or "")[:100],
        customer=found.get("customer") or "",
    )


def refund(found: Object) -> RefundResult:
    status = _REFUNDS.get(found.get("status") or "", "processing")
    code = found.get("failure_reason") or ("canceled" if found.get("status") == "canceled" else "")
    named = (found.get("metadata") or {}).get("refund", "")
    return RefundResult(status, found["id"], failure_code=code if status == "failed" else "", refund=named)


def dispute(found: Object) -> SeenDispute:
    status, currency = found["status"], found["currency"].upper()
    due = (found.get("evidence_details") or {}).get("due_by")
    return SeenDispute(
        reference=found["id"],
        charge=found.get("payment_intent") or found["charge"],
        status=_DISPUTES.get(status, "won"),
        kind="inquiry" if status.startswith("warning") else "chargeback",
        amount=amounts.inward(found["amount"], currency),
        currency=currency,
        holds=status in _HOLDING,
        opened_at=instant(found["created"]),
        reason=(found.get("reason") or "")[:60],
        respond_by=instant(due) if due else None,
    )


def transfer(movement: Object) -> SeenTransfer | None:
    """Money that came into a customer's cash balance; None for what was taken out of it."""
    if movement.get("type") != "funded":
        return None
    currency = movement["currency"].upper()
    sent = (movement.get("funded") or {}).get("bank_transfer") or {}
    return SeenTransfer(
        reference=movement["id"],
        customer=movement["customer"],
        amount=amounts.inward(movement["net_amount"], currency),
        currency=currency,
        memo=(sent.get("reference") or "")[:200],
    )


_ACCOUNT = {
    "account_holder_name": gettext_noop("Account holder"),
    "iban": gettext_noop("IBAN"),
    "bic": gettext_noop("BIC"),
    "bank_name": gettext_noop("Bank"),
    "account_number": gettext_noop("Account number"),
    "routing_number": gettext_noop("Routing number"),
    "sort_code": gettext_noop("Sort code"),
    "clabe": gettext_noop("CLABE"),
    "bank_code": gettext_noop("Bank code"),
    "branch_code": gettext_noop("Branch code"),
    "account_type": gettext_noop("Account type"),
    "country": gettext_noop("Country"),
}


def account_lines(instructions: Object) -> Iterator[tuple[str, str]]:
    """The account of funding instructions, as far as a payer needs it: labels and texts."""
    addresses = (instructions.get("bank_transfer") or {}).get("financial_addresses") or []
    for address in addresses[:1]:
        detail = address.get(address.get("type")) or {}
        for name, label in _ACCOUNT.items():
            if detail.get(name):
                yield label, str(detail[name])


def instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)


_SECRET = frozenset(
    {"client_secret", "billing_details", "shipping", "receipt_email", "email", "name", "phone", "address"}
)
_PERSONAL = frozenset({"sender_name", "sender_iban", "customer_email_address", "evidence", "receipt_url", "iban_last4"})


def without_secrets(value: Any) -> Any:
    """A payload as it may be kept: no secrets, no people."""
    if isinstance(value, Mapping):
        return {key: without_secrets(item) for key, item in value.items() if key not in _SECRET | _PERSONAL}
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    return value
