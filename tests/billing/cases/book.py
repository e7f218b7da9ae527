"""The worked cases that public billing projects state in their own tests and manuals, as ``cases.json`` holds them.

Each one runs under both proration units, or is left out with the row of the policy sheet that it contradicts. Expected
figures are read from the file. A case that is stated in days runs by the second at local midnights, where the same
share of the period has passed; where the clocks change meanwhile, by figures derived from elapsed seconds here.
"""

import json
from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

Case = dict[str, Any]
CASES: dict[str, Case] = {
    case["id"]: case for case in json.loads((Path(__file__).parent.parent / "cases.json").read_text())["cases"]
}
UNITS = ("day", "second")
RUN: set[str] = set()


def case(*names: str) -> Callable[[Any], Any]:
    """Run a test with each of these cases, under both units."""

    def mark(test: Any) -> Any:
        RUN.update(names)
        by_case = pytest.mark.parametrize("case", [CASES[name] for name in names], ids=names)
        return by_case(pytest.mark.parametrize("unit", UNITS)(test))

    return mark


def together(*names: str) -> Callable[[Any], Any]:
    """Run a test with all of these cases at once (``cases``), under both units."""

    def mark(test: Any) -> Any:
        RUN.update(names)
        at_once = pytest.mark.parametrize("cases", [[CASES[name] for name in names]], ids=["together"])
        return at_once(pytest.mark.parametrize("unit", UNITS)(test))

    return mark


def elapsed(start: datetime, end: datetime, whole_start: datetime, whole_end: datetime) -> Fraction:
    """The share of the whole that lies between two instants, by the seconds that really pass."""
    part, whole = end.timestamp() - start.timestamp(), whole_end.timestamp() - whole_start.timestamp()
    return Fraction(part).limit_denominator(10**6) / Fraction(whole).limit_denominator(10**6)


def half_up(exact: Fraction) -> int:
    """Rounded half away from zero: written here once more, so that the engine isn't measured by itself."""
    magnitude = int(abs(exact) + Fraction(1, 2))
    return magnitude if exact >= 0 else -magnitude


ROWS = (
    "money",
    "periods",
    "day or second",
    "proration",
    "upgrade, downgrade",
    "credit for unused time",
    "cancellation",
    "trial",
    "pause",
    "discounts",
    "metered usage on a change",
    "late, amended usage",
    "collection delay",
    "tax",
    "minimum commitment",
    "tiers",
    "repeated event id",
    "credit note",
    "void",
    "dunning",
    "MRR",
    "lock order",
    "idempotency",
    "a failing customer",
)

_THRESHOLD = "the source invoices usage in the midst of a period; here a period is rated once, when it is closed"
_NEW_ANCHOR = "the source keeps the day of the cycle, here a longer interval has a new anchor"
_DUNNING = "the source has another schedule and other stages"

LEFT_OUT: dict[str, tuple[str, str]] = {
    "lago-trial-longer-than-period": ("trial", "the source bills usage in the trial, here it is free but counted"),
    "lago-trial-ends-on-billing-day": ("trial", "the source bills usage in the trial, here it is free but counted"),
    "lago-trial-tokyo": ("trial", "the source bills usage in the trial, here it is free but counted"),
    "lago-trial-terminate-recreate": ("cancellation", "the source credits the day of termination, here it is billed"),
    "lago-volume-prorated": (
        "metered usage on a change",
        "the source chooses the tier by units that it doesn't scale; here tier bounds scale with them",
    ),
    "lago-coupon-three-kinds": ("tax", "the source rounds tax once over all rates, here it is rounded for each rate"),
    "lago-void-with-credit": ("void", "the source gives a credit note for what it voids, here charges are replaced"),
    "lago-void-partial": ("void", "the source voids what is partly paid, here only what is unpaid and uncredited"),
    "lago-progressive-basic": ("collection delay", _THRESHOLD),
    "lago-numbering": ("lock order", "the source counts by customer and by month too, here one series is locked last"),
    "lago-dunning-two-currency": ("dunning", "the source counts attempts from thresholds of what is overdue"),
    "lago-dunning-net2": ("dunning", "the source asks for payment when what is overdue passes a threshold"),
    "kb-month-to-annual": (
        "upgrade, downgrade",
        _NEW_ANCHOR,
    ),
    "kb-month-to-quarter": (
        "upgrade, downgrade",
        _NEW_ANCHOR,
    ),
    "kb-fixed30-ratios": ("proration", "the source counts every month as 30 days, here the denominator is the period"),
    "om-maxspend": ("collection delay", _THRESHOLD),
    "om-maxspend-discount": ("discounts", "the source takes the percentage off before it caps what is rated"),
    "kb-overdue-stages": ("dunning", _DUNNING),
    "kb-overdue-clear-before-ctd": ("dunning", "the source doesn't bill blocked time, here only access ends"),
    "kb-overdue-clear-after-ctd": ("dunning", "the source doesn't bill blocked time, here only access ends"),
    "kb-overdue-upgrade-after-clear": ("dunning", "the source doesn't bill blocked time, here only access ends"),
    "kb-overdue-unpaid-count": ("dunning", "the source has stages by how many invoices are unpaid"),
    "kb-overdue-balance": ("dunning", "the source has stages by how much is unpaid"),
    "polar-dunning-hard-decline": ("dunning", "the source retries after 2 days and ends access after 21"),
    "gumroad-second-upgrade": (
        "upgrade, downgrade",
        "the source starts a new year with each upgrade; with the same interval the period stays",
    ),
    "autumn-credit-line-drift": (
        "money",
        "the source shares out what lines lost, each is rounded once",
    ),
}
