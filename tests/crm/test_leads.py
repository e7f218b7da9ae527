"""From a request to an owner: matching, filling, routing with reasons, and the lifecycle."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, transaction

from crm import accounts, lead_terms, leads, opportunities, pools
from crm.models import (
    Account,
    Call,
    Contact,
    FieldChange,
    Lead,
    LeadTransition,
    LossReason,
    Opportunity,
    OwnerDecision,
    RejectReason,
    SlaClock,
    Stage,
)
from gtm.shared import context, outbox, vendors
from gtm.shared.errors import Conflict, Incomplete, Invalid
from gtm.shared.models import Event
from tests import world
from tests.crm import makers

pytestmark = pytest.mark.django_db
NOON = makers.NOON
LATER = NOON + timedelta(hours=1)


class TestSubmit:
    def test_a_company_of_250_gets_an_owner_with_reasons(self) -> None:
        ann = world.ann()
        makers.sales(ann)
        lead = makers.lead(employee_count=250)
        account = Account.objects.get()
        assert (lead.owner, lead.queue, account.owner) == (ann, None, ann)
        assert (account.segment, account.motion, account.engagement_policy) == (
            "mid_market",
            "sales_assisted",
            "on_trigger",
        )
        reasons = [(r["decision"], r["code"], r["field"], r["value"], r["threshold"]) for r in lead.routing["reasons"]]
        assert ("motion", "at_least", "employee_count", 250, 100) in reasons
        assert ("owner", "condition_met", "employee_count", 250, 100) in reasons
        assert ("owner", "round_robin", "pool", "sales", None) in reasons
        assert (lead.routing["policy"], lead.routing["ruleset"]) == (1, 1)

    @pytest.mark.parametrize(("employees", "owned"), [(20, False), (100, False), (101, True), (None, False)])
    def test_the_installed_rule_takes_companies_strictly_over_100(self, employees: int | None, owned: bool) -> None:
        """A20."""
        makers.sales(world.ann())
        lead = makers.lead(employee_count=employees)
        assert (lead.owner is not None) == owned
        assert (lead.queue == makers.inbound()) == (not owned)

    def test_a_small_company_with_a_stated_need_gets_an_owner_and_is_sales_led(self) -> None:
        ann = world.ann()
        makers.sales(ann)
        lead = makers.lead(employee_count=20, needs=["Security review", "DPA"])
        assert lead.needs == ["security_review", "custom_dpa"]
        assert (lead.owner, lead.routing["motion"], lead.routing["segment"]) == (ann, "sales_led", "smb")

    def test_one_registrable_domain_is_one_account(self) -> None:
        """A28: eu.acme.co.uk and acme.co.uk."""
        makers.sales(world.ann(), world.bob())
        first, second = makers.lead(email="a@eu.acme.co.uk"), makers.lead(email="b@acme.co.uk")
        assert first.account == second.account
        assert first.owner == second.owner
        assert [r["code"] for r in second.routing["reasons"] if r["decision"] == "owner"] == ["existing_owner"]
        assert Contact.objects.count() == 2

    def test_empty_facts_are_filled_and_filled_ones_stay(self) -> None:
        makers.sales(world.ann())
        makers.lead(employee_count=None, needs=["sso"])
        makers.lead(employee_count=250, country="de", needs=["msa"])
        makers.lead(employee_count=5)
        account = Account.objects.get()
        assert (account.employee_count, account.country, account.needs) == (250, "DE", ["sso", "msa"])

    def test_the_same_person_twice_is_two_leads_of_one_contact(self) -> None:
        makers.sales(world.ann(), world.bob())
        first, second = makers.lead(message="Hello"), makers.lead(message="Still there?")
        assert first.pk != second.pk
        assert (first.account, first.contact, first.owner) == (second.account, second.contact, second.owner)

    def test_free_mail_says_nothing_of_a_company(self) -> None:
        makers.sales(world.ann(), world.bob())
        one, other = makers.lead(email="one@gmail.com", company=""), makers.lead(email="other@gmail.com", company="")
        again = makers.lead(email="one@gmail.com", company="")
        assert one.account != other.account
        assert one.account == again.account
        assert one.account is not None
        assert one.account.personal
        assert not one.account.domains.exists()

    def test_a_named_company_behind_free_mail_is_a_company(self) -> None:
        makers.sales(world.ann())
        account = makers.lead(email="boss@gmail.com", company="Big Co").account
        assert account is not None
        assert (account.name, account.personal) == ("Big Co", False)

    def test_the_answer_is_due_in_working_hours_of_the_vendor(self) -> None:
        """A43, without the holiday: Friday 17:30 and four working hours."""
        makers.sales(world.ann())
        vendors.change(reporting_zone="Europe/Berlin")
        berlin = ZoneInfo("Europe/Berlin")
        lead = makers.lead(at=datetime(2026, 11, 20, 17, 30, tzinfo=berlin))
        assert lead.sla_due_at == datetime(2026, 11, 23, 12, 30, tzinfo=berlin)

    def test_the_fact_holds_no_personal_data(self) -> None:
        makers.sales(world.ann())
        makers.lead(name="Cora Crane", message="Call me at 555")
        told = " ".join(str([e.data, e.previous, e.reason]) for e in Event.objects.all())
        assert not any(word in told for word in ("Cora", "Crane", "acme", "Acme", "555"))

    @pytest.mark.parametrize(
        ("said", "attr"),
        [
            ({"kind": "carrier_pigeon"}, "kind"),
            ({"email": "nobody"}, "email"),
            ({"name": " "}, "name"),
            ({"country": "XX"}, "country"),
            ({"employee_count": -1}, "employee_count"),
            ({"employee_count": 99_000_000_000}, "employee_count"),
            ({"message": "x" * 5001}, "message"),
            ({"needs": ["x"] * 1 + [f"n{i}" for i in range(30)]}, "needs"),
        ],
    )
    def test_what_cannot_be_used_is_refused_and_nothing_is_written(self, said: dict[str, object], attr: str) -> None:
        makers.sales(world.ann())
        with pytest.raises(Invalid) as refused:
            makers.lead(**said)
        assert refused.value.attr == attr
        assert not Account.objects.exists()


class TestOwner:
    def test_round_robin_goes_on_after_the_rep_last_assigned(self) -> None:
        """A31: A, B, C; B deactivated after A's turn: next C, then A; B back: after A comes B."""
        ann, bob, cyd = world.ann(), world.bob(), world.user(email="cyd@vendor.example", roles=("ae",))
        makers.sales(ann, bob, cyd)
        owners = [makers.lead(email="x@one.com").owner]
        bob.is_active = False
        bob.save()
        owners += [makers.lead(email=f"x@{name}.com").owner for name in ("two", "three")]
        bob.is_active = True
        bob.save()
        owners.append(makers.lead(email="x@four.com").owner)
        assert owners == [ann, cyd, ann, bob]

    def test_who_leaves_the_pool_after_their_turn_leaves_the_order_as_it_was(self) -> None:
        ann, bob, cyd = world.ann(), world.bob(), world.user(email="cyd@vendor.example", roles=("ae",))
        pool = makers.sales(ann, bob, cyd)
        owners = [makers.lead(email=f"x@{name}.com").owner for name in ("one", "two")]
        staying = [pools.TurnTerms(ann, position=0), pools.TurnTerms(cyd, position=1)]
        pools.change_pool(pool=pool, at=LATER, members=staying)
        owners += [makers.lead(email=f"x@{name}.com").owner for name in ("three", "four")]
        assert owners == [ann, bob, cyd, ann]

    def test_weights_spread_the_leads(self) -> None:
        """A32."""
        ann, bob = world.ann(), world.bob()
        makers.sales(ann, bob, weights={ann: 3})
        owners = [makers.lead(email=f"x@company{n}.com").owner for n in range(4)]
        assert owners == [ann, ann, bob, ann]

    def test_a_rep_has_at_most_their_capacity_in_a_rolling_month(self) -> None:
        """A33, with a cap of 2."""
        ann = world.ann()
        makers.sales(ann).members.update(capacity=2)
        placed = [makers.lead(email=f"x@company{n}.com") for n in range(3)]
        assert [lead.owner for lead in placed] == [ann, ann, None]
        assert "capacity" in [r["code"] for r in placed[2].routing["reasons"]]
        later = makers.lead(email="x@later.com", at=makers.NOON + timedelta(days=31))
        assert later.owner == ann

    def test_nobody_on_leave_gets_anything_new_but_keeps_what_is_theirs(self) -> None:
        ann, bob = world.ann(), world.bob()
        makers.sales(ann, bob)
        mine = makers.lead(email="x@one.com")
        ann.leaves.create(starts_at=makers.NOON, ends_at=LATER)
        away = [makers.lead(email="x@two.com").owner, makers.lead(email="x@three.com").owner]
        assert (mine.owner, away) == (ann, [bob, bob])
        assert makers.lead(email="y@one.com").owner == ann
        assert makers.lead(email="x@four.com", at=LATER).owner == ann

    def test_an_account_whose_owner_left_is_routed_anew(self) -> None:
        ann, bob = world.ann(), world.bob()
        makers.sales(ann, bob)
        makers.lead()
        ann.is_active = False
        ann.save()
        lead = makers.lead(at=LATER)
        codes = [r["code"] for r in lead.routing["reasons"] if r["decision"] == "owner"]
        assert lead.owner == bob
        assert codes[0] == "existing_owner_not_eligible"
        closed, opened = OwnerDecision.objects.order_by("valid_from")
        assert (closed.owner, closed.valid_to, opened.owner, opened.valid_to) == (ann, LATER, bob, None)
        assert Lead.objects.order_by("pk")[0].owner == bob

    def test_a_returning_company_goes_back_to_its_last_owner_for_120_days(self) -> None:
        ann, bob = world.ann(), world.bob()
        makers.sales(ann, bob)
        account = makers.account()
        queue = makers.inbound()
        OwnerDecision.objects.filter(account=account).update(valid_to=makers.NOON)
        OwnerDecision.objects.create(account=account, queue=queue, valid_from=makers.NOON)
        Account.objects.update(owner=None, queue=queue)
        within, after = makers.NOON + timedelta(days=120), makers.NOON + timedelta(days=120, seconds=1)
        assert leads.owners.assign(account=account, at=within, trigger="t").account.owner == ann
        OwnerDecision.objects.filter(account=account, valid_to=None).delete()
        OwnerDecision.objects.create(account=account, queue=queue, valid_from=makers.NOON)
        Account.objects.update(owner=None, queue=queue)
        assert leads.owners.assign(account=account, at=after, trigger="t").account.owner == bob

    def test_what_waits_in_the_queue_is_routed_once_its_facts_fit(self) -> None:
        ann = world.ann()
        makers.sales(ann)
        waiting = makers.lead(employee_count=None)
        grown = makers.lead(employee_count=250)
        assert (waiting.queue, grown.owner) == (makers.inbound(), ann)
        waiting.refresh_from_db()
        assert (waiting.owner, waiting.queue) == (ann, None)


class TestTransition:
    def test_a_lead_is_led_step_by_step(self) -> None:
        makers.sales(world.ann())
        lead = makers.lead()
        for step in ("mql", "sql"):
            lead = leads.transition(lead=lead, to=step, at=LATER)
        lead = leads.transition(lead=lead, to="sal", at=LATER + timedelta(hours=1), qualification=makers.QUALIFIED)
        assert (lead.lifecycle, lead.answered_at, lead.accepted_at) == ("sal", LATER, LATER + timedelta(hours=1))
        steps = LeadTransition.objects.order_by("pk").values_list("from_lifecycle", "to_lifecycle")
        assert list(steps) == [("lead", "mql"), ("mql", "sql"), ("sql", "sal")]
        assert Event.objects.filter(type="crm.lead.transitioned").count() == 3

    @pytest.mark.parametrize(("before", "to"), [("lead", "sal"), ("lead", "lead"), ("sal", "mql"), ("rejected", "sql")])
    def test_a_step_that_does_not_follow_is_a_conflict(self, before: str, to: str) -> None:
        makers.sales(world.ann())
        lead = makers.lead()
        if before == "sal":
            leads.accept(lead=lead, at=LATER, qualification=makers.QUALIFIED)
        if before == "rejected":
            leads.reject(lead=lead, at=LATER, reason_code="no_fit")
        with pytest.raises(Conflict):
            leads.transition(lead=lead, to=to, at=LATER, qualification=makers.QUALIFIED)

    def test_a_rejection_needs_a_reason_and_can_be_taken_back(self) -> None:
        makers.sales(world.ann())
        lead = makers.lead()
        with pytest.raises(Invalid) as refused:
            leads.transition(lead=lead, to="rejected", at=LATER, reason=" ")
        assert refused.value.attr == "reason"
        lead = leads.transition(lead=lead, to="rejected", at=LATER, reason="a student")
        assert LeadTransition.objects.get().reason == "a student"
        assert lead.rejected_reason is not None
        assert (lead.rejected_reason.code, lead.rejection_note) == ("other", "a student")
        again = leads.transition(lead=lead, to="lead", at=LATER)
        assert (again.lifecycle, again.rejected_reason, again.rejection_note) == ("lead", None, "")

    def test_an_unknown_step_is_invalid(self) -> None:
        makers.sales(world.ann())
        with pytest.raises(Invalid):
            leads.transition(lead=makers.lead(), to="customer", at=LATER)


class TestAcceptance:
    """S2-07 to S2-09 and S2-49."""

    def test_what_is_qualified_is_accepted_from_wherever_it_is_and_only_once(self) -> None:
        makers.sales(world.ann())
        lead = leads.accept(lead=makers.lead(), at=LATER, qualification=makers.QUALIFIED)
        again = leads.accept(lead=lead, at=LATER + timedelta(days=1), qualification={})
        assert (again.lifecycle, again.accepted_at, again.qualification["months_to_project"]) == ("sal", LATER, 6)
        assert list(LeadTransition.objects.order_by("pk").values_list("to_lifecycle", flat=True)) == [
            "mql",
            "sql",
            "sal",
        ]

    def test_small_companies_are_asked_more_tightly(self) -> None:
        makers.sales(world.ann())
        lead = makers.lead(employee_count=20)
        with pytest.raises(Incomplete) as refused:
            leads.accept(lead=lead, at=LATER, qualification=makers.QUALIFIED)
        assert [(part.attr, part.code) for part in refused.value.parts] == [("months_to_project", "not_qualified")]
        lead_terms.create_terms(at=LATER, segment="smb", within_months=6)
        assert leads.accept(lead=lead, at=LATER, qualification=makers.QUALIFIED).lifecycle == "sal"

    def test_the_reason_says_what_becomes_of_a_rejected_one(self) -> None:
        ann, sid = world.ann(), world.user(email="sid@vendor.example", roles=("sdr",))
        makers.sales(ann)
        with context.acting(f"user:{sid.public_id}"):
            lead = leads.transition(lead=makers.lead(), to="mql", at=LATER)
        back = leads.reject(lead=lead, at=LATER, reason_code="no_power", note="an intern")
        assert (back.owner, back.queue, back.lifecycle) == (sid, None, "rejected")
        leads.transition(lead=back, to="lead", at=LATER)
        later = leads.reject(lead=back, at=LATER, reason_code="no_pain")
        assert later.revisit_at == LATER + timedelta(days=90)
        for step in ("lead", "mql", "sql"):
            later = leads.transition(lead=later, to=step, at=LATER)
        assert later.owner == ann  # who owns the account meets whom the SDR has qualified
        fact = Event.objects.filter(type="crm.lead.transitioned", data__lifecycle="rejected").order_by("position")
        assert [one.data["reason_code"] for one in fact] == ["no_power", "no_pain"]
        assert "intern" not in str([(one.data, one.reason) for one in fact])

    def test_an_accepted_one_may_turn_out_not_to_be_qualified(self) -> None:
        """S2-10: what was accepted less what was not qualified after all."""
        makers.sales(world.ann())
        lead = leads.accept(lead=makers.lead(), at=LATER, qualification=makers.QUALIFIED)
        lead = leads.reject(lead=lead, at=LATER + timedelta(days=9), reason_code="no_project")
        assert (lead.accepted_at, lead.disqualified_at) == (LATER, LATER + timedelta(days=9))

    def test_only_reasons_that_are_offered_count(self) -> None:
        makers.sales(world.ann())
        RejectReason.objects.exclude(code="other").delete()  # as after an upgrade
        assert len(lead_terms.reasons()) == len(lead_terms.INSTALLED_REASONS)
        lead = makers.lead()
        lead_terms.change_reason(reason=RejectReason.objects.get(code="spam"), at=LATER, active=False)
        for code in ("spam", "mood"):
            with pytest.raises(Invalid) as refused:
                leads.reject(lead=lead, at=LATER, reason_code=code)
            assert refused.value.attr == "reason"


class TestElsewhere:
    def test_a_call_is_an_answer(self) -> None:
        makers.sales(world.ann())
        lead, other = makers.lead(), makers.lead(email="dan@acme.com")
        call = Call.objects.create(account=lead.account, contact=lead.contact, outcome="no_answer", called_at=LATER)
        with transaction.atomic():
            outbox.publish("crm.call.logged", call, at=LATER, account_id=lead.account_id)
        outbox.relay()
        for one in (lead, other):
            one.refresh_from_db()
        assert (lead.answered_at, lead.lifecycle, other.answered_at) == (LATER, "lead", None)
        assert SlaClock.objects.get(lead=lead).state == "met"
        lead = leads.transition(lead=lead, to="mql", at=LATER + timedelta(hours=1))
        assert lead.answered_at == LATER

    def test_a_deal_that_was_not_qualified_takes_its_lead_with_it(self) -> None:
        """S2-10."""
        makers.sales(world.ann())
        lead = leads.accept(
            lead=makers.lead(), at=LATER, qualification=makers.QUALIFIED, opportunity=TestConversion.STEP
        )
        lost = Stage.objects.get(type="lost")
        said = {"lost_reason": LossReason.objects.filter(category="not_qualified").first()}
        deal = opportunities.move(
            opportunity=Opportunity.objects.get(), stage=lost, at=LATER, lost_category="not_qualified", **said
        )
        outbox.relay()
        lead.refresh_from_db()
        assert (lead.lifecycle, lead.accepted_at, lead.disqualified_at) == ("sal", LATER, LATER)
        opportunities.reopen(opportunity=deal, at=LATER, reason="They called", **TestConversion.STEP)
        outbox.relay()
        lead.refresh_from_db()
        assert lead.disqualified_at is None


class TestConversion:
    STEP = {"next_step": "Call", "next_step_at": LATER}

    def test_an_accepted_lead_is_one_deal_of_its_account(self) -> None:
        ann = world.ann()
        makers.sales(ann)
        lead = makers.lead(source="webinar")
        deal = {"name": "Acme, 200 seats", "amount": 500_000, **self.STEP}
        for _click in range(2):
            lead = leads.accept(lead=lead, at=LATER, qualification=makers.QUALIFIED, opportunity=deal)
        opportunity = Opportunity.objects.get()
        assert (opportunity.lead, opportunity.account, opportunity.owner) == (lead, lead.account, ann)
        assert (opportunity.name, opportunity.amount, opportunity.source) == ("Acme, 200 seats", 500_000, "webinar")
        assert (opportunity.reached_sal_at, opportunity.compelling_event) == (LATER, "The old contract ends in spring")
        with pytest.raises(Conflict):
            leads.reject(lead=lead, at=LATER, reason_code="no_fit")

    def test_what_the_deal_lacks_leaves_the_lead_as_it_was(self) -> None:
        makers.sales(world.ann())
        lead = makers.lead()
        with pytest.raises(Invalid):
            leads.accept(lead=lead, at=LATER, qualification=makers.QUALIFIED, opportunity={"name": "No next step"})
        lead.refresh_from_db()
        assert (lead.lifecycle, Opportunity.objects.exists()) == ("lead", False)
        accepted = leads.accept(lead=lead, at=LATER, qualification=makers.QUALIFIED)
        assert leads.accept(lead=accepted, at=LATER, qualification={}, opportunity=self.STEP).opportunity.name == "Acme"

    def test_another_account_may_be_chosen_and_whoever_accepts_takes_one_that_nobody_owns(self) -> None:
        ann, bob = world.ann(), world.bob()
        makers.sales(ann)
        lead = makers.lead(email="cora@gmail.com", company="Umbra", employee_count=20)
        umbra = makers.account(domain="umbra.com", employee_count=20)
        said = makers.QUALIFIED | {"months_to_project": 2}
        lead = leads.accept(lead=lead, at=LATER, qualification=said, account=umbra, by=bob, opportunity=self.STEP)
        umbra.refresh_from_db()
        assert (lead.account, lead.owner, umbra.owner, lead.opportunity.owner) == (umbra, bob, bob, bob)
        assert lead.contact is not None
        assert lead.contact.account == umbra
        assert {one.account for one in FieldChange.objects.filter(object_id=lead.contact.pk)} == {umbra}
        assert lead.opportunity.account == umbra


class TestFirstTouch:
    """S4-35."""

    def test_the_first_touch_stays_and_marketing_gets_nothing_for_use_of_the_product(self) -> None:
        ann = world.ann()
        makers.sales(ann)
        first = makers.lead(source="webinar", at=NOON)
        second = makers.lead(email="dan@acme.com", source="google_ads", at=LATER)
        assert [(one.first_source, one.first_touch_at, one.credited_team) for one in (first, second)] == [
            ("webinar", NOON, "marketing"),
            ("webinar", NOON, "marketing"),
        ]
        accounts.for_customer(customer=makers.customer(name="Umbra", email="eve@umbra.com"), at=NOON)
        used = makers.lead(email="fay@umbra.com", source="google_ads", at=LATER)
        assert (used.first_source, used.credited_team) == ("product", "product")
        with context.acting(f"user:{ann.public_id}"):
            assert makers.lead(email="x@zeta.com").credited_team == "sales"
        with pytest.raises(IntegrityError), transaction.atomic():
            Lead.objects.filter(pk=first.pk).update(first_source="google_ads")
