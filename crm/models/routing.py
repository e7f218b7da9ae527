"""Published policies (segments and motion) and rule sets (owners), and the dated decisions they led to."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from crm.models.teams import Queue
from gtm.shared.models import Row


class Motion(models.TextChoices):
    SELF_SERVE = "self_serve", "Self-serve"
    SALES_ASSISTED = "sales_assisted", "Sales-assisted"
    SALES_LED = "sales_led", "Sales-led"


class Engagement(models.TextChoices):
    NONE = "none", "None"
    ON_TRIGGER = "on_trigger", "On trigger"
    DAY_ONE = "day_one", "From day one"


class SegmentPolicy(Row):
    """Ordered half-open bands on employees and on a value, and what each segment means.

    Immutable once published; the newest published one counts.
    """

    class Combine(models.TextChoices):
        MAX = "max", "The larger wins"
        MIN = "min", "The smaller wins"
        EMPLOYEES_FIRST = "employees_first", "Employees first"
        VALUE_FIRST = "value_first", "Value first"

    number = models.PositiveIntegerField(unique=True)
    name = models.CharField(max_length=200)
    currency = models.CharField(max_length=3, default="USD")
    basis = models.CharField(max_length=20, default="arr")
    employee_bounds = models.JSONField(
        default=list, help_text="Lower bounds of the segments above the first: [100, 1000]."
    )
    value_bounds = models.JSONField(default=list, help_text="Lower bounds in minor units: [1000000, 5000000].")
    segments = models.JSONField(help_text="In order: code, label, motion, engagement, collection methods, net terms.")
    combine = models.CharField(max_length=20, choices=Combine.choices, default=Combine.MAX)
    sales_led_needs = models.JSONField(default=list)
    published_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "segment policies"

    def __str__(self) -> str:
        return f"{self.name} (v{self.number})"


class Pool(Row):
    """Reps who take turns. The pointer is the user last assigned, never an index, and is moved under the row's lock."""

    code = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=200)
    last_assigned_user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    def __str__(self) -> str:
        return self.name


class PoolMember(Row):
    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="pool_memberships")
    position = models.PositiveIntegerField(default=0)
    weight = models.PositiveSmallIntegerField(default=1)
    current_weight = models.IntegerField(default=0, editable=False)
    capacity = models.PositiveIntegerField(
        null=True, blank=True, help_text="New leads in a rolling 30 days; empty means no limit."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["pool", "user"], name="crm_poolmember_once"),
            models.CheckConstraint(condition=Q(weight__gte=1), name="crm_poolmember_has_weight"),
        ]


class Ruleset(Row):
    """An ordered list of routing rules. Immutable once published; the newest published counts."""

    number = models.PositiveIntegerField(unique=True)
    name = models.CharField(max_length=200)
    published_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.name} (v{self.number})"


class Rule(Row):
    class Strategy(models.TextChoices):
        NAMED = "named", "A named rep"
        ROUND_ROBIN = "round_robin", "Round robin"
        QUEUE = "queue", "A queue"

    ruleset = models.ForeignKey(Ruleset, on_delete=models.CASCADE, related_name="rules")
    position = models.PositiveIntegerField()
    name = models.CharField(max_length=200)
    condition = models.JSONField(help_text='A tree of all, any, not and {"field", "op", "value"}.')
    strategy = models.CharField(max_length=20, choices=Strategy.choices)
    pool = models.ForeignKey(Pool, null=True, blank=True, on_delete=models.PROTECT, related_name="rules")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    queue = models.ForeignKey(Queue, null=True, blank=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["ruleset", "position"], name="crm_rule_position_once"),
            models.CheckConstraint(
                condition=Q(strategy="named", user__isnull=False)
                | Q(strategy="round_robin", pool__isnull=False)
                | Q(strategy="queue", queue__isnull=False),
                name="crm_rule_has_its_target",
            ),
        ]


class MotionDecision(Row):
    """Segment and motion of an account from ``valid_from``; the open row is the one that counts."""

    account = models.ForeignKey("crm.Account", on_delete=models.CASCADE, related_name="motion_decisions")
    segment = models.CharField(max_length=40)
    motion = models.CharField(max_length=20, choices=Motion.choices)
    engagement_policy = models.CharField(max_length=12, choices=Engagement.choices)
    policy = models.ForeignKey(SegmentPolicy, null=True, on_delete=models.PROTECT, related_name="+")
    reasons = models.JSONField(default=list)
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True)
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account"], condition=Q(valid_to=None), name="crm_motiondecision_one_open"),
            models.CheckConstraint(
                condition=Q(valid_to=None) | Q(valid_to__gte=F("valid_from")),
                name="crm_motiondecision_ends_after_start",
            ),
        ]


class OwnerDecision(Row):
    """Owner or queue of an account from ``valid_from``, with every rule that was tried and why it did not take."""

    account = models.ForeignKey("crm.Account", on_delete=models.CASCADE, related_name="owner_decisions")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    queue = models.ForeignKey(Queue, null=True, on_delete=models.PROTECT, related_name="+")
    ruleset = models.ForeignKey(Ruleset, null=True, on_delete=models.PROTECT, related_name="+")
    reasons = models.JSONField(default=list)
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True)
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["owner", "-valid_from"], name="crm_ownerdecision_of_owner")]
        constraints = [
            models.UniqueConstraint(fields=["account"], condition=Q(valid_to=None), name="crm_ownerdecision_one_open"),
            models.CheckConstraint(
                condition=Q(owner__isnull=False, queue=None) | Q(owner=None, queue__isnull=False),
                name="crm_ownerdecision_owner_or_queue",
            ),
        ]
