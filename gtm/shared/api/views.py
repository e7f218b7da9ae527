"""The base of every view of the API: idempotency keys, ``If-Match``, entity tags, and JSON whatever was asked for."""

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, ClassVar

from django.db import transaction
from django.db.models import Model
from rest_framework import exceptions, negotiation, views
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from gtm.shared import db
from gtm.shared.api import idempotency, preconditions
from gtm.shared.api.permissions import principal
from gtm.shared.models import User


class FirstRenderer(negotiation.DefaultContentNegotiation):
    """Answers in the view's first format; a caller that asked for another gets it all the same instead of a 406."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class ApiView(views.APIView):
    """A view is a translation: read the request, make one domain call, write the answer.

    ``usage_scope``: keys with the scope "usage" may call it. ``write_roles``: staff need one of these to write.
    ``only_reads``: nothing is written, whatever the method, so that keys that read may call it.
    ``query_parameters``: names a list reads beside its filters. ``idempotency_mode``: see ``idempotency``.
    ``seals_answers``: an answer may hold a secret, so that it is remembered for its key in sealed form only.
    All of them can be given to ``@action``.
    """

    content_negotiation_class = FirstRenderer
    metadata_class = None
    usage_scope: bool = False
    only_reads: bool = False
    write_roles: ClassVar[Sequence[str] | None] = None
    query_parameters: Sequence[str] = ()
    idempotency_mode: str = idempotency.ATOMIC
    seals_answers: bool = False

    @property
    def principal(self) -> User | None:
        """The member of staff whose rows are meant; None is the installation, which sees all."""
        return None if getattr(self, "swagger_fake_view", False) else principal(self.request)

    @property
    def writes(self) -> bool:
        """Whether this request may change something."""
        return self.request.method not in SAFE_METHODS and not self.only_reads

    def get_idempotency_mode(self) -> str:
        return self.idempotency_mode

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """As REST framework does; then the handler of a write is wrapped, now that we know who calls."""
        if "\0" in request.path:
            raise exceptions.NotFound
        request.idempotency_key_id = None
        super().initial(request, *args, **kwargs)
        name = str(request.method).lower()
        handler = getattr(self, name, None)
        if handler is not None and request.method not in SAFE_METHODS:
            setattr(self, name, self._guarded(request, handler))

    def _guarded(self, request: Request, handler: Callable[..., Response]) -> Callable[..., Response]:
        if request.method == "POST" and idempotency.HEADER in request.headers:

            @wraps(handler)
            def once(request: Request, *args: Any, **kwargs: Any) -> Response:
                return idempotency.answer(self, request, partial(handler, request, *args, **kwargs))

            return once
        if preconditions.HEADER in request.headers and self.get_idempotency_mode() == idempotency.ATOMIC:
            return transaction.atomic(handler)
        return handler

    def check_version(self, instance: Model) -> None:
        """Refuse a stale write with 409, where the caller named a version by ``If-Match``.

        Within a transaction the row is locked first, so that the version can't move before the write. A resumable
        operation has none around it: there the check tells of staleness, and the operation's own lock decides.
        """
        header = self.request.headers.get(preconditions.HEADER)
        if header is None or self.request.method in SAFE_METHODS:
            return
        if transaction.get_connection().in_atomic_block:
            self.lock_before_version(instance)
            if not db.lock(type(instance), [instance.pk]):
                raise exceptions.NotFound
            instance.refresh_from_db()
        preconditions.check(header, version=getattr(instance, "version", 1))

    def lock_before_version(self, instance: Any) -> None:
        """Override to take the locks of the operation that come before the row's own, see DESIGN.md, lock order."""

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        data = getattr(response, "data", None)
        if isinstance(data, dict) and isinstance(data.get("version"), int) and response.status_code < 300:
            response["ETag"] = preconditions.tag(data["version"])
        return super().finalize_response(request, response, *args, **kwargs)
