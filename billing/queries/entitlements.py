"""What customers may use, and how much of it is used: two queries, however many customers.

Two more where a billing period other than a subscription's current one is asked for.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby

from django.db.models import Q

from billing.models import Customer, Entitlement, Feature, Grant, Subscription
from billing.queries import billing_periods, usage
from billing.queries.billing_periods import Bounds
from gtm.shared.errors import NotFound

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)  # no event is older
NO_SUBSCRIPTION = "no_subscription"
NOT_IN_PLAN = "feature_not_in_plan"
LIMIT_REACHED = "limit_reached"
GRANT_EXPIRED = "grant_expired"


@dataclass(frozen=True, slots=True)
class EntitlementState:
    """What a customer may use of one feature at an instant.

    ``reason`` says why not where it isn't ``granted``. ``limit`` None is unlimited; ``used`` is None where nothing
    counts it; a period without an end has no ``resets_at``. ``access_until`` is known when a cancellation or an expiry
    is.
    """

    feature: str
    feature_id: uuid.UUID
    feature_name: str
    type: str
    granted: bool
    reason: str | None
    limit: Decimal | None = None
    used: Decimal | None = None
    remaining: Decimal | None = None
    hard: bool = False
    resets_at: datetime | None = None
    period_start: datetime | None = None
    source: str | None = None
    access_until: datetime | None = None
    subscription_id: uuid.UUID | None = None
    meter_id: uuid.UUID | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class LimitState:
    """How far a customer has come towards a limit in the current period; ``period_end`` None never resets."""

    customer_id: uuid.UUID
    subscription_id: uuid.UUID | None
    feature_id: uuid.UUID
    feature_code: str
    meter_id: uuid.UUID
    meter_name: str
    unit: str
    used: Decimal
    limit: Decimal
    period_start: datetime
    period_end: datetime | None


@dataclass(frozen=True, slots=True)
class _Access:
    """What the grants of one feature come to: booleans OR, limits add, unlimited wins, an override replaces."""

    feature: Feature
    customer: Customer
    leading: Grant
    granted: bool
    reason: str | None
    limit: Decimal | None
    hard: bool
    access_until: datetime | None
    start: datetime
    end: datetime | None

    @property
    def window(self) -> usage.Window | None:
        """What counts towards it now."""
        if not self.granted or self.feature.meter_id is None:
            return None
        return usage.Window(self.customer.pk, self.feature.meter_id, self.start, self.end)


def entitlements_of(*, customer_id: uuid.UUID, at: datetime, feature: str | None = None) -> list[EntitlementState]:
    """What the customer may use, by feature code; with ``feature`` that one alone, granted or not.

    Raises NotFound for a feature that doesn't exist.
    """
    wanted = Q(customer_id=customer_id) if feature is None else Q(customer_id=customer_id, feature__code=feature)
    accesses = _accesses(_grants(wanted), at)
    if feature is not None and not accesses:
        return [_missing(customer_id, feature)]
    used = _used(accesses)
    return [_state(access, used.get(position)) for position, access in enumerate(accesses)]


def limits_of(*, customer_ids: Iterable[uuid.UUID], at: datetime) -> list[LimitState]:
    """The limits on meters that hold for these customers now, with what is used of each."""
    on_meters = Q(customer_id__in=list(customer_ids), feature__type=Feature.Type.LIMIT, feature__meter__isnull=False)
    accesses = [access for access in _accesses(_grants(on_meters), at) if access.granted and access.limit is not None]
    used = _used(accesses)
    return [_limit(access, used[position]) for position, access in enumerate(accesses)]


def _grants(wanted: Q) -> list[Grant]:
    related = ("feature__meter", "subscription", "customer")
    return list(Grant.objects.filter(wanted).select_related(*related).order_by("customer_id", "feature__code", "id"))


def _accesses(grants: Sequence[Grant], at: datetime) -> list[_Access]:
    holding = [grant.subscription for grant in grants if _is_by_billing_period(grant) and _lapse(grant, at) is None]
    subscriptions = {subscription.pk: subscription for subscription in holding if subscription}
    bounds = billing_periods.containing(subscriptions.values(), at)
    by_feature = groupby(grants, key=lambda grant: (grant.customer_id, grant.feature_id))
    return [_combine(list(theirs), bounds, at) for _key, theirs in by_feature]


def _combine(grants: list[Grant], bounds: dict[uuid.UUID, Bounds], at: datetime) -> _Access:
    active = [grant for grant in grants if _lapse(grant, at) is None]
    overrides = [grant for grant in active if grant.source == Grant.Source.CONTRACT]
    giving = [grant for grant in overrides or active if grant.granted]
    leading = (giving or active or grants[-1:])[0]
    start, end = _period(leading, bounds, at)
    limits = [grant.limit for grant in giving if grant.limit is not None]
    return _Access(
        feature=leading.feature,
        customer=leading.customer,
        leading=leading,
        granted=bool(giving),
        reason=None if giving else NOT_IN_PLAN if active else _lapse(leading, at),
        limit=sum(limits, Decimal()) if giving and len(limits) == len(giving) else None,
        hard=any(grant.hard for grant in giving),
        access_until=_last(_ends(grant) for grant in giving),
        start=start,
        end=end,
    )


def _is_by_billing_period(grant: Grant) -> bool:
    return grant.reset == Entitlement.Reset.BILLING_PERIOD


def _lapse(grant: Grant, at: datetime) -> str | None:
    """Why the grant gives nothing now; None where it holds."""
    if grant.expires_at is not None and grant.expires_at <= at:
        return GRANT_EXPIRED
    if grant.subscription is None or _gives_access(grant.subscription):
        return None
    return f"subscription_{grant.subscription.status}"


def _gives_access(subscription: Subscription) -> bool:
    """Past due gives access within the grace that dunning has, which it ends."""
    keeps = subscription.pause_mode == Subscription.PauseMode.KEEP_ACCESS
    if subscription.status == Subscription.Status.PAUSED:
        return keeps
    return subscription.status in Subscription.LIVE and subscription.access_ended_at is None


def _ends(grant: Grant) -> datetime | None:
    known = [grant.expires_at, grant.subscription.cancel_at if grant.subscription else None]
    return min((end for end in known if end is not None), default=None)


def _last(ends: Iterable[datetime | None]) -> datetime | None:
    """When the last grant ends; None while one of them has no end."""
    known = list(ends)
    return None if None in known else max((end for end in known if end is not None), default=None)


def _period(grant: Grant, bounds: dict[uuid.UUID, Bounds], at: datetime) -> tuple[datetime, datetime | None]:
    """What is counted now towards the limit; a grant without a subscription has no billing period, but months."""
    if grant.reset == Entitlement.Reset.NEVER:
        return BEGINNING, None
    if _is_by_billing_period(grant) and grant.subscription_id in bounds:
        return bounds[grant.subscription_id]
    return billing_periods.calendar_month(at, grant.customer.timezone)


def _used(accesses: Sequence[_Access]) -> dict[int, Decimal]:
    """What is used of each that is counted, by its position."""
    windows = {position: access.window for position, access in enumerate(accesses)}
    counted = {position: window for position, window in windows.items() if window is not None}
    return dict(zip(counted, usage.totals(list(counted.values())), strict=True))


def _state(access: _Access, used: Decimal | None) -> EntitlementState:
    feature, meter = access.feature, access.feature.meter
    counted = access.granted and feature.type != Feature.Type.BOOLEAN
    remaining = None if access.limit is None or used is None else max(access.limit - used, Decimal())
    spent = access.hard and remaining == 0
    return EntitlementState(
        feature=feature.code,
        feature_id=feature.pk,
        feature_name=feature.name,
        type=feature.type,
        granted=access.granted and not spent,
        reason=LIMIT_REACHED if spent else access.reason,
        limit=access.limit,
        used=used,
        remaining=remaining,
        hard=access.hard,
        resets_at=access.end if counted else None,
        period_start=access.start if counted else None,
        source=access.leading.source,
        access_until=access.access_until,
        subscription_id=access.leading.subscription_id,
        meter_id=feature.meter_id,
        unit=meter.unit if meter else "",
    )


def _limit(access: _Access, used: Decimal) -> LimitState:
    feature = access.feature
    assert feature.meter is not None, "only limits on meters are asked for"
    assert access.limit is not None, "only limits are asked for"
    return LimitState(
        customer_id=access.customer.pk,
        subscription_id=access.leading.subscription_id,
        feature_id=feature.pk,
        feature_code=feature.code,
        meter_id=feature.meter.pk,
        meter_name=feature.meter.name,
        unit=feature.meter.unit,
        used=used,
        limit=access.limit,
        period_start=access.start,
        period_end=access.end,
    )


def _missing(customer_id: uuid.UUID, code: str) -> EntitlementState:
    """A feature that none of the customer's grants is about."""
    feature = Feature.objects.filter(code=code).select_related("meter").first()
    if feature is None:
        raise NotFound(f"There is no feature {code!r}.", attr="feature")
    statuses = list(
        Subscription.objects.filter(customer_id=customer_id).order_by("-id").values_list("status", flat=True)
    )
    if any(status in Subscription.LIVE for status in statuses):
        reason = NOT_IN_PLAN
    else:
        reason = f"subscription_{statuses[0]}" if statuses else NO_SUBSCRIPTION
    return EntitlementState(
        feature=feature.code,
        feature_id=feature.pk,
        feature_name=feature.name,
        type=feature.type,
        granted=False,
        reason=reason,
        meter_id=feature.meter_id,
        unit=feature.meter.unit if feature.meter else "",
    )
