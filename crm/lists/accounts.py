"""The list of accounts."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.db.models import DecimalField, Exists, IntegerField, OuterRef, QuerySet, Value
from django.db.models.fields import CharField, DateTimeField
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from billing.models import Customer, Subscription
from crm import accounts, alerts
from crm.forms import country_choices
from crm.lists import actions, cells, filters, matching
from crm.lists.cells import Cell
from crm.lists.listing import Action, Column, Edit, Listing, Sort, View
from crm.models import Account, Alert, Entity, Motion, Opportunity, Task
from crm.policies import current_policy
from crm.queries.account_columns import Beside, beside
from gtm.shared.errors import Invalid
from gtm.shared.models import User
from gtm.shared.templatetags.tandem import when_text

OPEN_ALERTS = (Alert.State.OPEN, Alert.State.ACKNOWLEDGED, Alert.State.SNOOZED)
USAGE_RULE = "usage_over_80"
HOT = 70
RENEWAL_DAYS = 90
NO_STEP, LATE = "none", "late"
ASK_IN_BULK = "It lies in a dead zone: select it and use “Assign an owner”, which asks why it is to have one."


class AccountFilters(filters.ListFilters):
    segment = filters.Choice(label=_("Segment"), choices=())
    motion = filters.Choice(label=_("Motion"), choices=Motion.choices)
    owner = filters.Owner()
    score_min = filters.number("score", "gte", _("Score from"))
    employees_min = filters.number("employee_count", "gte", _("Employees from"))
    employees_max = filters.number("employee_count", "lte", _("Employees up to"))
    country = filters.Choice(label=_("Country"), choices=lambda: country_choices()[1:])
    over_80 = filters.Flag(label=_("Usage over 80 %"), method="with_usage_alert")
    next_step = filters.Choice(
        label=_("Next step"), choices=[(NO_STEP, _("None")), (LATE, _("Late"))], method="with_next_step"
    )
    renews_in = filters.number("pk", "lte", _("Renews within days"), method="renewing")
    dead_zone = filters.Flag(label=_("Dead zone"), method="in_dead_zone")
    target_list = filters.Flag(label=_("Target list"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        segments = current_policy(at=self.at).segments
        self.form.fields["segment"].choices = [("", _("Any")), *((s["code"], s["label"]) for s in segments)]  # type: ignore[attr-defined]

    def with_usage_alert(self, rows: QuerySet[Account], _name: str, _value: str) -> QuerySet[Account]:
        alerts = Alert.objects.filter(rule_code=USAGE_RULE, state__in=OPEN_ALERTS)
        return rows.filter(pk__in=alerts.values("account"))

    def with_next_step(self, rows: QuerySet[Account], _name: str, value: str) -> QuerySet[Account]:
        deals = Opportunity.objects.filter(account=OuterRef("pk"), state="open")
        tasks = Task.objects.filter(account=OuterRef("pk"), state=Task.State.OPEN)
        if value == NO_STEP:
            return rows.filter(~Exists(deals), ~Exists(tasks))
        late = Opportunity.objects.filter(state="open", next_step_at__lt=self.at).values("account")
        overdue = Task.objects.filter(state=Task.State.OPEN, due_at__lt=self.at).values("account")
        return rows.filter(pk__in=late.union(overdue))

    def renewing(self, rows: QuerySet[Account], _name: str, days: Decimal) -> QuerySet[Account]:
        """Those with a subscription by the year, or of several, whose term ends within so many days."""
        until = self.at + timedelta(days=min(int(days), 3660))
        ending = Subscription.objects.filter(status="active", current_period_end__range=(self.at, until))
        long = ending.filter(items__price__interval="year").values("customer")
        return rows.filter(pk__in=Customer.objects.filter(pk__in=long, account_id__isnull=False).values("account_id"))

    def in_dead_zone(self, rows: QuerySet[Account], _name: str, _value: str) -> QuerySet[Account]:
        return rows.exclude(dead_zone="")


# --- cells -------------------------------------------------------------------------------------
def _owner(account: Account, _found: Beside) -> Cell:
    return cells.text(account.owner) if account.owner else cells.soft(account.queue and account.queue.name)


def _arr(account: Account, found: Beside) -> Cell:
    worth = found.worth.get(account.pk)
    if worth is None:
        return cells.NOTHING
    return cells.soft(_("no rate")) if worth.missing else cells.money(worth.amount, worth.currency)


def _usage(account: Account, found: Beside) -> Cell:
    state = found.fullest.get(account.pk)
    return cells.usage(state.used, state.limit, unit=state.unit or state.meter_name) if state else cells.NOTHING


def _next_step(account: Account, found: Beside) -> Cell:
    step = found.next_steps.get(account.pk)
    return cells.text(step.text, note=when_text(step.at) if step.at else "") if step else cells.NOTHING


# --- edits -------------------------------------------------------------------------------------
def _fact(field: str, form_field: Any) -> Edit:
    def write(account: Account, value: Any, at: datetime) -> Account:
        return accounts.change(account=account, at=at, **{field: value})

    return Edit(form_field, lambda account: getattr(account, field), write)


def _give(account: Account, owner: User, at: datetime, reason: str = "") -> Account:
    return accounts.give(account=account, owner=owner, at=at, reason=reason)


def _give_in_cell(account: Account, owner: User, at: datetime) -> Account:
    """A cell has no room for the reason that a dead zone asks for."""
    if account.dead_zone and account.owner_id != owner.pk:
        raise Invalid(ASK_IN_BULK, code="required", attr="reason")
    return _give(account, owner, at)


def _snooze(account: Account, params: Mapping[str, Any], at: datetime, _user: User) -> dict[str, Any] | None:
    """All open alerts of the account, until so many days from now."""
    until = at + timedelta(days=int(params["days"]))
    found = account.alerts.filter(state__in=[Alert.State.OPEN, Alert.State.ACKNOWLEDGED]).order_by("pk")
    snoozed = [alerts.transition(alert=alert, to=Alert.State.SNOOZED, at=at, until=until) for alert in found]
    return {"alerts": [str(alert.pk) for alert in snoozed]} if snoozed else None


def _wake(account: Account, before: dict[str, Any], at: datetime, _user: User) -> str:
    for alert in account.alerts.filter(pk__in=before["alerts"], state=Alert.State.SNOOZED).order_by("pk"):
        alerts.transition(alert=alert, to=Alert.State.OPEN, at=at)
    return ""


def _integer(_user: User) -> forms.Field:
    return forms.IntegerField(label=_("Number of employees"), min_value=0, max_value=10_000_000, required=False)


COLUMNS = (
    Column(
        "name",
        _("Account"),
        lambda account, _found: cells.text(account.name),
        sort="name",
        edit=_fact("name", lambda _user: forms.CharField(label=_("Name"), max_length=200)),
    ),
    Column("domain", _("Domain"), lambda account, found: cells.text(found.domains.get(account.pk))),
    Column(
        "segment",
        _("Segment"),
        lambda account, found: cells.text(found.segments.get(account.segment, account.segment)),
    ),
    Column("motion", _("Motion"), lambda account, _found: cells.text(account.get_motion_display())),
    Column("arr", _("ARR"), _arr, numeric=True),
    Column("plan", _("Plan"), lambda account, found: cells.text(", ".join(found.plans.get(account.pk, ())))),
    Column("usage", _("Usage"), _usage),
    Column("users", _("Users"), lambda account, found: cells.number(found.users.get(account.pk)), numeric=True),
    Column("score", _("Score"), lambda account, _found: cells.number(account.score), sort="score", numeric=True),
    Column("owner", _("Owner"), _owner, edit=Edit(actions.owner_field, lambda account: account.owner, _give_in_cell)),
    Column("touched", _("Last touch"), lambda account, found: cells.day(found.touched.get(account.pk))),
    Column("next_step", _("Next step"), _next_step),
    Column(
        "employee_count",
        _("Employees"),
        lambda account, _found: cells.number(account.employee_count),
        sort="employee_count",
        edit=_fact("employee_count", _integer),
        shown=False,
        numeric=True,
    ),
    Column(
        "industry",
        _("Industry"),
        lambda account, _found: cells.text(account.industry),
        edit=_fact("industry", lambda _user: forms.CharField(label=_("Industry"), max_length=100, required=False)),
        shown=False,
    ),
    Column(
        "country",
        _("Country"),
        lambda account, _found: cells.text(account.country),
        edit=_fact(
            "country", lambda _user: forms.ChoiceField(label=_("Country"), choices=country_choices, required=False)
        ),
        shown=False,
    ),
    Column(
        "target_list",
        _("Target list"),
        lambda account, _found: cells.text(_("yes") if account.target_list else None),
        edit=_fact("target_list", lambda _user: forms.BooleanField(label=_("On the target list"), required=False)),
        shown=False,
    ),
    Column("created", _("Since"), lambda account, _found: cells.day(account.created_at), sort="created", shown=False),
)

LISTING = Listing(
    entity=Entity.ACCOUNT,
    label=_("Accounts"),
    model=Account,
    page="crm_accounts",
    url=lambda account: reverse("crm_account", args=[account.public_id]),
    columns=COLUMNS,
    sorts={
        "name": Sort("name_key", CharField()),
        "employee_count": Sort(Coalesce("employee_count", Value(-1)), IntegerField()),
        "score": Sort(Coalesce("score", Value(Decimal(-1000))), DecimalField(max_digits=5, decimal_places=1)),
        "created": Sort("created_at", DateTimeField()),
    },
    default_sort="name",
    filters=AccountFilters,
    views=(
        View("mine", _("My accounts"), "owner=me"),
        View("hot", _("Hot PQLs"), f"score_min={HOT}&sort=-score"),
        View("over_80", _("Over 80 %"), "over_80=1"),
        View("no_next_step", _("No next step"), f"next_step={NO_STEP}"),
        View("renewal", _("Renewal ≤ 90 d"), f"renews_in={RENEWAL_DAYS}"),
        View("dead_zone", _("Dead zone"), "dead_zone=1"),
        View("unowned", _("Unowned"), "owner=none"),
    ),
    load=beside,
    matching=matching.accounts,
    empty=(_("No accounts yet"), _("An account is made when somebody buys, talks to sales, or comes in by the API.")),
    search_label=_("Name or domain"),
    related=("owner", "queue"),
    actions=(
        Action("assign", _("Assign an owner"), actions.OwnerForm, *actions.assigning("owner", _give)),
        Action("snooze", _("Snooze alerts"), actions.SnoozeForm, _snooze, _wake),
    ),
)
