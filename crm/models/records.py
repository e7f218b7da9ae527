"""What is kept about accounts and contacts beside their fields: who said what when, which are the founders' own fields,
which accounts may be one company, and which were merged.
"""

from typing import Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from crm.models.accounts import Account
from gtm.shared.models import Resource, Row, User


class FieldChange(Row):
    """A field of an object got another value: where that came from, who did it and when.

    Facts hold no personal data, so that names and addresses have their history here. A row is never changed or deleted
    (a trigger refuses it) but for three things: it goes with a merged account, its values can be erased, and a test
    clock takes its own with it.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="field_changes")
    object_type = models.CharField(max_length=40)
    object_id = models.UUIDField()
    field = models.CharField(max_length=80)
    old = models.JSONField(null=True)
    new = models.JSONField(null=True)
    source = models.CharField(max_length=60)
    actor = models.CharField(max_length=60)
    at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(fields=["object_id", "field", "-at", "-id"], name="crm_fieldchange_of_field"),
            models.Index(fields=["object_id", "-at", "-id"], name="crm_fieldchange_of_object"),
            models.Index(fields=["account"], name="crm_fieldchange_of_account"),
        ]


class CustomField(Row):
    """A field of the founders' own on accounts, contacts, leads or opportunities; values stand in ``custom``."""

    PREFIX = "cfld"

    class Entity(models.TextChoices):
        ACCOUNT = "account", "Account"
        CONTACT = "contact", "Contact"
        LEAD = "lead", "Lead"
        OPPORTUNITY = "opportunity", "Opportunity"

    class Kind(models.TextChoices):
        TEXT = "text", "Text"
        NUMBER = "number", "Number"
        YES_NO = "yes_no", "Yes or no"
        DATE = "date", "Date"
        CHOICE = "choice", "One of a list"
        LINK = "link", "Link"

    entity = models.CharField(max_length=20, choices=Entity.choices)
    code = models.SlugField(max_length=40)
    label = models.CharField(max_length=100)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.TEXT)
    choices = models.JSONField(default=list, blank=True, help_text="What one may choose from, one a line.")
    is_required = models.BooleanField(default=False)
    position = models.PositiveIntegerField(default=0)
    is_active = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["entity", "code"], name="crm_customfield_code_once"),
            models.CheckConstraint(condition=~Q(kind="choice") | ~Q(choices=[]), name="crm_customfield_has_choices"),
        ]

    def __str__(self) -> str:
        return self.label


class SuggestionQuerySet(models.QuerySet["Suggestion"]):
    def visible_to(self, user: User | None) -> Self:
        """Those of which the user sees both accounts."""
        return self._between(Account.objects.visible_to(user))

    def workable_by(self, user: User | None) -> Self:
        """Those of which the user works both."""
        return self._between(Account.objects.workable_by(user))

    def _between(self, accounts: models.QuerySet[Account]) -> Self:
        return self.filter(first__in=accounts.values("pk"), second__in=accounts.values("pk"))


class Suggestion(Resource):
    """Two accounts may be one company: people of one registrable domain are at both. A pair is suggested only once."""

    PREFIX = "sugg"

    class State(models.TextChoices):
        OPEN = "open", "Open"
        DISMISSED = "dismissed", "Dismissed"
        MERGED = "merged", "Merged"

    first = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="suggestions")
    second = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="suggestions_as_second")
    domain = models.CharField(max_length=253)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    reason = models.CharField(max_length=500, blank=True)
    closed_at = models.DateTimeField(null=True)
    closed_by = models.CharField(max_length=60, blank=True)
    objects = SuggestionQuerySet.as_manager()

    class Meta(Resource.Meta):
        indexes = [
            models.Index(fields=["second"], name="crm_suggestion_of_second"),
            models.Index(fields=["state", "created_at", "id"], name="crm_suggestion_listed"),
        ]
        constraints = [
            *Resource.Meta.constraints,
            models.UniqueConstraint(fields=["first", "second"], name="crm_suggestion_pair_once"),
            models.CheckConstraint(condition=Q(first__lt=F("second")), name="crm_suggestion_in_order"),
            models.CheckConstraint(
                condition=Q(state="open", closed_at=None) | (~Q(state="open") & Q(closed_at__isnull=False)),
                name="crm_suggestion_closed_when",
            ),
        ]


class MergeLog(Row):
    """An account was merged into another: what both said before, and which rows went over, so that it can be undone."""

    PREFIX = "mrg"

    survivor = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="merges")
    merged = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="merged_by")
    before = models.JSONField(help_text="The fields of both, as they were.")
    moved = models.JSONField(help_text="Keys of the rows that went over, by table and column.")
    actor = models.CharField(max_length=60)
    merged_at = models.DateTimeField()
    undo_until = models.DateTimeField()
    undone_at = models.DateTimeField(null=True)
    undone_by = models.CharField(max_length=60, blank=True)

    class Meta:
        indexes = [models.Index(fields=["survivor", "-merged_at"], name="crm_mergelog_of_survivor")]
        constraints = [
            models.UniqueConstraint(fields=["merged"], condition=Q(undone_at=None), name="crm_mergelog_one_at_a_time"),
            models.CheckConstraint(condition=~Q(survivor=F("merged")), name="crm_mergelog_of_two"),
            models.CheckConstraint(condition=Q(undo_until__gt=F("merged_at")), name="crm_mergelog_can_be_undone"),
        ]


class TargetDomain(Row):
    """A company that founders want: the account that has the domain is on the target list."""

    PREFIX = "tgt"

    domain = models.CharField(max_length=253, unique=True)
    added_at = models.DateTimeField()
    added_by = models.CharField(max_length=60)

    def __str__(self) -> str:
        return self.domain
