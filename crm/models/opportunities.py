"""Opportunities: deals with an account, their history, and what stands for and against them."""

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Coalesce, Now

from crm.models.accounts import Account, Contact
from crm.models.leads import Lead
from crm.models.pipelines import Category, LossReason, LostCategory, Pipeline, Stage, StageRequirement
from crm.models.scoping import Scoped
from crm.models.words import Words
from gtm.shared.models import Resource, Row


class OpportunityQuerySet(Scoped["Opportunity"]):
    """One's own, and those of the accounts that the user sees."""

    OWN = ("owner",)

    def open(self) -> "OpportunityQuerySet":
        return self.filter(state=Stage.Type.OPEN)


class Opportunity(Resource):
    """A deal that an AE has met and accepted. ``state`` repeats the type of its stage; the history is in its events."""

    PREFIX = "opp"

    class Kind(models.TextChoices):
        NEW = "new", "New business"
        EXPANSION = "expansion", "Expansion"
        RENEWAL = "renewal", "Renewal"

    class AmountBasis(models.TextChoices):
        NEW_ARR = "new_arr", "New ARR"
        TCV = "tcv", "Total contract value"
        ONE_OFF = "one_off", "One-off"

    class CloseBasis(models.TextChoices):
        """What in the buyer's world the close date rests on."""

        BUDGET_LINE = "budget_line", "Budget line"
        GO_LIVE = "go_live", "Go-live date"
        RENEWAL = "renewal", "Renewal or end of a contract"
        COMPELLING_EVENT = "compelling_event", "Another compelling event"

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="opportunities")
    lead = models.OneToOneField(Lead, null=True, blank=True, on_delete=models.PROTECT, related_name="opportunity")
    name = models.CharField(max_length=200)
    name_key = models.CharField(max_length=200, editable=False)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.NEW)
    pipeline = models.ForeignKey(Pipeline, on_delete=models.PROTECT, related_name="opportunities")
    stage = models.ForeignKey(Stage, on_delete=models.PROTECT, related_name="opportunities")
    state = models.CharField(max_length=5, choices=Stage.Type.choices, default=Stage.Type.OPEN, editable=False)
    category = models.CharField(max_length=10, choices=Category.choices)
    category_overridden = models.BooleanField(default=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="opportunities")
    amount = models.BigIntegerField(null=True, blank=True)
    currency = models.CharField(max_length=3)
    amount_basis = models.CharField(max_length=10, choices=AmountBasis.choices, default=AmountBasis.NEW_ARR)
    close_date = models.DateField()
    close_date_basis = models.CharField(max_length=20, choices=CloseBasis.choices, blank=True)
    compelling_event = models.CharField(max_length=300, blank=True)
    compelling_event_on = models.DateField(null=True, blank=True)
    next_step = models.CharField(max_length=300, blank=True)
    next_step_at = models.DateTimeField(null=True, blank=True)
    competitor = models.CharField(max_length=100, blank=True)
    source = models.CharField(max_length=60, blank=True)
    lost_reason = models.ForeignKey(
        LossReason, null=True, blank=True, on_delete=models.PROTECT, related_name="opportunities"
    )
    lost_category = models.CharField(max_length=15, choices=LostCategory.choices, blank=True)
    closed_on = models.DateField(null=True, blank=True)
    push_count = models.PositiveIntegerField(default=0)
    unresponsive_since = models.DateField(null=True, blank=True)
    included_in_call = models.BooleanField(default=False)
    stage_entered_at = models.DateTimeField()
    reached_sal_at = models.DateTimeField(null=True, blank=True)
    objects = OpportunityQuerySet.as_manager()

    class Meta(Resource.Meta):
        indexes = [
            models.Index(fields=["stage", "close_date", "id"], name="crm_opportunity_of_stage"),
            models.Index(fields=["owner", "state", "close_date", "id"], name="crm_opportunity_of_owner"),
            models.Index(fields=["account", "-created_at"], name="crm_opportunity_of_account"),
            models.Index(fields=["name_key", "id"], name="crm_opportunity_by_name"),
            models.Index(fields=["created_at", "id"], name="crm_opportunity_listed"),
            models.Index(fields=["close_date", "id"], name="crm_opportunity_by_close_date"),
            models.Index(Coalesce("amount", Value(-1)), "id", name="crm_opportunity_by_amount"),
            GinIndex(Words("name_key"), name="crm_opportunity_words"),
            models.Index(
                fields=["stage", "closed_on", "id"], name="crm_opportunity_closed", condition=~Q(state="open")
            ),
            models.Index(fields=["next_step_at"], name="crm_opportunity_next_step", condition=Q(state="open")),
            models.Index(fields=["competitor"], name="crm_opportunity_competitor", condition=~Q(competitor="")),
        ]
        constraints = [
            *Resource.Meta.constraints,
            models.CheckConstraint(condition=Q(amount=None) | Q(amount__gte=0), name="crm_opportunity_amount_positive"),
            models.CheckConstraint(
                condition=Q(state="open", closed_on=None) & ~Q(category__in=["closed", "omitted"])
                | Q(state="won", closed_on__isnull=False, category="closed")
                | Q(state="lost", closed_on__isnull=False, category="omitted"),
                name="crm_opportunity_closed_when_not_open",
            ),
            models.CheckConstraint(
                condition=~Q(state="open") | Q(next_step_at__isnull=False) & ~Q(next_step=""),
                name="crm_opportunity_open_has_next_step",
            ),
            models.CheckConstraint(
                condition=Q(state="lost", lost_reason__isnull=False) & ~Q(lost_category="")
                | ~Q(state="lost") & Q(lost_reason=None, lost_category=""),
                name="crm_opportunity_lost_has_reason",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class OpportunityEvent(Row):
    """One change of a deal, never updated. ``before`` and ``after`` are codes, ids, dates or minor units as text."""

    class What(models.TextChoices):
        CREATED = "created", "Created"
        STAGE = "stage", "Stage"
        CATEGORY = "category", "Category"
        AMOUNT = "amount", "Amount"
        CLOSE_DATE = "close_date", "Close date"
        OWNER = "owner", "Owner"
        NEXT_STEP = "next_step", "Next step"
        DETAILS = "details", "Details"

    opportunity = models.ForeignKey(Opportunity, on_delete=models.CASCADE, related_name="events")
    what = models.CharField(max_length=10, choices=What.choices)
    before = models.CharField(max_length=300, blank=True)
    after = models.CharField(max_length=300, blank=True)
    is_backward = models.BooleanField(default=False)
    is_push = models.BooleanField(default=False)
    is_slip = models.BooleanField(default=False)
    reason = models.CharField(max_length=500, blank=True)
    actor = models.CharField(max_length=60)
    at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(fields=["opportunity", "at", "id"], name="crm_opportunityevent_story"),
            models.Index(fields=["at"], name="crm_oppevent_backward", condition=Q(is_backward=True)),
            models.Index(fields=["at"], name="crm_oppevent_slipped", condition=Q(is_slip=True)),
        ]


class Confirmation(Row):
    """That a requirement of a stage is met, with what shows it."""

    opportunity = models.ForeignKey(Opportunity, on_delete=models.CASCADE, related_name="confirmations")
    requirement = models.ForeignKey(StageRequirement, on_delete=models.PROTECT, related_name="confirmations")
    evidence = models.CharField(max_length=500, blank=True)
    actor = models.CharField(max_length=60)
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["opportunity", "requirement"], name="crm_confirmation_once"),
        ]


class Stakeholder(Row):
    """A person of the account who has a say in the deal."""

    PREFIX = "stk"

    class Role(models.TextChoices):
        CHAMPION = "champion", "Champion"
        ECONOMIC_BUYER = "economic_buyer", "Economic buyer"
        DECISION_MAKER = "decision_maker", "Decision maker"
        TECHNICAL = "technical", "Technical evaluator"
        USER = "user", "User"
        PROCUREMENT = "procurement", "Procurement"
        LEGAL = "legal", "Legal or security"

    class Stance(models.TextChoices):
        FOR = "for", "For us"
        NEUTRAL = "neutral", "Neutral"
        AGAINST = "against", "Against us"
        UNKNOWN = "unknown", "Not known"

    opportunity = models.ForeignKey(Opportunity, on_delete=models.CASCADE, related_name="stakeholders")
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="stakes")
    role = models.CharField(max_length=20, choices=Role.choices)
    stance = models.CharField(max_length=10, choices=Stance.choices, default=Stance.UNKNOWN)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["opportunity", "contact"], name="crm_stakeholder_once"),
        ]


class Risk(Row):
    """What may stop the deal. A blocker names the requirement that we lack, and when the roadmap has it."""

    PREFIX = "risk"

    class Kind(models.TextChoices):
        RISK = "risk", "Risk"
        BLOCKER = "blocker", "Blocker"

    opportunity = models.ForeignKey(Opportunity, on_delete=models.CASCADE, related_name="risks")
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.RISK)
    requirement = models.CharField(max_length=40, blank=True)
    text = models.CharField(max_length=300)
    roadmap_on = models.DateField(null=True, blank=True)
    actor = models.CharField(max_length=60)
    raised_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["opportunity", "raised_at"], name="crm_risk_of_opportunity"),
            models.Index(
                fields=["requirement"], name="crm_risk_open_blockers", condition=Q(kind="blocker", resolved_at=None)
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=~Q(kind="blocker") | ~Q(requirement=""), name="crm_risk_blocker_names_requirement"
            ),
        ]
