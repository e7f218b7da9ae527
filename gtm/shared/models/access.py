"""API keys, remembered answers to POSTs, and the pulse of background work."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from gtm.shared.models.base import Row


class ApiKey(Row):
    """A key of the installation, or bound to a member of staff. Only its digest is kept; ``hint`` tells keys apart."""

    PREFIX = "key"

    class Scope(models.TextChoices):
        READ = "read", "Read"
        WRITE = "write", "Read and write"
        USAGE = "usage", "Send usage and ask for entitlements"

    name = models.CharField(max_length=200)
    hint = models.CharField(max_length=16, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scope = models.CharField(max_length=10, choices=Scope.choices, default=Scope.WRITE)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="api_keys"
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.hint}…)"


class IdempotencyRecord(models.Model):
    """The remembered answer to a POST; the row commits with its effect.

    Only a resumable request (``gtm.shared.api.idempotency``) commits without ``status``: one runs since ``started_at``,
    or none does and the next with the same key goes on.
    """

    owner = models.CharField(max_length=60)
    key = models.CharField(max_length=255)
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=300)
    body_digest = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    body = models.JSONField(null=True)
    started_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "key"], name="shared_idempotencyrecord_once")]
        indexes = [models.Index(fields=["created_at"], name="shared_idempotency_age")]


class Pulse(models.Model):
    """The last sign of life of a process or a job: ``worker:billing``, ``beat``, ``job:bill what is due``."""

    name = models.CharField(primary_key=True, max_length=120)
    beat_at = models.DateTimeField(null=True)
    last_succeeded_at = models.DateTimeField(null=True)
    last_failed_at = models.DateTimeField(null=True)
    last_error = models.TextField(blank=True)
    detail = models.JSONField(default=dict)
