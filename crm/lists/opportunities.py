"""The list of opportunities."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.db.models import DateField, IntegerField, Q, QuerySet, Value
from django.db.models.fields import CharField, DateTimeField
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from crm import opportunities
from crm.lists import actions, cells, filters, matching
from crm.lists.listing import Action, Column, Edit, Listing, Sort, View
from crm.models import Category, Entity, LossReason, Opportunity, Stage
from crm.opportunity_forms import end_of_work
from crm.stages import OPEN_CATEGORIES
from gtm.shared import ids
from gtm.shared.errors import Invalid
from gtm.shared.models import User
from gtm.shared.money import exponent


class OpportunityFilters(filters.ListFilters):
    account = filters.OfAccount()
    state = filters.Choice(label=_("State"), choices=Stage.Type.choices)
    stage = filters.Choice(label=_("Stage"), choices=lambda: _stages(), method="at_stage")
    category = filters.Choice(label=_("Category"), choices=Category.choices)
    kind = filters.Choice(label=_("Kind"), choices=Opportunity.Kind.choices)
    owner = filters.Owner()
    closes_in = filters.number("close_date", "lte", _("Closes within days"), method="closing")
    late = filters.Flag(label=_("Next step is late"), method="which_are_late")
    pushed = filters.number("push_count", "gte", _("Pushed at least"))

    def at_stage(self, rows: QuerySet[Opportunity], _name: str, value: str) -> QuerySet[Opportunity]:
        return rows.filter(stage=ids.decode(value, prefix=Stage.PREFIX))

    def closing(self, rows: QuerySet[Opportunity], _name: str, days: Decimal) -> QuerySet[Opportunity]:
        until = self.at.date() + timedelta(days=max(-3660, min(int(days), 3660)))
        return rows.filter(state=Stage.Type.OPEN, close_date__lte=until)

    def which_are_late(self, rows: QuerySet[Opportunity], _name: str, _value: str) -> QuerySet[Opportunity]:
        return rows.filter(state=Stage.Type.OPEN, next_step_at__lt=self.at)


def _stages(which: Q | None = None) -> list[tuple[str, str]]:
    found = Stage.objects.filter(which or Q()).select_related("pipeline").order_by("pipeline__name", "position")
    return [(stage.public_id, f"{stage.pipeline.name}: {stage.label}") for stage in found]


# --- edits -------------------------------------------------------------------------------------
def _set(field: str, form_field: Any, *, value: Any = None, typed: Any = None) -> Edit:
    """``value`` shows what stands there as it is typed, ``typed`` turns that into what is written."""

    def write(row: Opportunity, said: Any, at: datetime) -> Opportunity:
        return opportunities.change(opportunity=row, at=at, **{field: typed(row, said) if typed else said})

    return Edit(form_field, value or (lambda row: getattr(row, field)), write)


def _amount(row: Opportunity) -> Decimal | None:
    return None if row.amount is None else Decimal(row.amount).scaleb(-exponent(row.currency))


def _minor(row: Opportunity, typed: Decimal | None) -> int | None:
    if typed is None:
        return None
    minor = typed.scaleb(exponent(row.currency))
    if minor != int(minor):
        raise Invalid("More places than the currency has.", attr="amount")
    return int(minor)


def _due_on(row: Opportunity) -> date | None:
    """On which day, where its owner is."""
    return row.next_step_at and row.next_step_at.astimezone(ZoneInfo(row.owner.timezone)).date()


def _by_evening(row: Opportunity, typed: date) -> datetime | None:
    """On the same day it stays due when it was."""
    return row.next_step_at if typed == _due_on(row) else end_of_work(typed, row.owner)


def _day_field(label: Any) -> Any:
    widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    return lambda _user: forms.DateField(label=label, widget=widget)


def _amount_field(_user: User) -> forms.Field:
    return forms.DecimalField(label=_("Amount"), min_value=0, max_digits=16, decimal_places=3, required=False)


def _category_field(_user: User) -> forms.Field:
    """Those of open deals: what is won or lost is that, and nothing else."""
    offered = [choice for choice in Category.choices if choice[0] in OPEN_CATEGORIES.values()]
    return forms.ChoiceField(label=_("Category"), choices=offered)


def _give(row: Opportunity, owner: User, at: datetime, reason: str) -> Opportunity:
    return opportunities.change(opportunity=row, at=at, owner=owner, reason=reason)


class StageForm(actions.ActionForm):
    """Won is left out: what a deal was won for is each deal's own."""

    stage = forms.ChoiceField(label=_("Stage"), choices=lambda: _stages(~Q(type=Stage.Type.WON)))
    lost_reason = forms.ChoiceField(
        label=_("Why they are lost, if they are"), choices=lambda: _losses(), required=False
    )
    competitor = forms.CharField(label=_("Who won them, if a competitor did"), max_length=100, required=False)
    reason = forms.CharField(label=_("Reason, where one is asked for"), max_length=500, required=False)

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        lost = {stage.public_id for stage in Stage.objects.filter(type=Stage.Type.LOST)}
        if said.get("stage") in lost and not said.get("lost_reason"):
            self.add_error("lost_reason", _now("Say why they are lost."))
        return said


def _losses() -> list[tuple[str, str]]:
    active = LossReason.objects.filter(active=True).order_by("position", "label")
    return [("", "–"), *active.values_list("code", "label")]


def _lost(stage: Stage, params: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a deal that is lost."""
    if stage.type != Stage.Type.LOST:
        return {}
    why = LossReason.objects.filter(code=params.get("lost_reason", "")).first()
    return {"lost_reason": why} | ({"competitor": params["competitor"]} if params.get("competitor") else {})


def _move(row: Opportunity, params: Mapping[str, Any], at: datetime, _user: User) -> dict[str, Any] | None:
    stage = Stage.objects.get(pk=ids.decode(params["stage"], prefix=Stage.PREFIX))
    if stage == row.stage:
        return None
    before = row.stage.public_id
    opportunities.move(opportunity=row, stage=stage, at=at, reason=params["reason"], **_lost(stage, params))
    return {"stage": before, "now": params["stage"]}


def _move_back(row: Opportunity, before: dict[str, Any], at: datetime, _user: User) -> str:
    if row.stage.public_id != before["now"]:
        return _now("It was moved on since.")
    stage = Stage.objects.get(pk=ids.decode(before["stage"], prefix=Stage.PREFIX))
    opportunities.move(opportunity=row, stage=stage, at=at, reason=_now("bulk edit undone"))
    return ""


def _nothing_more(_rows: Sequence[Opportunity], _at: datetime) -> None:
    """All that is shown comes with the rows."""


COLUMNS = (
    Column(
        "name",
        _("Opportunity"),
        lambda row, _: cells.text(row.name),
        sort="name",
        edit=_set("name", lambda _user: forms.CharField(label=_("Name"), max_length=200)),
    ),
    Column(
        "account",
        _("Account"),
        lambda row, _: cells.text(row.account.name, url=reverse("crm_account", args=[row.account.public_id])),
    ),
    Column("stage", _("Stage"), lambda row, _: cells.text(row.stage.label)),
    Column(
        "amount",
        _("Amount"),
        lambda row, _: cells.money(row.amount, row.currency),
        sort="amount",
        edit=_set("amount", _amount_field, value=_amount, typed=_minor),
        numeric=True,
    ),
    Column(
        "category",
        _("Category"),
        lambda row, _: cells.text(row.get_category_display()),
        edit=_set("category", _category_field),
    ),
    Column(
        "close_date",
        _("Closes"),
        lambda row, _: cells.day(row.close_date),
        sort="close_date",
        edit=_set("close_date", _day_field(_("Closes"))),
    ),
    Column(
        "next_step",
        _("Next step"),
        lambda row, _: cells.text(row.next_step),
        edit=_set("next_step", lambda _user: forms.CharField(label=_("Next step"), max_length=300)),
    ),
    Column(
        "next_step_at",
        _("By"),
        lambda row, _: cells.day(row.next_step_at),
        edit=_set(
            "next_step_at",
            _day_field(_("Next step by")),
            value=_due_on,
            typed=_by_evening,
        ),
    ),
    Column("owner", _("Owner"), lambda row, _: cells.text(row.owner), edit=_set("owner", actions.owner_field)),
    Column("pushed", _("Pushed"), lambda row, _: cells.number(row.push_count), numeric=True, shown=False),
    Column("competitor", _("Competitor"), lambda row, _: cells.text(row.competitor), shown=False),
    Column("created", _("Since"), lambda row, _: cells.day(row.created_at), sort="created", shown=False),
)

LISTING = Listing(
    entity=Entity.OPPORTUNITY,
    label=_("Opportunities"),
    model=Opportunity,
    page="crm_opportunities",
    url=lambda row: reverse("crm_opportunity", args=[row.public_id]),
    columns=COLUMNS,
    sorts={
        "close_date": Sort("close_date", DateField()),
        "name": Sort("name_key", CharField()),
        "amount": Sort(Coalesce("amount", Value(-1)), IntegerField()),
        "created": Sort("created_at", DateTimeField()),
    },
    default_sort="close_date",
    filters=OpportunityFilters,
    views=(
        View("mine", _("My open deals"), "owner=me&state=open"),
        View("open", _("Open"), "state=open"),
        View("closing", _("Closing within 30 days"), "closes_in=30"),
        View("late", _("Next step late"), "late=1"),
        View("won", _("Won"), "state=won&sort=-close_date"),
        View("lost", _("Lost"), "state=lost&sort=-close_date"),
    ),
    load=_nothing_more,
    matching=lambda rows, text: matching.by_words(rows, text, "name_key"),
    empty=(_("No opportunities yet"), _("An accepted lead becomes one, or a deal is opened at an account.")),
    search_label=_("Name of the deal"),
    related=("account", "stage", "owner"),
    pages=((_("Board"), "crm_pipeline"),),
    actions=(
        Action("assign", _("Assign an owner"), actions.OwnerForm, *actions.assigning("owner", _give)),
        Action("move", _("Move to a stage"), StageForm, _move, _move_back),
    ),
)
