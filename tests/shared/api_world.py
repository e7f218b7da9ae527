"""A little API for tests of the edge: one resource over test clocks, and views that misbehave in every way."""

import threading
from collections.abc import Callable
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.test import APIClient

from gtm.shared import db, keys, outbox
from gtm.shared.api import errors, fields, idempotency
from gtm.shared.api.events import EventViewSet
from gtm.shared.api.filters import FlagFilter, IdFilter, ResourceFilter
from gtm.shared.api.resources import (
    Creates,
    ResourceSerializer,
    ResourceViewSet,
    Router,
    StrictSerializer,
    Updates,
    resource_fields,
)
from gtm.shared.api.users import UserViewSet
from gtm.shared.api.views import ApiView
from gtm.shared.errors import Conflict, Forbidden, Invalid, NotFound
from gtm.shared.models import Role, TestClock, User
from tests.world import JAN_1

CHARGED: list[Any] = []
GATE = threading.Event()
ENTERED = threading.Event()


class HandSerializer(StrictSerializer):
    size = fields.IntegerField(min_value=1)
    tooth = fields.RateField(required=False, min_value=0)


class ClockSerializer(ResourceSerializer):
    name = serializers.CharField(required=False, max_length=200, allow_blank=True)
    hands = HandSerializer(many=True, required=False, write_only=True)
    twin = fields.ReferenceField(TestClock, required=False, write_only=True)

    class Meta:
        model = TestClock
        fields = [
            name for name in resource_fields("name", "frozen_time", "status", "hands", "twin") if name != "test_clock"
        ]
        read_only_fields = ("status",)
        create_only_fields = ("frozen_time",)


class ClockFilter(ResourceFilter):
    test_clock = None
    named = FlagFilter(method="with_name")
    twin = IdFilter("clock", field_name="pk")

    class Meta:
        model = TestClock
        fields = ("status",)

    def with_name(self, queryset: QuerySet[TestClock], name: str, value: bool) -> QuerySet[TestClock]:
        return queryset.exclude(name="") if value else queryset.filter(name="")


class ClockViewSet(Creates, Updates, ResourceViewSet):
    """Clocks, as if they were anything."""

    model = TestClock
    serializer_class = ClockSerializer
    filterset_class = ClockFilter

    def perform_create(self, data: dict[str, Any]) -> TestClock:
        data.pop("hands", None)
        data.pop("twin", None)
        return _made(**data)

    def perform_update(self, instance: TestClock, data: dict[str, Any]) -> TestClock:
        with transaction.atomic():
            locked = db.lock_one(instance)
            for name, value in data.items():
                setattr(locked, name, value)
            locked.version += 1
            locked.save()
            outbox.publish("test_clock.changed", locked, at=db.now())
        return locked

    @action(detail=True, methods=["post"])
    def failure(self, request: Any, id: str) -> Response:  # noqa: A002
        """Write, then fail as the body says."""
        clock = self.get_object()
        TestClock.objects.filter(pk=clock.pk).update(name="half-written")
        raise _failure(request.data["kind"])

    @action(detail=True, methods=["post"])
    def pause(self, request: Any, id: str) -> Response:  # noqa: A002
        """Write, and wait at the gate within the transaction."""
        clock = self.get_object()
        TestClock.objects.filter(pk=clock.pk).update(name="paused")
        _wait_at_gate()
        return self.answer(clock)

    @action(detail=True, methods=["post"], usage_scope=True)
    def usage(self, request: Any, id: str) -> Response:  # noqa: A002
        return Response({"accepted": 1})

    @action(detail=True, methods=["post"], write_roles=[Role.SALES_MANAGER])
    def approval(self, request: Any, id: str) -> Response:  # noqa: A002
        return Response({"approved": True})

    @action(detail=True, methods=["post"], idempotency_mode=idempotency.RESUMABLE)
    def charge(self, request: Any, id: str) -> Response:  # noqa: A002
        """Like a call to a gateway: no transaction around it, and natural keys out of the idempotency key."""
        clock = self.get_object()
        assert not transaction.get_connection().in_atomic_block or request.data.get("in_test_transaction")
        if request.idempotency_key_id not in CHARGED:
            CHARGED.append(request.idempotency_key_id)
        if request.data.get("wait"):
            _wait_at_gate()
        if kind := request.data.get("kind"):
            raise _failure(kind)
        return Response({"charged": str(clock.public_id), "z": 1, "a": 2.50})


@transaction.atomic
def _made(**data: Any) -> TestClock:
    clock = TestClock.objects.create(**data)
    outbox.publish("test_clock.created", clock, at=db.now(), test_clock_id=clock.id)
    return clock


def _wait_at_gate() -> None:
    ENTERED.set()
    assert GATE.wait(10), "nobody opened the gate"


def _failure(kind: str) -> Exception:
    return {
        "invalid": Invalid("Not like this.", attr="kind"),
        "conflict": Conflict("Not now.", code="limit_reached"),
        "clock_advancing": Conflict("The clock is advancing.", code="clock_advancing"),
        "forbidden": Forbidden("Not you."),
        "not_found": NotFound("No such thing."),
        "bug": RuntimeError("secret inside"),
    }[kind]


class FrozenViewSet(ClockViewSet):
    """A member of staff sees only what bears his name."""

    def get_queryset(self) -> QuerySet[TestClock]:
        user = self.principal
        return TestClock.objects.all() if user is None else TestClock.objects.filter(name=user.name)


class EchoView(ApiView):
    def post(self, request: Any) -> Response:
        return Response(request.data)


def crash(request: Any) -> None:
    raise RuntimeError("secret inside")


router = Router()
router.register("clocks", ClockViewSet)
router.register("frozen", FrozenViewSet, basename="frozen")
router.register("events", EventViewSet)
router.register("users", UserViewSet)
urlpatterns = [
    path("api/v1/", include(router.urls)),
    path("api/v1/echo", EchoView.as_view()),
    path("api/v1/schema/", SpectacularAPIView.as_view()),
    path("api/v1/crash", crash),
    re_path(r"^api/", errors.api_not_found),
    path("crash", crash),
]
handler400 = "gtm.shared.api.errors.bad_request"
handler403 = "gtm.shared.api.errors.permission_denied"
handler404 = "gtm.shared.api.errors.page_not_found"
handler500 = "gtm.shared.api.errors.server_error"


def caller(*, scope: str = "write", user: User | None = None, **options: Any) -> APIClient:
    """Somebody with a key."""
    _, plaintext = keys.issue(name=f"{scope} key", scope=scope, user=user)
    client = APIClient(**options)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {plaintext}")
    return client


def clock(**columns: Any) -> TestClock:
    return TestClock.objects.create(**{"name": "Year", "frozen_time": JAN_1} | columns)


def problem(response: Any, *, status: int) -> tuple[str, str | None]:
    """The code and the field of an error that holds exactly one, in the shape that all of them have."""
    assert response.status_code == status, (response.status_code, response.content)
    assert response["Content-Type"] == "application/json"
    content = response.json()
    assert set(content) == {"type", "errors"}
    (error,) = content["errors"]
    assert set(error) == {"code", "detail", "attr"}
    assert error["detail"]
    return error["code"], error["attr"]


def in_thread(act: Callable[[], Any]) -> Callable[[], Any]:
    """Run ``act`` with a connection of its own; returns a function that waits for its result."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(act())
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()

    def result() -> Any:
        thread.join(20)
        assert results, "the thread failed"
        return results[0]

    return result
