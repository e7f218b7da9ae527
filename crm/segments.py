"""Segment and motion of an account: decided from its facts, kept as dated rows, repeated on the account."""

from datetime import datetime

from django.db import transaction

from crm import motion, policies
from crm.models import Account, MotionDecision, SegmentPolicy
from crm.queries import revenue
from gtm.shared import db, outbox
from gtm.shared.models import write


@transaction.atomic
def decide(*, account: Account, at: datetime) -> Account:
    """Decide segment, motion and engagement anew; publishes ``crm.account.motion_decided`` when one of them changed.

    A decision with other reasons or under another policy is a new row of the history, too. The account is returned as
    it is then. Nothing of billing is touched: a motion never changes a checkout, a price or access.
    """
    policy = policies.current_policy(at=at)
    account = db.lock_one(account)
    decision = motion.decide(_facts(account, policy, at), policies.terms(policy))
    _record(account, decision, policy, at)
    return account


def _facts(account: Account, policy: SegmentPolicy, at: datetime) -> motion.Facts:
    """What is known. The ARR of an account without customers is unknown, and where a rate to convert it is missing."""
    found = revenue.arr_of(account_ids=[account.pk], at=at, currency=policy.currency).get(account.pk)
    value = found.amount if found and policy.basis == "arr" else None
    return motion.Facts(account.employee_count, value, frozenset(account.needs))


def _record(account: Account, decision: motion.Decision, policy: SegmentPolicy, at: datetime) -> None:
    reasons = [reason.as_json() for reason in decision.reasons]
    current = MotionDecision.objects.filter(account=account, valid_to=None).first()
    if current and _same(current, decision) and (current.policy_id, current.reasons) == (policy.pk, reasons):
        return
    starts = max(at, current.valid_from) if current else at
    if current:
        MotionDecision.objects.filter(pk=current.pk).update(valid_to=starts)
    MotionDecision.objects.create(
        account=account,
        segment=decision.segment,
        motion=decision.motion,
        engagement_policy=decision.engagement,
        policy=policy,
        reasons=reasons,
        valid_from=starts,
    )
    if not (current and _same(current, decision)):
        _publish(account, decision, policy, at)


def _same(row: MotionDecision, decision: motion.Decision) -> bool:
    decided = (decision.segment, decision.motion, decision.engagement)
    return (row.segment, row.motion, row.engagement_policy) == decided


def _publish(account: Account, decision: motion.Decision, policy: SegmentPolicy, at: datetime) -> None:
    names = ("segment", "motion", "engagement_policy")
    previous = {name: getattr(account, name) for name in names}
    decided = dict(zip(names, (decision.segment, decision.motion, decision.engagement), strict=True))
    write(account, **decided)
    data = {**decided, "policy": policy.number}
    outbox.publish("crm.account.motion_decided", account, at=at, account_id=account.pk, data=data, previous=previous)
