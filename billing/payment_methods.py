"""Payment methods that a payer gives on a page: a card typed into the gateway's own field, or a test method chosen.

What was typed goes from the browser to the gateway. Tandem sees a setup's reference, and what may be shown of it. The
gateway's webhook tells the same: whoever comes first keeps the method, the other one finds it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from billing import customers, dunning_cases, gateways
from billing.gateways import AttachedMethod, GatewayRemoved, MethodRefused, Setup, UnknownToken, words
from billing.models import Customer, PaymentMethod
from gtm.shared import db, outbox

log = structlog.get_logger(__name__)
_SHOWN = ("brand", "last4", "exp_month", "exp_year", "country", "fingerprint", "mandate_reference")


def begin(*, customer: Customer, kinds: Sequence[str] = (PaymentMethod.Kind.CARD,), default: bool = True) -> Setup:
    """Let the page take a card for the customer, or another of the ``kinds``; as the default, should nobody come back.

    Raises AnswerLost and GatewayUnavailable. Not in a transaction.
    """
    gateway = gateways.of_customer(customer)
    wish = {} if default else _NOT_DEFAULT
    return gateway.create_setup(customer=customers.reference_at(gateway, customer), kinds=kinds, metadata=wish)


_NOT_DEFAULT = {"default": "no"}


def is_default_wished(metadata: Any) -> bool:
    """By what a setup was begun with, as the gateway tells it."""
    return not (isinstance(metadata, dict) and metadata.items() >= _NOT_DEFAULT.items())


def take(*, customer: Customer, given: str, default: bool = True, at: datetime) -> PaymentMethod:
    """Keep what the page has brought: the reference of a setup or, on the sandbox, a test method's token.

    A setup that is brought twice, or that a webhook has told of already, is one method. Raises as ``learn`` does.
    """
    method = learn(customer=customer, given=given, default=default, at=at)
    return make_default(method=method, at=at) if default and not method.is_default else method


def learn(*, customer: Customer, given: str, default: bool = True, at: datetime) -> PaymentMethod:
    """The same, told by a webhook: what is kept already is left as it is, as another one may have been chosen since.

    Raises UnknownToken for what isn't this customer's, MethodRefused with the reason where the bank said no, AnswerLost
    and GatewayUnavailable. Not in a transaction.
    """
    gateway = gateways.of_customer(customer)
    if gateway.test_methods():
        return customers.attach_payment_method(customer=customer, gateway_token=given, default=default, at=at)
    result = gateway.setup_result(reference=given)
    if result.customer != customers.reference_at(gateway, customer):
        raise UnknownToken(given)
    if result.status != "succeeded" or result.method is None:
        reason = result.message or words.of(result.failure_code) or _("The card was not confirmed. Enter it again.")
        raise MethodRefused(reason, code=result.failure_code or result.status, attr="gateway_token")
    kept = customers.described(result.method)
    return customers.keep(PaymentMethod(customer=customer, gateway=gateway.name, is_default=default, **kept), at=at)


def usable_by(customer: Customer) -> QuerySet[PaymentMethod]:
    """What can be charged: not taken away, and kept by the gateway that serves the customer now."""
    name = gateways.name_of(customer)
    kept = PaymentMethod.objects.filter(customer=customer, detached_at=None, gateway=name)
    return kept if customer.test_clock_id is not None or name in gateways.answering() else kept.none()


@transaction.atomic
def make_default(*, method: PaymentMethod, at: datetime) -> PaymentMethod:
    """Charge this one from now on, and what had failed at once. One that was taken away meanwhile stays so."""
    customer = db.lock_one(method.customer)
    method = db.lock_one(method)
    if method.detached_at is None and not method.is_default:
        PaymentMethod.objects.filter(customer=customer, is_default=True).update(is_default=False)
        method.is_default = True
        method.save(update_fields=["is_default"])
        _tell(method, "changed", at=at, changed=["is_default"])
        dunning_cases.on_new_method(payer=customer, at=at)
    return method


def detach(*, method: PaymentMethod, at: datetime) -> PaymentMethod:
    """Take a method away, at the gateway first, where there is a key for it. Not in a transaction."""
    try:
        gateways.named(method.gateway).detach(reference=method.gateway_reference)
    except GatewayRemoved:
        log.warning("method_kept_at_gateway", method=str(method.pk), gateway=method.gateway)
    return _detached(method=method, at=at)


def refresh(*, method: PaymentMethod, at: datetime) -> PaymentMethod:
    """Show what the gateway knows of it now: a card that was renewed, or is nobody's any more."""
    kept = gateways.named(method.gateway).method(reference=method.gateway_reference)
    if not kept.customer:
        return _detached(method=method, at=at)
    return _renewed(method=method, kept=kept, at=at)


@transaction.atomic
def _detached(*, method: PaymentMethod, at: datetime) -> PaymentMethod:
    db.lock_one(method.customer)
    method = db.lock_one(method)
    if method.detached_at is None:
        method.detached_at, method.is_default = at, False
        method.save(update_fields=["detached_at", "is_default"])
        _tell(method, "detached", at=at)
    return method


@transaction.atomic
def _renewed(*, method: PaymentMethod, kept: AttachedMethod, at: datetime) -> PaymentMethod:
    method = db.lock_one(method)
    changed = [name for name in _SHOWN if getattr(method, name) != getattr(kept, name)]
    if changed:
        for name in changed:
            setattr(method, name, getattr(kept, name))
        method.save(update_fields=changed)
        _tell(method, "changed", at=at, changed=changed)
    return method


def _tell(method: PaymentMethod, kind: str, *, at: datetime, **also: object) -> None:
    outbox.publish(
        f"billing.payment_method.{kind}",
        method,
        at=at,
        customer_id=method.customer_id,
        account_id=method.customer.account_id,
        test_clock_id=method.customer.test_clock_id,
        data={"kind": method.kind, "brand": method.brand, "default": method.is_default, **also},
    )
