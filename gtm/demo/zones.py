"""A second version of the segment policy, and an account in its dead zone that somebody clings to."""

from datetime import datetime, timedelta
from typing import Any

from crm import accounts, policies, presets
from crm.models import TeamMembership

SINCE = timedelta(days=20)


def tell(*, now: datetime) -> None:
    at = now - SINCE
    newest = policies.current_policy(at=at)
    zone = {"code": "dead_zone", "label": "Dead zone 1K to 10K", "lower": 100_000, "upper": 1_000_000}
    policies.publish_policy(
        at=at,
        name=f"{newest.name}, dead zone 1K to 10K",
        segments=newest.segments,
        employee_bounds=newest.employee_bounds,
        value_bounds=newest.value_bounds,
        sales_led_needs=presets.SALES_LED_NEEDS,
        dead_zones=[zone | {"basis": "expected_value", "currency": "EUR"}],
    )
    account = accounts.for_domain(domain="harbourlight.example", name="Harbourlight Studio", at=at)
    said: dict[str, Any] = {"employee_count": 14, "expected_value": 450_000, "value_currency": "EUR", "country": "PT"}
    account = accounts.change(account=account, at=at, **said)
    rep = TeamMembership.objects.filter(is_manager=False).order_by("pk").select_related("user").first()
    if rep is not None:
        reason = "Their studio is where our first customers meet"
        accounts.give(account=account, owner=rep.user, at=at + timedelta(days=1), reason=reason)
