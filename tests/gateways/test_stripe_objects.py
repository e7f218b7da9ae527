"""What Stripe's objects mean: amounts, states and codes, by table."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing import declines
from billing.gateways import amounts, stripe_objects


class TestAmounts:
    @pytest.mark.parametrize(
        ("ours", "currency", "theirs"),
        [
            (1099, "USD", 1099),
            (500, "JPY", 500),
            (500, "ISK", 50000),  # no minor unit, but Stripe counts two decimals
            (7, "UGX", 700),
            (50000, "MGA", 500),  # two decimals that Stripe leaves out
            (1230, "KWD", 1230),
            (1050, "HUF", 1050),
        ],
    )
    def test_by_stripes_rules(self, ours, currency, theirs):
        assert amounts.outward(ours, currency) == theirs
        assert amounts.inward(theirs, currency) == ours

    @pytest.mark.parametrize(("amount", "currency"), [(1235, "KWD"), (50001, "MGA")])
    def test_what_is_too_fine_is_refused_and_not_rounded(self, amount, currency):
        with pytest.raises(amounts.NotChargeable):
            amounts.outward(amount, currency)

    @given(st.integers(1, 10**12), st.sampled_from(["EUR", "JPY", "ISK", "KRW", "GBP"]))
    @settings(max_examples=50, deadline=None)
    def test_there_and_back(self, amount, currency):
        assert amounts.inward(amounts.outward(amount, currency), currency) == amount


@pytest.mark.parametrize(
    ("intent", "status", "code"),
    [
        ({"status": "succeeded"}, "succeeded", ""),
        ({"status": "processing"}, "processing", ""),
        ({"status": "requires_confirmation"}, "processing", ""),
        ({"status": "requires_action"}, "requires_action", "authentication_required"),
        ({"status": "canceled"}, "failed", "canceled"),
        ({"status": "requires_payment_method"}, "failed", "payment_method_required"),
        (
            {
                "status": "requires_payment_method",
                "last_payment_error": {"code": "card_declined", "decline_code": "lost_card"},
            },
            "failed",
            "lost_card",
        ),
        (
            {"status": "requires_payment_method", "last_payment_error": {"code": "authentication_required"}},
            "requires_action",
            "authentication_required",
        ),
        (
            {
                "status": "requires_payment_method",
                "last_payment_error": {"code": "payment_intent_authentication_failure"},
            },
            "failed",
            "authentication_failed",
        ),
        ({"status": "succeeded", "last_payment_error": {"code": "card_declined"}}, "succeeded", ""),
    ],
)
def test_a_charge(intent, status, code):
    told = stripe_objects.charge({"id": "pi_1", "metadata": {"attempt": "a"}, **intent})
    assert (told.status, told.failure_code, told.reference, told.attempt) == (status, code, "pi_1", "a")


@pytest.mark.parametrize(
    ("status", "ours", "kind", "holds"),
    [
        ("warning_needs_response", "needs_response", "inquiry", False),
        ("warning_closed", "won", "inquiry", False),
        ("needs_response", "needs_response", "chargeback", True),
        ("under_review", "under_review", "chargeback", True),
        ("won", "won", "chargeback", False),
        ("lost", "lost", "chargeback", True),
        ("prevented", "won", "chargeback", False),
    ],
)
def test_a_dispute(status, ours, kind, holds):
    told = stripe_objects.dispute(
        {"id": "dp_1", "charge": "ch_1", "status": status, "amount": 50000, "currency": "isk", "created": 1767225600}
    )
    assert (told.status, told.kind, told.holds, told.amount, told.charge) == (ours, kind, holds, 500, "ch_1")


def test_nothing_secret_or_personal_is_kept():
    kept = stripe_objects.without_secrets(
        {
            "id": "pi_1",
            "client_secret": "pi_1_secret_x",
            "billing_details": {"name": "Ann"},
            "metadata": {"attempt": "a"},
            "charges": [{"receipt_email": "ann@example.com", "amount": 5}],
        }
    )
    assert kept == {"id": "pi_1", "metadata": {"attempt": "a"}, "charges": [{"amount": 5}]}


@pytest.mark.parametrize(
    ("code", "hard"),
    [
        ("stolen_card", True),
        ("expired_card", True),
        ("insufficient_funds", False),
        ("processing_error", False),
        ("authentication_required", False),
        ("gateway_unreachable", False),
        ("never heard of", False),
    ],
)
def test_what_is_declined_for_good(code, hard):
    assert declines.is_hard(code) is hard
