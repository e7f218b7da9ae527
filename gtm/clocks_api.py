"""Test clocks over the API: made, advanced, deleted with all that stands on them."""

from datetime import timedelta
from typing import Any

import structlog
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from gtm import clocks
from gtm.shared.api import fields, idempotency
from gtm.shared.api.filters import InstantsFilter
from gtm.shared.api.resources import Creates, ResourceSerializer, ResourceViewSet, Router, StrictSerializer
from gtm.shared.models import TestClock
from gtm.tasks import advance_clock

log = structlog.get_logger(__name__)
PATIENCE = timedelta(seconds=25)


class TestClockSerializer(ResourceSerializer):
    """``frozen_time`` is the clock's time; while it advances, ``target_time`` is where it goes."""

    __test__ = False  # not a test class
    test_clock = None  # type: ignore[assignment]  # it is one

    class Meta:
        model = TestClock
        fields = (
            "id",
            "external_id",
            "name",
            "frozen_time",
            "target_time",
            "status",
            "last_error",
            "metadata",
            "version",
            "created_at",
            "updated_at",
        )
        read_only_fields = ("target_time", "status", "last_error")


class AdvanceSerializer(StrictSerializer):
    frozen_time = fields.UtcDateTimeField()


class TestClockFilter(InstantsFilter):
    __test__ = False  # not a test class
    instants = ("created_at", "updated_at")


class TestClockViewSet(Creates, ResourceViewSet):
    """Sealed partitions in which time stands still until it is advanced."""

    __test__ = False  # not a test class
    model = TestClock
    serializer_class = TestClockSerializer
    filterset_class = TestClockFilter
    write_roles = ()

    def get_queryset(self) -> QuerySet[TestClock]:
        return TestClock.objects.all()

    def perform_create(self, data: dict[str, Any]) -> TestClock:
        return clocks.create(**{"name": ""} | data)

    @extend_schema(request=AdvanceSerializer, responses={200: TestClockSerializer, 202: TestClockSerializer})
    @action(detail=True, methods=["post"], idempotency_mode=idempotency.RESUMABLE)
    def advance(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Let time pass up to and including ``frozen_time``: 200 when done, 202 where that takes over 25 seconds."""
        data = self.validated(AdvanceSerializer)
        clock = clocks.advance(clock=self.get_object(), to=data["frozen_time"], patience=PATIENCE)
        if clock.status == TestClock.Status.READY:
            return self.answer(clock)
        leave_to_worker(clock)
        return self.answer(clock, status=status.HTTP_202_ACCEPTED)

    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002 -- the address's name
        """Delete the clock and all that stands on it."""
        clocks.delete(clock=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)


def leave_to_worker(clock: TestClock) -> None:
    """A worker goes on. Where the broker is away, the clock says that it is advancing, and the next call goes on."""
    try:
        advance_clock.apply_async(kwargs={"clock_id": str(clock.pk)}, retry=False)
    except Exception as error:  # noqa: BLE001 -- whatever the broker's client raises, nothing is lost
        log.warning("clock_not_handed_over", clock=clock.public_id, error=str(error))


router = Router()
router.register("test_clocks", TestClockViewSet)
urlpatterns = router.urls
