"""Pipelines with their stages and exit criteria.

A pipeline that nobody uses yet is a draft: it may be as unfinished as it likes, and its findings are shown. The one
that new deals start in, or that holds deals, stays free of errors.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Prefetch

from crm import deals, loss_reasons, stages
from crm.models import (
    Confirmation,
    LossReason,
    Opportunity,
    OpportunityEvent,
    Pipeline,
    Stage,
    StageRequirement,
)
from crm.pipeline_terms import INSTALLED_REASONS, INSTALLED_STAGES, RequirementTerms, StageTerms
from crm.pipeline_words import said
from gtm.shared import bulk, context, db, outbox, saving
from gtm.shared.errors import Conflict, Incomplete, Invalid

STEPS = (OpportunityEvent.What.CREATED, OpportunityEvent.What.STAGE)
SETTLED = ("type",)  # of a stage that holds deals: what they are depends on it


# --- what counts -------------------------------------------------------------------------------
def default(*, at: datetime) -> Pipeline:
    """The pipeline that new deals start in; the installed one is made where there is none yet."""
    found = Pipeline.objects.filter(is_default=True).first()
    if found is None:
        install_defaults(at=at)
        found = Pipeline.objects.get(is_default=True)
    return found


def path(pipeline: Pipeline) -> list[Stage]:
    """The stages in order, with their requirements: two queries."""
    asked = StageRequirement.objects.filter(active=True).order_by("position", "id")
    found = pipeline.stages.order_by("position").prefetch_related(Prefetch("requirements", queryset=asked))
    return list(found)


def terms(stage: Stage) -> deals.Stage:
    """A stage of ``path`` as the pure decisions take it."""
    return deals.Stage(
        id=str(stage.pk),
        label=stage.label,
        position=stage.position,
        phase=stage.phase,
        category=stage.category,
        type=stage.type,
        is_redlining=stage.is_redlining,
        expected_days=stage.expected_days,
        skip_segments=tuple(stage.skip_segments),
        criteria=tuple(deals.Criterion(r.public_id, r.kind, r.text, r.required) for r in stage.requirements.all()),
    )


def findings(pipeline: Pipeline) -> list[stages.Finding]:
    """What the validator says of the pipeline as it is, with a pipeline that is nearly the same, if there is one."""
    own = list(pipeline.stages.order_by("position"))
    found = stages.findings([_step(stage) for stage in own])
    labels: dict[str, set[str]] = {}
    others = Stage.objects.exclude(pipeline=pipeline).filter(type=Stage.Type.OPEN).order_by("pipeline__name")
    for name, label in others.values_list("pipeline__name", "label"):
        labels.setdefault(name, set()).add(label)
    twin = stages.near_duplicate({stage.label for stage in own if stage.type == Stage.Type.OPEN}, labels.items())
    return [*found, *([twin] if twin else [])]


def _step(stage: Stage) -> stages.Step:
    return stages.Step(
        code=stage.code,
        label=stage.label,
        phase=stage.phase,
        category=stage.category,
        type=stage.type,
        is_redlining=stage.is_redlining,
        skip_segments=tuple(stage.skip_segments),
    )


# --- pipelines ---------------------------------------------------------------------------------
@transaction.atomic
def create(*, at: datetime, code: str, name: str, stages: Sequence[StageTerms] = (), **fields: Any) -> Pipeline:
    """Make a pipeline; the first one becomes the default. Publishes ``crm.pipeline.created``. Raises Invalid."""
    _lock()
    is_first = not Pipeline.objects.filter(is_default=True).exists()
    is_default = bool(fields.pop("is_default", False)) or (is_first and bool(stages))
    pipeline = Pipeline(code=code, name=name, **fields)
    saving.insert(pipeline)
    _write_stages(pipeline, stages, at)
    if is_default:
        _make_default(pipeline)
    _check(pipeline)
    outbox.publish("crm.pipeline.created", pipeline, at=at, data=_told(pipeline))
    return pipeline


@transaction.atomic
def change(*, pipeline: Pipeline, at: datetime, stages: Sequence[StageTerms] | None = None, **changes: Any) -> Pipeline:
    """Set what is given, and replace the stages where they are; publishes ``crm.pipeline.changed``.

    Raises Conflict for a stage that goes while deals stand in it or passed it, and for taking the default away; Invalid
    with all findings where a pipeline in use would become faulty.
    """
    _lock()
    pipeline = db.lock_one(pipeline)
    changed = {name: value for name, value in changes.items() if getattr(pipeline, name) != value}
    if changed.get("is_default") is False:
        raise Conflict("Make another pipeline the default instead.", code="no_default", attr="is_default")
    if changed.pop("is_default", False):
        _make_default(pipeline)
    for name, value in changed.items():
        setattr(pipeline, name, value)
    saving.clean(pipeline, only=set(changed))
    if changed:
        pipeline.save(update_fields=list(changed))
    if stages is not None and _write_stages(pipeline, stages, at):
        changed["stages"] = True
    if changed or changes.get("is_default"):
        _check(pipeline)
        outbox.publish("crm.pipeline.changed", pipeline, at=at, data=_told(pipeline) | {"changed": sorted(changed)})
    return pipeline


@transaction.atomic
def remove(*, pipeline: Pipeline, at: datetime) -> None:
    """Delete a draft; publishes ``crm.pipeline.removed``. Raises Conflict for the default and for one with deals."""
    _lock()
    pipeline = db.lock_one(pipeline)
    if pipeline.is_default:
        raise Conflict("Make another pipeline the default first.", code="no_default")
    if pipeline.opportunities.exists():
        raise Conflict("Deals run through this pipeline; it can't go.", code="pipeline_in_use")
    outbox.publish("crm.pipeline.removed", pipeline, at=at, data={"code": pipeline.code})
    pipeline.stages.all().delete()
    pipeline.delete()


def _lock() -> None:
    """Two editors at once could each leave a stage out that the other one relies on."""
    db.advisory_lock("crm.pipelines")


def _make_default(pipeline: Pipeline) -> None:
    Pipeline.objects.filter(is_default=True).exclude(pk=pipeline.pk).update(is_default=False)
    pipeline.is_default = True
    pipeline.save(update_fields=["is_default"])


def _check(pipeline: Pipeline) -> None:
    """Refuse errors where deals are or will be."""
    if not (pipeline.is_default or pipeline.opportunities.exists()):
        return
    errors = [finding for finding in findings(pipeline) if finding.is_error]
    if errors:
        raise Incomplete([Invalid(said(finding), code=finding.code, attr="stages") for finding in errors])


def _told(pipeline: Pipeline) -> dict[str, Any]:
    codes = pipeline.stages.order_by("position").values_list("code", flat=True)
    return {"code": pipeline.code, "is_default": pipeline.is_default, "stages": list(codes)}


# --- stages ------------------------------------------------------------------------------------
def _write_stages(pipeline: Pipeline, wanted: Sequence[StageTerms], at: datetime) -> bool:
    """Make the pipeline's stages these, by code. Positions are unique at the end of the transaction, not before."""
    codes = [one.code for one in wanted]
    if twice := next((code for code in codes if codes.count(code) > 1), None):
        raise Invalid(f"Two stages have the code {twice}.", attr="stages")
    there = {stage.code: stage for stage in pipeline.stages.all()}
    touched = [_drop(stage) for code, stage in there.items() if code not in codes]
    for position, one in enumerate(wanted):
        touched.append(_write_stage(pipeline, there.get(one.code), one, position, at))
    return any(touched)


def _drop(stage: Stage) -> bool:
    passed = OpportunityEvent.objects.filter(opportunity__pipeline=stage.pipeline_id, after=stage.code)
    confirmed = Confirmation.objects.filter(requirement__stage=stage)
    if stage.opportunities.exists() or passed.filter(what__in=STEPS).exists() or confirmed.exists():
        detail = f"Deals stand in the stage “{stage.label}” or passed it; it can't go. Rename it instead."
        raise Conflict(detail, code="stage_in_use", attr="stages")
    stage.delete()
    return True


def _write_stage(pipeline: Pipeline, stage: Stage | None, one: StageTerms, position: int, at: datetime) -> bool:
    if stage is None:
        stage = Stage(pipeline=pipeline, code=one.code, position=position, **one.columns())
        saving.insert(stage)
        write_requirements(stage, one.requirements or ())
        return True
    changed = _change_columns(stage, at, position=position, **one.columns())
    if one.requirements is not None:
        changed = write_requirements(stage, one.requirements) or changed
    return changed


def _change_columns(stage: Stage, at: datetime, **columns: Any) -> bool:
    differs = {name for name, value in columns.items() if getattr(stage, name) != value}
    if differs & set(SETTLED) and stage.opportunities.exists():
        raise Conflict(f"Deals stand in the stage “{stage.label}”; it stays what it is.", code="stage_in_use")
    previous = saving.change(stage, **columns)
    if "category" in previous:
        _recategorise(stage, str(previous["category"]), at)
    return bool(previous)


def _recategorise(stage: Stage, before: str, at: datetime) -> None:
    """Deals follow their stage to its new category, but for those that a person judged otherwise."""
    followers = Opportunity.objects.filter(stage=stage, category_overridden=False, state=Stage.Type.OPEN)
    keys = list(followers.select_for_update(of=("self",), no_key=True).order_by("pk").values_list("pk", flat=True))
    Opportunity.objects.filter(pk__in=keys).update(category=stage.category, version=F("version") + 1, updated_at=at)
    story = {"what": OpportunityEvent.What.CATEGORY, "before": before, "after": stage.category, "at": at}
    rows = [bulk.new(OpportunityEvent, opportunity_id=key, actor=context.actor(), **story) for key in keys]
    bulk.insert(OpportunityEvent, rows)


@transaction.atomic
def change_stage(
    *, stage: Stage, at: datetime, requirements: Sequence[RequirementTerms] | None = None, **changes: Any
) -> Stage:
    """Set what is given of one stage, and replace its requirements where they are; publishes ``crm.stage.changed``.

    Raises as ``change`` does.
    """
    _lock()
    stage = db.lock_one(stage)
    changed = _change_columns(stage, at, **changes)
    if requirements is not None:
        changed = write_requirements(stage, requirements) or changed
    if changed:
        _check(stage.pipeline)
        data = {"pipeline": stage.pipeline.code, "code": stage.code, "changed": sorted(changes)}
        outbox.publish("crm.stage.changed", stage, at=at, data=data)
    return stage


def write_requirements(stage: Stage, wanted: Iterable[RequirementTerms]) -> bool:
    """Make these the active ones, by kind and text. What deals have confirmed stays as history, inactive."""
    there = {(row.kind, row.text): row for row in stage.requirements.all()}
    kept, changed = set(), False
    for position, one in enumerate(wanted):
        row = there.get((one.kind, one.text)) or StageRequirement(stage=stage, kind=one.kind, text=one.text)
        kept.add(row.pk)
        values = {"position": position, "required": one.required, "active": True}
        if row._state.adding or any(getattr(row, name) != value for name, value in values.items()):
            for name, value in values.items():
                setattr(row, name, value)
            saving.clean(row)
            row.save()
            changed = True
    gone = stage.requirements.exclude(pk__in=kept).filter(active=True)
    return bool(gone.update(active=False)) or changed


# --- what is installed -------------------------------------------------------------------------
@transaction.atomic
def install_defaults(*, at: datetime) -> None:
    """The pipeline of a buyer's steps and the usual reasons of a loss, where they are missing. Safe to repeat."""
    db.advisory_lock("crm.install")
    if not Pipeline.objects.filter(is_default=True).exists():
        create(at=at, code="sales", name="Sales", stages=INSTALLED_STAGES, is_default=True)
    if not LossReason.objects.exists():
        for position, (code, label, category) in enumerate(INSTALLED_REASONS):
            loss_reasons.create(at=at, code=code, label=label, category=category, position=position)
