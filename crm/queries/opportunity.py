"""One opportunity as its page shows it: the path with criteria, history with durations, and what to look at."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Max
from django.utils.translation import gettext_lazy as _

from crm import deals, pipelines, timeline
from crm.models import (
    Call,
    Category,
    Confirmation,
    EmailMessage,
    Opportunity,
    OpportunityEvent,
    Risk,
    Stage,
    StageRequirement,
    Stakeholder,
)
from crm.pipeline_words import AGES, DIAGNOSES, TONES, WARNINGS
from crm.queries import pipeline as board
from gtm.shared.templatetags.tandem import day_text, money

W = OpportunityEvent.What
HEADINGS = {
    W.CREATED: _("Created"),
    W.STAGE: _("Stage"),
    W.CATEGORY: _("Category"),
    W.AMOUNT: _("Amount"),
    W.CLOSE_DATE: _("Close date"),
    W.OWNER: _("Owner"),
    W.NEXT_STEP: _("Next step"),
    W.DETAILS: _("Details"),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A criterion, and what confirms it."""

    requirement: StageRequirement
    confirmation: Confirmation | None


@dataclass(frozen=True, slots=True)
class Step:
    """A stage on the path: ``place`` is done, now or ahead."""

    stage: Stage
    place: str
    is_skipped: bool
    days: int | None
    ours: list[Asked]
    theirs: list[Asked]


@dataclass(frozen=True, slots=True)
class Around:
    steps: list[Step]
    history: list[timeline.Entry]
    stakeholders: list[Stakeholder]
    risks: list[Risk]
    warnings: list[str]
    age: str
    tone: str
    days: int
    diagnosis: str
    advice: str
    is_silent: bool


def around(deal: Opportunity, *, at: datetime) -> Around:
    """A fixed number of queries."""
    path = pipelines.path(deal.pipeline)
    events = list(deal.events.order_by("at", "pk"))
    given = {row.requirement_id: row for row in deal.confirmations.all()}
    steps = {stage.pk: pipelines.terms(stage) for stage in path}
    met = {one.public_id for stage in path for one in stage.requirements.all() if one.pk in given}
    seen = board.look(deal, steps, met, at)
    stage, day = seen.stage, board.day_of(at)
    age = deals.age(seen.days_in_stage, stage.expected_days) if stage.type == "open" else "fresh"
    warned = deals.warnings(seen, at=at, today=day.today, fiscal_year_start=day.fiscal_year_start)
    found = deals.diagnosis(
        phase=stage.phase, days=seen.days_in_stage, expected=stage.expected_days, push_count=deal.push_count
    )
    return Around(
        steps=_steps(deal, path, given, _stays(events), at),
        history=_history(events, path, deal),
        stakeholders=list(deal.stakeholders.select_related("contact").order_by("contact__name", "pk")),
        risks=list(deal.risks.order_by("resolved_at", "-raised_at", "-pk")),
        warnings=[str(WARNINGS[code]) for code in warned],
        age=str(AGES[age]),
        tone=TONES[age],
        days=seen.days_in_stage,
        diagnosis=str(DIAGNOSES.get(found, "")),
        advice=deal.stage.advice if age != "fresh" else "",
        is_silent=_is_silent(deal, events, at),
    )


def _stays(events: list[OpportunityEvent]) -> list[deals.Stay]:
    return deals.stays((event.after, event.at) for event in events if event.what in pipelines.STEPS)


def _steps(
    deal: Opportunity,
    path: list[Stage],
    given: Mapping[Any, Confirmation],
    stays: list[deals.Stay],
    at: datetime,
) -> list[Step]:
    spent = deals.days_by_stage(stays, at)
    return [_step(deal, stage, given, spent) for stage in path if stage.type == "open" or stage.pk == deal.stage_id]


def _step(deal: Opportunity, stage: Stage, given: Mapping[Any, Confirmation], spent: Mapping[str, int]) -> Step:
    asked = [Asked(one, given.get(one.pk)) for one in stage.requirements.all()]
    position = deal.stage.position
    place = "now" if stage.pk == deal.stage_id else "done" if stage.position < position else "ahead"
    buyers = StageRequirement.Kind.BUYER_CONFIRMATION
    return Step(
        stage=stage,
        place=place,
        is_skipped=deal.account.segment in stage.skip_segments,
        days=spent.get(stage.code),
        ours=[one for one in asked if one.requirement.kind != buyers],
        theirs=[one for one in asked if one.requirement.kind == buyers],
    )


def _is_silent(deal: Opportunity, events: list[OpportunityEvent], at: datetime) -> bool:
    """Whether to suggest that the buyer doesn't answer: the rep judges, and nothing is lost by itself."""
    if deal.state != Stage.Type.OPEN or deal.unresponsive_since:
        return False
    moved = [event.at for event in events if event.what in pipelines.STEPS]
    confirmed = [row.at for row in deal.confirmations.all()]
    heard = [moment for moment in (*moved, *confirmed, *_words_of_theirs(deal)) if moment]
    return (at - max(heard, default=deal.stage_entered_at)).days > deal.pipeline.silent_days


def _words_of_theirs(deal: Opportunity) -> tuple[datetime | None, datetime | None]:
    """When the account last wrote, and last talked with us."""
    wrote = EmailMessage.objects.filter(account=deal.account_id, direction=EmailMessage.Direction.IN)
    talked = Call.objects.filter(account=deal.account_id, outcome__in=[Call.Outcome.REACHED, Call.Outcome.MEETING])
    return wrote.aggregate(last=Max("sent_at"))["last"], talked.aggregate(last=Max("called_at"))["last"]


# --- history -----------------------------------------------------------------------------------
def _history(events: list[OpportunityEvent], path: list[Stage], deal: Opportunity) -> list[timeline.Entry]:
    """Newest first, in words."""
    people = timeline.names({e.actor for e in events} | {x for e in events for x in (e.before, e.after)})
    labels = {stage.code: stage.label for stage in path} | dict(Category.choices)  # type: ignore[operator]
    return [_entry(event, labels, people, deal) for event in reversed(events)]


def _entry(
    event: OpportunityEvent, labels: Mapping[str, str], people: Mapping[str, str], deal: Opportunity
) -> timeline.Entry:
    before, after = (_value(event, text, labels, people, deal) for text in (event.before, event.after))
    changed = f"{before} → {after}" if before else after
    notes = [_("a step back")] if event.is_backward else []
    notes += [_("slipped out of its quarter")] if event.is_slip else [_("pushed")] if event.is_push else []
    detail = ", ".join(str(note) for note in notes)
    return timeline.Entry(
        at=event.at,
        text=f"{HEADINGS[W(event.what)]}: {changed}" if changed else str(HEADINGS[W(event.what)]),
        detail=". ".join(part for part in (detail, event.reason) if part),
        actor=people.get(event.actor, ""),
        tone="caution" if notes else "",
    )


def _value(
    event: OpportunityEvent, text: str, labels: Mapping[str, str], people: Mapping[str, str], deal: Opportunity
) -> str:
    if event.what == W.OWNER:
        return people.get(text, "")
    amount, _space, currency = text.partition(" ")
    if event.what == W.AMOUNT and amount.isdigit():
        return str(money(int(amount), currency or deal.currency))
    if event.what == W.CLOSE_DATE and text:
        return str(day_text(datetime.fromisoformat(text).date()))
    if event.what == W.DETAILS:
        return text.replace("_", " ")
    return labels.get(text, text)
