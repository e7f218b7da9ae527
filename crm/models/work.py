"""The work itself: tasks, notes, calls, mail, and what tells people of it.

Every row hangs on an account, and whoever sees the account sees it. What has none is its author's alone.
"""

from datetime import UTC, datetime

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce, Lower

from crm.models.accounts import Account, Contact
from crm.models.leads import Lead
from crm.models.opportunities import Opportunity
from crm.models.scoping import Scoped
from crm.models.teams import Team
from gtm.shared.models import Mail, Resource, Row, User

STAFF = settings.AUTH_USER_MODEL
NEVER = datetime(2999, 12, 31, tzinfo=UTC)  # where a task without a date stands among those that are due


class Work(Resource):
    """Something done, or to be done, about an account and perhaps a person, a request or a deal there."""

    contact = models.ForeignKey(Contact, null=True, blank=True, on_delete=models.SET_NULL, related_name="%(class)ss")
    lead = models.ForeignKey(Lead, null=True, blank=True, on_delete=models.SET_NULL, related_name="%(class)ss")
    opportunity = models.ForeignKey(
        Opportunity, null=True, blank=True, on_delete=models.SET_NULL, related_name="%(class)ss"
    )

    class Meta:
        abstract = True


class TaskQuerySet(Scoped["Task"]):
    ALONE = ("assignee", "created_by")


class Task(Work):
    """Something that somebody has to do by a time. What the machine made carries why, what is at stake, and a play."""

    PREFIX = "task"

    class Kind(models.TextChoices):
        TODO = "todo", "To do"
        CALL = "call", "Call"
        EMAIL = "email", "E-mail"
        MEETING = "meeting", "Meeting"
        RENEWAL = "renewal", "Renewal"

    class State(models.TextChoices):
        OPEN = "open", "Open"
        DONE = "done", "Done"
        CANCELED = "canceled", "Canceled"

    account = models.ForeignKey(Account, null=True, blank=True, on_delete=models.CASCADE, related_name="tasks")
    title = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.TODO)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN, editable=False)
    due_at = models.DateTimeField(null=True, blank=True)
    remind_at = models.DateTimeField(null=True, blank=True)
    reminded_at = models.DateTimeField(null=True, editable=False)
    snoozed_until = models.DateTimeField(null=True, editable=False)
    assignee = models.ForeignKey(STAFF, on_delete=models.PROTECT, related_name="tasks")
    created_by = models.ForeignKey(STAFF, null=True, on_delete=models.PROTECT, related_name="+", editable=False)
    done_at = models.DateTimeField(null=True, editable=False, help_text="When it was done or canceled.")
    outcome = models.CharField(max_length=500, blank=True, editable=False)
    origin = models.CharField(  # noqa: DJ001 -- NULL, because '' would collide in the unique constraint
        max_length=120,
        null=True,
        editable=False,
        help_text="What made it, so that it is made once.",
    )
    why = models.CharField(max_length=500, blank=True, editable=False)
    play = models.CharField(max_length=500, blank=True, editable=False)
    value_at_stake = models.BigIntegerField(null=True, editable=False)
    currency = models.CharField(max_length=3, blank=True, editable=False)
    objects = TaskQuerySet.as_manager()

    class Meta(Resource.Meta):
        indexes = [
            models.Index(fields=["assignee", "due_at", "id"], name="crm_task_open_of", condition=Q(state="open")),
            models.Index(fields=["assignee", "-done_at"], name="crm_task_closed_of", condition=~Q(state="open")),
            models.Index(fields=["account", "state", "due_at"], name="crm_task_of_account"),
            models.Index(
                fields=["remind_at"], name="crm_task_to_remind", condition=Q(state="open", reminded_at__isnull=True)
            ),
            models.Index(fields=["created_at", "id"], name="crm_task_listed"),
            models.Index(Coalesce("due_at", Value(NEVER)), "id", name="crm_task_by_due"),
        ]
        constraints = [
            *Resource.Meta.constraints,
            models.UniqueConstraint(fields=["origin"], name="crm_task_made_once"),
            models.CheckConstraint(
                condition=Q(state="open", done_at=None) | ~Q(state="open") & Q(done_at__isnull=False),
                name="crm_task_closed_when",
            ),
            models.CheckConstraint(
                condition=Q(value_at_stake=None) | ~Q(currency=""), name="crm_task_stake_has_currency"
            ),
        ]

    def __str__(self) -> str:
        return self.title


class NoteQuerySet(Scoped["Note"]):
    """The notes at the accounts that the user sees."""


class Note(Work):
    """What somebody wrote down; whom it names by @ is told, if they see the account."""

    PREFIX = "note"

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="notes")
    text = models.TextField()
    author = models.ForeignKey(STAFF, null=True, on_delete=models.PROTECT, related_name="notes", editable=False)
    written_at = models.DateTimeField(editable=False)
    objects = NoteQuerySet.as_manager()

    class Meta(Resource.Meta):
        indexes = [
            models.Index(fields=["account", "-written_at"], name="crm_note_of_account"),
            models.Index(fields=["created_at", "id"], name="crm_note_listed"),
        ]

    def __str__(self) -> str:
        return self.text[:60]


class Mention(Row):
    note = models.ForeignKey(Note, on_delete=models.CASCADE, related_name="mentions")
    user = models.ForeignKey(STAFF, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["note", "user"], name="crm_mention_once")]


class CallQuerySet(Scoped["Call"]):
    """The calls at the accounts that the user sees."""


class Call(Work):
    """A talk by telephone or video, or the attempt at one."""

    PREFIX = "call"

    class Outcome(models.TextChoices):
        REACHED = "reached", "Talked"
        MEETING = "meeting", "Meeting agreed"
        VOICEMAIL = "voicemail", "Left a message"
        NO_ANSWER = "no_answer", "No answer"
        WRONG_NUMBER = "wrong_number", "Wrong number"

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="calls")
    outcome = models.CharField(max_length=14, choices=Outcome.choices)
    minutes = models.PositiveSmallIntegerField(default=0)
    summary = models.TextField(blank=True)
    caller = models.ForeignKey(STAFF, null=True, on_delete=models.PROTECT, related_name="calls", editable=False)
    called_at = models.DateTimeField()
    objects = CallQuerySet.as_manager()

    class Meta(Resource.Meta):
        indexes = [
            models.Index(fields=["account", "-called_at"], name="crm_call_of_account"),
            models.Index(fields=["created_at", "id"], name="crm_call_listed"),
        ]
        constraints = [
            *Resource.Meta.constraints,
            models.CheckConstraint(condition=Q(minutes__lte=1440), name="crm_call_within_a_day"),
        ]


class EmailQuerySet(Scoped["EmailMessage"]):
    ALONE = ("user",)


class EmailMessage(Work):
    """A message to or from somebody at an account. Without an account it waits in the list of unmatched mail."""

    PREFIX = "eml"

    class Direction(models.TextChoices):
        IN = "in", "Received"
        OUT = "out", "Sent"

    account = models.ForeignKey(Account, null=True, blank=True, on_delete=models.CASCADE, related_name="emails")
    direction = models.CharField(max_length=3, choices=Direction.choices)
    user = models.ForeignKey(STAFF, on_delete=models.PROTECT, related_name="emails", help_text="Whose message it is.")
    message_id = models.CharField(max_length=500)
    in_reply_to = models.CharField(max_length=500, blank=True)
    thread_id = models.UUIDField(help_text="The id of the first message of the conversation.")
    sender = models.CharField(max_length=254)
    recipients = ArrayField(models.CharField(max_length=254), default=list)
    subject = models.CharField(max_length=250, blank=True)
    text = models.TextField(blank=True)
    attachment_count = models.PositiveIntegerField(default=0)
    attachment_bytes = models.PositiveBigIntegerField(default=0)
    template = models.ForeignKey("MailTemplate", null=True, on_delete=models.SET_NULL, related_name="+")
    mail = models.OneToOneField(Mail, null=True, on_delete=models.SET_NULL, related_name="+")
    sent_at = models.DateTimeField(help_text="As the message says; never after it came in.")
    received_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True, help_text="When it was answered, or somebody found no need to.")
    closing_reason = models.CharField(max_length=60, blank=True)
    snoozed_until = models.DateTimeField(null=True)
    objects = EmailQuerySet.as_manager()

    class Meta(Resource.Meta):
        indexes = [
            models.Index(fields=["account", "-sent_at"], name="crm_email_of_account"),
            models.Index(fields=["thread_id", "sent_at"], name="crm_email_of_thread"),
            models.Index(
                fields=["user", "-received_at"],
                name="crm_email_unanswered",
                condition=Q(direction="in", answered_at=None),
            ),
            models.Index(fields=["user", "-received_at"], name="crm_email_unmatched", condition=Q(account=None)),
            models.Index(fields=["created_at", "id"], name="crm_email_listed"),
        ]
        constraints = [
            *Resource.Meta.constraints,
            models.UniqueConstraint(
                fields=["message_id", "direction", "test_clock"],
                nulls_distinct=False,
                name="crm_email_message_once",
            ),
        ]

    def __str__(self) -> str:
        return self.subject


class MailTemplate(Resource):
    """Words to begin a message with. Kept by the founders for everybody, or by a team for itself."""

    PREFIX = "mtpl"

    code = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=200)
    subject = models.CharField(max_length=250)
    body = models.TextField()
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.PROTECT, related_name="mail_templates")
    active = models.BooleanField(default=True)

    class Meta(Resource.Meta):
        indexes = [models.Index(fields=["name", "id"], name="crm_mailtemplate_by_name")]

    def __str__(self) -> str:
        return self.name


class LoggingAddress(Row):
    """The secret part of an address to which a member of staff sends copies of their mail. One counts at a time."""

    user = models.ForeignKey(STAFF, on_delete=models.CASCADE, related_name="logging_addresses")
    token = models.CharField(max_length=40, unique=True)
    created_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user"], condition=Q(revoked_at=None), name="crm_loggingaddress_one"),
            models.CheckConstraint(condition=Q(token=Lower("token")), name="crm_loggingaddress_lower_case"),
            models.CheckConstraint(
                condition=Q(revoked_at=None) | Q(revoked_at__gte=F("created_at")), name="crm_loggingaddress_ends_later"
            ),
        ]


class NotificationQuerySet(models.QuerySet["Notification"]):
    def of(self, user: User) -> "NotificationQuerySet":
        """One's own, but not of accounts that one sees no more."""
        found = self.filter(user=user)
        if user.sees_all:
            return found
        return found.filter(Q(account=None) | Q(account__in=Account.objects.visible_to(user).values("pk")))


class Notification(Row):
    """Something that a member of staff is told. Who acted, about what, and the words are joined when it is shown."""

    PREFIX = "ntf"

    class Kind(models.TextChoices):
        MENTION = "mention", "Somebody mentioned you"
        TASK = "task", "A task was given to you"
        REMINDER = "reminder", "A task's reminder"
        REPLY = "reply", "A customer answered"
        ACCOUNT = "account", "An account became yours"

    user = models.ForeignKey(STAFF, on_delete=models.CASCADE, related_name="notifications")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    account = models.ForeignKey(Account, null=True, on_delete=models.CASCADE, related_name="notifications")
    note = models.ForeignKey(Note, null=True, on_delete=models.CASCADE, related_name="notifications")
    task = models.ForeignKey(Task, null=True, on_delete=models.CASCADE, related_name="notifications")
    email = models.ForeignKey(EmailMessage, null=True, on_delete=models.CASCADE, related_name="notifications")
    actor = models.CharField(max_length=60, blank=True)
    told_at = models.DateTimeField()
    read_at = models.DateTimeField(null=True)
    snoozed_until = models.DateTimeField(null=True)
    test_clock = models.ForeignKey("shared.TestClock", null=True, on_delete=models.PROTECT, related_name="+")
    objects = NotificationQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["user", "-told_at", "-id"], name="crm_notification_newest"),
            models.Index(fields=["user", "kind"], name="crm_notification_unread", condition=Q(read_at=None)),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "kind", "note"], condition=Q(note__isnull=False), name="crm_notification_once_of_note"
            ),
        ]


class NotificationSetting(Row):
    """What somebody wants to be told, and how. Without a row: everything, in the program alone."""

    user = models.OneToOneField(STAFF, on_delete=models.CASCADE, related_name="notification_setting")
    muted = ArrayField(models.CharField(max_length=10, choices=Notification.Kind.choices), default=list, blank=True)
    mailed = ArrayField(models.CharField(max_length=10, choices=Notification.Kind.choices), default=list, blank=True)
    digest = models.BooleanField(default=False, help_text="One message each morning with what is unread.")
    digest_on = models.DateField(null=True, editable=False, help_text="The day of the last one.")

    class Meta:
        indexes = [models.Index(fields=["digest_on"], name="crm_notificationsetting_digest", condition=Q(digest=True))]


class Snooze(Row):
    """A row of Today that somebody has put off for themselves, of a kind whose owner decides alone when it is due."""

    user = models.ForeignKey(STAFF, on_delete=models.CASCADE, related_name="+")
    lead = models.ForeignKey(Lead, null=True, on_delete=models.CASCADE, related_name="+")
    opportunity = models.ForeignKey(Opportunity, null=True, on_delete=models.CASCADE, related_name="+")
    until = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "lead"], condition=Q(lead__isnull=False), name="crm_snooze_lead"),
            models.UniqueConstraint(
                fields=["user", "opportunity"], condition=Q(opportunity__isnull=False), name="crm_snooze_opportunity"
            ),
            models.CheckConstraint(
                condition=Q(lead=None, opportunity__isnull=False) | Q(lead__isnull=False, opportunity=None),
                name="crm_snooze_of_one",
            ),
        ]
