"""By when somebody answers: published terms, working hours and holidays, and a clock for each answer that is due."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from crm.models.activities import Alert
from crm.models.leads import Lead
from crm.models.teams import Queue, Team
from gtm.shared.models import Row, TestClock


class HolidayCalendar(Row):
    """The public holidays of a country or a part of it, with days of one's own."""

    code = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=200)
    country = models.CharField(max_length=2, blank=True, help_text="ISO code; empty: only the days below.")
    subdivision = models.CharField(max_length=10, blank=True, help_text="BY for Bavaria, CA for California.")

    def __str__(self) -> str:
        return self.name


class Holiday(Row):
    """A day off of one's own, or a public holiday on which one works."""

    calendar = models.ForeignKey(HolidayCalendar, on_delete=models.CASCADE, related_name="days")
    on = models.DateField()
    name = models.CharField(max_length=200, blank=True)
    is_working = models.BooleanField(default=False, help_text="Work is done on this day although it is a holiday.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["calendar", "on"], name="crm_holiday_once")]


def _weekdays() -> list[int]:
    return [0, 1, 2, 3, 4]


class WorkingHours(Row):
    """When a team works, by the wall clock of ``zone``; without a team, when everybody else does."""

    team = models.OneToOneField(Team, null=True, blank=True, on_delete=models.CASCADE, related_name="working_hours")
    zone = models.CharField(max_length=64, blank=True, help_text="Empty: the owner's own, else the vendor's.")
    opens = models.TimeField(default="09:00")
    closes = models.TimeField(default="18:00")
    weekdays = ArrayField(models.PositiveSmallIntegerField(), default=_weekdays, help_text="0 is Monday.")
    calendar = models.ForeignKey(
        HolidayCalendar, null=True, blank=True, on_delete=models.PROTECT, related_name="working_hours"
    )

    class Meta:
        verbose_name_plural = "working hours"
        constraints = [
            models.UniqueConstraint(fields=["team"], nulls_distinct=False, name="crm_workinghours_once"),
            models.CheckConstraint(condition=Q(closes__gt=F("opens")), name="crm_workinghours_close_after_opening"),
            models.CheckConstraint(
                condition=Q(weekdays__contained_by=list(range(7)), weekdays__len__gte=1),
                name="crm_workinghours_on_days_of_the_week",
            ),
        ]

    def __str__(self) -> str:
        return str(self.team) if self.team_id else "Everybody else"


class SlaPolicy(Row):
    """How fast leads and alerts are answered, in working minutes. Immutable; the newest counts."""

    number = models.PositiveIntegerField(unique=True, editable=False)
    name = models.CharField(max_length=200)
    lead_minutes = models.PositiveIntegerField(default=240)
    target_minutes = models.PositiveIntegerField(default=30, help_text="For accounts on the target list.")
    alert_minutes = models.JSONField(default=dict, help_text="By severity; a severity that is missing has no clock.")
    remind_percent = models.PositiveSmallIntegerField(
        default=25, help_text="The owner is reminded when so much of the time is left."
    )
    reroute_minutes = models.PositiveIntegerField(
        default=120, help_text="So long after it was due, a lead goes to another rep."
    )
    max_reroutes = models.PositiveSmallIntegerField(default=2, help_text="After so many it goes to the queue.")
    published_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "SLA policies"
        constraints = [
            models.CheckConstraint(
                condition=Q(lead_minutes__gte=1, target_minutes__gte=1, reroute_minutes__gte=1),
                name="crm_slapolicy_gives_time",
            ),
            models.CheckConstraint(condition=Q(remind_percent__lt=100), name="crm_slapolicy_reminds_after_the_start"),
        ]

    def __str__(self) -> str:
        return f"{self.name} (v{self.number})"


class SlaClock(Row):
    """An answer that is due. ``next_at`` is when the next step of the ladder is: a reminder, the due time, another rep.

    Who answers late leaves it breached, with ``answered_at``.
    """

    class State(models.TextChoices):
        PENDING = "pending", "Pending"
        MET = "met", "Met"
        BREACHED = "breached", "Breached"
        CANCELED = "canceled", "Canceled"

    class Step(models.TextChoices):
        REMIND = "remind", "Remind the owner"
        BREACH = "breach", "Tell the manager"
        REROUTE = "reroute", "Route anew"

    lead = models.ForeignKey(Lead, null=True, on_delete=models.CASCADE, related_name="sla_clocks")
    alert = models.ForeignKey(Alert, null=True, on_delete=models.CASCADE, related_name="sla_clocks")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="sla_clocks")
    queue = models.ForeignKey(Queue, null=True, on_delete=models.PROTECT, related_name="sla_clocks")
    policy = models.ForeignKey(SlaPolicy, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=8, choices=State.choices, default=State.PENDING)
    reasons = models.JSONField(default=list)
    started_at = models.DateTimeField()
    due_at = models.DateTimeField()
    next_step = models.CharField(max_length=8, blank=True, choices=Step.choices)
    next_at = models.DateTimeField(null=True)
    warned_at = models.DateTimeField(null=True)
    escalated_at = models.DateTimeField(null=True)
    answered_at = models.DateTimeField(null=True)
    reroutes = models.PositiveSmallIntegerField(default=0)
    passed_over = ArrayField(models.UUIDField(), default=list, help_text="Whose it was before.")
    test_clock = models.ForeignKey(TestClock, null=True, on_delete=models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(fields=["next_at", "id"], name="crm_slaclock_due", condition=Q(next_at__isnull=False)),
            models.Index(fields=["owner", "due_at"], name="crm_slaclock_of_owner", condition=Q(answered_at=None)),
            models.Index(fields=["queue", "due_at"], name="crm_slaclock_of_queue", condition=Q(answered_at=None)),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(lead__isnull=False, alert=None) | Q(lead=None, alert__isnull=False),
                name="crm_slaclock_of_a_lead_or_an_alert",
            ),
            models.UniqueConstraint(
                fields=["lead"],
                condition=Q(state__in=["pending", "breached"], answered_at=None),
                name="crm_slaclock_one_running_of_lead",
            ),
            models.UniqueConstraint(
                fields=["alert"],
                condition=Q(state__in=["pending", "breached"], answered_at=None),
                name="crm_slaclock_one_running_of_alert",
            ),
            models.CheckConstraint(
                condition=Q(next_at=None, next_step="") | (Q(next_at__isnull=False) & ~Q(next_step="")),
                name="crm_slaclock_has_a_step_when_due",
            ),
            models.CheckConstraint(condition=Q(owner=None) | Q(queue=None), name="crm_slaclock_owner_or_queue"),
        ]
