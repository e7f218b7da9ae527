"""The demonstration's deals: made and moved by the real operations through the last months, one in every stage."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from crm import contacts, opportunities, pipelines, risks, stakeholders
from crm.models import Account, LossReason, Opportunity, Stage, StageRequirement
from gtm.shared.models import Role, User


@dataclass(frozen=True, slots=True)
class Deal:
    """A deal of the account of that name, made so many days ago, which went through ``course`` to where it is now.

    ``closes_in``: days from now. ``amount`` in minor units.
    """

    account: str
    name: str
    amount: int
    days_ago: int
    closes_in: int
    course: tuple[str, ...] = ()
    kind: str = "expansion"
    basis: str = "budget_line"
    step: str = "Call the champion"
    step_in: int = 3
    competitor: str = ""
    lost: str = ""
    pushed_from: int | None = None
    champion: str = ""
    blocker: tuple[str, str] | None = None


DEALS = (
    Deal("Northgate Credit Union", "Northgate, branches in the south", 4_800_000, 21, 100, step="Meet the COO"),
    Deal("Porto Vaults", "Porto Vaults, 40 sites", 9_600_000, 0, 190, kind="new", step="First meeting with Ines"),
    Deal("Orchard Mutual", "Orchard Mutual, insurance arm", 3_200_000, 8, 120, kind="new", step="Send the numbers"),
    Deal(
        "Quarry Analytics", "Quarry, yearly plan", 1_190_000, 30, 45, ("evaluation",), step="Trial review", step_in=-2
    ),
    Deal(
        "Riverstone Health",
        "Riverstone, Business for clinics",
        5_400_000,
        60,
        40,
        ("business_case", "evaluation"),
        step="Agree on success criteria",
        blocker=("soc2", "Their auditors ask for a SOC 2 report"),
        champion="Nadia Rehman",
    ),
    Deal(
        "Vantage Wholesale",
        "Vantage, 25 more seats",
        2_450_000,
        48,
        25,
        ("business_case", "evaluation", "shortlist"),
        competitor="Checkmate",
        step="Reference call",
        champion="Otis Brandt",
    ),
    Deal(
        "Pinecrest Hotels",
        "Pinecrest, all houses",
        3_900_000,
        26,
        33,
        ("evaluation", "price"),
        step="Quote for three years",
        competitor="Checkmate",
    ),
    Deal(
        "Castellan Energy",
        "Castellan, second region",
        12_000_000,
        50,
        6,
        ("business_case", "evaluation", "shortlist", "deployment"),
        basis="go_live",
        step="Fix the go-live date",
        pushed_from=-20,
        champion="Ingrid Solheim",
    ),
    Deal(
        "Solace Airlines",
        "Solace, summer peak",
        18_500_000,
        55,
        20,
        ("business_case", "evaluation", "shortlist", "price", "deployment", "redlining"),
        basis="renewal",
        step="Both lawyers on one call",
        champion="Wei Ling Tan",
    ),
    Deal(
        "Meridian Bank",
        "Meridian, all branches",
        14_400_000,
        90,
        0,
        ("business_case", "evaluation", "shortlist", "price", "deployment", "redlining", "won"),
        basis="compelling_event",
    ),
    Deal("Kite Logistics", "Kite, API calls", 890_000, 40, 0, ("evaluation", "lost"), lost="stays_as_it_is"),
    Deal(
        "Atlas Courier",
        "Atlas, second depot",
        1_600_000,
        45,
        0,
        ("business_case", "evaluation", "lost"),
        competitor="Checkmate",
        lost="competitor_won",
    ),
)


def make(*, now: datetime) -> None:
    """All of them, as their days went by."""
    pipelines.install_defaults(at=now)
    sellers = list(User.objects.filter(roles__contains=[Role.AE]).order_by("email"))
    for number, deal in enumerate(DEALS):
        account = Account.objects.filter(name=deal.account).first()
        if account is not None:
            _live(deal, account, account.owner or sellers[number % len(sellers)], now)


def _live(deal: Deal, account: Account, owner: User, now: datetime) -> None:
    made_at = now - timedelta(days=deal.days_ago, hours=2)
    aimed = deal.closes_in if deal.pushed_from is None else deal.pushed_from
    made = opportunities.create(
        account=account,
        at=made_at,
        name=deal.name,
        kind=deal.kind,
        owner=owner,
        amount=deal.amount,
        close_date=(now + timedelta(days=aimed)).date(),
        next_step=deal.step,
        next_step_at=now + timedelta(days=deal.step_in),
        source="website" if deal.kind == "new" else "usage",
    )
    _surround(made, deal, made_at)
    for at, stage in _moves(made, deal, made_at, now):
        said = _said(deal, stage)
        made = opportunities.move(opportunity=made, stage=stage, at=at, confirmations=_criteria(made, stage), **said)
    if deal.pushed_from is not None:
        later = (now + timedelta(days=deal.closes_in)).date()
        opportunities.change(opportunity=made, at=now - timedelta(days=3), close_date=later)


def _moves(made: Opportunity, deal: Deal, made_at: datetime, now: datetime) -> Iterator[tuple[datetime, Stage]]:
    stages = {stage.code: stage for stage in made.pipeline.stages.all()}
    for number, code in enumerate(deal.course, start=1):
        yield made_at + (now - made_at) * number / (len(deal.course) + 1), stages[code]


def _said(deal: Deal, stage: Stage) -> dict[str, Any]:
    said: dict[str, Any] = {"close_date_basis": deal.basis, "competitor": deal.competitor}
    if deal.basis == "compelling_event":
        said["compelling_event"] = "The regulator's deadline at the end of the year"
    if stage.type == Stage.Type.LOST:
        said["lost_reason"] = LossReason.objects.get(code=deal.lost)
    return said


def _criteria(made: Opportunity, target: Stage) -> dict[str, str]:
    """All that is to be confirmed on the way."""
    passed = StageRequirement.objects.filter(
        stage__pipeline=made.pipeline_id, stage__position__lt=target.position, required=True, active=True
    )
    given = set(made.confirmations.values_list("requirement", flat=True))
    return (
        {}
        if target.type == Stage.Type.LOST
        else {one.public_id: "Said in the last call" for one in passed if one.pk not in given}
    )


def _surround(made: Opportunity, deal: Deal, at: datetime) -> None:
    """Who speaks for it, and what stands against it."""
    if deal.champion:
        contact = made.account.contacts.filter(name=deal.champion).first()
        contact = contact or contacts.create(account=made.account, at=at, name=deal.champion)
        stakeholders.put(opportunity=made, contact=contact, role="champion", stance="for", at=at)
    if deal.blocker:
        requirement, text = deal.blocker
        risks.raise_risk(opportunity=made, at=at, kind="blocker", requirement=requirement, text=text)
