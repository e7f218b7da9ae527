"""Who acts, and in which request: set at the edge, read when a fact is written."""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import structlog
from django.http import HttpRequest, HttpResponse

from gtm.shared.models import Vendor

T = TypeVar("T")
SYSTEM = "system"
_actor: ContextVar[str] = ContextVar("actor", default=SYSTEM)
_on_behalf_of: ContextVar[str] = ContextVar("on_behalf_of", default="")
_known: ContextVar[dict[Hashable, Any] | None] = ContextVar("known", default=None)


def actor() -> str:
    """``user:usr_…``, ``key:key_…``, ``portal_session:psn_…``, ``visitor`` or ``system``."""
    return _actor.get()


def on_behalf_of() -> str:
    return _on_behalf_of.get()


def request_id() -> str:
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))[:64]


def act_as(name: str) -> None:
    """From here on, in this request or task, ``name`` acts."""
    _actor.set(name)


@contextmanager
def acting(name: str, *, on_behalf_of: str = "", request_id: str = "") -> Iterator[None]:
    """Let ``name`` act for the length of a block; ``request_id`` names the request that led to it, if not this one."""
    actor_token, behalf_token = _actor.set(name), _on_behalf_of.set(on_behalf_of)
    try:
        with structlog.contextvars.bound_contextvars(**({"request_id": request_id} if request_id else {})):
            yield
    finally:
        _actor.reset(actor_token)
        _on_behalf_of.reset(behalf_token)


@contextmanager
def remembering() -> Iterator[None]:
    """For the length of a block, ``once`` keeps what it was given."""
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


def once(key: Hashable, ask: Callable[[], T]) -> T:
    """What ``ask`` answers, asked once per request; outside of one each time."""
    known = _known.get()
    if known is None:
        return ask()
    if key not in known:
        known[key] = ask()
    answer: T = known[key]
    return answer


class ContextMiddleware:
    """Names the signed-in user as the actor of the request; the API's authentication may name a key after."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        name = f"user:{request.user.public_id}" if request.user.is_authenticated else "visitor"
        with acting(name), remembering():
            return self.get_response(request)


def template_context(request: HttpRequest) -> dict[str, Any]:
    from gtm.shared import vendors

    return {"vendor": vendors.current() if not getattr(request, "vendorless", False) else Vendor()}
