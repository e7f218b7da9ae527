"""Opportunities on the real database: made, moved, refused, told."""

import importlib
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from crm import confirmations, leads, opportunities, pipelines, risks, stakeholders
from crm.models import Contact, LossReason, Opportunity, OpportunityEvent, Stage, StageRequirement
from crm.queries import pipeline as board
from crm.queries.opportunity import around
from gtm.shared.errors import Conflict, Incomplete, Invalid
from gtm.shared.models import Event, Role
from tests import world
from tests.crm import makers
from tests.crm.makers import NOON

pytestmark = pytest.mark.django_db


def stage(code: str) -> Stage:
    return Stage.objects.get(pipeline__code="sales", code=code)


def moved(deal: Opportunity, code: str, **said: Any) -> Opportunity:
    return opportunities.move(opportunity=deal, stage=stage(code), at=NOON, **said)


def asked_by(refused: pytest.ExceptionInfo[Incomplete]) -> set[str]:
    return {str(part.attr).partition(".")[0] for part in refused.value.parts}


def all_criteria(deal: Opportunity) -> dict[str, str]:
    rows = StageRequirement.objects.filter(stage__pipeline=deal.pipeline)
    return {row.public_id: "in the minutes of 3 March" for row in rows}


class TestCreating:
    def test_it_takes_what_the_account_and_the_pipeline_say(self) -> None:
        ann = world.ann()
        deal = makers.opportunity(owner=ann, close_date=None)
        assert (deal.stage.code, deal.category, deal.currency, deal.state) == (
            "understanding",
            "pipeline",
            "USD",
            "open",
        )
        assert deal.close_date == NOON.date() + timedelta(days=14 + 21 + 21 + 14 + 14 + 14 + 10)
        assert deal.reached_sal_at == NOON
        fact = Event.objects.get(type="crm.opportunity.created")
        assert fact.account_id == deal.account_id
        assert "name" not in fact.data

    def test_it_asks_for_the_next_step_and_for_all_else_at_once(self) -> None:
        with pytest.raises(Incomplete) as refused:
            makers.opportunity(stage=None, next_step="", next_step_at=None)
        assert asked_by(refused) == {"next_step", "next_step_at"}
        with pytest.raises(Incomplete) as refused:
            makers.opportunity(stage=stage("evaluation"), amount=None)
        assert asked_by(refused) == {"amount", "close_date_basis", "confirmations"}
        assert not Opportunity.objects.exists()

    def test_success_managers_own_expansions_and_renewals_only(self) -> None:
        clara = world.user(email="clara@vendor.example", roles=(Role.CSM,))
        assert makers.opportunity(owner=clara, kind="expansion").owner == clara
        with pytest.raises(Invalid) as refused:
            makers.opportunity(owner=clara, kind="new")
        assert refused.value.attr == "owner"
        gone = world.user(email="gone@vendor.example", roles=(Role.AE,), is_active=False)
        with pytest.raises(Invalid):
            makers.opportunity(owner=gone)

    @pytest.mark.parametrize(
        ("said", "attr"),
        [
            ({"name": "  "}, "name"),
            ({"amount": -1}, "amount"),
            ({"currency": "XYZ"}, "currency"),
            ({"kind": "odd"}, "kind"),
            ({"category": "closed"}, "category"),
            ({"category": "omitted"}, "category"),
            ({"oddity": 1}, "oddity"),
        ],
    )
    def test_bad_input_names_its_field(self, said: dict[str, Any], attr: str) -> None:
        with pytest.raises(Invalid) as refused:
            makers.opportunity(**said)
        assert refused.value.attr == attr

    def test_a_lead_becomes_one_deal_once_it_was_accepted(self) -> None:
        lead = makers.lead()
        with pytest.raises(Conflict) as refused:
            makers.opportunity(account=lead.account, lead=lead)
        assert (refused.value.code, refused.value.attr) == ("not_accepted", "lead")
        leads.accept(lead=lead, at=NOON, qualification=makers.QUALIFIED)
        assert makers.opportunity(account=lead.account, lead=lead).lead == lead
        with pytest.raises(Conflict):
            makers.opportunity(account=lead.account, lead=lead)


class TestMoving:
    def test_all_that_is_missing_is_told_at_once_and_one_write_moves_it(self) -> None:
        deal = makers.opportunity(amount=None)
        with pytest.raises(Incomplete) as refused:
            moved(deal, "price")
        assert asked_by(refused) == {"amount", "close_date_basis", "confirmations"}
        deal.refresh_from_db()
        assert (deal.stage.code, deal.version, deal.events.count()) == ("understanding", 1, 1)
        deal = moved(
            deal, "price", amount=500_000, close_date_basis="go_live", confirmations=all_criteria(deal), version=1
        )
        assert (deal.stage.code, deal.category, deal.version) == ("price", "commit", 2)
        assert Event.objects.filter(type="crm.opportunity.moved").count() == 1

    def test_a_loss_needs_its_reason_and_keeps_the_category_of_that_day(self) -> None:
        deal = makers.opportunity()
        with pytest.raises(Incomplete) as refused:
            moved(deal, "lost")
        assert asked_by(refused) == {"lost_reason"}
        why = LossReason.objects.get(code="competitor_won")
        with pytest.raises(Incomplete) as refused:
            moved(deal, "lost", lost_reason=why)
        assert asked_by(refused) == {"competitor"}
        deal = moved(deal, "lost", lost_reason=why, competitor="Rival")
        assert (deal.state, deal.lost_category, deal.category) == ("lost", "competition", "omitted")
        assert deal.closed_on == NOON.date()
        assert set(Event.objects.filter(object_id=deal.pk).values_list("type", flat=True)) >= {"crm.opportunity.lost"}

    def test_the_day_of_a_loss_is_the_one_that_the_pipeline_says(self) -> None:
        deal = makers.opportunity(close_date=date(2027, 3, 31))
        pipelines.change(pipeline=deal.pipeline, at=NOON, lost_date_policy="target")
        deal = moved(deal, "lost", lost_reason=LossReason.objects.get(code="no_budget"))
        assert deal.closed_on == date(2027, 3, 31)

    def test_a_closed_deal_is_taken_up_again_with_a_reason(self) -> None:
        deal = moved(makers.opportunity(), "lost", lost_reason=LossReason.objects.get(code="no_fit"))
        with pytest.raises(Incomplete):
            opportunities.reopen(opportunity=deal, at=NOON, reason=" ")
        deal = opportunities.reopen(opportunity=deal, at=NOON, reason="They came back")
        assert (deal.state, deal.stage.code, deal.lost_reason, deal.closed_on) == ("open", "understanding", None, None)
        with pytest.raises(Conflict):
            opportunities.reopen(opportunity=deal, at=NOON, reason="Again")

    def test_who_saw_another_version_is_told(self) -> None:
        deal = makers.opportunity()
        opportunities.change(opportunity=deal, at=NOON, next_step="Write to them")
        with pytest.raises(Conflict) as refused:
            moved(deal, "lost", lost_reason=LossReason.objects.get(code="no_fit"), version=1)
        assert refused.value.code == "stale_version"

    def test_another_pipelines_stage_and_criteria_are_refused(self) -> None:
        deal = makers.opportunity()
        other = pipelines.create(at=NOON, code="partners", name="Partners", stages=makers.draft_stages())
        with pytest.raises(Invalid) as refused:
            opportunities.move(opportunity=deal, stage=other.stages.get(code="signing"), at=NOON)
        assert refused.value.attr == "stage"
        with pytest.raises(Invalid) as refused:
            moved(deal, "business_case", confirmations=all_criteria(deal) | {"req_unknown": ""})
        assert refused.value.attr == "confirmations"


class TestHistory:
    def test_pushes_slips_and_steps_back_are_logged(self) -> None:  # A15, A16, A17
        deal = makers.opportunity(close_date=date(2026, 11, 30), amount=100, close_date_basis="budget_line")
        deal = opportunities.change(opportunity=deal, at=NOON, close_date=date(2026, 12, 31))
        deal = opportunities.change(opportunity=deal, at=NOON, close_date=date(2027, 1, 15))
        deal = opportunities.change(opportunity=deal, at=NOON, close_date=date(2026, 12, 31))
        told = deal.events.filter(what="close_date").order_by("at", "pk").values_list("is_push", "is_slip")
        assert list(told) == [(True, False), (True, True), (False, False)]
        assert (deal.push_count, deal.state) == (2, "open")
        deal = moved(deal, "price", confirmations=all_criteria(deal))
        with pytest.raises(Incomplete) as refused:
            opportunities.change(opportunity=deal, at=NOON, category="best_case")
        assert asked_by(refused) == {"reason"}
        deal = opportunities.change(opportunity=deal, at=NOON, category="best_case", reason="Their CFO left")
        back = deal.events.get(is_backward=True)
        assert (back.what, back.before, back.after, back.reason) == (
            "category",
            "commit",
            "best_case",
            "Their CFO left",
        )
        assert (back.actor, deal.category_overridden) == ("system", True)

    def test_a_judgement_by_hand_goes_along_forward_and_is_no_step_back(self) -> None:
        deal = makers.opportunity(amount=100, close_date_basis="budget_line")
        deal = opportunities.change(opportunity=deal, at=NOON, category="commit")
        path = pipelines.path(deal.pipeline)
        following = next(s for s in path if s.position > deal.stage.position and s.category != "commit")
        assert "reason" not in {gap.attr for gap in board.gaps(deal, following, path)}
        deal = moved(deal, following.code, confirmations=all_criteria(deal))
        assert (deal.stage, deal.category, deal.category_overridden) == (following, "commit", True)
        assert not deal.events.filter(is_backward=True).exists()

    def test_an_amount_is_told_in_the_currency_that_it_was_of(self) -> None:
        deal = makers.opportunity(amount=100_000, currency="USD")
        deal = opportunities.change(opportunity=deal, at=NOON, amount=200_000, currency="EUR")
        event = deal.events.get(what="amount")
        assert (event.before, event.after) == ("100000 USD", "200000 EUR")
        assert "$1,000.00 → €2,000.00" in {entry.text.partition(": ")[2] for entry in around(deal, at=NOON).history}

    def test_it_is_only_ever_added_to(self) -> None:
        event = makers.opportunity().events.get()
        with pytest.raises(IntegrityError), transaction.atomic():
            OpportunityEvent.objects.filter(pk=event.pk).update(reason="otherwise")

    def test_nothing_is_written_where_nothing_differs(self) -> None:
        deal = makers.opportunity()
        same = opportunities.change(opportunity=deal, at=NOON, name=f" {deal.name} ", amount=deal.amount)
        assert (same.version, deal.events.count()) == (1, 1)

    def test_a_competitor_keeps_the_spelling_that_is_known(self) -> None:
        makers.opportunity(competitor="Rival Inc")
        deal = makers.opportunity(competitor=" rival INC ")
        assert deal.competitor == "Rival Inc"


def test_what_stands_for_and_against_a_deal_is_kept_and_told() -> None:
    deal = makers.opportunity()
    asked = StageRequirement.objects.filter(stage=deal.stage, required=True).first()
    assert asked
    confirmations.confirm(opportunity=deal, requirement=asked, evidence="Mail of 3 March", at=NOON)
    confirmations.withdraw(opportunity=deal, requirement=asked, at=NOON)
    contact = Contact.objects.filter(account=deal.account)[0]
    stakeholders.put(opportunity=deal, contact=contact, role="champion", stance="for", at=NOON)
    stakeholders.put(opportunity=deal, contact=contact, role="economic_buyer", stance="for", at=NOON)
    stranger = Contact.objects.create(account=makers.account(domain="other.com"), name="Zoe")
    with pytest.raises(Invalid):
        stakeholders.put(opportunity=deal, contact=stranger, role="champion", at=NOON)
    with pytest.raises(Invalid):
        risks.raise_risk(opportunity=deal, at=NOON, text="No SOC 2", kind="blocker")
    risk = risks.raise_risk(opportunity=deal, at=NOON, text="No SOC 2", kind="blocker", requirement="SOC2 ")
    risks.resolve(risk=risk, at=NOON)
    stakeholders.remove(stakeholder=deal.stakeholders.get(), at=NOON)
    told = Event.objects.filter(type__startswith="crm.opportunity.", object_id=deal.pk).order_by("position")
    assert [event.type.rpartition(".")[2] for event in told] == [
        *("created", "confirmed", "confirmation_withdrawn", "stakeholder_set", "stakeholder_set"),
        *("risk_raised", "risk_resolved", "stakeholder_removed"),
    ]
    assert risk.requirement == "soc2"


def test_the_database_has_the_last_word() -> None:
    deal = makers.opportunity()
    for wrong in (
        {"next_step": ""},
        {"state": "lost"},
        {"amount": -1},
        {"category": "closed"},
        {"category": "omitted"},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            Opportunity.objects.filter(pk=deal.pk).update(**wrong)
    assert connection.needs_rollback is False


def test_what_was_lost_before_is_omitted_after_the_upgrade() -> None:
    upgrade = importlib.import_module("crm.migrations.0014_lost_is_omitted")
    lost = moved(makers.opportunity(), "lost", lost_reason=LossReason.objects.get(code="no_fit"))
    kept = makers.opportunity()
    connection.check_constraints()  # what waits for the end of the transaction keeps a table as it is
    with connection.cursor() as cursor:
        for table, check in upgrade.CHECKS:
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {check}")
        Stage.objects.filter(type="lost").update(category="closed")
        Opportunity.objects.filter(pk=lost.pk).update(category="closed")
        Opportunity.objects.filter(pk=kept.pk).update(category="omitted", category_overridden=True)
        cursor.execute(upgrade.FORWARD)
        for table, check in upgrade.CHECKS:
            cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT {check} CHECK (category <> '')")
    assert dict(Stage.objects.filter(phase="closed").values_list("code", "category")) == {
        "won": "closed",
        "lost": "omitted",
    }
    found = dict(Opportunity.objects.values_list("pk", "category"))
    assert found == {lost.pk: "omitted", kept.pk: "pipeline"}


class TestPipelines:
    def test_a_draft_may_be_unfinished_and_the_default_may_not(self) -> None:
        pipelines.install_defaults(at=NOON)
        draft = pipelines.create(at=NOON, code="draft", name="Draft", stages=makers.draft_stages())
        assert {f.code for f in pipelines.findings(draft)} >= {"too_few_stages", "no_redlining"}
        with pytest.raises(Incomplete):
            pipelines.change(pipeline=draft, at=NOON, is_default=True)
        draft.refresh_from_db()
        assert not draft.is_default
        pipelines.remove(pipeline=draft, at=NOON)
        twin = pipelines.create(at=NOON, code="mid", name="Mid", stages=makers.installed_stages())
        assert [f.code for f in pipelines.findings(twin)] == ["near_duplicate"]
        pipelines.change(pipeline=twin, at=NOON, is_default=True)
        assert pipelines.default(at=NOON) == twin

    def test_a_stage_in_use_stays_and_may_be_renamed(self) -> None:
        deal = makers.opportunity()
        stages = makers.installed_stages()
        with pytest.raises(Conflict) as refused:
            pipelines.change(pipeline=deal.pipeline, at=NOON, stages=stages[1:])
        assert refused.value.code == "stage_in_use"
        pipelines.change_stage(stage=deal.stage, at=NOON, label="Sie verstehen das Angebot")
        deal.stage.refresh_from_db()
        assert deal.stage.code == "understanding"

    def test_deals_follow_their_stage_to_another_category(self) -> None:
        deal, other = makers.opportunity(), makers.opportunity(category="commit", close_date_basis="go_live")
        pipelines.change_stage(stage=deal.stage, at=NOON, category="best_case")
        deal.refresh_from_db()
        other.refresh_from_db()
        assert (deal.category, deal.version, other.category) == ("best_case", 2, "commit")
        assert deal.events.filter(what="category").count() == 1

    def test_stages_are_reordered_in_one_step(self) -> None:
        deal = makers.opportunity()
        stages = makers.installed_stages()
        stages[5], stages[6] = stages[6], stages[5]
        pipelines.change(pipeline=deal.pipeline, at=NOON, stages=stages)
        assert list(deal.pipeline.stages.order_by("position").values_list("code", flat=True))[5:7] == [
            "redlining",
            "deployment",
        ]
