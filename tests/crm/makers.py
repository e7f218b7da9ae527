"""Makers of the CRM's nouns, with keyword-only defaults. Each makes what it needs by the real operations."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from billing import customers
from billing.models import Customer
from crm import alerts, leads, opportunities, pipelines, policies
from crm.models import Account, Alert, Lead, Opportunity, Pool, PoolMember, Queue, Team, TeamMembership
from crm.pipeline_terms import INSTALLED_STAGES, StageTerms
from gtm.shared.models import User
from tests import world

NOON = datetime.fromisoformat("2026-11-18T12:00:00+00:00")  # a Wednesday

QUALIFIED: dict[str, Any] = {
    "months_to_project": 6,
    "good_fit": True,
    "compelling_event": "The old contract ends in spring",
    "pain": "Invoices are typed by hand",
    "connects_with_power": True,
}


def sales(*reps: User, manager: User | None = None, weights: dict[User, int] | None = None) -> Pool:
    """The installed policies, with these reps in the team and in the pool "Sales", in this order."""
    policies.install_defaults(at=world.JAN_1)
    pool, team = Pool.objects.get(code="sales"), Team.objects.get(code="sales")
    for position, rep in enumerate(reps):
        weight = (weights or {}).get(rep, 1)
        PoolMember.objects.create(pool=pool, user=rep, position=position, weight=weight)
        TeamMembership.objects.create(team=team, user=rep)
    if manager:
        TeamMembership.objects.create(team=team, user=manager, is_manager=True)
    return pool


def inbound() -> Queue:
    return Queue.objects.get(code="inbound")


def lead(*, email: str = "cora@acme.com", at: datetime = NOON, **said: Any) -> Lead:
    """A request from a company of 250, unless told otherwise."""
    defaults = {"kind": "contact_sales", "name": "Cora", "company": "Acme", "employee_count": 250}
    return leads.submit(at=at, email=email, **defaults | said)


def account(*, domain: str = "acme.com", at: datetime = NOON, **said: Any) -> Account:
    """The account of a lead from that domain."""
    found = lead(email=f"cora@{domain}", company=domain, at=at, **said).account
    assert found is not None
    return found


def customer(*, name: str = "Acme", email: str = "cora@acme.com", at: datetime = NOON, **fields: Any) -> Customer:
    return customers.create(at=at, name=name, email=email, **fields)


def alert(*, account: Account, at: datetime = NOON, **fields: Any) -> Alert:
    defaults: dict[str, Any] = {
        "customer": None,
        "rule_code": "usage_80",
        "rule_name": "Usage above 80 % of the limit",
        "rule_version": 1,
        "signal_id": uuid4(),
        "severity": "high",
        "evidence": "used 842 of 1,000 API calls (84.2 %), 9 days left in the period",
        "value_at_stake": 120_000,
        "currency": "USD",
        "play": "Offer the next plan before the limit is reached.",
    }
    return alerts.raise_alert(account=account, at=at, **defaults | fields)


def opportunity(*, at: datetime = NOON, **said: Any) -> Opportunity:
    """A deal of 1,000.00 with a next step, of an account and an owner of its own unless they are given."""
    pipelines.install_defaults(at=at)
    found = said.pop("account", None) or account()
    defaults: dict[str, Any] = {
        "name": "Acme, 20 seats",
        "amount": 100_000,
        "owner": said.pop("owner", None) or found.owner or User.objects.filter(roles=["ae"]).first() or world.ann(),
        "next_step": "Call Cora",
        "next_step_at": at + timedelta(days=3),
    }
    return opportunities.create(account=found, at=at, **defaults | said)


def installed_stages() -> list[StageTerms]:
    return list(INSTALLED_STAGES)


def draft_stages() -> list[StageTerms]:
    return [StageTerms("signing", "Signing up", "conversation"), StageTerms("done", "Done", "closed", type="won")]
