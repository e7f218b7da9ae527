"""The usage stream and its hourly roll-ups. The partitions are in the migration ``0002_usage_partitions``."""

from django.db import models
from django.db.models.functions import Now

from gtm.shared import ids


class UsageEventKey(models.Model):
    """Identity of an event, once per installation: inserted first, so that a repeat is known at once."""

    event_id = models.CharField(max_length=200, primary_key=True)
    body_digest = models.BinaryField(max_length=16)
    customer_id = models.UUIDField()
    timestamp = models.DateTimeField()
    received_at = models.DateTimeField(db_default=Now())

    class Meta:
        managed = False
        db_table = "billing_usageeventkey"


class UsageEvent(models.Model):
    """What the vendor's product reported, in monthly partitions by ``timestamp``. Nothing has a foreign key to it."""

    pk = models.CompositePrimaryKey("timestamp", "event_id")
    event_id = models.CharField(max_length=200)
    customer_id = models.UUIDField()
    name = models.CharField(max_length=100)
    user = models.CharField(max_length=200, blank=True)
    timestamp = models.DateTimeField()
    quantity = models.DecimalField(max_digits=30, decimal_places=6, default=1)
    properties = models.JSONField(default=dict)
    subscription_id = models.UUIDField(null=True)
    received_at = models.DateTimeField(db_default=Now())

    class Meta:
        managed = False
        db_table = "billing_usageevent"


class UsageRollup(models.Model):
    """Usage of a customer on a meter in one hour. ``subscription_id`` is all zeroes unless the events name one."""

    pk = models.CompositePrimaryKey("customer_id", "meter_id", "hour", "subscription_id")
    customer_id = models.UUIDField()
    meter_id = models.UUIDField()
    hour = models.DateTimeField()
    subscription_id = models.UUIDField()
    count = models.BigIntegerField(default=0)
    sum = models.DecimalField(max_digits=38, decimal_places=6, default=0)
    max = models.DecimalField(max_digits=30, decimal_places=6, null=True)
    latest = models.DecimalField(max_digits=30, decimal_places=6, null=True)
    latest_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "billing_usagerollup"


class UsageValue(models.Model):
    """The distinct values of a ``unique`` meter, by hour."""

    pk = models.CompositePrimaryKey("customer_id", "meter_id", "hour", "subscription_id", "value")
    customer_id = models.UUIDField()
    meter_id = models.UUIDField()
    hour = models.DateTimeField()
    subscription_id = models.UUIDField()
    value = models.CharField(max_length=200)

    class Meta:
        db_table = "billing_usagevalue"


class LateUsage(models.Model):
    """An hour in which usage came or changed after its period was charged for: rated again by the next run."""

    pk = models.CompositePrimaryKey("customer_id", "meter_id", "hour")
    customer_id = models.UUIDField()
    meter_id = models.UUIDField()
    hour = models.DateTimeField()
    test_clock_id = models.UUIDField(null=True)
    noted_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "billing_lateusage"


class UsageCorrection(models.Model):
    """An event that was voided or amended after it had counted: what it said before, and what it says now."""

    class Action(models.TextChoices):
        VOID = "void", "Voided"
        AMENDMENT = "amendment", "Amended"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    event_id = models.CharField(max_length=200)
    customer_id = models.UUIDField()
    action = models.CharField(max_length=10, choices=Action.choices)
    before = models.JSONField()
    after = models.JSONField(null=True)
    actor = models.CharField(max_length=60)
    reason = models.CharField(max_length=500, blank=True)
    test_clock = models.ForeignKey("shared.TestClock", null=True, on_delete=models.PROTECT, related_name="+")
    occurred_at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(fields=["event_id"], name="billing_usagecorrection_of"),
            models.Index(fields=["customer_id", "-created_at"], name="billing_usagecorrection_list"),
        ]
