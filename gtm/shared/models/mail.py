"""Mail is a row before it is a message: committed first, sent after, readable in the admin ever after."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from gtm.shared.models.base import Row


class Mail(Row):
    """One message to one recipient about one fact. ``unknown``: the process died while sending; a person decides."""

    class Status(models.TextChoices):
        QUEUED = "queued", "Queued"
        SENDING = "sending", "Sending"
        SENT = "sent", "Sent"
        UNKNOWN = "unknown", "Unknown"
        FAILED = "failed", "Failed"
        KEPT = "kept", "Kept, not sent"

    event = models.ForeignKey("shared.Event", null=True, on_delete=models.PROTECT, related_name="mails")
    recipient = models.EmailField()
    template = models.CharField(max_length=80)
    locale = models.CharField(max_length=10, default="en")
    subject = models.CharField(max_length=250)
    text = models.TextField()
    html = models.TextField(blank=True)
    attachments = ArrayField(models.UUIDField(), default=list, blank=True)
    unsubscribe_url = models.CharField(
        max_length=500, blank=True, help_text="Where one click stops mail of this kind; empty for what has to be sent."
    )
    message_id = models.CharField(max_length=200, unique=True)
    sender_name = models.CharField(max_length=200, blank=True, help_text="Whose name stands before the address.")
    reply_to = models.CharField(max_length=500, blank=True, help_text="Where answers go, if not to support.")
    in_reply_to = models.CharField(max_length=500, blank=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(db_default=Now())
    last_error = models.TextField(blank=True)
    customer_id = models.UUIDField(null=True)
    account_id = models.UUIDField(null=True)
    test_clock = models.ForeignKey("shared.TestClock", null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "mail"
        constraints = [
            models.UniqueConstraint(fields=["event", "recipient", "template"], name="shared_mail_once_per_fact"),
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], name="shared_mail_queued", condition=models.Q(status="queued")),
            models.Index(fields=["status"], name="shared_mail_sending", condition=models.Q(status="sending")),
            models.Index(fields=["customer_id", "-created_at"], name="shared_mail_of_customer"),
            models.Index(fields=["-created_at"], name="shared_mail_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.subject} ({self.get_status_display()})"
