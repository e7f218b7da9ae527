"""What a subscription is going to become: its scheduled changes, in order."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from billing.models.catalog import PlanVersion, Price
from billing.models.subscriptions import Subscription
from gtm.shared.models import Row


class Phase(Row):
    """A scheduled change: from ``starts_at`` on the subscription consists of these items. Applied once, then kept."""

    PREFIX = "ph"

    class Kind(models.TextChoices):
        CHANGE = "change", "Change"
        CONTRACT = "contract", "Contract"

    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="phases")
    plan_version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.CHANGE)
    starts_at = models.DateTimeField()
    locked = models.BooleanField(default=False, help_text="Agreed in a contract: no change by the customer touches it.")
    prorate = models.BooleanField(default=True)
    origin = models.CharField(max_length=10)
    actor = models.CharField(max_length=60)
    reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    applied_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subscription", "starts_at"], condition=Q(applied_at=None), name="billing_phase_one_at_a_time"
            ),
        ]


class PhaseItem(Row):
    """One line of a phase's complete list of items."""

    phase = models.ForeignKey(Phase, on_delete=models.CASCADE, related_name="items", db_index=False)
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="+")
    quantity = models.DecimalField(max_digits=30, decimal_places=6, default=1)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["phase", "price"], name="billing_phaseitem_price_once"),
            models.CheckConstraint(condition=Q(quantity__gte=0), name="billing_phaseitem_quantity_not_negative"),
        ]
