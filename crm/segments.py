"""Segment and motion of accounts: decided from their facts, kept as dated rows, repeated on the account.

One account or a batch of them takes the same few queries. Nothing of billing is touched: a motion never changes a
running checkout, a price or access.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from crm import motion, policies
from crm.models import Account, MotionDecision, SegmentPolicy
from crm.queries import standing
from gtm.shared import bulk, db, outbox
from gtm.shared.models import Event

DECIDED = ("segment", "motion", "engagement_policy", "dead_zone", "owner_role")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a policy says of an account, beside the decision that it has."""

    account: Account
    decision: motion.Decision
    current: MotionDecision | None

    @property
    def decided(self) -> dict[str, str]:
        """By the names of the account's columns."""
        one = self.decision
        values = (one.segment, one.motion, one.engagement, one.dead_zone, one.owner_role)
        return dict(zip(DECIDED, values, strict=True))

    @property
    def previous(self) -> dict[str, str]:
        return {name: getattr(self.account, name) for name in DECIDED}

    @property
    def moves(self) -> bool:
        """Whether the account would be sold to in another way."""
        return self.decided != self.previous

    @property
    def reasons(self) -> list[dict[str, Any]]:
        return [reason.as_json() for reason in self.decision.reasons]


def outcomes(*, accounts: Collection[Account], policy: SegmentPolicy, at: datetime) -> list[Outcome]:
    """What the policy says of each account; writes nothing. A fixed number of queries."""
    terms, found = policies.terms(policy), standing.cases(accounts=accounts, policy=policy, at=at)
    return [
        Outcome(account, motion.decide(case.facts, terms, case.override, case.standing), case.current)
        for account in accounts
        for case in [found[account.pk]]
    ]


@transaction.atomic
def decide(*, account: Account, at: datetime) -> Account:
    """Decide segment, motion and engagement anew; the account is returned, locked, as it is then.

    Publishes ``crm.account.motion_decided`` when one of them changed. A decision with other reasons or under another
    policy is a new row of the history, too.
    """
    [outcome] = decide_many(account_ids=[account.pk], at=at)
    return outcome.account


@transaction.atomic
def decide_many(*, account_ids: Collection[UUID], at: datetime) -> list[Outcome]:
    """The same for a batch, whose accounts are locked in the order of their keys."""
    policy = policies.current_policy(at=at)
    return carry_out(outcomes(accounts=db.lock(Account, account_ids), policy=policy, at=at), policy=policy, at=at)


def carry_out(found: Sequence[Outcome], *, policy: SegmentPolicy, at: datetime) -> list[Outcome]:
    """Write what was decided about accounts whose locks the caller holds."""
    other = [one for one in found if not _stands(one, policy)]
    _close([one.current for one in other if one.current], at)
    bulk.insert(MotionDecision, [_row(one, policy, at) for one in other])
    moved = [(one, one.previous) for one in other if one.moves]
    for one, _previous in moved:
        vars(one.account).update(one.decided)
        one.account.touch()
    bulk.update(Account, [one.account for one, _previous in moved], (*DECIDED, "version", "updated_at"))
    outbox.publish_many([_fact(one, previous, policy, at) for one, previous in moved])
    return list(found)


def _stands(outcome: Outcome, policy: SegmentPolicy) -> bool:
    """Whether the open row says the same under the same policy."""
    row = outcome.current
    if row is None or row.policy_id != policy.pk or outcome.moves:
        return False
    return (row.falling_since, list(_key(row.reasons))) == (
        outcome.decision.falling_since,
        list(_key(outcome.reasons)),
    )


def _key(reasons: Sequence[Mapping[str, Any]]) -> Iterable[tuple[Any, ...]]:
    """What makes reasons others. A new day's exchange rate that leads to the same band is none."""
    converted = any(reason["code"] == "rate" for reason in reasons)
    for reason in reasons:
        if reason["code"] == "rate":
            yield "rate", reason["field"]
        elif converted and reason["field"] in standing.VALUES:
            yield reason["code"], reason["field"], reason["threshold"]
        else:
            yield reason["code"], reason["field"], reason["value"], reason["threshold"]


def _close(rows: Sequence[MotionDecision], at: datetime) -> None:
    for row in rows:
        row.valid_to = max(at, row.valid_from)
    bulk.update(MotionDecision, rows, ("valid_to",))


def _row(outcome: Outcome, policy: SegmentPolicy, at: datetime) -> MotionDecision:
    current, decision = outcome.current, outcome.decision
    return bulk.new(
        MotionDecision,
        account=outcome.account,
        segment=decision.segment,
        motion=decision.motion,
        engagement_policy=decision.engagement,
        policy=policy,
        reasons=outcome.reasons,
        falling_since=decision.falling_since,
        valid_from=max(at, current.valid_from) if current else at,
    )


def _fact(outcome: Outcome, previous: dict[str, str], policy: SegmentPolicy, at: datetime) -> Event:
    data = {**outcome.decided, "policy": policy.number}
    return outbox.fact(
        "crm.account.motion_decided",
        outcome.account,
        at=at,
        account_id=outcome.account.pk,
        data=data,
        previous=previous,
    )
