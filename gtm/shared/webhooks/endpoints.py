"""Who listens: made with a secret that is shown once, changed, tried out, given up after days of failure."""

import base64
import secrets
import uuid
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urljoin

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.urls import reverse

from gtm.shared import db, mail, nudges, outbox, saving, sealing
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event, Role, User, WebhookAttempt, WebhookDelivery, WebhookEndpoint, write
from gtm.shared.webhooks import destinations, event_types, retries

CHANGEABLE = frozenset({"url", "event_types", "description", "enabled", "api_version", "external_id", "metadata"})
_TOLD = frozenset({"event_types", "enabled", "api_version"})  # an address may hold a token, and a description anything
_SECRET_MARK = "whsec_"  # noqa: S105 -- the mark of Standard Webhooks
_SECRET_BYTES = 32
DELIVER_TASK = "gtm.shared.tasks.deliver_webhooks"
MAX_OVERLAP = timedelta(days=7)
Reason = WebhookEndpoint.DisabledReason


@transaction.atomic
def create(
    *, at: datetime, url: str, enabled: bool = True, event_types: list[str] | None = None, **fields: Any
) -> tuple[WebhookEndpoint, str]:
    """Make an endpoint and return it with its secret, which nobody is shown again; publishes ``….created``.

    It hears of what is written from now on. Raises Invalid for an address that nothing is sent to, and for a pattern
    that no type can match.
    """
    secret = _new_secret()
    endpoint = WebhookEndpoint(url=url, event_types=event_types or [], **fields)
    endpoint.sealed_secret = sealing.seal(secret)
    _set_enabled(endpoint, enabled, reason=Reason.MANUAL, at=at)
    _check(endpoint)
    saving.insert(endpoint)
    data = {"enabled": endpoint.enabled, "event_types": endpoint.event_types}
    outbox.publish("webhook_endpoint.created", endpoint, at=at, data=data)
    return endpoint, secret


@transaction.atomic
def change(*, endpoint: WebhookEndpoint, at: datetime, **changes: Any) -> WebhookEndpoint:
    """Set what is given; publishes ``….changed``. Switched on again, it starts without its history of failures.

    What waited for it is sent then; what was written meanwhile is not, unless it is replayed. Raises Invalid as
    ``create`` does.
    """
    assert changes.keys() <= CHANGEABLE, "the rest has operations of its own"
    endpoint = db.lock_one(endpoint)
    if "enabled" in changes and changes["enabled"] != endpoint.enabled:
        changes |= _enabling(changes["enabled"], reason=Reason.MANUAL, at=at)
    _check(WebhookEndpoint(url=changes.get("url", endpoint.url), event_types=changes.get("event_types", [])))
    previous = saving.change(endpoint, **changes)
    if told := sorted(CHANGEABLE & previous.keys()):
        outbox.publish(
            "webhook_endpoint.changed",
            endpoint,
            at=at,
            data={"changed": told, "enabled": endpoint.enabled, "event_types": endpoint.event_types},
            previous={name: previous[name] for name in told if name in _TOLD},
        )
        nudges.on_commit(DELIVER_TASK)
    return endpoint


def _set_enabled(endpoint: WebhookEndpoint, enabled: bool, *, reason: str, at: datetime) -> None:
    for name, value in _enabling(enabled, reason=reason, at=at).items():
        setattr(endpoint, name, value)


def _enabling(enabled: bool, *, reason: str, at: datetime) -> dict[str, Any]:
    """The columns that go with being on or off."""
    fresh = {"failing_since": None, "warned_at": None} if enabled else {}
    return {
        "enabled": enabled,
        "disabled_at": None if enabled else at,
        "disabled_reason": "" if enabled else reason,
        **fresh,
    }


def _check(endpoint: WebhookEndpoint) -> None:
    """Its form alone: what the name stands for is looked up for each request, when it counts."""
    try:
        destinations.parse(endpoint.url, allowed=settings.WEBHOOK_ALLOWED_HOSTS)
    except destinations.Refused as error:
        raise Invalid(str(error), attr="url") from error
    if len(endpoint.event_types) > event_types.MAX_PATTERNS:
        raise Invalid(f"At most {event_types.MAX_PATTERNS} types and patterns.", attr="event_types")
    if wrong := [pattern for pattern in endpoint.event_types if not event_types.is_pattern(pattern)]:
        detail = f"{wrong[0][:80]!r} is no type such as billing.invoice.paid and no pattern such as billing.invoice.*"
        raise Invalid(f"{detail}.", attr="event_types")


def _new_secret() -> str:
    return _SECRET_MARK + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


@transaction.atomic
def rotate_secret(
    *, endpoint: WebhookEndpoint, at: datetime, overlap: timedelta = timedelta(days=1)
) -> tuple[WebhookEndpoint, str]:
    """Give a new secret, shown once; the one before signs beside it until ``overlap`` has passed.

    Publishes ``….secret_rotated``. Raises Invalid for an overlap below 0 or above seven days.
    """
    if not timedelta(0) <= overlap <= MAX_OVERLAP:
        raise Invalid("Both secrets are valid together for 0 to 168 hours.", attr="overlap_hours")
    endpoint = db.lock_one(endpoint)
    secret, until = _new_secret(), at + overlap
    write(
        endpoint,
        sealed_previous=endpoint.sealed_secret if overlap else "",
        previous_valid_until=until if overlap else None,
        sealed_secret=sealing.seal(secret),
    )
    data = {"previous_valid_until": until.isoformat()}
    outbox.publish("webhook_endpoint.secret_rotated", endpoint, at=at, data=data)
    return endpoint, secret


def signing_secrets(endpoint: WebhookEndpoint, *, at: datetime) -> list[str]:
    """The secrets that sign at that time, the newest first. Raises ``sealing.Unreadable``."""
    sealed = [endpoint.sealed_secret]
    if endpoint.previous_valid_until is not None and at < endpoint.previous_valid_until:
        sealed.append(endpoint.sealed_previous)
    return [sealing.unseal(text) for text in sealed]


@transaction.atomic
def remove(*, endpoint: WebhookEndpoint, at: datetime) -> None:
    """Delete the endpoint with its deliveries; publishes ``….removed``."""
    endpoint = WebhookEndpoint.objects.select_for_update().get(pk=endpoint.pk)  # deliveries being made wait, too
    outbox.publish("webhook_endpoint.removed", endpoint, at=at)
    theirs = WebhookDelivery.objects.filter(endpoint=endpoint, status=WebhookDelivery.Status.PENDING)
    list(theirs.select_for_update().values_list("pk"))  # none gets a new attempt from here on
    WebhookAttempt.objects.filter(delivery__endpoint=endpoint).delete()
    WebhookDelivery.objects.filter(endpoint=endpoint).delete()
    endpoint.delete()


@transaction.atomic
def ping(*, endpoint: WebhookEndpoint, at: datetime) -> WebhookDelivery:
    """Send a fact that tells of this call alone (``….pinged``), whatever types it wants. Conflict while it is off."""
    endpoint = db.lock_one(endpoint)
    require_enabled(endpoint)
    event = outbox.publish("webhook_endpoint.pinged", endpoint, at=at)
    delivery = WebhookDelivery.objects.create(endpoint=endpoint, event=event, queued_at=at, next_attempt_at=at)
    nudges.on_commit(DELIVER_TASK)
    return delivery


def require_enabled(endpoint: WebhookEndpoint) -> None:
    if not endpoint.enabled:
        raise Conflict("This endpoint is off. Switch it on first.", code="endpoint_disabled")


# --- failing -----------------------------------------------------------------------------------
def note(*, taken: Collection[uuid.UUID], failed: Collection[uuid.UUID], at: datetime) -> None:
    """In the caller's transaction: who has just taken something, and who has not; the later counts where both are one.

    An endpoint that takes something fails no more; where founders were warned, ``….recovered`` is published.
    """
    changing = Q(pk__in=taken, failing_since__isnull=False) | Q(pk__in=failed, failing_since=None, enabled=True)
    for endpoint in WebhookEndpoint.objects.filter(changing).order_by("pk").select_for_update(no_key=True):
        since, was_warned = endpoint.failing_since, endpoint.warned_at is not None
        endpoint.failing_since = at if endpoint.pk in failed and endpoint.enabled else None
        endpoint.warned_at = None
        endpoint.save(update_fields=["failing_since", "warned_at"])
        if since is not None and was_warned:
            previous = {"failing_since": since.isoformat()}
            outbox.publish("webhook_endpoint.recovered", endpoint, at=at, previous=previous)


def review(*, at: datetime) -> int:
    """Warn of endpoints that have failed for three days and switch off those that have for five; return how many.

    Between warning and end lies a day at least, however late the warning came.
    """
    due = WebhookEndpoint.objects.filter(_to_warn(at) | _to_disable(at), enabled=True).order_by("pk")
    return sum(_review(endpoint, at=at) for endpoint in due)


def _to_warn(at: datetime) -> Q:
    return Q(failing_since__lte=at - retries.WARN_AFTER, warned_at=None)


def _to_disable(at: datetime) -> Q:
    return Q(failing_since__lte=at - retries.DISABLE_AFTER, warned_at__lte=at - retries.NOTICE)


@transaction.atomic
def _review(endpoint: WebhookEndpoint, *, at: datetime) -> bool:
    due = WebhookEndpoint.objects.filter(_to_warn(at) | _to_disable(at), pk=endpoint.pk, enabled=True)
    locked = due.select_for_update(no_key=True).first()
    if locked is None or locked.failing_since is None:
        return False
    since = {"failing_since": locked.failing_since.isoformat()}
    if locked.warned_at is None:
        write(locked, warned_at=at)
        ends = max(locked.failing_since + retries.DISABLE_AFTER, at + retries.NOTICE)
        data = since | {"disabled_from": ends.isoformat()}
        event = outbox.publish("webhook_endpoint.failing", locked, at=at, data=data)
        _mail_founders(locked, event, "webhook_failing", ends=ends)
    else:
        write(locked, **_enabling(False, reason=Reason.FAILING, at=at))
        event = outbox.publish("webhook_endpoint.disabled", locked, at=at, data=since | {"reason": Reason.FAILING})
        _mail_founders(locked, event, "webhook_disabled")
    return True


def _mail_founders(endpoint: WebhookEndpoint, event: Event, template: str, **values: Any) -> None:
    latest = WebhookDelivery.objects.filter(endpoint=endpoint).exclude(last_error="").order_by("-id").first()
    values |= {
        "endpoint": endpoint,
        "last_error": latest.last_error if latest else "",
        "address": urljoin(settings.BASE_URL, reverse("admin:shared_webhookendpoint_change", args=[endpoint.pk])),
    }
    for founder in User.objects.filter(is_active=True, roles__contains=[Role.FOUNDER]).order_by("pk"):
        mail.queue(event=event, recipient=founder.email, template=template, context=values, locale=founder.locale)
