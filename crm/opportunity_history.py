"""What is told of a change of an opportunity: entries of its own history, and facts."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from crm import deals
from crm.models import LossReason, Opportunity, OpportunityEvent, Stage
from gtm.shared import bulk, context, outbox, vendors
from gtm.shared.models import User

WHAT = OpportunityEvent.What
TOLD = {  # fields with an entry of their own in the history; the rest are details
    "stage": WHAT.STAGE,
    "category": WHAT.CATEGORY,
    "amount": WHAT.AMOUNT,
    "currency": WHAT.AMOUNT,
    "close_date": WHAT.CLOSE_DATE,
    "owner": WHAT.OWNER,
    "next_step": WHAT.NEXT_STEP,
    "next_step_at": WHAT.NEXT_STEP,
}


def entries(
    opportunity: Opportunity, before: Mapping[str, Any], changed: set[str], reason: str
) -> list[dict[str, Any]]:
    """One entry for each kind of thing that changed, with what it means."""
    found: dict[str, dict[str, Any]] = {}
    for name in sorted(changed & TOLD.keys()):
        entry: dict[str, Any] = {
            "what": TOLD[name],
            "before": _text(before[name]),
            "after": _text(getattr(opportunity, name)),
        }
        if TOLD[name] == WHAT.AMOUNT:
            entry |= _amounts(opportunity, before)
        found.setdefault(TOLD[name], entry | {"reason": reason.strip()[:500]})
    details = changed - TOLD.keys() - {"state", "stage_entered_at", "closed_on", "category_overridden", "name_key"}
    if details:
        found[WHAT.DETAILS] = {"what": WHAT.DETAILS, "after": ", ".join(sorted(details))[:300]}
    if WHAT.CLOSE_DATE in found:
        start = vendors.current().fiscal_year_start
        meant = deals.shift(before["close_date"], opportunity.close_date, fiscal_year_start=start)
        found[WHAT.CLOSE_DATE] |= {"is_push": meant.is_push, "is_slip": meant.is_slip}
    if told := found.get(WHAT.STAGE) or found.get(WHAT.CATEGORY):  # one step back is counted once
        told["is_backward"] = _is_backward(opportunity, before)
    return list(found.values())


def _amounts(opportunity: Opportunity, before: Mapping[str, Any]) -> dict[str, str]:
    """Each amount with the currency that it was of, as ``100000 USD``; empty for none."""
    amount, currency = before.get("amount", opportunity.amount), before.get("currency", opportunity.currency)
    ends = {"before": (amount, currency), "after": (opportunity.amount, opportunity.currency)}
    return {end: "" if value is None else f"{value} {code}" for end, (value, code) in ends.items()}


def _is_backward(opportunity: Opportunity, before: Mapping[str, Any]) -> bool:
    return deals.is_backward(before["stage"], opportunity.stage, before["category"], opportunity.category)


def _text(value: Any) -> str:
    if isinstance(value, Stage | LossReason):
        return value.code
    if isinstance(value, User):
        return value.public_id
    if isinstance(value, datetime | date):
        return value.isoformat()
    return "" if value is None else str(value)[:300]


def log(opportunity: Opportunity, at: datetime, entries: list[dict[str, Any]]) -> None:
    whose = {"opportunity_id": opportunity.pk, "actor": context.actor(), "at": at}
    bulk.insert(OpportunityEvent, [bulk.new(OpportunityEvent, **whose, **entry) for entry in entries])


def tell(
    opportunity: Opportunity,
    at: datetime,
    before: Mapping[str, Any],
    changed: set[str],
    entries: list[dict[str, Any]],
) -> None:
    flags = {name: True for name in ("is_backward", "is_push", "is_slip") if any(e.get(name) for e in entries)}
    previous = {name: _text(before[name]) for name in sorted(changed & {"category", "close_date", "owner", "stage"})}
    if "amount" in changed:
        previous["amount"] = before["amount"]
    data = figures(opportunity) | flags
    if "stage" not in changed:
        publish("changed", opportunity, at, data=data | {"changed": sorted(changed)}, previous=previous)
        return
    publish("moved", opportunity, at, data=data, previous=previous)
    if opportunity.state != before["state"]:
        ended = {"lost_reason": _text(opportunity.lost_reason), "lost_category": opportunity.lost_category}
        name = "reopened" if opportunity.state == Stage.Type.OPEN else str(opportunity.state)
        publish(name, opportunity, at, data=data | (ended if name == "lost" else {}), previous=previous)


def figures(opportunity: Opportunity) -> dict[str, Any]:
    """Ids, codes, dates and amounts: what a fact may hold."""
    return {
        "kind": opportunity.kind,
        "stage": opportunity.stage.code,
        "category": opportunity.category,
        "amount": opportunity.amount,
        "currency": opportunity.currency,
        "close_date": opportunity.close_date.isoformat(),
        "owner": opportunity.owner.public_id,
    }


def publish(
    what: str,
    opportunity: Opportunity,
    at: datetime,
    *,
    data: dict[str, Any],
    previous: dict[str, Any] | None = None,
) -> None:
    fact = f"crm.opportunity.{what}"
    outbox.publish(fact, opportunity, at=at, account_id=opportunity.account_id, data=data, previous=previous)
