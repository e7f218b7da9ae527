"""Idempotency keys: the first answer to a POST is remembered for 24 hours and given again for the same key and body.

Two modes, by what the view does:

- ``atomic`` (nearly all): record and effect are one transaction. A second request with the same key meanwhile finds the
  advisory lock held and is refused at once instead of waiting. A refusal (4xx) rolls the effect back to a savepoint and
  is remembered too.
- ``resumable``: for operations with transactions of their own, such as those that call a gateway, which never happens
  under a lock. The record is committed first and the answer is written to it after. If the process dies between, the
  same key may go on after a minute; ``request.idempotency_key_id`` is then the same, and the operation derives its
  natural keys from it, so that what was done is found and not done again.

Not remembered: 5xx, 401, 403, 429, and refusals that only mean "not at this moment".
"""

import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from gtm.shared import db, sealing
from gtm.shared.api.permissions import principal
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import IdempotencyRecord

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
ATOMIC, RESUMABLE = "atomic", "resumable"
KEPT_FOR = timedelta(hours=24)
ABANDONED_AFTER = timedelta(seconds=60)
_NEVER_KEPT = frozenset({401, 403, 429})
_MOMENTARY = frozenset({"idempotency_key_in_use", "try_again", "clock_advancing", "payment_in_progress"})
_SEALED = "sealed"
_NAMESPACE = uuid.UUID("0193a3e2-6d5c-7b1e-9a55-5d3c8f1e7a10")

Act = Callable[[], Response]


@dataclass(frozen=True)
class Claim:
    """A key as its owner sent it, with a digest of all that must be the same the next time."""

    owner: str
    key: str
    method: str
    path: str
    digest: str


def claim(request: Request) -> Claim:
    """Raises Invalid for a key that can't be kept."""
    key = request.headers[HEADER].strip()
    if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable():
        raise Invalid("A key has 1 to 255 printable ASCII characters.", attr=HEADER)
    user = principal(request)
    content = b"\n".join([str(request.method).encode(), request.get_full_path().encode(), request.body])
    return Claim(
        owner=user.public_id if user else "installation",
        key=key,
        method=str(request.method),
        path=request.path[:300],
        digest=hashlib.sha256(content).hexdigest(),
    )


def answer(view: Any, request: Request, act: Act) -> Response:
    """Perform ``act`` once for its key, or give its first answer again.

    Raises Conflict where the key came with another request, or while the first one is still running.
    """
    run = _resumably if view.get_idempotency_mode() == RESUMABLE else _atomically
    return run(view, request, claim(request), act)


@transaction.atomic
def _atomically(view: Any, request: Any, claim: Claim, act: Act) -> Response:
    record = _open(claim)
    if record.status is not None:
        return _replay(record)
    request.idempotency_key_id = _id(record)
    response = _within_savepoint(view, act)
    if _is_kept(response):
        IdempotencyRecord.objects.filter(pk=record.pk).update(**_answered(view, response))
    else:
        transaction.set_rollback(True)
    return response


def _within_savepoint(view: Any, act: Act) -> Response:
    """The answer of ``act``; nothing it wrote stays unless it succeeds."""
    try:
        with transaction.atomic():
            response = act()
            if response.status_code >= 400:
                transaction.set_rollback(True)
            return response
    except Exception as error:  # noqa: BLE001 -- the view's own handler answers whatever it raises, and logs what is ours
        return view.handle_exception(error)


def _resumably(view: Any, request: Any, claim: Claim, act: Act) -> Response:
    with transaction.atomic():
        record = _open(claim)
        if record.status is not None:
            return _replay(record)
        record.started_at = db.now()
        record.save(update_fields=["started_at"])
    request.idempotency_key_id = _id(record)
    try:
        response = act()
    except Exception as error:  # noqa: BLE001 -- as above
        response = view.handle_exception(error)
    # Where this took over a minute, another request may have gone on in its place and answered: its answer stays.
    mine = IdempotencyRecord.objects.filter(pk=record.pk, status=None, started_at=record.started_at)
    mine.update(**(_answered(view, response) if _is_kept(response) else {"started_at": None}))
    return response


def _open(claim: Claim) -> IdempotencyRecord:
    """The claim's record: answered, to be resumed, or new. Raises Conflict where another request holds or spoilt it."""
    if not db.advisory_lock("idempotency", claim.owner, claim.key, wait=False):
        raise _in_use()
    now = db.now()
    record = IdempotencyRecord.objects.filter(owner=claim.owner, key=claim.key).first()
    if record is not None and record.created_at <= now - KEPT_FOR:
        record.delete()
        record = None
    if record is None:
        return IdempotencyRecord.objects.create(
            owner=claim.owner, key=claim.key, method=claim.method, path=claim.path, body_digest=claim.digest
        )
    if record.body_digest != claim.digest:
        raise Conflict("This key was used for another request.", code="idempotency_key_reused", attr=HEADER)
    if record.status is None and record.started_at is not None and record.started_at > now - ABANDONED_AFTER:
        raise _in_use()
    return record


def _in_use() -> Conflict:
    return Conflict("The first request with this key is still running.", code="idempotency_key_in_use", attr=HEADER)


def _id(record: IdempotencyRecord) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, str(record.pk))


def _is_kept(response: Response) -> bool:
    if response.status_code >= 500 or response.status_code in _NEVER_KEPT:
        return False
    refused = response.status_code >= 400 and isinstance(response.data, dict)
    codes = {error["code"] for error in response.data.get("errors", ())} if refused else set()
    return codes.isdisjoint(_MOMENTARY)


def _answered(view: Any, response: Response) -> dict[str, Any]:
    # Kept as text: jsonb would reorder the names, and the second answer is the first one to the byte.
    body: Any = None if response.data is None else JSONRenderer().render(response.data).decode()
    if body is not None and view.seals_answers:
        body = {_SEALED: sealing.seal(body)}
    return {"status": response.status_code, "body": body, "started_at": None}


def _replay(record: IdempotencyRecord) -> Response:
    body = sealing.unseal(record.body[_SEALED]) if isinstance(record.body, dict) else record.body
    data = None if body is None else json.loads(body)
    return Response(data, status=record.status, headers={REPLAYED: "true"})
