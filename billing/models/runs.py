"""A bill run is a row: what it was to bill, how far it came, and what it could not bill. A checkout is one too."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from billing.models.catalog import PlanVersion, Price
from billing.models.customers import Customer
from billing.models.subscriptions import Subscription
from gtm.shared.models import Row, TestClock


class BillingRun(Row):
    class Status(models.TextChoices):
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    class Stage(models.TextChoices):
        DRAFTING = "drafting", "Drafting"
        VERIFYING = "verifying", "Verifying"
        ISSUING = "issuing", "Issuing"
        DONE = "done", "Done"

    test_clock = models.ForeignKey(TestClock, null=True, on_delete=models.PROTECT, related_name="+")
    cutoff = models.DateTimeField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.RUNNING)
    stage = models.CharField(max_length=10, choices=Stage.choices, default=Stage.DRAFTING)
    due = models.PositiveIntegerField(default=0, help_text="How many subscriptions were due when it began.")
    subscriptions = models.PositiveIntegerField(default=0)
    invoices = models.PositiveIntegerField(default=0)
    parked = models.PositiveIntegerField(default=0)
    checks = models.JSONField(default=list, help_text="What the consistency checks found after it.")
    last_error = models.TextField(blank=True)
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now(), help_text="When it last said that it is at work.")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["-started_at"], name="billing_run_newest")]

    def __str__(self) -> str:
        return f"Run of {self.cutoff:%Y-%m-%d %H:%M}"


class Checkout(Row):
    """One purchase by a visitor: resumable by its id, and completed once.

    One that an integrator has begun may have no user and no customer yet. ``external_id`` is the integrator's name for
    the customer, ``return_url`` where the buyer is sent afterwards.
    """

    PREFIX = "cs"

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        COMPLETED = "completed", "Completed"
        EXPIRED = "expired", "Expired"

    plan_version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="+")
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="+")
    quantity = models.PositiveIntegerField(default=1)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="+")
    customer = models.ForeignKey(Customer, null=True, on_delete=models.PROTECT, related_name="+")
    subscription = models.OneToOneField(Subscription, null=True, on_delete=models.PROTECT, related_name="checkout")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    email = models.EmailField(blank=True)
    external_id = models.CharField(max_length=200, blank=True)
    return_url = models.CharField(max_length=2000, blank=True)
    terms_version = models.CharField(max_length=200, blank=True, help_text="Of the terms that were agreed to.")
    terms_accepted_at = models.DateTimeField(null=True)
    detail = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["created_at", "id"], name="billing_checkout_listed"),
            models.Index(fields=["customer"], name="billing_checkout_of_customer", condition=Q(status="open")),
        ]
        constraints = [
            models.CheckConstraint(
                condition=~Q(status="completed") | Q(subscription__isnull=False),
                name="billing_checkout_completed_has_subscription",
            )
        ]
