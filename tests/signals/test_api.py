"""Signals and trigger rules over the API."""

from datetime import UTC, datetime
from typing import Any

import pytest
from rest_framework.test import APIClient

from gtm.shared import keys
from gtm.shared.models import ApiKey
from signals import detection, trigger_rules
from signals.models import Signal, TriggerRule
from tests import world
from tests.billing import makers as billing
from tests.crm import makers as crm
from tests.signals import makers

JAN_1 = datetime(2026, 1, 1, 12, tzinfo=UTC)
JAN_22 = datetime(2026, 1, 22, 12, tzinfo=UTC)
RULES = "/api/v1/trigger_rules"
pytestmark = pytest.mark.django_db


def api(scope: str = ApiKey.Scope.WRITE, user: Any = None) -> APIClient:
    client = APIClient()
    _key, text = keys.issue(name="test", scope=scope, user=user)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client


@pytest.fixture
def signal() -> Signal:
    crm.sales(world.ann())
    owned = makers.subscriber(
        plan=billing.published_plan(at=JAN_1), at=JAN_1, email="cora@acme.com", traits={"employee_count": 250}
    )
    makers.calls(842, customer=owned.customer, at=JAN_22)
    return detection.evaluate(customer_ids=[owned.customer.pk], at=JAN_22)[0]


class TestSignals:
    def test_it_shows_what_was_noticed_and_by_which_figures(self, signal: Signal) -> None:
        shown = api().get(f"/api/v1/signals/{signal.public_id}").json()
        assert shown["rule"] == "usage_over_80"
        assert (shown["value"], shown["limit"]) == (842, 1000)
        assert shown["evidence"] == "used 842 of 1,000 API calls (84.2 %), 10 days left in the period"
        assert shown["account"] == signal.account.public_id
        assert shown["customer"] == signal.customer.public_id
        assert shown["subscription"].startswith("sub_")
        assert shown["meter"].startswith("meter_")
        assert (shown["motion"], shown["outcome"]) == ("sales_assisted", "alert")
        assert shown["occurred_at"] == "2026-01-22T12:00:00Z"

    def test_it_is_filtered_by_rule_account_and_customer(self, signal: Signal) -> None:
        for query in (f"account={signal.account.public_id}", "rule=usage_over_80", "outcome=alert"):
            assert len(api().get(f"/api/v1/signals?{query}").json()["results"]) == 1
        for query in ("rule=other", "outcome=prompt", f"customer={billing.customer().public_id}"):
            assert api().get(f"/api/v1/signals?{query}").json()["results"] == []

    def test_a_rep_sees_those_of_the_accounts_it_sees(self, signal: Signal) -> None:
        owner = signal.account.owner
        assert len(api(user=owner).get("/api/v1/signals").json()["results"]) == 1
        outsider = api(user=world.otto())
        assert outsider.get("/api/v1/signals").json()["results"] == []
        assert outsider.get(f"/api/v1/signals/{signal.public_id}").status_code == 404

    def test_it_is_not_written(self, signal: Signal) -> None:
        assert api().post("/api/v1/signals", {}).status_code == 405

    def test_the_list_takes_the_same_number_of_queries_for_many(
        self, signal: Signal, django_assert_num_queries: Any
    ) -> None:
        client = api()
        client.get("/api/v1/signals")
        with django_assert_num_queries(2):
            client.get("/api/v1/signals")


class TestTriggerRules:
    def test_it_shows_the_installed_rule(self) -> None:
        shown = api().get(f"{RULES}/usage_over_80").json()
        assert (shown["threshold"], shown["severity"], shown["number"], shown["number_in_force"]) == (
            "0.8",
            "high",
            1,
            1,
        )

    def test_a_rule_of_ones_own_does_not_take_the_installed_ones_place(self) -> None:
        api().post(RULES, {"code": "over_90", "name": "Over 90 %", "kind": "usage_ratio", "threshold": "0.9"})
        assert {rule["code"] for rule in api().get(RULES).json()["results"]} == {"over_90", "usage_over_80"}

    def test_a_rule_is_made_changed_and_published_in_versions(self) -> None:
        client = api()
        made = client.post(
            RULES, {"code": "usage_over_90", "name": "Over 90 %", "kind": "usage_ratio", "threshold": "0.9"}
        )
        assert made.status_code == 201
        assert (made.json()["published_at"], made.json()["number_in_force"]) == (None, None)
        address = f"{RULES}/{made.json()['id']}"
        assert client.post(f"{address}/publication").json()["number_in_force"] == 1
        changed = client.patch(address, {"threshold": "0.95"}).json()
        assert (changed["threshold"], changed["number"], changed["number_in_force"]) == ("0.95", 2, 1)
        assert client.post(f"{address}/publication").json()["number_in_force"] == 2
        assert client.post(f"{address}/publication").status_code == 409

    @pytest.mark.parametrize("threshold", ["0", "-1", "0.12345", "lots", None])
    def test_it_refuses_a_threshold_that_makes_no_sense(self, threshold: Any) -> None:
        answer = api().post(RULES, {"code": "x", "name": "X", "kind": "usage_ratio", "threshold": threshold})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["attr"] == "threshold"
        assert not TriggerRule.objects.filter(code="x").exists()

    def test_it_refuses_a_code_that_is_taken(self) -> None:
        trigger_rules.install_defaults(at=JAN_1)
        body = {"code": "usage_over_80", "name": "Again", "kind": "usage_ratio", "threshold": "0.8"}
        assert api().post(RULES, body).status_code == 400

    def test_a_stale_write_is_refused(self) -> None:
        trigger_rules.install_defaults(at=JAN_1)
        client = api()
        client.patch(f"{RULES}/usage_over_80", {"name": "Nearly out"})
        stale = client.patch(f"{RULES}/usage_over_80", {"name": "Again"}, HTTP_IF_MATCH='"1"')
        assert stale.status_code == 409

    def test_a_rep_reads_and_does_not_write(self) -> None:
        trigger_rules.install_defaults(at=JAN_1)
        client = api(user=world.ann())
        assert client.get(f"{RULES}/usage_over_80").status_code == 200
        assert client.patch(f"{RULES}/usage_over_80", {"name": "Mine"}).status_code == 403
