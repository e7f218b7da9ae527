"""What customers are told by mail: what was announced already, and what they don't want to read."""

from django.db import models
from django.db.models.functions import Now

from billing.models.customers import Customer
from billing.models.subscriptions import Subscription
from gtm.shared.models import Row


class Announcement(Row):
    """Said once of a subscription: that it renews, or that its trial ends, at ``about_at``."""

    class Kind(models.TextChoices):
        RENEWAL = "renewal", "Renewal"
        TRIAL_END = "trial_end", "End of the trial"

    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, related_name="announcements")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    about_at = models.DateTimeField()
    announced_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["subscription", "kind", "about_at"], name="billing_announcement_once")
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} on {self.about_at:%Y-%m-%d}"


class MailPreference(Row):
    """Whether an address wants a customer's mail of one topic; without a row it does. What must be sent has none."""

    class Topic(models.TextChoices):
        USAGE = "usage", "Usage"
        PRODUCT = "product", "Product"

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="mail_preferences")
    email = models.EmailField()
    topic = models.CharField(max_length=20, choices=Topic.choices)
    wanted = models.BooleanField(default=True)
    changed_at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["customer", "email", "topic"], name="billing_mailpreference_once")
        ]

    def __str__(self) -> str:
        return f"{self.get_topic_display()}: {'yes' if self.wanted else 'no'}"
