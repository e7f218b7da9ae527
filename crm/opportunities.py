"""Opportunities: made, changed, moved through the stages of their pipeline, and what stands for and against them.

Form, API, board, bulk edit and task all come through here, so that one guard holds for all. A move is one write: the
stage, the fields that the guard asks for and the confirmations go together, or nothing does. ``version`` refuses a
write that was made for another state: of two who drag the same card at once, the second is told.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from django.db import transaction

from crm import confirmations as kept
from crm import deals, pipelines, stages
from crm import opportunity_history as history
from crm.accounts import fold
from crm.models import (
    Account,
    Lead,
    Opportunity,
    OpportunityEvent,
    Pipeline,
    Stage,
)
from crm.pipeline_words import lacking
from gtm.shared import db, periods, saving, vendors
from gtm.shared.errors import Conflict, Incomplete, Invalid
from gtm.shared.models import Role, User, write
from gtm.shared.money import exponent

CHANGEABLE = frozenset(
    {
        *("name", "kind", "owner", "amount", "currency", "amount_basis", "category"),
        *("close_date", "close_date_basis", "compelling_event", "compelling_event_on", "next_step", "next_step_at"),
        *("competitor", "source", "unresponsive_since", "included_in_call", "external_id", "metadata"),
    }
)
AT_A_LOSS = frozenset({"lost_reason", "lost_category"})
GUARDED = AT_A_LOSS | {
    *("stage", "category", "amount", "close_date_basis", "compelling_event", "next_step", "next_step_at", "competitor"),
}
CSM_KINDS = (Opportunity.Kind.EXPANSION, Opportunity.Kind.RENEWAL)


# --- made --------------------------------------------------------------------------------------
@transaction.atomic
def create(
    *,
    account: Account,
    at: datetime,
    name: str,
    owner: User | None = None,
    amount: int | None = None,
    currency: str = "",
    pipeline: Pipeline | None = None,
    stage: Stage | None = None,
    category: str = "",
    close_date: date | None = None,
    lead: Lead | None = None,
    confirmations: Mapping[str, str] | None = None,
    **fields: Any,
) -> Opportunity:
    """A deal that has been met and accepted; publishes ``crm.opportunity.created``. ``amount`` in minor units.

    The owner is the account's unless given, the currency the vendor's, the stage the first of the pipeline, and the
    close date a guess from what the stages usually take. Raises Invalid, and Incomplete with one part for each field
    that the stage asks for; Conflict for a lead that nobody accepted or that has become a deal before.
    """
    _refuse_unknown(fields)
    account = db.lock_one(account)
    lead = _accepted(lead, account)
    pipeline = pipeline or (stage.pipeline if stage else pipelines.default(at=at))
    path = pipelines.path(pipeline)
    first, target = _start(path, stage)
    steps = [pipelines.terms(one) for one in path]
    opportunity = Opportunity(
        account=account,
        lead=lead,
        pipeline=pipeline,
        stage=target,
        name=name.strip(),
        name_key=fold(name)[:200],
        owner=_owner(owner or account.owner),
        amount=amount,
        currency=(currency or vendors.current().base_currency).upper(),
        category=category or target.category,
        category_overridden=bool(category) and category != target.category,
        close_date=close_date or deals.likely_close(today(at), steps, segment=account.segment),
        stage_entered_at=at,
        reached_sal_at=at,
        test_clock_id=account.test_clock_id,
        **_tidy(fields),
    )
    _check(opportunity, {"name", "owner", "currency", "kind", "category", *fields})
    _guard(opportunity, path, source=first, before=opportunity.category, confirmations=confirmations or {}, reason="")
    _refuse_second(lead)
    saving.insert(opportunity)
    kept.keep(opportunity, path, confirmations or {}, at)
    history.log(opportunity, at, [{"what": OpportunityEvent.What.CREATED, "after": target.code}])
    history.publish(
        "created", opportunity, at, data=history.figures(opportunity) | {"lead": lead.public_id if lead else None}
    )
    return opportunity


def _start(path: list[Stage], stage: Stage | None) -> tuple[Stage, Stage]:
    if not path:
        raise Invalid("That pipeline has no stages yet.", attr="pipeline")
    target = next((one for one in path if stage is None or one.pk == stage.pk), None)
    if target is None or target.type != Stage.Type.OPEN:
        raise Invalid("A deal starts in an open stage of its pipeline.", attr="stage")
    return path[0], target


def _accepted(lead: Lead | None, account: Account) -> Lead | None:
    """The lead, locked, so that nobody rejects it meanwhile."""
    if lead is None:
        return None
    lead = db.lock_one(lead)
    if lead.account_id != account.pk:
        raise Invalid("That lead is of another account.", attr="lead")
    if lead.lifecycle != Lead.Lifecycle.SAL:
        raise Conflict("Accept the lead by its form first.", code="not_accepted", attr="lead")
    return lead


def _refuse_second(lead: Lead | None) -> None:
    if lead is not None and Opportunity.objects.filter(lead=lead).exists():
        raise Conflict("This lead has become an opportunity already.", code="lead_converted", attr="lead")


def _owner(owner: User | None) -> User:
    if owner is None:
        raise Invalid("Say who owns it: the account has no owner.", code="required", attr="owner")
    return owner


# --- changed and moved -------------------------------------------------------------------------
@transaction.atomic
def change(
    *, opportunity: Opportunity, at: datetime, reason: str = "", version: int | None = None, **fields: Any
) -> Opportunity:
    """Set what is given; publishes ``crm.opportunity.changed``. Raises Invalid; Conflict (``stale_version``).

    A close date that moves later is a push, one that leaves its quarter a slip; a less certain category needs a reason.
    """
    return move(opportunity=opportunity, stage=None, at=at, reason=reason, version=version, **fields)


@transaction.atomic
def move(
    *,
    opportunity: Opportunity,
    stage: Stage | None,
    at: datetime,
    reason: str = "",
    version: int | None = None,
    confirmations: Mapping[str, str] | None = None,
    **fields: Any,
) -> Opportunity:
    """To another stage of its pipeline, with the fields and confirmations (requirement id -> evidence) that it asks
    for, in one write; publishes ``crm.opportunity.moved``, and ``won``, ``lost`` or ``reopened`` where it is that.

    Raises Incomplete with one part for each field and criterion that is missing; Conflict (``stale_version``).
    """
    _refuse_unknown(fields, AT_A_LOSS)
    opportunity = db.lock_seen(opportunity, version)
    stage = stage or opportunity.stage
    if stage.pipeline_id != opportunity.pipeline_id:
        raise Invalid("That stage belongs to another pipeline.", attr="stage")
    if stage.type != Stage.Type.LOST:
        fields = _without_loss(fields)
    return _apply(opportunity, stage, at, reason=reason, fields=fields, confirmations=confirmations or {})


def _without_loss(fields: dict[str, Any]) -> dict[str, Any]:
    """Why it was lost is said of lost deals; who writes a whole object back says nothing there."""
    if said := next((name for name in sorted(AT_A_LOSS) if fields.get(name)), None):
        raise Invalid("Only a lost deal has that.", attr=said)
    return {name: value for name, value in fields.items() if name not in AT_A_LOSS}


def reopen(
    *,
    opportunity: Opportunity,
    at: datetime,
    reason: str,
    stage: Stage | None = None,
    version: int | None = None,
    **fields: Any,
) -> Opportunity:
    """Take up a closed deal again where it stood before it was closed, or in ``stage``. Raises as ``move`` does."""
    if opportunity.state == Stage.Type.OPEN:
        raise Conflict("This deal is open.", code="wrong_state")
    stage = stage or _stage_before(opportunity)
    return move(opportunity=opportunity, stage=stage, at=at, reason=reason, version=version, **fields)


def _stage_before(opportunity: Opportunity) -> Stage:
    steps = opportunity.events.filter(what__in=pipelines.STEPS).order_by("-at", "-pk")
    codes = steps.values_list("after", flat=True)
    open_ones = {stage.code: stage for stage in opportunity.pipeline.stages.filter(type=Stage.Type.OPEN)}
    found = next((open_ones[code] for code in codes if code in open_ones), None)
    return found or opportunity.pipeline.stages.order_by("position")[0]


def _apply(
    opportunity: Opportunity,
    stage: Stage,
    at: datetime,
    *,
    reason: str,
    fields: dict[str, Any],
    confirmations: Mapping[str, str],
) -> Opportunity:
    """Bring the deal to the stage with the fields, judged by the guard, told in history and facts."""
    source, category = opportunity.stage, opportunity.category
    before = {name: getattr(opportunity, name) for name in _columns(fields)}
    path = pipelines.path(opportunity.pipeline)
    wanted = _tidy(fields) | _of_stage(opportunity, stage, at, fields)
    for name, value in wanted.items():
        setattr(opportunity, name, value)
    changed = {name for name in wanted if before[name] != wanted[name]}
    if not changed and not confirmations:
        return opportunity
    _check(opportunity, changed)
    if changed & GUARDED:
        _guard(opportunity, path, source=source, before=category, confirmations=confirmations, reason=reason)
    kept.keep(opportunity, path, confirmations, at)
    if not changed:
        write(opportunity)
        return opportunity
    return _store(opportunity, at, before, changed, reason=reason)


def _columns(fields: Mapping[str, Any]) -> set[str]:
    closing = {"closed_on", "lost_reason", "lost_category", "stage_entered_at", "state", "stage"}
    return {*fields, *closing, "category", "category_overridden", "name_key", "competitor"}


def _of_stage(opportunity: Opportunity, stage: Stage, at: datetime, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that follow from the stage and from what a person says of the category."""
    present, by_hand = opportunity.category, opportunity.category_overridden
    category = fields.get("category") or deals.category_after(opportunity.stage, stage, present, is_overridden=by_hand)
    found = {"category": category, "category_overridden": category != stage.category}
    if stage.pk != opportunity.stage_id:
        found |= {"stage": stage, "state": stage.type, "stage_entered_at": at}
        found |= {"closed_on": _closed_on(opportunity, stage, at, fields), "lost_reason": None, "lost_category": ""}
    return found | _loss(fields)


def _loss(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Why it was lost; the category is the reason's unless a person says another."""
    why = fields.get("lost_reason")
    return {"lost_reason": why, "lost_category": fields.get("lost_category") or why.category} if why else {}


def _closed_on(opportunity: Opportunity, stage: Stage, at: datetime, fields: Mapping[str, Any]) -> date | None:
    if stage.type == Stage.Type.OPEN:
        return None
    policy = opportunity.pipeline.lost_date_policy if stage.type == Stage.Type.LOST else Pipeline.LostDate.LEARNED
    aimed = fields.get("close_date") or opportunity.close_date
    return deals.closed_on(policy=policy, close_date=aimed, today=today(at))


def _store(
    opportunity: Opportunity, at: datetime, before: Mapping[str, Any], changed: set[str], *, reason: str
) -> Opportunity:
    written = {name: getattr(opportunity, name) for name in changed}
    entries = history.entries(opportunity, before, changed, reason)
    if any(entry.get("is_push") for entry in entries):
        written["push_count"] = opportunity.push_count + 1
    for name in changed:
        setattr(opportunity, name, before[name])  # so that the write sees what differs
    saving.change(opportunity, **written)
    history.log(opportunity, at, entries)
    history.tell(opportunity, at, before, changed, entries)
    return opportunity


# --- rules -------------------------------------------------------------------------------------
def _refuse_unknown(fields: Mapping[str, Any], also: frozenset[str] = frozenset()) -> None:
    own = {"kind", "amount_basis"} | CHANGEABLE | also
    if unknown := fields.keys() - own:
        raise Invalid(f"{min(unknown)} is not set this way.", attr=min(unknown))


def _tidy(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Texts without the space around them, and a competitor as it was written the first time."""
    found = {name: value.strip() if isinstance(value, str) else value for name, value in fields.items()}
    if found.get("name"):
        found["name_key"] = fold(found["name"])[:200]
    if found.get("currency"):
        found["currency"] = found["currency"].upper()
    if found.get("competitor"):
        found["competitor"] = _as_known(found["competitor"])
    return found


def _as_known(competitor: str) -> str:
    """The spelling of the deals before: two spellings would be counted as two competitors."""
    known = Opportunity.objects.filter(competitor=competitor).exists()
    if known:
        return competitor
    spelt = Opportunity.objects.exclude(competitor="").filter(competitor__iexact=competitor)
    return spelt.values_list("competitor", flat=True).first() or competitor


def _check(opportunity: Opportunity, changed: set[str]) -> None:
    """The rules of single fields."""
    if not opportunity.name:
        raise Invalid("Give it a name.", code="required", attr="name")
    if opportunity.amount is not None and opportunity.amount < 0:
        raise Invalid("An amount is not negative.", attr="amount")
    _check_category(opportunity.state, opportunity.category)
    if "currency" in changed:
        _check_currency(opportunity.currency)
    if changed & {"owner", "kind"}:
        _check_owner(opportunity)


def _check_category(state: str, category: str) -> None:
    settled = stages.SETTLED_CATEGORIES
    if state in settled and category != settled[state]:
        raise Invalid(f"A {state} deal is {settled[state]}, and nothing else.", attr="category")
    if state not in settled and category in settled.values():
        raise Invalid("Only a won deal is closed, and only a lost one is omitted.", attr="category")


def _check_currency(currency: str) -> None:
    try:
        exponent(currency)
    except ValueError as error:
        raise Invalid(f"{currency!r} is not a currency code of ISO 4217.", attr="currency") from error


def _check_owner(opportunity: Opportunity) -> None:
    """Who sells or founded owns deals; whose only trade is customer success, those with customers."""
    owner = opportunity.owner
    if not owner.is_active or not (owner.sells or owner.has_role(Role.FOUNDER)):
        raise Invalid(f"{owner} doesn't sell, or has left.", attr="owner")
    if set(owner.roles) == {Role.CSM} and opportunity.kind not in CSM_KINDS:
        raise Invalid("A customer success manager owns expansions and renewals.", code="csm_kind", attr="owner")


def _guard(
    opportunity: Opportunity,
    path: list[Stage],
    *,
    source: Stage,
    before: str,
    confirmations: Mapping[str, str],
    reason: str,
) -> None:
    """Raise Incomplete with all that the deal lacks in its stage. Requirements of other pipelines count for nothing."""
    steps = {stage.pk: pipelines.terms(stage) for stage in path}
    missing = deals.gaps(
        deal=as_told(opportunity),
        path=list(steps.values()),
        source=steps[source.pk],
        target=steps[opportunity.stage_id],
        category=opportunity.category,
        source_category=before,
        confirmed=kept.met(opportunity) | set(confirmations),
        reason=reason,
    )
    if missing:
        raise Incomplete([Invalid(lacking(gap), code=gap.code, attr=gap.attr) for gap in missing])


def as_told(opportunity: Opportunity) -> deals.Deal:
    """The deal as the pure decisions take it; select its account."""
    return deals.Deal(
        segment=opportunity.account.segment,
        amount=opportunity.amount,
        close_date_basis=opportunity.close_date_basis,
        compelling_event=opportunity.compelling_event,
        next_step=opportunity.next_step,
        next_step_at=opportunity.next_step_at,
        competitor=opportunity.competitor,
        lost_reason=opportunity.lost_reason.code if opportunity.lost_reason else "",
        lost_category=opportunity.lost_category,
    )


# --- the day ------------------------------------------------------------------------------------
def today(at: datetime) -> date:
    """The date at the vendor's reporting zone."""
    return periods.local_date(at, vendors.current().reporting_zone)
