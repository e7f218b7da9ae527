"""Payment methods that a payer gives on a page: a card typed into the gateway's own field, or a test method chosen.

What was typed goes from the browser to the gateway. Tandem sees a setup's reference, and what may be shown of it.
"""

from datetime import datetime

from django.utils.translation import gettext as _

from billing import customers, gateways
from billing.gateways import MethodRefused, Setup, UnknownToken, words
from billing.models import Customer, PaymentMethod


def begin(*, customer: Customer) -> Setup:
    """Let the page take a card for the customer. Raises AnswerLost and GatewayUnavailable. Not in a transaction."""
    gateway = gateways.of_customer(customer)
    return gateway.create_setup(customer=customers.reference_at(gateway, customer))


def take(*, customer: Customer, given: str, default: bool = True, at: datetime) -> PaymentMethod:
    """Keep what the page has brought: the reference of a setup or, on the sandbox, a test method's token.

    A setup that is brought twice is one method. Raises UnknownToken for what isn't this customer's, MethodRefused with
    the reason where the bank said no, AnswerLost and GatewayUnavailable. Not in a transaction.
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
