"""Notices: looks at the usage of many customers at once and tells, once per rule, limit and period.

Reading is set-based: a constant number of queries, however many customers. A signal is inserted ON CONFLICT DO NOTHING
on its dedup key; whoever inserts it acts on it, in the same transaction, by the motion of the account: a customer who
serves itself gets a prompt in the portal and nobody calls; of any other account the owner gets an alert, or the team of
its queue.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from billing import prompts, queries
from billing.models import Customer
from billing.queries import LimitState
from crm import accounts, alerts, owners
from crm.models import Account, Motion
from crm.queries import revenue
from gtm.shared import outbox
from gtm.shared.templatetags.tandem import percent, quantity
from signals import rules, trigger_rules
from signals.models import Signal, TriggerRuleVersion


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the rules make of one limit of a customer; ``decision.reason`` says why nothing was noticed."""

    customer: Customer
    state: LimitState
    usage: rules.Usage
    decision: rules.Decision


@dataclass(frozen=True, slots=True)
class _Finding:
    """A threshold was passed: ``keys`` are those of the winner and of all thresholds above it."""

    evaluation: Evaluation
    account: Account
    version: TriggerRuleVersion
    key: str
    keys: frozenset[str]


def evaluate(*, customer_ids: Collection[UUID], at: datetime) -> list[Signal]:
    """Look at the usage of these customers as it stands at ``at``; returns the signals that are new.

    All customers stand on one test clock, or on none.
    """
    trigger_rules.install_defaults(at=at)
    versions = {version.rule.code: version for version in trigger_rules.in_force()}
    noticed = [each for each in judge(customer_ids=customer_ids, versions=versions, at=at) if each.decision.winner]
    findings = _new(_findings(noticed, versions, at))
    return _tell(findings, at) if findings else []


def judge(
    *, customer_ids: Collection[UUID], versions: Mapping[str, TriggerRuleVersion], at: datetime
) -> list[Evaluation]:
    """What the rules make of every limit of these customers, without telling anybody."""
    thresholds = [rules.Threshold(code, version.threshold) for code, version in versions.items()]
    customers = Customer.objects.in_bulk(list(customer_ids))
    found = []
    for state in queries.limits_of(customer_ids=list(customers), at=at):
        usage = _usage(state)
        found.append(Evaluation(customers[state.customer_id], state, usage, rules.decide(usage, thresholds)))
    return found


def _usage(state: LimitState) -> rules.Usage:
    unit = state.unit or state.meter_name
    return rules.Usage(state.used, state.limit, unit, state.period_start, state.period_end)


# --- what is new -------------------------------------------------------------------------------
def _findings(
    noticed: Sequence[Evaluation], versions: Mapping[str, TriggerRuleVersion], at: datetime
) -> list[_Finding]:
    of_customers = _accounts([each.customer for each in noticed], at)
    return [_finding(each, of_customers[each.customer.pk], versions) for each in noticed]


def _finding(each: Evaluation, account: Account, versions: Mapping[str, TriggerRuleVersion]) -> _Finding:
    winner = each.decision.winner
    assert winner, "only what was noticed is looked at further"
    state, customer = each.state, each.customer
    subject = rules.Subject(customer.test_clock_id, account.pk, customer.pk, state.subscription_id, state.meter_id)
    higher = [rules.Threshold(code, version.threshold) for code, version in versions.items()]
    keys = frozenset(rules.dedup_key(one, subject, each.usage) for one in higher if one.share >= winner.share)
    key = rules.dedup_key(winner, subject, each.usage)
    return _Finding(each, account, versions[winner.rule_code], key, keys)


def _accounts(customers: Iterable[Customer], at: datetime) -> dict[UUID, Account]:
    """By customer. Where crm has not heard of a customer yet, its account is made now."""
    by_id = {customer.pk: customer for customer in customers}
    known = {customer.account_id for customer in by_id.values() if customer.account_id}
    found = Account.objects.in_bulk(list(known))
    return {
        key: found.get(customer.account_id) or accounts.for_customer(customer=customer, at=at)
        for key, customer in by_id.items()
    }


def _new(findings: Sequence[_Finding]) -> list[_Finding]:
    """Without what was told before, by this threshold or a higher one; in the order in which keys are inserted."""
    keys = {key for finding in findings for key in finding.keys}
    told = set(Signal.objects.filter(dedup_key__in=keys).values_list("dedup_key", flat=True)) if keys else set()
    return sorted((one for one in findings if not one.keys & told), key=lambda finding: finding.key)


# --- telling -----------------------------------------------------------------------------------
@transaction.atomic
def _tell(found: Sequence[_Finding], at: datetime) -> list[Signal]:
    findings = _reviewed(found, at)
    written = [_signal(finding, at) for finding in findings]
    Signal.objects.bulk_create(written, ignore_conflicts=True)
    inserted = Signal.objects.in_bulk([signal.pk for signal in written])
    ours = [finding for finding, signal in zip(findings, written, strict=True) if signal.pk in inserted]
    signals = [signal for signal in written if signal.pk in inserted]
    stakes = _stakes(ours, at)
    for finding, signal in zip(ours, signals, strict=True):
        _publish(signal, finding, at)
        if signal.outcome == Signal.Outcome.PROMPT:
            _prompt(signal, finding, at)
        else:
            _alert(signal, finding, stakes.get((finding.account.pk, finding.evaluation.customer.currency)), at)
    return signals


def _reviewed(findings: Sequence[_Finding], at: datetime) -> list[_Finding]:
    """With the accounts as they are now: what made a company bigger may wait in a fact that comes after this one.

    The pools' locks come before those of any account.
    """
    owners.lock_pools(at=at)
    return [replace(one, account=accounts.review(customer=one.evaluation.customer, at=at)) for one in findings]


def _signal(finding: _Finding, at: datetime) -> Signal:
    each, account = finding.evaluation, finding.account
    serves_itself = account.motion == Motion.SELF_SERVE
    return Signal(
        dedup_key=finding.key,
        rule_version=finding.version,
        account=account,
        customer=each.customer,
        subscription_id=each.state.subscription_id,
        meter_id=each.state.meter_id,
        period_start=each.state.period_start,
        period_end=each.state.period_end,
        limit_value=each.state.limit,
        value=each.state.used,
        evidence=rules.evidence(each.usage, at=at),
        motion=account.motion,
        outcome=Signal.Outcome.PROMPT if serves_itself else Signal.Outcome.ALERT,
        occurred_at=at,
        test_clock_id=each.customer.test_clock_id,
    )


def _publish(signal: Signal, finding: _Finding, at: datetime) -> None:
    each = finding.evaluation
    outbox.publish(
        "signals.signal.raised",
        signal,
        at=at,
        customer_id=each.customer.pk,
        account_id=finding.account.pk,
        data={
            "rule": finding.version.rule.code,
            "rule_version": finding.version.number,
            "thresholds": [rules.bare(one.share) for one in each.decision.passed],
            "feature": each.state.feature_code,
            "value": rules.bare(each.state.used),
            "limit": rules.bare(each.state.limit),
            "motion": signal.motion,
            "outcome": signal.outcome,
        },
    )


def _stakes(findings: Sequence[_Finding], at: datetime) -> dict[tuple[UUID, str], revenue.Revenue]:
    """What the accounts pay in a year, by account and the currency of the customer it was noticed about."""
    by_currency: dict[str, set[UUID]] = {}
    for finding in findings:
        by_currency.setdefault(finding.evaluation.customer.currency, set()).add(finding.account.pk)
    return {
        (account_id, currency): worth
        for currency, ids in by_currency.items()
        for account_id, worth in revenue.arr_of(account_ids=ids, at=at, currency=currency).items()
    }


def _alert(signal: Signal, finding: _Finding, worth: revenue.Revenue | None, at: datetime) -> None:
    version = finding.version
    alerts.raise_alert(
        account=finding.account,
        customer=finding.evaluation.customer,
        rule_code=version.rule.code,
        rule_name=version.rule.name,
        rule_version=version.number,
        signal_id=signal.pk,
        severity=version.severity,
        evidence=signal.evidence,
        value_at_stake=worth.amount if worth else None,
        currency=worth.currency if worth else "",
        play=version.play,
        at=at,
    )


def _prompt(signal: Signal, finding: _Finding, at: datetime) -> None:
    each = finding.evaluation
    customer, state = each.customer, each.state
    with translation.override(customer.preferred_locale):
        text = _words(state.used, state.limit, each.usage.unit)
    prompts.show(
        customer_id=customer.pk,
        code=finding.version.rule.code,
        period=f"{state.period_start:%Y-%m-%d} {signal.public_id}",
        text=text[:500],
        link=reverse("portal_plan", args=[customer.public_id]),
        at=at,
        expires_at=state.period_end,
    )


def _words(used: Decimal, limit: Decimal, unit: str) -> str:
    """For the customer, in the active language."""
    figures = {"used": quantity(used), "limit": quantity(limit), "unit": unit, "share": percent(used / limit)}
    if used < limit:
        return (
            _("You have used %(used)s of %(limit)s %(unit)s (%(share)s). A larger plan gives you more room.") % figures
        )
    return (
        _("You have reached your limit: %(used)s of %(limit)s %(unit)s (%(share)s). A larger plan gives you more.")
        % figures
    )
