"""One shape for everything that goes wrong: ``{"type", "errors": [{"code", "detail", "attr"}]}``.

``handle`` is REST framework's exception handler. The views at the end answer for ``/api/`` where no view of ours ran:
unknown paths, and what middleware or the URL conf raises.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import structlog
from django.core import exceptions as django_errors
from django.core.signals import got_request_exception
from django.db import DataError, IntegrityError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.response import Response

from gtm.shared import context as acting
from gtm.shared.errors import DomainError, Incomplete

log = structlog.get_logger(__name__)
API_PATH = "/api/"
WHOLE_OBJECT = frozenset({"non_field_errors", "__all__"})
GIVEN_BY_INTEGRATORS = frozenset({"external_id", "code"})
_UNIQUE, _FOREIGN_KEY, _EXCLUSION = "23505", "23503", "23P01"
_TRY_AGAIN = frozenset({"40001", "40P01", "55P03"})  # serialization failure, deadlock, lock not available
_KEY_IN_DETAIL = re.compile(r"Key \((\w+)\)=")


@dataclass(frozen=True)
class Problem:
    code: str
    detail: str
    attr: str | None = None


@dataclass(frozen=True)
class Refusal:
    """What the caller is told: a status, one or more problems, and headers that belong to it."""

    status: int
    problems: list[Problem]
    kind: str = "client_error"
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        return {"type": self.kind, "errors": [asdict(problem) for problem in self.problems]}


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """Answer any exception of a view. What nobody anticipated is logged and answered without its inside."""
    refusal = translate(error)
    if refusal is None:
        request = context["request"]
        log.error("api_request_failed", method=request.method, path=request.path, exc_info=error)
        got_request_exception.send(sender=handle, request=request._request)
        refusal = _unexpected()
    return Response(refusal.body(), status=refusal.status, headers=refusal.headers)


def translate(error: BaseException) -> Refusal | None:
    """The refusal that an anticipated exception stands for; None for every other."""
    for kind, translator in _TRANSLATORS:
        if isinstance(error, kind):
            return translator(error)
    return None


def flatten(detail: Any, path: str | None = None) -> Iterator[Problem]:
    """Every message in nested lists and dicts, with its dotted path: ``items.0.price``."""
    if isinstance(detail, dict):
        for key, value in detail.items():
            yield from flatten(value, path if key in WHOLE_OBJECT else _join(path, key))
    elif isinstance(detail, list | tuple):
        for index, value in enumerate(detail):
            yield from flatten(value, path if isinstance(value, str) else _join(path, index))
    else:
        yield Problem(getattr(detail, "code", None) or "invalid", str(detail), path)


def _join(path: str | None, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _one(status: int, code: str, detail: str, attr: str | None = None) -> Refusal:
    return Refusal(status, [Problem(code, detail, attr)])


def _domain(error: DomainError) -> Refusal:
    kind = "validation_error" if error.status == 400 else "client_error"
    parts = error.parts if isinstance(error, Incomplete) else (error,)
    return Refusal(error.status, [Problem(part.code, str(part.detail), part.attr) for part in parts], kind)


def _validation(error: exceptions.ValidationError) -> Refusal:
    problems = list(flatten(error.detail)) or [Problem("invalid", "Invalid input.")]
    return Refusal(400, problems, "validation_error")


def _django_validation(error: django_errors.ValidationError) -> Refusal:
    by_field = error.error_dict if hasattr(error, "error_dict") else {"__all__": error.error_list}
    problems = [
        Problem(single.code or "invalid", message, None if name in WHOLE_OBJECT else name)
        for name, errors in by_field.items()
        for single in errors
        for message in single.messages
    ]
    return Refusal(400, problems, "validation_error")


def _api(error: exceptions.APIException) -> Refusal | None:
    if error.status_code >= 500:
        return None
    headers = {}
    if authenticate := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = authenticate
    if isinstance(error, exceptions.Throttled):
        headers["Retry-After"] = str(max(1, math.ceil(getattr(error, "wait", None) or 1)))
    return Refusal(error.status_code, list(flatten(error.detail)), headers=headers)


def _not_found(error: Http404) -> Refusal:
    return _one(404, "not_found", "Not found.")


def _forbidden(error: django_errors.PermissionDenied) -> Refusal:
    return _one(403, "permission_denied", "You may not do this.")


def _integrity(error: IntegrityError) -> Refusal | None:
    """A uniqueness that a concurrent request won, or an id of the integrator's that stands on another object."""
    state = getattr(error.__cause__, "sqlstate", None)
    if state == _UNIQUE and (column := _column(error)) in GIVEN_BY_INTEGRATORS:
        problem = Problem("unique", f"Another object has this {column}.", column)
        return Refusal(400, [problem], "validation_error")
    if state in {_UNIQUE, _FOREIGN_KEY, _EXCLUSION}:
        log.warning("api_conflict", error=str(error))
        return _one(409, "conflict", "This conflicts with a change made at the same time.")
    return None


def _column(error: IntegrityError) -> str | None:
    diagnosis = getattr(error.__cause__, "diag", None)
    found = _KEY_IN_DETAIL.match(getattr(diagnosis, "message_detail", None) or "")
    return found[1] if found else None


def _operational(error: OperationalError) -> Refusal | None:
    if getattr(error.__cause__, "sqlstate", None) not in _TRY_AGAIN:
        return None
    log.warning("api_lock_conflict", error=str(error))
    return _one(409, "try_again", "Another request held the same rows; nothing was written. Try again.")


def _data(error: DataError) -> Refusal:
    """The last net under the fields: a value that PostgreSQL can't hold (out of range, NUL)."""
    log.warning("api_value_not_storable", exc_info=error)
    return Refusal(400, [Problem("invalid", "A value is out of range or can't be stored.")], "validation_error")


def _suspicious(error: django_errors.SuspiciousOperation) -> Refusal:
    if isinstance(error, django_errors.RequestDataTooBig):
        return _one(400, "too_large", "The body is too large.")
    return _one(400, "bad_request", "This request can't be read.")


def _unreadable(error: UnreadablePostError) -> Refusal:
    return _one(400, "bad_request", "The body broke off.")


def _unexpected() -> Refusal:
    detail = "Something went wrong on our side; nothing was written."
    if number := acting.request_id():
        detail += f" Request {number}."
    return Refusal(500, [Problem("error", detail)], "server_error")


_TRANSLATORS: tuple[tuple[type[BaseException], Callable[[Any], Refusal | None]], ...] = (
    (DomainError, _domain),
    (exceptions.ValidationError, _validation),
    (exceptions.APIException, _api),
    (django_errors.ValidationError, _django_validation),
    (Http404, _not_found),
    (django_errors.PermissionDenied, _forbidden),
    (IntegrityError, _integrity),
    (DataError, _data),
    (OperationalError, _operational),
    (django_errors.SuspiciousOperation, _suspicious),
    (UnreadablePostError, _unreadable),
)


@csrf_exempt
def api_not_found(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    """For the last URL pattern under ``/api/``."""
    return _json(_one(404, "not_found", f"There is nothing at {request.path}."))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _asks_api(request):
        return _json(translate(exception) or _one(400, "bad_request", "This request can't be read."))
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _asks_api(request):
        return _json(_one(403, "permission_denied", "You may not do this."))
    return defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return api_not_found(request) if _asks_api(request) else defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    return _json(_unexpected()) if _asks_api(request) else defaults.server_error(request)


def _asks_api(request: HttpRequest) -> bool:
    return request.path.startswith(API_PATH)


def _json(refusal: Refusal) -> JsonResponse:
    return JsonResponse(refusal.body(), status=refusal.status, headers=refusal.headers)
