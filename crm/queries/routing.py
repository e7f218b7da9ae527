"""Why an account is treated as it is: the decisions that hold now, as the API and a lead show them."""

from typing import Any

from crm.models import Account


def routing_of(account: Account) -> dict[str, Any]:
    """Segment, motion, owner and queue, with the reasons of the open decisions. Two queries."""
    motion = account.motion_decisions.filter(valid_to=None).select_related("policy").first()
    ownership = account.owner_decisions.filter(valid_to=None).select_related("ruleset").first()
    return as_told(
        account,
        policy=motion.policy.number if motion and motion.policy else None,
        ruleset=ownership.ruleset.number if ownership and ownership.ruleset else None,
        motion_reasons=motion.reasons if motion else [],
        owner_reasons=ownership.reasons if ownership else [],
    )


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
