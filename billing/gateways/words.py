"""Why a payment didn't go through, in the payer's words; a bank's own text is for its customers alone."""

from django.utils.translation import gettext as _


def of(failure_code: str) -> str:
    """A sentence for the payer; nothing where there is no code. What only the vendor should know isn't told."""
    messages = {
        "": "",
        "insufficient_funds": _("Your card has insufficient funds."),
        "expired_card": _("Your card has expired."),
        "incorrect_cvc": _("The security code is wrong."),
        "authentication_required": _("Your bank asks you to confirm this payment."),
        "authentication_failed": _("The payment was not confirmed."),
        "superseded": _("The payment was not confirmed."),
        "debit_not_authorized": _("Your bank refused the direct debit."),
        "amount_too_small": _("This amount is too small to be charged by itself. It comes with the next payment."),
        "amount_not_chargeable": _("This amount can't be charged by card."),
        "gateway_removed": _("Your card can't be charged any more. Give it again, or another one."),
        "gateway_unreachable": _("The payment service could not be reached. Try again later."),
    }
    return messages.get(failure_code, _("Your card was declined."))
