"""The acceptance form of S2-08, and what S2-49 makes of it for small companies. And S4-35: who is credited."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crm import attribution
from crm.attribution import Touch
from crm.qualification import INSTALLED, Answers, Terms, problems

GOOD = {"months_to_project": 12, "good_fit": True, "pain": "Churn", "has_power": True}
SMB = INSTALLED["smb"]
JAN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "terms", "missing"),
    [
        ({}, Terms(), []),
        ({"months_to_project": 0}, Terms(), []),
        ({"months_to_project": 13}, Terms(), ["months_to_project"]),
        ({"months_to_project": -1}, Terms(), ["months_to_project"]),
        ({"months_to_project": None}, Terms(), ["months_to_project"]),
        ({"good_fit": False}, Terms(), ["good_fit"]),
        ({"pain": " "}, Terms(), ["compelling_event"]),
        ({"pain": "", "compelling_event": "An audit"}, Terms(), []),
        ({"pain": "x" * 1001}, Terms(), ["pain"]),
        ({"has_power": False}, Terms(), ["has_power"]),
        ({"has_power": False, "connects_with_power": True}, Terms(), []),
        ({"months_to_project": 4}, SMB, ["months_to_project"]),
        ({"months_to_project": 3, "has_power": False}, SMB, []),
        ({"months_to_project": 3, "pain": "", "compelling_event": "An audit"}, SMB, ["pain"]),
        ({"months_to_project": None, "good_fit": False, "pain": "", "has_power": False}, Terms(), None),
    ],
)
def test_what_is_missing_is_said_at_its_field(said: dict[str, Any], terms: Terms, missing: list[str] | None) -> None:
    found = [problem.attr for problem in problems(Answers.of(GOOD | said), terms)]
    assert found == (["months_to_project", "good_fit", "compelling_event", "has_power"] if missing is None else missing)


@pytest.mark.parametrize(
    ("source", "by_hand", "used", "credit"),
    [
        ("google_ads", False, False, "marketing"),
        ("google_ads", False, True, "product"),
        ("google_ads", True, False, "sales"),
        ("outbound-mail", False, False, "sales"),
        ("sdr", False, True, "product"),
        ("report", False, False, "marketing"),
    ],
)
def test_product_over_sales_over_marketing(source: str, by_hand: bool, used: bool, credit: str) -> None:
    touches = [Touch("product", JAN - timedelta(days=1), "product")] if used else []
    assert attribution.credit(touches, this=Touch(source, JAN), by_hand=by_hand) == credit


def test_what_came_first_is_the_first_touch_and_use_after_the_request_is_none() -> None:
    this, earlier = Touch("ads", JAN), Touch("webinar", JAN - timedelta(days=3))
    later = Touch("product", JAN + timedelta(days=1), "product")
    assert attribution.first([later, earlier], this=this) == earlier
    assert attribution.first([later], this=this) == this
    assert attribution.credit([later], this=this, by_hand=False) == "marketing"
