"""Pipelines: the stages in which a buyer buys, what each asks before it is left, and why deals are lost."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from gtm.shared.models import Resource, Row


class Category(models.TextChoices):
    """How sure a deal is. A stage names it; a person may say otherwise, which is logged."""

    PIPELINE = "pipeline", "Pipeline"
    BEST_CASE = "best_case", "Best case"
    COMMIT = "commit", "Commit"
    CLOSED = "closed", "Closed"
    OMITTED = "omitted", "Omitted"


class LostCategory(models.TextChoices):
    COMPETITION = "competition", "Lost to competition"
    NO_DECISION = "no_decision", "Lost to no decision"
    NOT_QUALIFIED = "not_qualified", "Not qualified"


class Pipeline(Row):
    """One ordered set of stages. Most companies need one: segments skip stages rather than have their own."""

    PREFIX = "pipe"

    class LostDate(models.TextChoices):
        LEARNED = "learned", "The day on which we learned it"
        TARGET = "target", "The close date that was aimed at"

    code = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=200)
    is_default = models.BooleanField(default=False, help_text="New opportunities start here.")
    lost_date_policy = models.CharField(
        max_length=10,
        choices=LostDate.choices,
        default=LostDate.LEARNED,
        help_text="Which day counts as the one of a loss, always the same way, so that close rates can be compared.",
    )
    silent_days = models.PositiveSmallIntegerField(
        default=21, help_text="After how many days without a word of the buyer a deal is called unresponsive."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=Q(is_default=True), name="crm_pipeline_one_default"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Stage(Resource):
    """Where the buyer stands, in the buyer's words. Code and type drive what happens, never the label."""

    PREFIX = "stg"

    class Phase(models.TextChoices):
        CONVERSATION = "conversation", "Conversations"
        FUNDED_PROJECT = "funded_project", "Funded projects"
        VENDOR_OF_CHOICE = "vendor_of_choice", "Vendor of choice"
        CLOSED = "closed", "Closed"

    class Type(models.TextChoices):
        OPEN = "open", "Open"
        WON = "won", "Won"
        LOST = "lost", "Lost"

    pipeline = models.ForeignKey(Pipeline, on_delete=models.PROTECT, related_name="stages")
    code = models.SlugField(max_length=60)
    label = models.CharField(max_length=100)
    phase = models.CharField(max_length=20, choices=Phase.choices)
    category = models.CharField(max_length=10, choices=Category.choices)
    type = models.CharField(max_length=5, choices=Type.choices, default=Type.OPEN)
    position = models.PositiveSmallIntegerField()
    expected_days = models.PositiveSmallIntegerField(
        default=14,
        help_text="How long a deal usually stands here; past it the card is marked, past 1.5 times strongly.",
    )
    is_redlining = models.BooleanField(default=False, help_text="Lawyers and procurement mark up the documents.")
    skip_segments = ArrayField(
        models.CharField(max_length=40),
        default=list,
        blank=True,
        help_text="Codes of the segments whose deals leave this stage out.",
    )
    advice = models.TextField(
        max_length=1000, blank=True, help_text="What helps a buyer who is stuck here: what to send, show or ask."
    )

    class Meta(Resource.Meta):
        indexes = [models.Index(fields=["created_at", "id"], name="crm_stage_listed")]
        constraints = [
            *Resource.Meta.constraints,
            models.UniqueConstraint(fields=["pipeline", "code"], name="crm_stage_code_once"),
            models.UniqueConstraint(
                fields=["pipeline", "position"],
                deferrable=models.Deferrable.DEFERRED,
                name="crm_stage_position_once",
            ),
            models.CheckConstraint(
                condition=Q(type="open", category__in=["pipeline", "best_case", "commit"]) & ~Q(phase="closed")
                | Q(type="won", phase="closed", category="closed", is_redlining=False)
                | Q(type="lost", phase="closed", category="omitted", is_redlining=False),
                name="crm_stage_closed_is_won_or_lost",
                violation_error_message="Won stages count as closed and lost ones as omitted; no other does.",
            ),
        ]

    def __str__(self) -> str:
        return self.label


class StageRequirement(Row):
    """What must be so before a deal leaves the stage: something we do, or something the buyer confirms."""

    PREFIX = "req"

    class Kind(models.TextChoices):
        OUR_ACTION = "our_action", "We do"
        BUYER_CONFIRMATION = "buyer_confirmation", "The buyer confirms"

    stage = models.ForeignKey(Stage, on_delete=models.CASCADE, related_name="requirements")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    text = models.CharField(max_length=200)
    position = models.PositiveSmallIntegerField(default=0)
    required = models.BooleanField(
        default=True, help_text="Off for a reminder that holds nobody up, such as a BANT or MEDDIC question."
    )
    active = models.BooleanField(default=True)

    class Meta:
        indexes = [models.Index(fields=["stage", "position"], name="crm_stagerequirement_of_stage")]

    def __str__(self) -> str:
        return self.text


class LossReason(Row):
    """Why deals are lost, as the company words it; each falls under one category that reports count."""

    PREFIX = "loss"

    code = models.SlugField(max_length=60, unique=True)
    label = models.CharField(max_length=100)
    category = models.CharField(max_length=15, choices=LostCategory.choices)
    position = models.PositiveSmallIntegerField(default=0)
    active = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.label
