"""Two workers at once, on connections of their own."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any

import pytest
from django.db import connection, transaction

from crm import accounts, alerts, hierarchy, leads, merges, opportunities, stragglers
from crm.models import (
    Account,
    AccountCustomer,
    Alert,
    Lead,
    LeadTransition,
    LossReason,
    Opportunity,
    OwnerDecision,
    StageRequirement,
)
from gtm.shared.errors import Conflict
from tests import world
from tests.crm import makers

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Run each act in a thread with its own connection, all starting together; results or DomainErrors in order."""
    barrier = Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        try:
            barrier.wait()
            return act()
        except Conflict as refused:
            return refused
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def test_leads_routed_at_once_take_turns() -> None:
    reps = [world.ann(), world.bob(), world.otto()]
    makers.sales(*reps)
    at_once(*[lambda n=n: makers.lead(email=f"x@company{n}.com") for n in range(6)])  # type: ignore[misc]
    at_once(*[lambda n=n: makers.lead(email=f"x@company{n}.com") for n in range(6, 12)])  # type: ignore[misc]
    assert Counter(Lead.objects.values_list("owner", flat=True)) == {rep.pk: 4 for rep in reps}
    turns = OwnerDecision.objects.order_by("recorded_at").values_list("owner", flat=True)
    assert all(turns[i] != turns[i + 1] for i in range(11))


def test_two_leads_of_one_company_at_once_have_one_account_and_one_owner() -> None:
    makers.sales(world.ann(), world.bob())
    at_once(*[lambda n=n: makers.lead(email=f"p{n}@acme.com") for n in range(4)])  # type: ignore[misc]
    account = Account.objects.get()
    assert set(Lead.objects.values_list("account", "owner")) == {(account.pk, account.owner_id)}
    assert OwnerDecision.objects.count() == 1


def test_a_lead_accepted_twice_at_once_is_one_deal() -> None:
    """A double click, and a colleague who gives the account away meanwhile."""
    ann, bob = world.ann(), world.bob()
    makers.sales(ann)
    lead = makers.lead()
    assert lead.account is not None
    deal = {"next_step": "Call", "next_step_at": makers.NOON}

    def accept() -> Lead:
        return leads.accept(lead=lead, at=makers.NOON, qualification=makers.QUALIFIED, opportunity=deal)

    accepted = at_once(accept, accept, accept, lambda: accounts.give(account=lead.account, owner=bob, at=makers.NOON))
    assert {one.lifecycle for one in accepted[:3]} == {"sal"}
    assert Opportunity.objects.get().lead == lead
    assert LeadTransition.objects.filter(to_lifecycle="sal").count() == 1


def test_two_customers_of_one_domain_at_once_share_an_account() -> None:
    makers.sales(world.ann())
    bought = [makers.customer(email=f"p{n}@acme.com") for n in range(4)]
    at_once(*[lambda c=c: accounts.for_customer(customer=c, at=makers.NOON) for c in [*bought, *bought]])  # type: ignore[misc]
    assert set(AccountCustomer.objects.values_list("account", flat=True)) == {Account.objects.get().pk}
    assert AccountCustomer.objects.count() == 4


def test_a_lead_a_purchase_and_a_change_of_one_account_do_not_deadlock() -> None:
    makers.sales(world.ann(), world.bob())
    account = makers.account(employee_count=5)
    customer = makers.customer(email="c@acme.com")
    at_once(
        lambda: makers.lead(email="d@acme.com"),
        lambda: accounts.review(customer=customer, at=makers.NOON),
        lambda: accounts.change(account=account, at=makers.NOON, industry="bank"),
        lambda: accounts.redecide(account=account, at=makers.NOON),
        lambda: accounts.claim_domain(account=account, domain="acme.de", at=makers.NOON),
    )
    account.refresh_from_db()
    assert account.industry == "bank"
    assert OwnerDecision.objects.filter(account=account, valid_to=None).count() == 1


def test_of_two_reps_who_take_an_alert_one_wins() -> None:
    makers.sales(world.ann())
    alert = makers.alert(account=makers.account())
    take = [lambda: alerts.transition(alert=alert, to="acknowledged", at=makers.NOON)] * 2
    outcomes = at_once(*take)
    assert {type(outcome) for outcome in outcomes} == {Alert, Conflict}


def test_a_card_that_two_drag_at_once_moves_once_and_the_other_is_told() -> None:
    makers.sales(world.ann())
    deal = makers.opportunity()
    stages = {stage.code: stage for stage in deal.pipeline.stages.all()}
    asked = StageRequirement.objects.filter(stage=deal.stage)
    given = {one.public_id: "Mail" for one in asked}
    why = LossReason.objects.get(code="no_fit")

    def drag(code: str, **said: Any) -> Opportunity:
        return opportunities.move(opportunity=deal, stage=stages[code], at=makers.NOON, version=1, **said)

    moved = at_once(lambda: drag("business_case", confirmations=given), lambda: drag("lost", lost_reason=why))
    (told,) = [one for one in moved if isinstance(one, Conflict)]
    (done,) = [one for one in moved if isinstance(one, Opportunity)]
    assert told.code == "stale_version"
    deal.refresh_from_db()
    assert (deal.version, deal.stage, deal.events.filter(what="stage").count()) == (2, done.stage, 1)


def test_two_merges_and_a_lead_at_once_lose_nothing() -> None:
    """Each into the other: one is refused, the lead stands at the account that stays, and nobody waits for ever."""
    makers.sales(world.ann())
    one, other = makers.account(domain="one.com"), makers.account(domain="other.com")
    first, second, lead = at_once(
        lambda: merges.merge(survivor=one, merged=other, at=makers.NOON),
        lambda: merges.merge(survivor=other, merged=one, at=makers.NOON),
        lambda: makers.lead(email="new@other.com"),
    )
    assert [isinstance(done, Conflict) for done in (first, second)].count(True) == 1
    stragglers.gather()
    standing = Account.objects.get()
    assert set(Lead.objects.values_list("account", flat=True)) == {standing.pk}
    assert Lead.objects.filter(pk=lead.pk).exists()


def test_a_lead_that_goes_to_a_third_account_during_a_merge_stays_there() -> None:
    makers.sales(world.ann())
    one, other, third = (makers.account(domain=f"{name}.com") for name in ("one", "other", "third"))
    lead, merged = Lead.objects.get(account=other), Event()

    def leave() -> None:
        with transaction.atomic():
            Lead.objects.filter(pk=lead.pk).update(account=third)
            merged.wait(0.5)  # until the merge has read the lead, and waits for it

    def merge() -> None:
        merges.merge(survivor=one, merged=other, at=makers.NOON)
        merged.set()

    at_once(leave, merge)
    lead.refresh_from_db()
    assert lead.account == third


def test_two_who_put_each_other_above_make_no_circle() -> None:
    makers.sales(world.ann())
    one, other = makers.account(domain="one.com"), makers.account(domain="other.com")
    done = at_once(
        lambda: hierarchy.place(account=one, parent=other, at=makers.NOON),
        lambda: hierarchy.place(account=other, parent=one, at=makers.NOON),
    )
    assert [isinstance(result, Conflict) for result in done].count(True) == 1
