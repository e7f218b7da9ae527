"""Leads: a person's request, from the form to a rep's acceptance."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from crm.models.accounts import Account, Contact
from crm.models.scoping import Scoped
from crm.models.teams import Queue
from gtm.shared.models import Resource, Row


class LeadQuerySet(Scoped["Lead"]):
    """The leads of the accounts that the user sees."""


class Lead(Resource):
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

    kind = models.CharField(max_length=20, choices=Kind.choices)
    lifecycle = models.CharField(max_length=10, choices=Lifecycle.choices, default=Lifecycle.LEAD, editable=False)
    name = models.CharField(max_length=200)
    email = models.EmailField()
    company = models.CharField(max_length=200, blank=True)
    employee_count = models.PositiveIntegerField(null=True, blank=True)
    country = models.CharField(max_length=2, blank=True)
    needs = models.JSONField(default=list, blank=True)
    message = models.TextField(blank=True)
    source = models.CharField(max_length=60, blank=True)
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
    objects = LeadQuerySet.as_manager()

    class Meta(Resource.Meta):
        indexes = [
            models.Index(fields=["owner", "lifecycle", "-created_at"], name="crm_lead_of_owner"),
            models.Index(fields=["queue", "lifecycle", "-created_at"], name="crm_lead_of_queue"),
            models.Index(fields=["account"], name="crm_lead_of_account"),
            models.Index(fields=["created_at", "id"], name="crm_lead_listed"),
        ]
        constraints = [
            *Resource.Meta.constraints,
            models.CheckConstraint(condition=Q(owner=None) | Q(queue=None), name="crm_lead_owner_or_queue"),
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
