"""Why a bank says no, and whether it will say so again: which declined method is never to be tried again."""

HARD = frozenset(
    {
        "account_closed",
        "bank_account_restricted",
        "bank_account_unusable",
        "card_not_supported",
        "currency_not_supported",
        "debit_not_authorized",
        "do_not_try_again",
        "expired_card",
        "fraudulent",
        "gateway_removed",
        "highest_risk_level",
        "incorrect_account_details",
        "incorrect_number",
        "invalid_account",
        "invalid_account_number",
        "invalid_number",
        "lost_card",
        "mandate_invalid",
        "merchant_blacklist",
        "new_account_information_available",
        "no_account",
        "pickup_card",
        "restricted_card",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "security_violation",
        "stolen_card",
        "stop_payment_order",
        "transaction_not_allowed",
        "unknown_token",
    }
)
"""Codes after which only another method, or its holder, helps. All others (funds, limits, outages) may pass."""

TOO_SMALL = "amount_too_small"
"""The code that says nothing of the payer: a gateway doesn't take so little by itself."""


def is_hard(failure_code: str) -> bool:
    """Whether trying this method again is in vain: ``failure_code`` is the most exact one that the bank gave."""
    return failure_code in HARD
