"""Segment policies to start from, named by their bands. Pure.

Each figure is one that an author recommends; the basis belongs to it, so that ARR is never compared with what a
customer might come to be worth. Amounts are in minor units.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

CARD, INVOICE = "charge_automatically", "send_invoice"
SALES_LED_NEEDS = ("msa", "sso", "security_review", "po", "custom_dpa", "sla", "on_premises")


def _segment(
    code: str, label: str, motion: str, engagement: str, methods: tuple[str, ...], days: int | None, role: str
) -> dict[str, Any]:
    return {
        "code": code,
        "label": label,
        "motion": motion,
        "engagement": engagement,
        "collection_methods": list(methods),
        "net_terms_days": days,
        "dunning_policy": "",
        "owner_role": role,
    }


SMB = _segment("smb", "SMB", "self_serve", "none", (CARD,), None, "csm")
MID_MARKET = _segment("mid_market", "Mid-market", "sales_assisted", "on_trigger", (CARD, INVOICE), 30, "csm")
ENTERPRISE = _segment("enterprise", "Enterprise", "sales_led", "day_one", (INVOICE, CARD), 30, "ae")
SELF_SERVICE = _segment("self_service", "Self-service", "self_serve", "none", (CARD,), None, "csm")
INSIDE_SALES = _segment("inside_sales", "Inside sales", "sales_assisted", "on_trigger", (CARD, INVOICE), 30, "ae")


@dataclass(frozen=True, slots=True)
class Preset:
    """``terms`` are what ``policies.draft_policy`` takes, beside the name."""

    code: str
    name: str
    about: str
    terms: Mapping[str, Any]


PRESETS = (
    Preset(
        "arr_10k_50k",
        "10K / 50K ARR",
        "Below 10,000 a year customers serve themselves, from 50,000 sales lead.",
        MappingProxyType(
            {
                "segments": (SMB, MID_MARKET, ENTERPRISE),
                "employee_bounds": (),
                "value_bounds": (1_000_000, 5_000_000),
                "basis": "arr",
                "currency": "USD",
                "sales_led_needs": SALES_LED_NEEDS,
            }
        ),
    ),
    Preset(
        "employees_100_1000",
        "100 / 1000 employees, 15K / 100K",
        "The larger of size and yearly contract value wins.",
        MappingProxyType(
            {
                "segments": (SMB, MID_MARKET, ENTERPRISE),
                "employee_bounds": (100, 1000),
                "value_bounds": (1_500_000, 10_000_000),
                "basis": "acv",
                "currency": "USD",
                "sales_led_needs": SALES_LED_NEEDS,
            }
        ),
    ),
    Preset(
        "dead_zone_1k_10k",
        "Dead zone 1K to 10K",
        "From EUR 1,000 to under 10,000 a sale costs more than it brings: no rep is assigned.",
        MappingProxyType(
            {
                "segments": (SELF_SERVICE, INSIDE_SALES),
                "employee_bounds": (),
                "value_bounds": (1_000_000,),
                "basis": "expected_value",
                "currency": "EUR",
                "sales_led_needs": SALES_LED_NEEDS,
                "dead_zones": (
                    {"code": "dead_zone", "label": "Dead zone 1K to 10K", "lower": 100_000, "upper": 1_000_000},
                ),
            }
        ),
    ),
)
BY_CODE: Mapping[str, Preset] = MappingProxyType({preset.code: preset for preset in PRESETS})
