"""Why an account is treated as it is: the decisions that hold now, as the API and a lead show them."""

from typing import Any

from django.db.models import Q

from crm.models import Account, MotionOverride, SlaClock

SHOWN = 20


def routing_of(account: Account) -> dict[str, Any]:
    """Segment, motion, owner and queue, with the reasons of the open decisions, and what holds now. Four queries."""
    motion = account.motion_decisions.filter(valid_to=None).select_related("policy").first()
    ownership = account.owner_decisions.filter(valid_to=None).select_related("ruleset").first()
    return what_holds(account) | as_told(
        account,
        policy=motion.policy.number if motion and motion.policy else None,
        ruleset=ownership.ruleset.number if ownership and ownership.ruleset else None,
        motion_reasons=motion.reasons if motion else [],
        owner_reasons=ownership.reasons if ownership else [],
    )


def what_holds(account: Account) -> dict[str, Any]:
    """What people set by hand, the zone it lies in, and the answers that are due."""
    override = MotionOverride.objects.filter(account=account, ended_at=None).first()
    return {
        "dead_zone": account.dead_zone,
        "owner_role": account.owner_role,
        "segment_locked_until": account.segment_locked_until,
        "override": override,
        "sla": [
            {
                "lead": clock.lead.public_id if clock.lead else None,
                "alert": clock.alert.public_id if clock.alert else None,
                "state": clock.state,
                "due_at": clock.due_at,
                "reroutes": clock.reroutes,
                "policy": clock.policy.number,
            }
            for clock in clocks_of(account)
        ],
    }


def clocks_of(account: Account) -> list[SlaClock]:
    """The clocks of what still waits for an answer at the account, the most urgent first."""
    running = SlaClock.objects.filter(answered_at=None).exclude(state=SlaClock.State.CANCELED)
    of_it = running.filter(Q(lead__account=account) | Q(alert__account=account))
    return list(of_it.select_related("lead", "alert", "policy", "owner", "queue").order_by("due_at", "pk")[:SHOWN])


def as_told(
    account: Account,
    *,
    policy: int | None,
    ruleset: int | None,
    motion_reasons: list[dict[str, Any]],
    owner_reasons: list[dict[str, Any]],
) -> dict[str, Any]:
    """What was decided about the account. Each reason says which of the two decisions it belongs to."""
    return {
        "segment": account.segment,
        "motion": account.motion,
        "engagement_policy": account.engagement_policy,
        "owner": account.owner.public_id if account.owner else None,
        "queue": account.queue.code if account.queue else None,
        "policy": policy,
        "ruleset": ruleset,
        "reasons": [
            *({**reason, "decision": "motion"} for reason in motion_reasons),
            *({**reason, "decision": "owner"} for reason in owner_reasons),
        ],
    }
