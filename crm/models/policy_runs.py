"""Runs of a policy or of rules over many accounts: what would change, what was changed, and whom it concerned."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from crm.models.accounts import Account
from crm.models.routing import Ruleset, SegmentPolicy
from crm.models.teams import Queue
from gtm.shared.models import Row


class RunState(models.TextChoices):
    QUEUED = "queued", "Waiting"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"


class _Run(Row):
    """Work over many accounts in batches of their keys: ``cursor`` is the last one that is done."""

    state = models.CharField(max_length=8, choices=RunState.choices, default=RunState.QUEUED)
    asked_at = models.DateTimeField(help_text="The instant as of which everything is decided.")
    asked_by = models.CharField(max_length=60)
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    moved = models.PositiveIntegerField(default=0)
    cursor = models.UUIDField(null=True)
    finished_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=2000, blank=True)
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta:
        abstract = True

    @property
    def percent(self) -> int:
        """How much of it is done, of 100."""
        return 100 if self.state == RunState.DONE else self.done * 100 // max(self.total, 1)


class PolicyRun(_Run):
    """A segment policy over all accounts that stand on no test clock: to look (a dry run), or to decide anew."""

    class Kind(models.TextChoices):
        DRY_RUN = "dry_run", "Who would move"
        APPLY = "apply", "Moved"

    kind = models.CharField(max_length=8, choices=Kind.choices)
    policy = models.ForeignKey(SegmentPolicy, on_delete=models.CASCADE, related_name="runs")

    class Meta:
        indexes = [
            models.Index(fields=["policy", "-asked_at"], name="crm_policyrun_of_policy"),
            models.Index(fields=["asked_at"], name="crm_policyrun_open", condition=Q(state__in=["queued", "running"])),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.policy}"


class PolicyMove(Row):
    """An account that a run would move, or has moved: from where to where, and why."""

    run = models.ForeignKey(PolicyRun, on_delete=models.CASCADE, related_name="moves")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    from_segment = models.CharField(max_length=40, blank=True)
    to_segment = models.CharField(max_length=40)
    from_motion = models.CharField(max_length=20)
    to_motion = models.CharField(max_length=20)
    from_dead_zone = models.CharField(max_length=40, blank=True)
    to_dead_zone = models.CharField(max_length=40, blank=True)
    reasons = models.JSONField(default=list)

    class Meta:
        indexes = [
            models.Index(fields=["run", "from_segment", "to_segment"], name="crm_policymove_by_segment"),
            models.Index(fields=["run", "from_motion", "to_motion"], name="crm_policymove_by_motion"),
        ]
        constraints = [models.UniqueConstraint(fields=["run", "account"], name="crm_policymove_once")]


class RoutingRun(_Run):
    """Rules over many accounts: the leads of the last 30 days under a draft (a dry run, which moves no pointer), or
    the accounts of a selection routed anew, first to look, then for good, and perhaps undone.
    """

    class Kind(models.TextChoices):
        DRY_RUN = "dry_run", "Who would have got the leads"
        REROUTE = "reroute", "Routed anew"

    kind = models.CharField(max_length=8, choices=Kind.choices)
    ruleset = models.ForeignKey(Ruleset, on_delete=models.CASCADE, related_name="runs")
    of_owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    of_queue = models.ForeignKey(Queue, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    applied_at = models.DateTimeField(null=True)
    undone_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["-asked_at"], name="crm_routingrun_listed"),
            models.Index(fields=["asked_at"], name="crm_routingrun_open", condition=Q(state__in=["queued", "running"])),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(undone_at=None) | Q(applied_at__isnull=False), name="crm_routingrun_applied_before_undone"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.ruleset}"


class RoutingMove(Row):
    """An account in a routing run: whose it was, whose it would be or became, and why."""

    run = models.ForeignKey(RoutingRun, on_delete=models.CASCADE, related_name="moves")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    position = models.PositiveIntegerField(help_text="The order in which they took their turns.")
    from_owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    from_queue = models.ForeignKey(Queue, null=True, on_delete=models.PROTECT, related_name="+")
    to_owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    to_queue = models.ForeignKey(Queue, null=True, on_delete=models.PROTECT, related_name="+")
    is_move = models.BooleanField(default=True)
    applied = models.BooleanField(default=False)
    reasons = models.JSONField(default=list)

    class Meta:
        indexes = [models.Index(fields=["run", "is_move", "position"], name="crm_routingmove_listed")]
        constraints = [models.UniqueConstraint(fields=["run", "account"], name="crm_routingmove_once")]
