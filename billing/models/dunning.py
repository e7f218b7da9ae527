"""What happens when money doesn't come: the policies, one open case per payer, entity and currency, and its steps."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from billing.models.customers import Customer
from billing.models.entities import LegalEntity
from billing.models.invoices import Invoice
from gtm.shared.models import Resource, Row


class FinalAction(models.TextChoices):
    CANCEL = "cancel", "Cancel"
    UNPAID = "unpaid", "Stop, as unpaid"
    LEAVE = "leave", "Leave as it is"


def _retry_days() -> list[int]:
    return [1, 3, 7, 14]


def _reminder_days() -> list[int]:
    return [-3, 1, 7, 14, 30]


class DunningPolicy(Row):
    """When a card is tried again, when bills on terms are reminded of, and what follows when nothing helps.

    Days count from the first failed charge, reminders from the due date (below zero: before it).
    """

    PREFIX = "dp"

    code = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=200)
    is_default = models.BooleanField(default=False)
    retry_days = ArrayField(models.PositiveSmallIntegerField(), default=_retry_days, blank=True)
    access_days = models.PositiveSmallIntegerField(default=7)
    final_action = models.CharField(max_length=10, choices=FinalAction.choices, default=FinalAction.CANCEL)
    reminder_days = ArrayField(models.SmallIntegerField(), default=_reminder_days, blank=True)
    terms_final_action = models.CharField(max_length=10, choices=FinalAction.choices, default=FinalAction.LEAVE)
    notice_days = models.PositiveSmallIntegerField(default=3)
    version = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        verbose_name_plural = "dunning policies"
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=Q(is_default=True), name="billing_dunningpolicy_one_default"
            )
        ]

    def __str__(self) -> str:
        return self.name


class DunningCase(Resource):
    """What is being done about a payer's unpaid invoices; ``terms`` is the policy as it was when it was opened."""

    PREFIX = "dun"

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        RECOVERED = "recovered", "Recovered"
        EXHAUSTED = "exhausted", "Exhausted"
        CLOSED = "closed", "Closed"

    payer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="dunning_cases")
    legal_entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="+")
    currency = models.CharField(max_length=3)
    policy = models.ForeignKey(DunningPolicy, on_delete=models.PROTECT, related_name="cases")
    terms = models.JSONField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    opened_at = models.DateTimeField()
    troubled_at = models.DateTimeField(null=True, help_text="The first failed charge, or the first bill overdue.")
    failed_at = models.DateTimeField(null=True, help_text="The first failed charge.")
    failure_code = models.CharField(max_length=60, blank=True)
    needs_method = models.BooleanField(default=False, help_text="Only another payment method helps.")
    retry_at = models.DateTimeField(null=True, help_text="When another payment method was given.")
    access_ended_at = models.DateTimeField(null=True)
    final_action_due_at = models.DateTimeField(null=True, help_text="When the owner of a managed customer was told.")
    next_action_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)

    class Meta(Resource.Meta):
        indexes = [
            models.Index(
                fields=["next_action_at"],
                name="billing_dunningcase_due",
                condition=Q(status="open", next_action_at__isnull=False),
            ),
            models.Index(fields=["payer", "-opened_at"], name="billing_dunningcase_of"),
            models.Index(fields=["-opened_at"], name="billing_dunningcase_listed"),
        ]
        constraints = [
            *Resource.Meta.constraints,
            models.UniqueConstraint(
                fields=["payer", "legal_entity", "currency"],
                condition=Q(status="open"),
                name="billing_dunningcase_one_open",
            ),
            models.CheckConstraint(
                condition=Q(status="open") | Q(closed_at__isnull=False), name="billing_dunningcase_ended_when_closed"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.payer} ({self.get_status_display()})"


class DunningStep(Row):
    """What was done in a case, once: ``day`` as the policy counts it. Append-only."""

    class Kind(models.TextChoices):
        RETRY = "retry", "Charge again"
        NEW_METHOD = "new_method", "Charge the new method"
        REMINDER = "reminder", "Remind"
        OVERDUE = "overdue", "Overdue"
        END_ACCESS = "end_access", "End access"
        NOTICE = "notice", "Tell the owner"
        FINAL = "final", "Final action"

    case = models.ForeignKey(DunningCase, on_delete=models.PROTECT, related_name="steps")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    day = models.SmallIntegerField(default=0)
    invoice = models.ForeignKey(Invoice, null=True, on_delete=models.PROTECT, related_name="dunning_steps")
    outcome = models.CharField(max_length=60, blank=True)
    done_at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["case", "kind", "day", "invoice"],
                condition=~Q(kind="new_method"),
                nulls_distinct=False,
                name="billing_dunningstep_once",
            )
        ]
        indexes = [models.Index(fields=["case", "done_at"], name="billing_dunningstep_of")]
