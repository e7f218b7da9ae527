"""Whether the terms of a segment policy fit together."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from billing.models import DunningPolicy
from crm import motion
from crm.models import Motion, SegmentPolicy
from gtm.shared.errors import Invalid
from gtm.shared.models import SALES_ROLES
from gtm.shared.money import is_currency

MAX_ZONES = 2


def tidy_zone(zone: Mapping[str, Any], basis: str, currency: str) -> dict[str, Any]:
    """A dead zone with all of its parts; basis and currency are the policy's, and its motion self-serve, unless said
    otherwise.
    """
    usual = {"label": zone.get("code", ""), "basis": basis, "currency": currency, "motion": motion.SELF_SERVE}
    return usual | {name: value for name, value in zone.items() if value not in (None, "")}


def check(policy: SegmentPolicy) -> None:
    """Raises Invalid, with the part that is at fault."""
    _check_segments(policy.segments)
    for attr in ("employee_bounds", "value_bounds"):
        _check_bounds(attr, getattr(policy, attr), len(policy.segments))
    _check_currency(policy.currency, "currency")
    if not 0 <= policy.margin_percent < 100:
        raise Invalid("The margin is a part of the bound: 0 to 99 percent.", attr="margin_percent")
    _check_zones(policy.dead_zones)


def _check_segments(segments: Sequence[Mapping[str, Any]]) -> None:
    codes = [segment.get("code") for segment in segments]
    if not segments or len(set(codes)) < len(codes):
        raise Invalid("A policy has at least one segment, and each has a code of its own.", attr="segments")
    for segment in segments:
        engagements = motion.USUAL_ENGAGEMENT.values()
        if segment.get("motion") not in Motion.values or segment.get("engagement") not in engagements:
            raise Invalid(f"Segment {segment.get('code')} has an unknown motion or engagement.", attr="segments")
        if (segment.get("owner_role") or next(iter(SALES_ROLES))) not in SALES_ROLES:
            raise Invalid(f"Segment {segment.get('code')} is owned by a role that does not sell.", attr="segments")
    named = {str(segment["dunning_policy"]) for segment in segments if segment.get("dunning_policy")}
    known = DunningPolicy.objects.filter(code__in=named).values_list("code", flat=True)
    if unknown := sorted(named - set(known)):
        raise Invalid(f"There is no dunning policy {unknown[0]!r}.", attr="segments")


def _check_bounds(attr: str, bounds: Sequence[int], segments: int) -> None:
    if bounds and (len(bounds) != segments - 1 or sorted(set(bounds)) != list(bounds) or bounds[0] <= 0):
        raise Invalid(f"Give {segments - 1} rising positive bounds, one for each segment after the first.", attr=attr)


def _check_currency(code: str, attr: str) -> None:
    if not is_currency(code):
        raise Invalid("Give a currency code of ISO 4217.", attr=attr)


def _check_zones(zones: Sequence[Mapping[str, Any]]) -> None:
    if len(zones) > MAX_ZONES or len({zone.get("code") for zone in zones}) < len(zones):
        raise Invalid(f"A policy has at most {MAX_ZONES} dead zones, each with a code of its own.", attr="dead_zones")
    for zone in zones:
        _check_zone(zone)
    alike = [zone for zone in zones if (zone["basis"], zone["currency"]) == (zones[0]["basis"], zones[0]["currency"])]
    ordered = sorted(alike, key=lambda zone: int(zone["lower"]))
    if any(one["upper"] > other["lower"] for one, other in pairwise(ordered)):
        raise Invalid("Dead zones do not overlap.", attr="dead_zones")


def _check_zone(zone: Mapping[str, Any]) -> None:
    lower, upper = zone.get("lower"), zone.get("upper")
    if not zone.get("code") or not isinstance(lower, int) or not isinstance(upper, int) or not 0 <= lower < upper:
        raise Invalid("A dead zone has a code and reaches from one amount up to a higher one.", attr="dead_zones")
    if zone["basis"] not in SegmentPolicy.Basis.values or zone["motion"] not in Motion.values:
        raise Invalid(f"Dead zone {zone['code']} has an unknown basis or motion.", attr="dead_zones")
    _check_currency(str(zone["currency"]), "dead_zones")
