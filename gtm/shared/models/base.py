"""What every table and every object of the API has in common."""

from typing import Any, ClassVar

from django.db import models
from django.db.models.functions import Now

from gtm.shared import ids

_NOW = Now()  # one for all: bulk writes touch thousands of rows


class Row(models.Model):
    """A table of ours: its key is a UUIDv7 made in Python, so that bulk writes know it beforehand."""

    PREFIX: ClassVar[str] = ""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)

    class Meta:
        abstract = True

    @property
    def public_id(self) -> str:
        """The id as the API writes it: ``cus_…``."""
        return ids.encode(self.PREFIX, self.id)


class Resource(Row):
    """An object of the API: addressed by the integrator's id too, versioned against stale writes, perhaps clocked."""

    external_id = models.CharField(max_length=200, null=True, blank=True)  # noqa: DJ001 -- NULL, because '' would collide in the unique constraint
    metadata = models.JSONField(default=dict, blank=True)
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)
    test_clock = models.ForeignKey(
        "shared.TestClock", null=True, blank=True, on_delete=models.PROTECT, related_name="+", editable=False
    )

    class Meta:
        abstract = True
        constraints = [
            models.UniqueConstraint(fields=["external_id"], name="%(app_label)s_%(class)s_external_id_once"),
        ]

    def touch(self) -> set[str]:
        """Mark a change: the next version, at the database's time. Returns the names of the fields to save."""
        self.version += 1
        self.updated_at = _NOW  # type: ignore[assignment]
        return {"version", "updated_at"}


def write(instance: Resource, **changes: Any) -> None:
    """Set the fields, raise the version and save just these; afterwards ``updated_at`` is the database's."""
    for name, value in changes.items():
        setattr(instance, name, value)
    instance.save(update_fields={*changes, *instance.touch()})
    instance.refresh_from_db(fields=["updated_at"])
