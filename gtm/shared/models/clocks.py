"""Test clocks: sealed partitions in which time stands still until it is advanced."""

from django.db import models
from django.db.models.functions import Now

from gtm.shared.models.base import Row


class TestClock(Row):
    __test__ = False  # not a test class
    PREFIX = "clock"

    class Status(models.TextChoices):
        READY = "ready", "Ready"
        ADVANCING = "advancing", "Advancing"
        FAILED = "failed", "Failed"

    name = models.CharField(max_length=200, blank=True)
    frozen_time = models.DateTimeField()
    target_time = models.DateTimeField(null=True, blank=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.READY)
    last_error = models.TextField(blank=True)
    external_id = models.CharField(max_length=200, null=True, blank=True, unique=True)
    metadata = models.JSONField(default=dict, blank=True)
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return self.name or self.public_id
