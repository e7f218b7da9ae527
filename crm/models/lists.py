"""Saved views of lists, and the work on many rows at once: bulk edits and imports, each with a row per row."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from crm.models.teams import Team
from gtm.shared.models import Row, User


class Entity(models.TextChoices):
    """What there is a list of."""

    ACCOUNT = "account", "Accounts"
    CONTACT = "contact", "Contacts"
    LEAD = "lead", "Leads"
    OPPORTUNITY = "opportunity", "Opportunities"
    TASK = "task", "Tasks"


class SavedViewQuerySet(models.QuerySet["SavedView"]):
    def visible_to(self, user: User) -> "SavedViewQuerySet":
        """One's own, those of one's teams, and everybody's."""
        teams = Team.objects.filter(memberships__user=user)
        return self.filter(Q(owner=user) | Q(audience="everybody") | Q(audience="team", team__in=teams))


class SavedView(Row):
    """A list as somebody keeps it: its query string holds filters, sort and columns."""

    PREFIX = "view"

    class Audience(models.TextChoices):
        OWN = "own", "Only me"
        TEAM = "team", "My team"
        EVERYBODY = "everybody", "Everybody"

    entity = models.CharField(max_length=20, choices=Entity.choices)
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=2000, blank=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_views")
    audience = models.CharField(max_length=10, choices=Audience.choices, default=Audience.OWN)
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.CASCADE, related_name="saved_views")
    pinned = models.BooleanField(default=True, help_text="Stands as a tab above the list.")
    position = models.PositiveIntegerField(default=0)
    picked = models.BooleanField(default=False, help_text="Holds rows that were picked by hand.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    objects = SavedViewQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["entity", "position", "name"], name="crm_savedview_tabs")]
        constraints = [
            models.UniqueConstraint(fields=["owner", "entity", "name"], name="crm_savedview_once"),
            models.CheckConstraint(
                condition=Q(audience="team", team__isnull=False) | (~Q(audience="team") & Q(team=None)),
                name="crm_savedview_team_where_it_is_the_teams",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class SavedViewRow(Row):
    """A row that was put into a view by hand. Who may not see it does not see it there either."""

    view = models.ForeignKey(SavedView, on_delete=models.CASCADE, related_name="rows")
    object_id = models.UUIDField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["view", "object_id"], name="crm_savedviewrow_once")]


class Job(Row):
    """Work on many rows, in batches: ``position`` rows are dealt with, whatever was killed in between."""

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        UNDOING = "undoing", "Being undone"
        UNDONE = "undone", "Undone"
        FAILED = "failed", "Stopped by an error"

    WORKING = (State.QUEUED, State.RUNNING, State.UNDOING)

    entity = models.CharField(max_length=20, choices=Entity.choices)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    total = models.PositiveIntegerField(default=0)
    position = models.PositiveIntegerField(default=0)
    undone = models.PositiveIntegerField(default=0, help_text="How many rows the undoing has come to.")
    refused = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=500, blank=True, help_text="Why it was stopped, for whoever asked for it.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    started_at = models.DateTimeField(null=True)
    worked_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True
        indexes = [
            models.Index(fields=["user", "-created_at"], name="crm_%(class)s_of_user"),
            models.Index(
                fields=["state", "worked_at"],
                name="crm_%(class)s_at_work",
                condition=Q(state__in=["queued", "running", "undoing"]),
            ),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(position__lte=F("total")), name="crm_%(class)s_within_total"),
        ]

    @property
    def is_working(self) -> bool:
        return self.state in self.WORKING


class BulkJob(Job):
    """One change of many rows, made one by one by the operation that a single row takes."""

    PREFIX = "bulk"

    action = models.CharField(max_length=20)
    params = models.JSONField(default=dict)

    class Meta(Job.Meta):
        pass


class BulkRow(Row):
    """What became of one row of a bulk edit; ``before`` is what the undoing puts back."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        DONE = "done", "Changed"
        SAME = "same", "Was so already"
        REFUSED = "refused", "Refused"
        UNDONE = "undone", "Put back"
        KEPT = "kept", "Left as it is"

    job = models.ForeignKey(BulkJob, on_delete=models.CASCADE, related_name="rows")
    position = models.PositiveIntegerField()
    object_id = models.UUIDField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    error = models.CharField(max_length=500, blank=True)
    before = models.JSONField(default=dict)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["job", "position"], name="crm_bulkrow_in_order"),
            models.UniqueConstraint(fields=["job", "object_id"], name="crm_bulkrow_once"),
        ]


class ImportJob(Job):
    """A file of rows to make or change, with what its columns mean."""

    PREFIX = "imp"

    filename = models.CharField(max_length=200)
    content = models.BinaryField()
    encoding = models.CharField(max_length=20)
    delimiter = models.CharField(max_length=1)
    header = models.JSONField(default=list)
    mapping = models.JSONField(default=dict, help_text="Field by number of the column.")
    key = models.CharField(max_length=20, blank=True, help_text="The field by which a row is known again.")
    defaults = models.JSONField(default=dict)
    created = models.PositiveIntegerField(default=0)
    updated = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)
    kept = models.PositiveIntegerField(default=0, help_text="Rows that the undoing left as they are.")

    class Meta(Job.Meta):
        pass

    def __str__(self) -> str:
        return self.filename


class ImportRow(Row):
    """What became of one row of a file. ``before`` and ``after`` hold what was changed; ``raw`` what was refused."""

    class State(models.TextChoices):
        CREATED = "created", "Created"
        UPDATED = "updated", "Updated"
        SKIPPED = "skipped", "Nothing new"
        REFUSED = "refused", "Refused"
        REMOVED = "removed", "Removed again"
        RESTORED = "restored", "Put back"
        KEPT = "kept", "Left as it is"

    job = models.ForeignKey(ImportJob, on_delete=models.CASCADE, related_name="rows")
    position = models.PositiveIntegerField()
    line = models.PositiveIntegerField(help_text="The line of the file on which the row begins.")
    state = models.CharField(max_length=10, choices=State.choices)
    object_id = models.UUIDField(null=True)
    errors = models.JSONField(default=list)
    raw = models.JSONField(default=list)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        indexes = [models.Index(fields=["job", "state", "position"], name="crm_importrow_by_state")]
        constraints = [models.UniqueConstraint(fields=["job", "position"], name="crm_importrow_in_order")]


class ImportMapping(Row):
    """What a user said last that a column of this name means."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    entity = models.CharField(max_length=20, choices=Entity.choices)
    header = models.CharField(max_length=100)
    field = models.CharField(max_length=60, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "entity", "header"], name="crm_importmapping_once")]
