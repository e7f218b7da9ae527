"""What is on a rep's desk."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from billing.models import Customer
from crm.models.accounts import Account
from crm.models.scoping import Scoped
from crm.models.teams import Queue
from gtm.shared.models import Resource


class AlertQuerySet(Scoped["Alert"]):
    """The alerts of the accounts that the user sees."""


class Alert(Resource):
    """Something about an account that its owner should know now, with the sentence to say and what is at stake.

    Rule and signal belong to the app above; they are kept here as plain columns.
    """

    PREFIX = "alrt"

    class State(models.TextChoices):
        OPEN = "open", "Open"
        ACKNOWLEDGED = "acknowledged", "Acknowledged"
        SNOOZED = "snoozed", "Snoozed"
        DONE = "done", "Done"
        DISMISSED = "dismissed", "Dismissed"

    class Severity(models.TextChoices):
        LOW = "low", "Low"
        MEDIUM = "medium", "Medium"
        HIGH = "high", "High"
        CRITICAL = "critical", "Critical"

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="alerts")
    customer = models.ForeignKey(Customer, null=True, on_delete=models.PROTECT, related_name="+")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="alerts")
    queue = models.ForeignKey(Queue, null=True, on_delete=models.PROTECT, related_name="alerts")
    rule_code = models.CharField(max_length=60)
    rule_name = models.CharField(max_length=200)
    rule_version = models.PositiveIntegerField()
    signal_id = models.UUIDField(unique=True)
    severity = models.CharField(max_length=10, choices=Severity.choices)
    evidence = models.CharField(max_length=500)
    value_at_stake = models.BigIntegerField(null=True)
    currency = models.CharField(max_length=3, blank=True)
    play = models.CharField(max_length=500, blank=True)
    state = models.CharField(max_length=14, choices=State.choices, default=State.OPEN)
    snoozed_until = models.DateTimeField(null=True)
    feedback = models.CharField(max_length=12, blank=True, choices=[("useful", "Useful"), ("not_useful", "Not useful")])
    feedback_reason = models.CharField(max_length=500, blank=True)
    raised_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    objects = AlertQuerySet.as_manager()

    class Meta(Resource.Meta):
        indexes = [
            models.Index(fields=["owner", "state", "-raised_at"], name="crm_alert_of_owner"),
            models.Index(fields=["queue", "state", "-raised_at"], name="crm_alert_of_queue"),
            models.Index(fields=["account", "-raised_at"], name="crm_alert_of_account"),
            models.Index(fields=["snoozed_until"], name="crm_alert_snoozed", condition=Q(state="snoozed")),
            models.Index(fields=["created_at", "id"], name="crm_alert_listed"),
            models.Index(
                fields=["rule_code", "account"],
                name="crm_alert_not_closed",
                condition=Q(state__in=["open", "acknowledged", "snoozed"]),
            ),
        ]
        constraints = [
            *Resource.Meta.constraints,
            models.CheckConstraint(condition=Q(owner=None) | Q(queue=None), name="crm_alert_owner_or_queue"),
            models.CheckConstraint(
                condition=~Q(state="snoozed") | Q(snoozed_until__isnull=False), name="crm_alert_snoozed_until_when"
            ),
        ]
