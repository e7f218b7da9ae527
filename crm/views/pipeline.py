"""The board: a pipeline's stages as columns under their phases, filters in the address, cards that are dragged."""

from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from crm import blockers, pipelines
from crm.models import Opportunity, Pipeline, Stage
from crm.pipeline_words import AGES, TONES, WARNINGS
from crm.policies import current_policy
from crm.queries import pipeline as queries
from crm.queries import regressions
from crm.views import desk
from gtm.shared import db, ids
from gtm.shared.api import references
from gtm.shared.guards import desk_only
from gtm.shared.models import User

PERIODS = {
    "this_quarter": _("Closes this quarter"),
    "next_quarter": _("Closes next quarter"),
    "overdue": _("Close date over"),
}
PAGE = 50
NAMES = ("pipeline", "owner", "segment", "period")


@require_safe
@desk_only
def board(request: HttpRequest) -> HttpResponse:
    user, at = desk.of(request), db.now()
    asked = {name: request.GET.get(name, "")[:60].replace("\0", "") for name in NAMES}
    pipeline = Pipeline.objects.filter(code=asked["pipeline"]).first() or pipelines.default(at=at)
    filters = _filters(asked, user)
    column, page = request.GET.get("column", "")[:60].replace("\0", ""), _page(request.GET.get("page", ""))
    if request.htmx and column:  # type: ignore[attr-defined]  # set by HtmxMiddleware
        return _more(request, pipeline, column, page, filters)
    paged = {column: page} if column else {}
    phases = queries.board(pipeline=pipeline, user=user, filters=filters, at=at, paged=paged)
    context = _context(pipeline, asked, user, phases, at) | {"has_filters": any(asked[name] for name in NAMES[1:])}
    if request.htmx and not request.htmx.boosted:  # type: ignore[attr-defined]
        return render(request, "crm/pipeline.html#board", context | {"oob": True})
    return desk.page(request, "crm/pipeline.html", context, active="crm_pipeline")


def _more(request: HttpRequest, pipeline: Pipeline, column: str, page: int, filters: queries.Filters) -> HttpResponse:
    """The next cards of one column."""
    user, at = desk.of(request), db.now()
    found = queries.column(pipeline=pipeline, stage_code=column, page=page, user=user, filters=filters, at=at)
    if found is None:
        return HttpResponse(status=404)
    context = {"column": _column(found, _workable(user, found.cards))}
    return render(request, "crm/pipeline/_cards.html", context)


def _page(text: str) -> int:
    return min(max(int(text), 1), 10_000) if text.isascii() and text.isdigit() and len(text) < 6 else 1


def _filters(asked: dict[str, str], user: User) -> queries.Filters:
    owner = user.pk if asked["owner"] == "me" else None
    if owner is None and asked["owner"]:
        with suppress(ValueError):
            owner = ids.decode(asked["owner"], prefix=User.PREFIX)
    period = asked["period"] if asked["period"] in PERIODS else ""
    return queries.Filters(owner=owner, segment=asked["segment"], period=period)


def _context(
    pipeline: Pipeline, asked: dict[str, str], user: User, phases: list[queries.Phase], at: datetime
) -> dict[str, Any]:
    cards = [card for phase in phases for column in phase.columns for card in column.cards]
    workable = _workable(user, cards)
    segments = current_policy(at=at).segments
    return {
        "pipeline": pipeline,
        "pipelines": list(Pipeline.objects.filter(stages__isnull=False).distinct().order_by("name")),
        "phases": [
            {
                "phase": phase,
                "columns": [_column(one, workable) | {"rows_url": _rows(one.stage, asked)} for one in phase.columns],
            }
            for phase in phases
        ],
        "asked": asked,
        "sellers": [one for one in queries.sellers(user) if one != user],
        "segments": [(segment["code"], segment["label"]) for segment in segments],
        "periods": list(PERIODS.items()),
        "total": queries.together(
            [p.total for p in phases if p.code != Stage.Phase.CLOSED], phases[0].total.currency if phases else ""
        ),
    }


def _rows(stage: Stage, asked: dict[str, str]) -> str:
    """The list of the deals that a column's sum is made of, where the list can be narrowed as the board is."""
    if stage.type != Stage.Type.OPEN or asked["segment"] or asked["period"]:
        return ""
    query = {"stage": stage.public_id, "owner": asked["owner"]}
    return f"{reverse('crm_opportunities')}?{urlencode({k: v for k, v in query.items() if v})}"


def _workable(user: User, cards: list[queries.Card]) -> set[UUID]:
    """Which of the cards the reader may move: one query."""
    keys = [card.deal.pk for card in cards]
    return set(references.workable(Opportunity, user).filter(pk__in=keys).values_list("pk", flat=True))


def _column(column: queries.Column, workable: set[UUID]) -> dict[str, Any]:
    return {
        "stage": column.stage,
        "total": column.total,
        "page": column.page,
        "next_page": column.page + 1 if column.has_more else None,
        "cards": [
            {
                "card": card,
                "deal": card.deal,
                "movable": card.deal.pk in workable,
                "age": AGES[card.age],
                "tone": TONES[card.age],
                "warnings": [WARNINGS[code] for code in card.warnings if code != "stuck"],
            }
            for card in column.cards
        ],
    }


@require_safe
@desk_only
def blocked(request: HttpRequest) -> HttpResponse:
    """What open and lost deals are worth that wait for something we lack."""
    rows = queries.blocked_amounts(user=desk.of(request), at=db.now())
    told = [(blockers.LABELS.get(code, code.replace("_", " ")), total) for code, total in rows]
    return desk.page(request, "crm/blocked.html", {"rows": told}, active="crm_pipeline")


@require_safe
@desk_only
def steps_back(request: HttpRequest) -> HttpResponse:
    """Deals that went backwards in this and the last quarter: who moved them, why, and how often."""
    user, at = desk.of(request), db.now()
    page = Paginator(regressions.steps(user=user, at=at), PAGE).get_page(request.GET.get("page"))
    rows = regressions.told(page.object_list)
    context = {"page": page, "rows": rows, "people": regressions.by_person(user=user, at=at)}
    return desk.page(request, "crm/steps_back.html", context, active="crm_pipeline")
