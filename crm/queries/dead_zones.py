"""Accounts in dead zones: how many there are, and those that somebody owns all the same."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Q

from crm.models import Account, OwnerDecision, SegmentPolicy
from gtm.shared.models import User

SHOWN = 200


@dataclass(frozen=True, slots=True)
class Owned:
    """``note``: what somebody said for giving it an owner; empty where the rules did, before it lay in the zone."""

    account: Account
    zone: str
    since: datetime
    note: str


def owned(user: User) -> list[Owned]:
    """Those the user sees, by owner and name."""
    accounts = Account.objects.visible_to(user).exclude(dead_zone="").filter(test_clock=None, owner__isnull=False)
    decisions = OwnerDecision.objects.filter(account__in=accounts, valid_to=None).select_related("account__owner")
    labels = _labels()
    rows = decisions.order_by("account__owner", "account__name_key", "pk")[:SHOWN]
    return [
        Owned(row.account, labels.get(row.account.dead_zone, row.account.dead_zone), row.valid_from, row.note)
        for row in rows
    ]


def counts(user: User) -> list[dict[str, Any]]:
    """For each zone: how many accounts lie in it, and how many of them have an owner."""
    accounts = Account.objects.visible_to(user).exclude(dead_zone="").filter(test_clock=None)
    found = accounts.values("dead_zone").annotate(total=Count("pk"), owned=Count("pk", filter=Q(owner__isnull=False)))
    labels = _labels()
    return [row | {"label": labels.get(row["dead_zone"], row["dead_zone"])} for row in found.order_by("dead_zone")]


def _labels() -> dict[str, str]:
    policy = SegmentPolicy.objects.filter(number__isnull=False).order_by("-number").first()
    return {zone["code"]: zone["label"] for zone in policy.dead_zones} if policy else {}
