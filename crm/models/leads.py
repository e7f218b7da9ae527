"""Leads: a person's request, from the form to a rep's acceptance."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from crm.models.accounts import Account, Contact
from crm.models.lead_forms import LeadForm, RejectReason
from crm.models.scoping import Scoped
from crm.models.teams import Queue
from crm.models.words import Words
from gtm.shared.models import Resource, Row


class LeadQuerySet(Scoped["Lead"]):
    """Those of the accounts that the user sees, and one's own: what was handed back to an SDR is of an AE's account."""

    OWN = ("owner",)


class Lead(Resource):
    """A person's request. Where it came from first, and who is credited with it, never change (a trigger refuses it).

    Net qualified pipeline is what was accepted (``accepted_at``) less what turned out not to be
    (``disqualified_at``), by ``first_source`` and ``credited_team``.
    """

    PREFIX = "lead"

    class Kind(models.TextChoices):
        CONTACT_SALES = "contact_sales", "Contact sales"
        DEMO = "demo", "Demo"
        TRIAL = "trial", "Trial"
        INBOUND = "inbound", "Inbound"

    class Lifecycle(models.TextChoices):
        LEAD = "lead", "Lead"
        MQL = "mql", "MQL"
        SQL = "sql", "SQL"
        SAL = "sal", "SAL"
        REJECTED = "rejected", "Rejected"

    class Credit(models.TextChoices):
        PRODUCT = "product", "Product"
        SALES = "sales", "Sales"
        MARKETING = "marketing", "Marketing"

    kind = models.CharField(max_length=20, choices=Kind.choices)
    lifecycle = models.CharField(max_length=10, choices=Lifecycle.choices, default=Lifecycle.LEAD, editable=False)
    name = models.CharField(max_length=200)
    name_key = models.TextField(editable=False, default="", help_text="Company, name and address folded for search.")
    email = models.EmailField()
    company = models.CharField(max_length=200, blank=True)
    employee_count = models.PositiveIntegerField(null=True, blank=True)
    country = models.CharField(max_length=2, blank=True)
    needs = models.JSONField(default=list, blank=True)
    message = models.TextField(blank=True)
    source = models.CharField(max_length=60, blank=True)
    first_source = models.CharField(max_length=60, blank=True, editable=False)
    first_touch_at = models.DateTimeField(null=True, editable=False)
    credited_team = models.CharField(
        max_length=10, choices=Credit.choices, default=Credit.MARKETING, editable=False, help_text="Who brought it."
    )
    form = models.ForeignKey(
        LeadForm, null=True, blank=True, on_delete=models.PROTECT, related_name="leads", editable=False
    )
    answers = models.JSONField(
        default=list, editable=False, help_text="To the form's own questions: code, label and answer, as asked."
    )
    consent = models.JSONField(default=dict, editable=False, help_text="The text that was agreed to, and when.")
    account = models.ForeignKey(Account, null=True, blank=True, on_delete=models.PROTECT, related_name="leads")
    contact = models.ForeignKey(Contact, null=True, blank=True, on_delete=models.SET_NULL, related_name="leads")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="leads", editable=False
    )
    queue = models.ForeignKey(
        Queue, null=True, blank=True, on_delete=models.PROTECT, related_name="leads", editable=False
    )
    routing = models.JSONField(default=dict, editable=False)
    sla_due_at = models.DateTimeField(null=True, blank=True, editable=False)
    answered_at = models.DateTimeField(null=True, editable=False, help_text="The first answer, whatever it was.")
    qualification = models.JSONField(default=dict, editable=False, help_text="What the acceptance form was told.")
    accepted_at = models.DateTimeField(null=True, editable=False)
    rejected_reason = models.ForeignKey(
        RejectReason, null=True, blank=True, on_delete=models.PROTECT, related_name="leads", editable=False
    )
    rejection_note = models.CharField(max_length=500, blank=True, editable=False)
    revisit_at = models.DateTimeField(null=True, editable=False, help_text="When a rejected one is worth another look.")
    disqualified_at = models.DateTimeField(
        null=True, editable=False, help_text="When an accepted one turned out not to be qualified."
    )
    objects = LeadQuerySet.as_manager()

    class Meta(Resource.Meta):
        indexes = [
            models.Index(fields=["owner", "lifecycle", "-created_at"], name="crm_lead_of_owner"),
            models.Index(fields=["queue", "lifecycle", "-created_at"], name="crm_lead_of_queue"),
            models.Index(fields=["account"], name="crm_lead_of_account"),
            models.Index(fields=["created_at", "id"], name="crm_lead_listed"),
            models.Index(fields=["lifecycle", "-created_at", "-id"], name="crm_lead_by_lifecycle"),
            models.Index(fields=["email"], name="crm_lead_by_email"),
            GinIndex(Words("name_key"), name="crm_lead_words"),
            models.Index(fields=["accepted_at"], name="crm_lead_accepted", condition=Q(accepted_at__isnull=False)),
        ]
        constraints = [
            *Resource.Meta.constraints,
            models.CheckConstraint(condition=Q(owner=None) | Q(queue=None), name="crm_lead_owner_or_queue"),
            models.CheckConstraint(
                condition=~Q(lifecycle="sal") | Q(accepted_at__isnull=False), name="crm_lead_sal_was_accepted"
            ),
            models.CheckConstraint(
                condition=Q(lifecycle="rejected", rejected_reason__isnull=False)
                | (~Q(lifecycle="rejected") & Q(rejected_reason=None)),
                name="crm_lead_rejected_for_a_reason",
            ),
            models.CheckConstraint(
                condition=Q(disqualified_at=None) | Q(accepted_at__isnull=False),
                name="crm_lead_disqualified_after_acceptance",
            ),
        ]

    def __str__(self) -> str:
        return self.company or self.name


class LeadTransition(Row):
    """Each step of a lead's lifecycle, with who took it and why."""

    lead = models.ForeignKey(Lead, on_delete=models.CASCADE, related_name="transitions")
    from_lifecycle = models.CharField(max_length=10)
    to_lifecycle = models.CharField(max_length=10)
    actor = models.CharField(max_length=60)
    reason = models.CharField(max_length=500, blank=True)
    at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=Now())


class HeldLead(Row):
    """What somebody sent that looks like spam: kept as it was sent until a person says what it is. Nothing is lost."""

    PREFIX = "held"

    class State(models.TextChoices):
        HELD = "held", "Held"
        RELEASED = "released", "Released"
        DISCARDED = "discarded", "Discarded"

    form = models.ForeignKey(LeadForm, null=True, on_delete=models.PROTECT, related_name="held")
    said = models.JSONField()
    because = ArrayField(models.CharField(max_length=20), default=list)
    state = models.CharField(max_length=10, choices=State.choices, default=State.HELD)
    received_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)
    decided_by = models.CharField(max_length=60, blank=True)
    lead = models.OneToOneField(Lead, null=True, on_delete=models.CASCADE, related_name="held")

    class Meta:
        indexes = [models.Index(fields=["-received_at"], name="crm_heldlead_waiting", condition=Q(state="held"))]

    def __str__(self) -> str:
        return str(self.said.get("company") or self.said.get("name") or self.said.get("email") or self.public_id)
