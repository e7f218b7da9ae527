"""Trigger rules in published versions, and the signals they gave: one per dedup key, whatever is retried or raced."""

from django.db import models
from django.db.models import Q

from billing.models import Customer
from crm.models import Account
from gtm.shared.models import Resource, Row, User


class TriggerRule(Resource):
    """What to notice. Its newest published version counts."""

    PREFIX = "rule"

    class Kind(models.TextChoices):
        USAGE_RATIO = "usage_ratio", "Usage above a share of the limit"

    code = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    active = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.name


class TriggerRuleVersion(Row):
    """The rule as published: the threshold is a share of the limit (0.8), passed strictly."""

    rule = models.ForeignKey(TriggerRule, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    threshold = models.DecimalField(max_digits=8, decimal_places=4)
    severity = models.CharField(max_length=10, default="high")
    play = models.CharField(max_length=500, blank=True)
    published_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["rule", "number"], name="signals_ruleversion_number_once"),
            models.CheckConstraint(condition=Q(threshold__gt=0), name="signals_ruleversion_threshold_positive"),
        ]


class SignalQuerySet(models.QuerySet["Signal"]):
    def visible_to(self, user: User | None) -> "SignalQuerySet":
        """The signals of the accounts that the user sees."""
        return self.filter(account__in=Account.objects.visible_to(user).values("pk"))


class Signal(Resource):
    """Something noticed about an account, with the figures it was noticed by."""

    PREFIX = "sig"

    class Outcome(models.TextChoices):
        ALERT = "alert", "Alert"
        PROMPT = "prompt", "Prompt in the portal"

    dedup_key = models.CharField(max_length=300, unique=True)
    rule_version = models.ForeignKey(TriggerRuleVersion, on_delete=models.PROTECT, related_name="signals")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="signals")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+")
    subscription_id = models.UUIDField(null=True)
    meter_id = models.UUIDField(null=True)
    period_start = models.DateTimeField(null=True)
    period_end = models.DateTimeField(null=True)
    limit_value = models.DecimalField(max_digits=30, decimal_places=6, null=True)
    value = models.DecimalField(max_digits=38, decimal_places=6, null=True)
    evidence = models.CharField(max_length=500)
    motion = models.CharField(max_length=20)
    outcome = models.CharField(max_length=10, choices=Outcome.choices)
    occurred_at = models.DateTimeField()
    objects = SignalQuerySet.as_manager()

    class Meta(Resource.Meta):
        indexes = [models.Index(fields=["account", "-occurred_at"], name="signals_signal_of_account")]
