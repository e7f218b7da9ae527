"""Decisions as people see and make them, by screen and API; a thousand leads at once; and routing anew."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from crm import accounts, owners, policies, presets, routing_runs
from crm.models import Account, Motion, OwnerDecision, Pool, RoutingMove, RoutingRun, Ruleset
from crm.reasons import Reason
from gtm.shared import bulk
from gtm.shared.models import ExchangeRate, User
from tests import world
from tests.backoffice import address, signed_in
from tests.billing.api import BASE, caller, problem
from tests.crm import makers

pytestmark = pytest.mark.django_db
NOON, DAY = makers.NOON, timedelta(days=1)


@pytest.fixture
def reps() -> list[User]:
    found = [world.ann(), world.bob(), world.otto()]
    makers.sales(*found)
    return found


def companies(count: int) -> list[Account]:
    rows = [bulk.new(Account, name=f"C{n}", name_key=f"c{n}", employee_count=250) for n in range(count)]
    bulk.insert(Account, rows)
    return rows


class TestMany:
    def test_a_thousand_leads_spread_evenly_in_few_queries(self, reps: list[User]) -> None:
        keys = [account.pk for account in companies(1001)]

        def queries(some: list[Any]) -> int:
            with CaptureQueriesContext(connection) as asked:
                owners.assign_many(account_ids=some, at=NOON, trigger="import")
            return len(asked)

        few, many = queries(keys[:1]), queries(keys[1:])
        assert many <= few + 2
        taken = Counter(OwnerDecision.objects.values_list("owner", flat=True))
        assert sorted(taken.values()) == [333, 334, 334]
        assert Pool.objects.get(code="sales").last_assigned_user == reps[1]

    def test_routing_anew_is_shown_carried_out_and_undone(self, reps: list[User]) -> None:
        ann, bob, _otto = reps
        keys = [account.pk for account in companies(6)]
        owners.give_many(account_ids=keys, owner=ann, at=NOON)
        before = Pool.objects.get(code="sales").last_assigned_user
        run = routing_runs.preview(of_owner=ann, at=NOON)
        routing_runs.work_off()
        run.refresh_from_db()
        assert (run.state, run.total, run.moved) == ("done", 6, 6)
        assert Pool.objects.get(code="sales").last_assigned_user == before  # nobody's turn is used up
        assert Account.objects.filter(owner=ann).count() == 6
        moved_since = RoutingMove.objects.filter(run=run).earliest("pk").account
        accounts.give(account=moved_since, owner=bob, at=NOON)

        routing_runs.apply(run=run, at=NOON + DAY)
        routing_runs.work_off()
        assert not Account.objects.filter(owner=ann).exists()
        assert RoutingMove.objects.filter(run=run, applied=True).count() == 5
        assert Pool.objects.get(code="sales").last_assigned_user != before
        run.refresh_from_db()
        type(run).objects.update(state="failed")  # as of one that stopped half-way
        routing_runs.undo(run=run, at=NOON + 2 * DAY)
        routing_runs.work_off()
        assert Account.objects.filter(owner=ann).count() == 5
        moved_since.refresh_from_db()
        assert moved_since.owner == bob

    def test_a_draft_is_tried_on_the_last_30_days(self, reps: list[User]) -> None:
        """Who came before the rules does so under any rules: c.com was Otto's when its lead came, by hand."""
        for name in ("a.com", "b.com"):
            makers.lead(email=f"x@{name}")
        owned = accounts.create(name="C", domain="c.com", at=NOON, expected_value=500_000, value_currency="USD")
        accounts.give(account=owned, owner=reps[2], at=NOON)
        makers.lead(email="x@c.com")
        now = Account.objects.latest("created_at").created_at + DAY
        found = policies.RuleTerms("All", {"field": "personal", "op": "eq", "value": False}, "named", user=reps[1])
        draft = policies.draft_ruleset(at=NOON, name="Bob", rules=[found])

        def tried(ruleset: Ruleset, at: Any) -> RoutingRun:
            run = routing_runs.dry_run(ruleset=ruleset, at=at)
            routing_runs.work_off()
            run.refresh_from_db()
            return run

        assert tried(draft, NOON + 900 * DAY).total == 0  # long after
        run = tried(draft, now)
        assert (run.total, run.moved) == (3, 1)
        flows = {(flow["from_owner__name"], flow["to_owner__name"]): flow["count"] for flow in routing_runs.flows(run)}
        assert flows == {("Ann", "Bob"): 1, ("Bob", "Bob"): 1, ("Otto", "Otto"): 1}
        assert Account.objects.filter(owner=reps[1]).count() == 1

    def test_rules_compare_amounts_in_the_vendors_currency(self, reps: list[User]) -> None:
        worth = {"field": "expected_value", "op": "gte", "value": 5_000_000}
        draft = policies.draft_ruleset(
            at=NOON, name="Big", rules=[policies.RuleTerms("Big", worth, "named", user=reps[1])]
        )
        policies.publish_rules(ruleset=draft, at=NOON)
        ExchangeRate.objects.create(date="2026-11-01", currency="JPY", rate="150")

        def owner(yen: int, currency: str) -> User | None:
            name = f"{yen} {currency}"
            return accounts.create(name=name, at=NOON, expected_value=yen, value_currency=currency).owner

        assert [owner(5_000_000, "JPY"), owner(7_500_000, "JPY"), owner(9_999_999, "SEK")] == [None, reps[1], None]

    def test_the_reasons_of_a_move_are_told_with_amounts(self, reps: list[User]) -> None:
        account = companies(1)[0]
        run = routing_runs.preview(of_owner=reps[0], at=NOON)
        why = Reason("condition_met", "expected_value", 500_000, 100_000)
        RoutingMove.objects.create(run=run, account=account, position=0, is_move=True, reasons=[why.as_json()])
        page = signed_in(world.fay()).get(f"{address('crm_routingmove_changelist')}?run__id__exact={run.pk}")
        assert page.status_code == 200
        assert "$5,000" in page.content.decode()


class TestByScreen:
    def test_a_rep_sets_a_motion_keeps_a_segment_and_reads_why(self, reps: list[User], client: Client) -> None:
        account = makers.account()
        client.force_login(reps[0])
        page = f"/crm/accounts/{account.public_id}/"
        until = (account.created_at + 20 * DAY).date()
        said = {"motion": "sales_led", "until": until.isoformat(), "reason": "A pilot with the board"}
        assert client.post(page + "override/", said).status_code == 302
        client.post(page + "lock/", {"until": until.isoformat()})
        account.refresh_from_db()
        assert (account.motion, account.segment_locked_until) == ("sales_led", until)
        text = client.get(page).content.decode()
        for words in ("A pilot with the board", "Set by hand until", "To be answered", "(v1)", "working minutes"):
            assert words in text, words
        client.post(page + "override/", {"motion": ""})
        account.refresh_from_db()
        assert account.motion == Motion.SALES_ASSISTED
        client.force_login(reps[1])
        assert client.post(page + "override/", said).status_code in (403, 404)

    def test_dead_zone_accounts_with_an_owner_are_listed_with_the_reason(
        self, reps: list[User], client: Client
    ) -> None:
        preset = presets.BY_CODE["dead_zone_1k_10k"]
        policies.publish_policy(at=NOON, name=preset.name, **preset.terms)
        account = accounts.change(
            account=makers.account(employee_count=5), at=NOON, expected_value=200_000, value_currency="EUR"
        )
        client.force_login(world.fay())
        take = f"/crm/accounts/{account.public_id}/take/"
        client.post(take, {"reason": ""})
        account.refresh_from_db()
        assert account.owner is None
        accounts.give(account=account, owner=reps[0], at=NOON, reason="Reference customer")
        text = client.get("/crm/dead-zones/").content.decode()
        assert "Dead zone 1K to 10K: 1 accounts, 1 of them with an owner" in text
        assert "Reference customer" in text


class TestByApi:
    def test_an_override_stands_in_the_routing_until_it_is_taken_back(self, reps: list[User]) -> None:
        account, api = makers.account(), caller()
        path = f"{BASE}/accounts/{account.public_id}"
        ends_at = (account.created_at + 20 * DAY).isoformat()
        body = {"motion": "self_serve", "ends_at": ends_at, "reason": "They asked to be left alone"}
        made = api.post(f"{path}/motion_override", body)
        assert made.status_code == 201, made.content
        assert (made.json()["motion"], made.json()["override"]["reason"]) == ("self_serve", body["reason"])
        told = api.get(f"{path}/routing").json()
        assert told["reasons"][0]["code"] == "override"
        assert (told["policy"], told["dead_zone"], told["sla"][0]["state"]) == (1, "", "pending")
        assert problem(api.post(f"{path}/motion_override", body | {"ends_at": "2020-01-01T00:00:00Z"}), status=400) == (
            "invalid",
            "ends_at",
        )
        assert api.delete(f"{path}/motion_override").status_code == 204
        assert api.get(f"{path}/routing").json()["override"] is None

    def test_values_and_the_reason_for_an_owner(self, reps: list[User]) -> None:
        preset = presets.BY_CODE["dead_zone_1k_10k"]
        policies.publish_policy(at=NOON, name=preset.name, **preset.terms)
        account, api = makers.account(employee_count=5), caller()
        path = f"{BASE}/accounts/{account.public_id}"
        changed = api.patch(path, {"expected_value": 200_000, "value_currency": "EUR"})
        assert changed.status_code == 200, changed.content
        assert (changed.json()["dead_zone"], changed.json()["owner_role"]) == ("dead_zone", "csm")
        owner = {"owner": reps[0].public_id}
        assert problem(api.patch(path, owner), status=400) == ("required", "reason")
        assert api.patch(path, owner | {"owner_reason": "A friend"}).json()["owner"] == reps[0].public_id
        listed = api.get(f"{BASE}/accounts?in_dead_zone=true").json()["results"]
        assert [row["id"] for row in listed] == [account.public_id]
