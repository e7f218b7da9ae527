"""Policies over all accounts: drafts, who would move, applying and going back; and what people decide by hand."""

import re
from datetime import date, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing import subscriptions
from billing.models import Customer
from crm import accounts, clock, overrides, policies, policy_runs, presets, segments, sla
from crm.models import Account, MotionDecision, MotionOverride, PolicyMove, PolicyRun, SegmentPolicy
from gtm.shared import db
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event, ExchangeRate, User
from tests import world
from tests.billing import makers as billing
from tests.billing import visits
from tests.crm import makers

pytestmark = pytest.mark.django_db
NOON, DAY = makers.NOON, timedelta(days=1)
TOKENS = re.compile(r'nonce="[^"]*"|value="[A-Za-z0-9]{64}"|"X-CSRFToken": *"[^"]*"|X-CSRFToken&quot;: &quot;[^&]*')
BANDS: dict[str, Any] = {"segments": policies.INSTALLED_SEGMENTS, "employee_bounds": [100, 1000]}


@pytest.fixture(autouse=True)
def _sales() -> None:
    makers.sales(world.ann(), world.bob())


def company(employees: int, **facts: Any) -> Account:
    name = f"c{Account.objects.count()}.com"
    account = makers.account(domain=name, employee_count=employees)
    return accounts.change(account=account, at=NOON, **facts) if facts else account


def standing() -> list[tuple[Any, ...]]:
    names = ("pk", "segment", "motion", "engagement_policy", "dead_zone", "owner", "queue")
    return list(Account.objects.order_by("pk").values_list(*names))


class TestRuns:
    def test_a_founder_sees_who_would_move_applies_it_and_goes_back(self) -> None:
        for size in (50, 150, 250, 1500):
            company(size)
        before, first = standing(), policies.current_policy(at=NOON)
        draft = policies.draft_policy(at=NOON, name="200 / 1000", **BANDS | {"employee_bounds": [200, 1000]})

        look = policy_runs.dry_run(policy=draft, at=NOON)
        policy_runs.work_off()
        look.refresh_from_db()
        assert (look.state, look.total, look.done, look.moved, look.percent) == ("done", 4, 4, 1, 100)
        [flow] = policy_runs.flows(look)
        assert (flow["from_segment"], flow["to_segment"], flow["count"]) == ("mid_market", "smb", 1)
        move = PolicyMove.objects.get(run=look)
        assert (move.account.employee_count, move.reasons[0]["threshold"]) == (150, 200)
        assert standing() == before
        assert policies.current_policy(at=NOON) == first

        applied = policy_runs.apply(policy=draft, at=NOON + DAY)
        policy_runs.work_off()
        applied.refresh_from_db()
        assert (applied.state, applied.moved) == ("done", 1)
        assert standing() != before
        assert set(MotionDecision.objects.filter(valid_to=None).values_list("policy__number", flat=True)) == {2}
        with pytest.raises(Conflict):
            policy_runs.apply(policy=draft, at=NOON + DAY)

        back = policy_runs.roll_back(policy=first, at=NOON + 2 * DAY)
        policy_runs.work_off()
        back.refresh_from_db()
        assert (back.policy.number, back.policy.restores, back.moved) == (3, first, 1)
        assert standing() == before
        moved = Event.objects.filter(type="crm.account.motion_decided", occurred_at__gt=NOON)
        assert [event.data["policy"] for event in moved.order_by("position")] == [2, 3]

    def test_a_run_goes_on_where_it_stopped_and_never_counts_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for size in (50, 150, 250):
            company(size)
        monkeypatch.setattr(policy_runs, "BATCH", 2)
        draft = policies.draft_policy(at=NOON, name="Next", **BANDS | {"employee_bounds": [10, 20]})
        run = policy_runs.dry_run(policy=draft, at=NOON)
        policy_runs._step(run.pk)
        run.refresh_from_db()
        assert (run.state, run.done, run.total) == ("running", 2, 3)
        assert policy_runs.work_off() == 1
        run.refresh_from_db()
        assert (run.state, run.done, run.moved) == ("done", 3, 3)

    def test_an_apply_that_a_newer_version_overtook_stops(self) -> None:
        company(150)
        older = policy_runs.apply(policy=policies.draft_policy(at=NOON, name="A", **BANDS), at=NOON)
        policies.publish_policy(at=NOON, name="B", **BANDS)
        policy_runs.work_off()
        older.refresh_from_db()
        assert (older.state, older.error) == ("failed", "A newer version was published meanwhile.")

    def test_applying_decides_by_what_is_so_when_an_account_is_reached(self) -> None:
        account, at = company(50), db.now()
        run = policy_runs.apply(policy=policies.draft_policy(at=at, name="Next", **BANDS), at=at)
        overrides.override(account=account, motion="sales_led", ends_at=at + DAY, reason="Pilot", at=db.now())
        policy_runs.work_off()
        run.refresh_from_db()
        account.refresh_from_db()
        assert (run.state, account.motion) == ("done", "sales_led")

    def test_a_deadlock_puts_a_run_off_and_an_old_look_is_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        company(150)
        draft = policies.draft_policy(at=NOON, name="Next", **BANDS | {"employee_bounds": [200, 1000]})
        run = policy_runs.dry_run(policy=draft, at=NOON)
        with monkeypatch.context() as broken:
            broken.setattr(segments, "outcomes", Mock(side_effect=OperationalError("deadlock detected")))
            assert policy_runs.work_off() == 0
        run.refresh_from_db()
        assert run.state == "queued"
        policy_runs.work_off()
        assert policy_runs.forget(at=db.now() + 29 * DAY) == 0
        assert policy_runs.forget(at=db.now() + 31 * DAY) == 1
        run.refresh_from_db()
        assert (run.state, run.moved) == ("done", 1)

    def test_a_batch_takes_as_many_queries_as_one_account(self) -> None:
        found = [company(100 + n) for n in range(6)]

        def asked(keys: list[Any]) -> int:
            MotionDecision.objects.all().delete()
            with CaptureQueriesContext(connection) as queries:
                segments.decide_many(account_ids=keys, at=NOON)
            return len(queries)

        assert asked([found[0].pk]) == asked([account.pk for account in found])

    def test_only_drafts_change_and_what_does_not_fit_together_is_refused(self) -> None:
        current = policies.current_policy(at=NOON)
        with pytest.raises(Conflict):
            policies.change_policy(policy=current, at=NOON, name="Mine")
        with pytest.raises(Conflict):
            policies.restored(policy=current, at=NOON)
        zone = {"code": "a", "lower": 100_000, "upper": 1_000_000}
        for terms, attr in (
            ({"dead_zones": [zone | {"upper": 5}]}, "dead_zones"),
            ({"dead_zones": [zone, zone | {"code": "b", "lower": 900_000, "upper": 2_000_000}]}, "dead_zones"),
            ({"dead_zones": [zone | {"basis": "gut"}]}, "dead_zones"),
            ({"basis": "cltv"}, "basis"),
            ({"margin_percent": 100}, "margin_percent"),
        ):
            with pytest.raises(Invalid) as refused:
                policies.draft_policy(at=NOON, name="?", **BANDS | terms)
            assert refused.value.attr == attr
        assert SegmentPolicy.objects.count() == 1

    def test_nothing_of_a_customer_is_touched(self) -> None:
        customer = billing.customer(at=NOON, email="p@c9.com")
        accounts.for_customer(customer=customer, at=NOON)
        before = Customer.objects.values().get()
        policy_runs.apply(policy=policies.draft_policy(at=NOON, name="Next", **BANDS), at=NOON)
        policy_runs.work_off()
        assert Customer.objects.values().get() == before

    def test_nothing_changes_in_a_portal_or_on_the_price_page(self, client: Client) -> None:
        """But for tokens, a self-serve customer gets the same bytes before a policy is applied and after."""
        billing.legal_entity()
        plan = billing.published_plan(at=NOON)
        customer = billing.customer(at=NOON, email="p@c9.com")
        billing.card(customer, at=NOON)
        subscriptions.create(customer=customer, plan=plan, at=NOON)
        account = accounts.for_customer(customer=customer, at=NOON)
        visitor = visits.visiting(customer)

        def pages() -> list[str]:
            found = [client.get("/pricing/"), visitor.get(f"/portal/{customer.public_id}/")]
            assert [page.status_code for page in found] == [200, 200]
            return [TOKENS.sub("", page.content.decode()) for page in found]

        before = pages()
        draft = policies.draft_policy(at=NOON, name="All sales-led", segments=[presets.ENTERPRISE])
        policy_runs.apply(policy=draft, at=NOON)
        policy_runs.work_off()
        account.refresh_from_db()
        assert account.motion == "sales_led"
        assert pages() == before


class TestDeadZones:
    @pytest.fixture(autouse=True)
    def _published(self) -> None:
        preset = presets.BY_CODE["dead_zone_1k_10k"]
        policies.publish_policy(at=NOON, name=preset.name, **preset.terms)

    @pytest.mark.parametrize(
        ("cents", "segment", "zone"),
        [
            (99_999, "self_service", ""),
            (100_000, "self_service", "dead_zone"),
            (999_999, "self_service", "dead_zone"),
            (1_000_000, "inside_sales", ""),
        ],
    )
    def test_a21_the_zone_is_half_open(self, cents: int, segment: str, zone: str) -> None:
        account = company(5, expected_value=cents, value_currency="EUR")
        assert (account.segment, account.dead_zone) == (segment, zone)
        assert account.motion == ("sales_assisted" if segment == "inside_sales" else "self_serve")

    def test_no_rule_gives_it_an_owner_and_a_person_says_why(self) -> None:
        ExchangeRate.objects.create(date="2026-11-01", currency="EUR", rate="0.5")
        account = company(500)  # which the rules gave to a rep, before its value was known
        owner = account.owner
        assert owner is not None
        account = accounts.change(account=account, at=NOON, expected_value=400_000, value_currency="USD")
        assert (account.dead_zone, account.owner) == ("dead_zone", owner)  # nobody is taken away
        reasons = MotionDecision.objects.get(account=account, valid_to=None).reasons
        assert [r["code"] for r in reasons] == ["dead_zone", "below", "rate"]
        assert (reasons[0]["value"], reasons[0]["threshold"]) == ("EUR 2,000.00", "EUR 1,000.00 – EUR 10,000.00")
        assert (reasons[2]["field"], reasons[2]["value"], reasons[2]["threshold"]) == ("EUR", "0.5", "USD, 2026-11-01")

        fresh = makers.lead(email="x@fresh.com", employee_count=500).account
        assert fresh is not None
        accounts.owners.place_many(
            accounts=[fresh], places=[accounts.owners.Place(queue_id=makers.inbound().pk)], at=NOON, trigger="t"
        )
        fresh = accounts.change(account=fresh, at=NOON, expected_value=200_000, value_currency="EUR")
        assert (fresh.owner, fresh.dead_zone) == (None, "dead_zone")
        bob = User.objects.get(email="bob@vendor.example")
        with pytest.raises(Invalid) as refused:
            accounts.give(account=fresh, owner=bob, at=NOON)
        assert refused.value.attr == "reason"
        fresh = accounts.give(account=fresh, owner=bob, at=NOON, reason="The CEO is a friend")
        decision = fresh.owner_decisions.get(valid_to=None)
        assert (fresh.owner, decision.note) == (bob, "The CEO is a friend")
        event = Event.objects.filter(type="crm.account.owner_assigned").latest("position")
        assert "friend" not in str((event.reason, event.data))


class TestByHand:
    def test_an_override_goes_first_and_ends_by_itself(self) -> None:
        account = company(150)
        overrides.override(account=account, motion="sales_led", ends_at=NOON + 7 * DAY, reason="Pilot", at=NOON)
        account.refresh_from_db()
        assert (account.motion, account.engagement_policy) == ("sales_led", "day_one")
        assert accounts.redecide(account=account, at=NOON + 6 * DAY).motion == "sales_led"
        assert overrides.end_due(at=NOON + 6 * DAY) == 0
        assert overrides.end_due(at=NOON + 7 * DAY) == 1
        account.refresh_from_db()
        assert account.motion == "sales_assisted"
        assert MotionOverride.objects.get().ended_at == NOON + 7 * DAY

    def test_it_ends_on_its_test_clock_and_is_taken_back_by_hand(self) -> None:
        stopped = billing.clock(frozen_time=NOON)
        account = makers.account(domain="clock.com", test_clock_id=stopped.pk)
        sla.cancel(subject=account.leads.get(), at=NOON)
        overrides.override(account=account, motion="self_serve", ends_at=NOON + DAY, reason="Quiet", at=NOON)
        assert clock.next_due(clock=stopped) == NOON + DAY
        clock.run_due(clock=stopped, at=NOON + DAY)
        account.refresh_from_db()
        assert account.motion == "sales_assisted"
        with pytest.raises(Conflict):
            overrides.take_back(account=account, at=NOON + DAY)

    @pytest.mark.parametrize(
        ("changes", "attr"),
        [({"motion": "magic"}, "motion"), ({"reason": " "}, "reason"), ({"ends_at": NOON}, "ends_at")],
    )
    def test_a_bad_one_is_refused(self, changes: dict[str, Any], attr: str) -> None:
        terms: dict[str, Any] = {"motion": "sales_led", "ends_at": NOON + DAY, "reason": "Why not"} | changes
        with pytest.raises(Invalid) as refused:
            overrides.override(account=company(150), at=NOON, **terms)
        assert refused.value.attr == attr
        assert not MotionOverride.objects.exists()

    def test_a_lock_and_the_margin_keep_a_segment(self) -> None:
        account = company(1500)
        account = accounts.change(account=account, at=NOON, employee_count=950)
        assert (account.segment, falling(account)) == ("enterprise", None)  # within 10 percent
        account = accounts.change(account=account, at=NOON, employee_count=500)
        assert (account.segment, falling(account)) == ("enterprise", NOON)
        assert accounts.redecide(account=account, at=NOON + 29 * DAY).segment == "enterprise"
        account = overrides.lock_segment(account=account, until=date(2027, 6, 1), at=NOON + 29 * DAY)
        assert accounts.redecide(account=account, at=NOON + 31 * DAY).segment == "enterprise"
        account = overrides.lock_segment(account=account, until=None, at=NOON + 31 * DAY)
        assert (account.segment, falling(account)) == ("mid_market", None)
        assert accounts.change(account=account, at=NOON + 32 * DAY, employee_count=1000).segment == "enterprise"

    def test_a_fiscal_year_keeps_a_segment_until_it_ends(self) -> None:
        policies.publish_policy(at=NOON, name="Frozen", freeze="fiscal_year", **BANDS)
        account = company(150)
        account = accounts.change(account=account, at=NOON + DAY, employee_count=2000)
        assert account.segment == "mid_market"
        assert accounts.redecide(account=account, at=NOON + 60 * DAY).segment == "enterprise"

    def test_nothing_known_freezes_nothing(self) -> None:
        policies.publish_policy(at=NOON, name="Frozen", freeze="fiscal_year", **BANDS)
        account = accounts.create(name="Unknown", at=NOON)
        assert account.segment == "smb"
        reasons = MotionDecision.objects.get(account=account, valid_to=None).reasons
        assert [reason["code"] for reason in reasons] == ["unknown"]
        assert accounts.change(account=account, at=NOON + DAY, employee_count=5000).segment == "enterprise"
        assert accounts.change(account=account, at=NOON + 2 * DAY, employee_count=5).segment == "enterprise"

    def test_every_account_is_reviewed_in_few_queries(self) -> None:
        for size in (50, 150, 250):
            company(size)
        MotionDecision.objects.all().delete()
        with CaptureQueriesContext(connection) as asked:
            assert accounts.review_all(at=NOON + DAY) == 3
        assert len(asked) < 40
        assert MotionDecision.objects.filter(valid_to=None).count() == 3
        assert PolicyRun.objects.count() == 0


def falling(account: Account) -> Any:
    return MotionDecision.objects.get(account=account, valid_to=None).falling_since
