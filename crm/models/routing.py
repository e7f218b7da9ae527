"""Versions of policies (segments and motion) and rule sets (owners), and the dated decisions they led to."""

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

    A draft has no number; publishing gives it the next one, and from then on it never changes. The newest published
    one counts. ``restores`` is the earlier version whose terms it brings back.
    """

    class Basis(models.TextChoices):
        ARR = "arr", "ARR"
        ACV = "acv", "ACV"
        EXPECTED_VALUE = "expected_value", "Expected value"
        COMPANY_REVENUE = "company_revenue", "The company's revenue"

    class Freeze(models.TextChoices):
        NONE = "none", "Never: segments follow the facts"
        FISCAL_YEAR = "fiscal_year", "Until the fiscal year ends"

    class Combine(models.TextChoices):
        MAX = "max", "The larger wins"
        MIN = "min", "The smaller wins"
        EMPLOYEES_FIRST = "employees_first", "Employees first"
        VALUE_FIRST = "value_first", "Value first"

    number = models.PositiveIntegerField(unique=True, null=True, editable=False)
    name = models.CharField(max_length=200)
    currency = models.CharField(max_length=3, default="USD")
    basis = models.CharField(max_length=20, choices=Basis.choices, default=Basis.ARR)
    employee_bounds = models.JSONField(
        default=list, help_text="Lower bounds of the segments above the first: [100, 1000]."
    )
    value_bounds = models.JSONField(default=list, help_text="Lower bounds in minor units: [1000000, 5000000].")
    segments = models.JSONField(help_text="In order: code, label, motion, engagement, collection methods, net terms.")
    combine = models.CharField(max_length=20, choices=Combine.choices, default=Combine.MAX)
    sales_led_needs = models.JSONField(default=list)
    dead_zones = models.JSONField(
        default=list,
        blank=True,
        help_text="Half-open bands in minor units: code, label, lower, upper, basis, currency.",
    )
    margin_percent = models.PositiveSmallIntegerField(
        default=10, help_text="How far below its segment's lower bound an account must fall before it may move down."
    )
    margin_days = models.PositiveSmallIntegerField(default=30, help_text="And for how many days.")
    freeze = models.CharField(max_length=12, choices=Freeze.choices, default=Freeze.NONE)
    restores = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="+", editable=False)
    published_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "segment policies"
        constraints = [
            models.CheckConstraint(
                condition=Q(number=None, published_at=None) | Q(number__isnull=False, published_at__isnull=False),
                name="crm_segmentpolicy_numbered_when_published",
            ),
            models.CheckConstraint(condition=Q(margin_percent__lt=100), name="crm_segmentpolicy_margin_is_a_part"),
        ]

    def __str__(self) -> str:
        return f"{self.name} (v{self.number})" if self.number else f"{self.name} (draft)"


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
    countries = models.JSONField(
        default=list, blank=True, help_text="Codes of the countries this rep serves; empty means all."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["pool", "user"], name="crm_poolmember_once"),
            models.CheckConstraint(condition=Q(weight__gte=1), name="crm_poolmember_has_weight"),
        ]


class Ruleset(Row):
    """An ordered list of routing rules. A draft has no number; once published it never changes, and the newest
    published one counts.
    """

    number = models.PositiveIntegerField(unique=True, null=True, editable=False)
    name = models.CharField(max_length=200)
    restores = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="+", editable=False)
    published_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(number=None, published_at=None) | Q(number__isnull=False, published_at__isnull=False),
                name="crm_ruleset_numbered_when_published",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} (v{self.number})" if self.number else f"{self.name} (draft)"


class Rule(Row):
    class Strategy(models.TextChoices):
        NAMED = "named", "A named rep"
        ROUND_ROBIN = "round_robin", "Round robin"
        WEIGHTED = "weighted", "Round robin by weight"
        LEAST_LOADED = "least_loaded", "Whoever has the least open"
        QUEUE = "queue", "A queue"

    class OwnerRole(models.TextChoices):
        ANY = "", "Any sales role"
        OF_MOTION = "of_motion", "The role that the policy names for the account's motion"
        AE = "ae", "Account executive"
        CSM = "csm", "Customer success manager"
        SDR = "sdr", "Sales development rep"

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
    owner_role = models.CharField(max_length=10, blank=True, choices=OwnerRole.choices, default=OwnerRole.ANY)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["ruleset", "position"], name="crm_rule_position_once"),
            models.CheckConstraint(
                condition=Q(strategy="named", user__isnull=False)
                | Q(strategy__in=["round_robin", "weighted", "least_loaded"], pool__isnull=False)
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
    falling_since = models.DateTimeField(
        null=True, help_text="Since when the facts have been too low for the segment that is kept for now."
    )
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True)
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(
                fields=["falling_since"],
                name="crm_motiondecision_falling",
                condition=Q(valid_to=None, falling_since__isnull=False),
            )
        ]
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
    note = models.CharField(max_length=500, blank=True, help_text="What a person said for it; never part of a fact.")
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


class MotionOverride(Row):
    """A person's decision about an account's motion on [``starts_at``, ``ends_at``); it ends by itself.

    ``ended_at`` says that it is over, by its end or because somebody took it back.
    """

    account = models.ForeignKey("crm.Account", on_delete=models.CASCADE, related_name="motion_overrides")
    motion = models.CharField(max_length=20, choices=Motion.choices)
    reason = models.CharField(max_length=500)
    by = models.CharField(max_length=60, help_text="The actor, as facts name actors.")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(fields=["ends_at"], name="crm_motionoverride_ending", condition=Q(ended_at=None)),
            models.Index(fields=["account", "-starts_at"], name="crm_motionoverride_of_account"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["account"], condition=Q(ended_at=None), name="crm_motionoverride_one_live"),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="crm_motionoverride_has_length"),
            models.CheckConstraint(condition=~Q(reason=""), name="crm_motionoverride_says_why"),
        ]
