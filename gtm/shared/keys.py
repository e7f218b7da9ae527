"""API keys: made and shown once, kept as a digest, found again by it.

Keys live in wall time, whatever a test clock says; the time of issue and of use is the database's.
"""

import hashlib
import secrets
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from gtm.shared import db, outbox
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import ApiKey, User

_MARK = "tdm_"
_HINT_LENGTH = 8
_USE_NOTED_EVERY = timedelta(minutes=1)


@transaction.atomic
def issue(*, name: str, scope: str, user: User | None = None) -> tuple[ApiKey, str]:
    """Make a key and return it with its plaintext, which nobody can read again; publishes ``api_key.issued``.

    Without ``user`` the key is the installation's and sees everything within its scope. Raises Invalid for an
    unknown scope, an empty name and a user who is not active staff.
    """
    _check(name=name, scope=scope, user=user)
    plaintext = _MARK + secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        name=name.strip(), scope=scope, user=user, hint=plaintext[:_HINT_LENGTH], digest=_digest(plaintext)
    )
    data = {"scope": key.scope, "user": user.public_id if user else None}
    outbox.publish("api_key.issued", key, at=db.now(), data=data)
    return key, plaintext


def _check(*, name: str, scope: str, user: User | None) -> None:
    if not 0 < len(name.strip()) <= 200:
        raise Invalid("A key needs a name of at most 200 characters.", attr="name")
    if scope not in ApiKey.Scope.values:
        raise Invalid(f"The scope is one of {', '.join(ApiKey.Scope.values)}.", attr="scope")
    if user is not None and not is_staff(user):
        raise Invalid("A key is bound to active staff only.", attr="user")


@transaction.atomic
def revoke(*, key: ApiKey, at: datetime) -> ApiKey:
    """End the key for good; publishes ``api_key.revoked``. Raises Conflict where it is revoked already."""
    key = db.lock_one(key)
    if key.revoked_at is not None:
        raise Conflict("This key is revoked already.", code="already_revoked")
    key.revoked_at = at
    key.save(update_fields=["revoked_at"])
    outbox.publish("api_key.revoked", key, at=at)
    return key


def find(plaintext: str) -> ApiKey | None:
    """The key behind the text, unless it is revoked or its member of staff may not sign in any more."""
    stale = Q(last_used_at=None) | Q(last_used_at__lt=Now() - _USE_NOTED_EVERY)
    keys = ApiKey.objects.filter(digest=_digest(plaintext), revoked_at=None).select_related("user")
    key = keys.annotate(use_is_stale=stale).first()
    if key is None or (key.user is not None and not is_staff(key.user)):
        return None
    if key.use_is_stale:
        # Requests that race here write the same minute: the condition lets one of them through.
        ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=Now())
    return key


def is_staff(user: User) -> bool:
    """Holds a role (or is the superuser) and may sign in. Customers' members never are."""
    return user.is_active and (bool(user.roles) or user.is_superuser)


def _digest(plaintext: str) -> str:
    return hashlib.sha256(plaintext.encode("utf-8", "surrogateescape")).hexdigest()
