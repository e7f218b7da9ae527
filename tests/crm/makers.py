"""Makers of the CRM's nouns, with keyword-only defaults. Each makes what it needs by the real operations."""

from datetime import datetime
from typing import Any
from uuid import uuid4

from billing import customers
from billing.models import Customer
from crm import alerts, leads, policies
from crm.models import Account, Alert, Lead, Pool, PoolMember, Queue, Team, TeamMembership
from gtm.shared.models import User
from tests import world

NOON = datetime.fromisoformat("2026-11-18T12:00:00+00:00")  # a Wednesday


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
