"""Leads, accounts, alerts, teams and users over the API."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from crm import accounts, owners
from crm.models import Account, Alert, Lead
from gtm.shared import db, keys
from gtm.shared.models import ApiKey, Event, TestClock, User
from tests import world
from tests.crm import makers

pytestmark = pytest.mark.django_db
V1 = "/api/v1"
ASKED = {"kind": "contact_sales", "name": "Cora", "email": "cora@acme.com", "company": "Acme", "employee_count": 250}


def api(user: User | None = None, scope: str = ApiKey.Scope.WRITE) -> APIClient:
    """A caller with a key of the installation, or one that is bound to ``user``."""
    client = APIClient()
    _key, text = keys.issue(name="test", scope=scope, user=user)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client


def _locks(asked: CaptureQueriesContext) -> list[str]:
    """What was locked, in turn: tables, and the hierarchy."""
    number = str(db.lock_number("crm.hierarchy", None))
    found = [re.search(rf'UPDATE OF "(\w+)"|{re.escape(number)}', query["sql"]) for query in asked]
    return [match[1] or "hierarchy" for match in found if match]


@pytest.fixture
def ann() -> User:
    ann = world.ann()
    makers.sales(ann, manager=world.max_manager())
    return ann


def submitted(**said: Any) -> dict[str, Any]:
    answer = api().post(f"{V1}/leads", ASKED | said)
    assert answer.status_code == 201, answer.json()
    shown: dict[str, Any] = answer.json()
    return shown


class TestLeads:
    def test_a_lead_is_routed_when_it_is_taken_in(self, ann: User) -> None:
        lead = submitted(needs=["SSO"], country="de")
        assert (lead["owner"], lead["queue"], lead["lifecycle"]) == (ann.public_id, None, "lead")
        assert lead["account"] == Account.objects.get().public_id
        assert lead["sla_due_at"]
        assert (lead["routing"]["motion"], lead["routing"]["owner"]) == ("sales_led", ann.public_id)
        assert {r["decision"] for r in lead["routing"]["reasons"]} == {"motion", "owner"}
        assert api().get(f"{V1}/leads/{lead['id']}").json() == lead

    def test_a_small_company_waits_in_the_queue(self, ann: User) -> None:
        lead = submitted(employee_count=20)
        assert (lead["owner"], lead["queue"]) == (None, "inbound")

    def test_a_clocked_lead_stands_on_its_clock(self, ann: User) -> None:
        clock = TestClock.objects.create(frozen_time=makers.NOON)
        lead = submitted(test_clock=clock.public_id)
        assert lead["test_clock"] == clock.public_id
        assert lead["sla_due_at"] == "2026-11-18T16:00:00Z"
        assert submitted()["account"] != lead["account"]

    @pytest.mark.parametrize(
        ("said", "attr"),
        [
            ({"email": "nobody"}, "email"),
            ({"kind": "pigeon"}, "kind"),
            ({"employee_count": -1}, "employee_count"),
            ({"employee_count": "250"}, "employee_count"),
            ({"country": "XX"}, "country"),
            ({"needs": "sso"}, "needs"),
            ({"name": ""}, "name"),
            ({"lifecycle": "sal"}, "lifecycle"),
            ({"shoe_size": 42}, "shoe_size"),
        ],
    )
    def test_bad_input_is_refused_by_field(self, ann: User, said: dict[str, Any], attr: str) -> None:
        answer = api().post(f"{V1}/leads", ASKED | said)
        assert answer.status_code == 400
        assert attr in {error["attr"] for error in answer.json()["errors"]}
        assert not Lead.objects.exists()

    def test_the_same_key_gives_the_same_lead(self, ann: User) -> None:
        client = api()
        first, again = (client.post(f"{V1}/leads", ASKED, headers={"Idempotency-Key": "one"}) for _attempt in range(2))
        assert first.json() == again.json()
        assert again["Idempotency-Replayed"] == "true"
        assert Lead.objects.count() == 1

    def test_it_is_led_on_by_the_rules(self, ann: User) -> None:
        client, url = api(ann), f"{V1}/leads/{submitted()['id']}/transition"
        assert client.post(url, {"to": "mql"}).json()["lifecycle"] == "mql"
        assert client.post(url, {"to": "sal"}).status_code == 409
        assert client.post(url, {"to": "rejected"}).json()["errors"][0]["attr"] == "reason"
        assert client.post(url, {"to": "rejected", "reason": "no fit"}).json()["lifecycle"] == "rejected"
        assert client.post(url, {"to": "customer"}).status_code == 400
        assert Event.objects.filter(type="crm.lead.transitioned").first().actor.startswith("key:")  # type: ignore[union-attr]

    def test_lists_filter(self, ann: User) -> None:
        submitted()
        submitted(email="x@small.com", company="Small", employee_count=5)
        for query, found in (
            ("", 2),
            ("lifecycle=lead", 2),
            ("lifecycle=sal", 0),
            (f"owner={ann.public_id}", 1),
            ("queue=inbound", 1),
            ("email=X@small.com", 1),
            (f"account={Account.objects.get(name='Acme').public_id}", 1),
        ):
            assert len(api().get(f"{V1}/leads?{query}").json()["results"]) == found, query


class TestAccounts:
    def test_it_shows_what_is_known(self, ann: User) -> None:
        customer = makers.customer(traits={"employee_count": 250, "domain": "acme.com"}, country="DE")
        account = accounts.for_customer(customer=customer, at=makers.NOON)
        shown = api().get(f"{V1}/accounts/{account.public_id}").json()
        expected = {
            "name": "Acme",
            "domain": "acme.com",
            "domains": ["acme.com"],
            "employee_count": 250,
            "country": "DE",
            "customers": [customer.public_id],
            "segment": "mid_market",
            "motion": "sales_assisted",
            "engagement_policy": "on_trigger",
            "owner": ann.public_id,
            "queue": None,
            "score": None,
            "arr": 0,
            "currency": "USD",
            "needs": [],
            "target_list": False,
        }
        assert {name: shown[name] for name in expected} == expected

    def test_facts_and_owner_are_set(self, ann: User) -> None:
        account, bob = makers.account(employee_count=20), world.bob()
        url = f"{V1}/accounts/{account.public_id}"
        shown = api().patch(url, {"employee_count": 5000, "needs": ["sso", "DPA"]}).json()
        assert (shown["motion"], shown["owner"], shown["needs"]) == ("sales_led", ann.public_id, ["sso", "custom_dpa"])
        assert api().patch(url, {"owner": bob.public_id}).json()["owner"] == bob.public_id
        assert api().patch(url, {"motion": "self_serve"}).status_code == 400
        assert api().patch(url, {"owner": world.user(email="cora@acme.com").public_id}).status_code == 400

    def test_a_stale_write_is_refused(self, ann: User) -> None:
        account = makers.account()
        stale = {"If-Match": f'"{account.version - 1}"'}
        answer = api().patch(f"{V1}/accounts/{account.public_id}", {"industry": "bank"}, headers=stale)
        assert answer.status_code == 409

    @pytest.mark.parametrize("step", ["facts", "parent", "merge", "lead"])
    def test_locks_are_taken_in_the_one_order(self, ann: User, step: str) -> None:
        """Pools, the hierarchy, accounts by id, leads; with ``If-Match``, which locks the row first, and without."""
        one, other = sorted((makers.account(), makers.account(domain="b.com")), key=lambda account: account.pk)
        lead = Lead.objects.filter(account=other).get()
        url, seen = f"{V1}/accounts/{other.public_id}", {"headers": {"If-Match": "*"}}
        with CaptureQueriesContext(connection) as asked:
            if step == "facts":
                wanted = ["crm_pool", "crm_account"]
                answer = api().patch(url, {"industry": "bank"}, **seen)
            elif step == "parent":
                wanted = ["crm_pool", "hierarchy", "crm_account"]
                answer = api().patch(url, {"industry": "bank", "parent": None})
            elif step == "merge":
                wanted = ["crm_pool", "hierarchy", "crm_account"]
                answer = api().post(f"{url}/merge", {"account": one.public_id}, **seen)
            else:
                wanted = ["crm_account", "crm_lead"]
                answer = api().post(f"{V1}/leads/{lead.public_id}/transition", {"to": "mql"}, **seen)
        assert answer.status_code == 200, answer.json()
        assert [name for name in dict.fromkeys(_locks(asked)) if name in wanted] == wanted
        if step == "merge":
            first = next(query["sql"] for query in asked if 'UPDATE OF "crm_account"' in query["sql"])
            assert one.pk.hex in first.replace("-", "")

    def test_routing_says_why(self, ann: User) -> None:
        account = makers.account()
        shown = api().get(f"{V1}/accounts/{account.public_id}/routing").json()
        assert (shown["motion"], shown["segment"], shown["owner"], shown["queue"]) == (
            "sales_assisted",
            "mid_market",
            ann.public_id,
            None,
        )
        first = shown["reasons"][0]
        assert first == {
            "decision": "motion",
            "code": "at_least",
            "field": "employee_count",
            "value": 250,
            "threshold": 100,
            "policy_version": 1,
        }

    def test_the_timeline_merges_account_and_customers(self, ann: User) -> None:
        customer = makers.customer()
        account = accounts.for_customer(customer=customer, at=makers.NOON)
        page = api().get(f"{V1}/accounts/{account.public_id}/timeline?limit=3").json()
        rest = api().get(page["next"]).json()
        told = [event["type"] for event in [*page["results"], *rest["results"]]]
        assert told == [
            "crm.account.owner_assigned",
            "crm.account.motion_decided",
            "crm.account.domain_added",
            "crm.account.created",
            "billing.customer.created",
        ]

    def test_lists_filter_and_search(self, ann: User) -> None:
        makers.account()
        makers.account(domain="small.com", employee_count=5)
        for query, found in (
            ("", 2),
            ("q=ACM", 1),
            ("domain=small.com", 1),
            ("motion=self_serve", 1),
            ("segment=mid_market", 1),
            (f"owner={ann.public_id}", 1),
            ("queue=inbound", 1),
            ("target_list=true", 0),
        ):
            assert len(api().get(f"{V1}/accounts?{query}").json()["results"]) == found, query

    def test_a_list_is_constant_in_queries(self, ann: User, django_assert_num_queries: Any) -> None:
        client = api()
        client.get(f"{V1}/accounts")  # notes the key's first use
        for start, stop in ((0, 1), (1, 6)):
            for n in range(start, stop):
                customer = makers.customer(email=f"x@company{n}.com", traits={"employee_count": 250})
                accounts.for_customer(customer=customer, at=makers.NOON)
            with django_assert_num_queries(8):
                assert len(client.get(f"{V1}/accounts").json()["results"]) == stop


class TestAlerts:
    def test_it_is_shown_and_worked_off(self, ann: User) -> None:
        alert = makers.alert(account=makers.account(), at=db.now())
        client, url = api(ann), f"{V1}/alerts/{alert.public_id}"
        shown = client.get(url).json()
        assert (shown["rule"], shown["owner"], shown["state"]) == ("usage_80", ann.public_id, "open")
        assert shown["evidence"].startswith("used 842 of 1,000 API calls (84.2 %)")
        assert (shown["value_at_stake"], shown["currency"]) == (120_000, "USD")
        assert client.post(f"{url}/transition", {"to": "acknowledged"}).json()["state"] == "acknowledged"
        until = (db.now() + timedelta(days=3)).isoformat()
        assert client.post(f"{url}/transition", {"to": "snoozed"}).json()["errors"][0]["attr"] == "until"
        assert client.post(f"{url}/transition", {"to": "snoozed", "until": until}).json()["state"] == "snoozed"
        done = client.post(f"{url}/transition", {"to": "done", "feedback": "useful"}).json()
        assert (done["state"], done["feedback"], done["snoozed_until"]) == ("done", "useful", None)
        assert client.post(f"{url}/transition", {"to": "acknowledged"}).status_code == 409

    def test_lists_filter(self, ann: User) -> None:
        makers.alert(account=makers.account())
        for query, found in (("state=open", 1), ("state=done", 0), ("state=open&state=done", 1), ("rule=usage_80", 1)):
            assert len(api().get(f"{V1}/alerts?{query}").json()["results"]) == found, query


class TestAcceptance:
    def test_an_accepted_lead_is_a_deal_and_what_it_lacks_is_said_field_by_field(self, ann: User) -> None:
        client, lead = api(ann), submitted()
        url = f"{V1}/leads/{lead['id']}/acceptance"
        refused = client.post(url, {"qualification": {"months_to_project": 30}})
        assert refused.status_code == 400
        missing = [error["attr"] for error in refused.json()["errors"]]
        assert missing == ["months_to_project", "good_fit", "compelling_event", "has_power"]
        deal = {"amount": 500_000, "next_step": "Call", "next_step_at": "2026-11-20T09:00:00Z"}
        body = {"qualification": makers.QUALIFIED, "opportunity": deal}
        first, again = client.post(url, body).json(), client.post(url, body).json()
        assert (first["lifecycle"], first["opportunity"]) == ("sal", again["opportunity"])
        assert (first["first_source"], first["credited_team"]) == ("contact_sales", "marketing")
        found = client.get(f"{V1}/opportunities/{first['opportunity']}").json()
        assert (found["account"], found["lead"], found["amount"]) == (lead["account"], lead["id"], 500_000)

    def test_an_account_that_one_does_not_see_is_no_choice(self, ann: User) -> None:
        lead, other = submitted(), makers.account(domain="umbra.com", employee_count=20)
        owners.give(account=other, owner=world.otto(), at=makers.NOON)
        body = {"qualification": makers.QUALIFIED, "account": other.public_id}
        answer = api(ann).post(f"{V1}/leads/{lead['id']}/acceptance", body)
        assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, "account")
        assert Lead.objects.get(email=lead["email"]).lifecycle == "lead"

    def test_a_rejection_has_a_reason_of_the_list(self, ann: User) -> None:
        client, url = api(ann), f"{V1}/leads/{submitted()['id']}/rejection"
        assert client.post(url, {"reason": "mood"}).json()["errors"][0]["attr"] == "reason"
        rejected = client.post(url, {"reason": "no_fit", "note": "a student"}).json()
        assert (rejected["lifecycle"], rejected["rejected_reason"], rejected["rejection_note"]) == (
            "rejected",
            "no_fit",
            "a student",
        )


class TestScope:
    def test_otto_finds_nothing(self, ann: User) -> None:
        account = makers.account()
        lead, alert = Lead.objects.get(), makers.alert(account=account)
        otto = api(world.otto())
        for listing in ("accounts", "leads", "alerts"):
            assert otto.get(f"{V1}/{listing}").json()["results"] == []
        refused = [
            otto.get(f"{V1}/accounts/{account.public_id}"),
            otto.patch(f"{V1}/accounts/{account.public_id}", {"industry": "bank"}),
            otto.get(f"{V1}/accounts/{account.public_id}/routing"),
            otto.get(f"{V1}/accounts/{account.public_id}/timeline"),
            otto.get(f"{V1}/leads/{lead.public_id}"),
            otto.post(f"{V1}/leads/{lead.public_id}/transition", {"to": "mql"}),
            otto.post(f"{V1}/leads/{lead.public_id}/acceptance", {"qualification": makers.QUALIFIED}),
            otto.post(f"{V1}/leads/{lead.public_id}/rejection", {"reason": "no_fit"}),
            otto.get(f"{V1}/alerts/{alert.public_id}"),
            otto.post(f"{V1}/alerts/{alert.public_id}/transition", {"to": "done"}),
        ]
        assert {answer.status_code for answer in refused} == {404}
        assert Alert.objects.get().state == "open"

    def test_a_manager_sees_the_teams_and_a_reading_key_writes_nothing(self, ann: User) -> None:
        account = makers.account()
        manager = api(User.objects.get(name="Max"))
        assert manager.get(f"{V1}/accounts/{account.public_id}").status_code == 200
        reading = api(scope=ApiKey.Scope.READ)
        assert reading.patch(f"{V1}/accounts/{account.public_id}", {"industry": "bank"}).status_code == 403
        assert APIClient().get(f"{V1}/accounts").status_code == 401


class TestPeople:
    def test_users_name_their_teams_and_teams_their_people(self, ann: User) -> None:
        [team] = api().get(f"{V1}/teams").json()["results"]
        manager = User.objects.get(name="Max")
        assert (team["code"], team["members"], team["managers"]) == (
            "sales",
            sorted([ann.public_id, manager.public_id]),
            [manager.public_id],
        )
        shown = api().get(f"{V1}/users/{ann.public_id}").json()
        assert (shown["email"], shown["roles"], shown["teams"]) == (ann.email, ["ae"], [team["id"]])
        assert len(api().get(f"{V1}/users?team=sales").json()["results"]) == 2
