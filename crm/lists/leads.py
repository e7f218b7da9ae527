"""The list of leads. What somebody said stays as they said it: nothing is edited here, but a lead can be rejected."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.db.models.fields import DateTimeField
from django.urls import reverse
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from crm import leads
from crm.lists import actions, cells, filters, matching
from crm.lists.cells import Cell
from crm.lists.listing import Action, Column, Listing, Sort, View
from crm.models import Entity, Lead, RejectReason
from gtm.shared.models import User
from gtm.shared.statuses import describe
from gtm.shared.templatetags.tandem import when_text


class LeadFilters(filters.ListFilters):
    account = filters.OfAccount()
    lifecycle = filters.Choice(label=_("Lifecycle"), choices=Lead.Lifecycle.choices)
    kind = filters.Choice(label=_("Kind"), choices=Lead.Kind.choices)
    owner = filters.Owner()
    source = filters.text("source", _("Source"))
    credited_team = filters.Choice(label=_("Credited to"), choices=Lead.Credit.choices)
    employees_min = filters.number("employee_count", "gte", _("Employees from"))
    late = filters.Flag(label=_("Answer is late"), method="which_are_late")

    def which_are_late(self, rows: QuerySet[Lead], _name: str, _value: str) -> QuerySet[Lead]:
        return rows.filter(lifecycle=Lead.Lifecycle.LEAD, answered_at=None, sla_due_at__lt=self.at)


def _owner(lead: Lead, _at: datetime) -> Cell:
    return cells.text(lead.owner) if lead.owner else cells.soft(lead.queue and lead.queue.name)


def _answer_by(lead: Lead, at: datetime) -> Cell:
    if lead.lifecycle != Lead.Lifecycle.LEAD or lead.answered_at is not None or lead.sla_due_at is None:
        return cells.NOTHING
    if lead.sla_due_at >= at:
        return cells.when(lead.sla_due_at)
    said = _now("late since %(time)s") % {"time": when_text(lead.sla_due_at)}
    return cells.badge("overdue", said)


class RejectForm(actions.ActionForm):
    reason_code = forms.ChoiceField(label=_("Reason"))
    note = forms.CharField(label=_("Note"), max_length=500, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        reasons = RejectReason.objects.filter(active=True).order_by("position", "label")
        self.fields["reason_code"].choices = list(reasons.values_list("code", "label"))  # type: ignore[attr-defined]


def _reject(lead: Lead, params: Mapping[str, Any], at: datetime, _user: User) -> dict[str, Any] | None:
    if lead.lifecycle == Lead.Lifecycle.REJECTED:
        return None
    leads.reject(lead=lead, at=at, reason_code=params["reason_code"], note=params["note"])
    return {"lifecycle": lead.lifecycle}


def _take_up(lead: Lead, _before: dict[str, Any], at: datetime, _user: User) -> str:
    """It starts again: a lead does not go back to where it had come."""
    leads.transition(lead=lead, to=Lead.Lifecycle.LEAD, at=at)
    return ""


def _now_only(_rows: Sequence[Lead], at: datetime) -> datetime:
    return at


COLUMNS = (
    Column("company", _("Company"), lambda lead, _at: cells.text(str(lead))),
    Column("name", _("Person"), lambda lead, _at: cells.text(lead.name)),
    Column("email", _("E-mail"), lambda lead, _at: cells.text(lead.email), shown=False),
    Column("kind", _("Kind"), lambda lead, _at: cells.text(lead.get_kind_display()), shown=False),
    Column("employees", _("Employees"), lambda lead, _at: cells.number(lead.employee_count), numeric=True),
    Column("lifecycle", _("Lifecycle"), lambda lead, _at: cells.badge(lead.lifecycle, describe(lead.lifecycle)[0])),
    Column("owner", _("Owner"), _owner),
    Column("answer_by", _("Answer by"), _answer_by),
    Column("source", _("Source"), lambda lead, _at: cells.text(lead.source), shown=False),
    Column("first_source", _("First touch"), lambda lead, _at: cells.text(lead.first_source), shown=False),
    Column("credited", _("Credited to"), lambda lead, _at: cells.text(lead.get_credited_team_display()), shown=False),
    Column("created", _("Received"), lambda lead, _at: cells.when(lead.created_at), sort="created"),
)

LISTING = Listing(
    entity=Entity.LEAD,
    label=_("Leads"),
    model=Lead,
    page="crm_leads",
    url=lambda lead: reverse("crm_lead", args=[lead.public_id]),
    columns=COLUMNS,
    sorts={"created": Sort("created_at", DateTimeField())},
    default_sort="-created",
    filters=LeadFilters,
    views=(
        View("mine", _("My leads"), "owner=me"),
        View("waiting", _("Waiting for an answer"), "lifecycle=lead"),
        View("mql", _("MQL"), "lifecycle=mql"),
        View("sql", _("SQL"), "lifecycle=sql"),
        View("sal", _("SAL"), "lifecycle=sal"),
        View("rejected", _("Rejected"), "lifecycle=rejected"),
        View("late", _("Late"), "late=1"),
    ),
    load=_now_only,
    matching=lambda rows, text: matching.by_words(rows, text, "name_key"),
    empty=(_("No leads yet"), _("Whoever sends the contact form, or comes in by the API, stands here.")),
    search_label=_("Company, name or e-mail"),
    related=("owner", "queue"),
    pages=((_("Queue"), "crm_lead_queue"),),
    actions=(Action("reject", _("Reject"), RejectForm, _reject, _take_up),),
)
