"""Stages and opportunities over the API."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from crm.models import Account, Opportunity
from gtm.shared.models import Event, User
from tests import world
from tests.billing.api import BASE, caller, problem
from tests.crm import makers

pytestmark = pytest.mark.django_db
STEP = {"next_step": "Call Cora", "next_step_at": "2026-12-01T09:00:00Z"}


@pytest.fixture
def ann() -> User:
    ann = world.ann()
    makers.sales(ann)
    return ann


@pytest.fixture
def account(ann: User) -> Account:
    return makers.account()


def created(account: Account, **said: Any) -> dict[str, Any]:
    answer = caller().post(f"{BASE}/opportunities", {"account": account.public_id, "name": "Acme", **STEP, **said})
    assert answer.status_code == 201, answer.json()
    shown: dict[str, Any] = answer.json()
    return shown


def test_stages_come_with_their_criteria(ann: User) -> None:
    makers.opportunity()
    found = caller().get(f"{BASE}/stages?pipeline=sales").json()["results"]
    assert len(found) == 9
    first = next(stage for stage in found if stage["position"] == 0)
    assert first["code"] == "understanding"
    assert {one["kind"] for one in first["requirements"]} == {"our_action", "buyer_confirmation"}


def test_a_deal_is_made_and_read_again(account: Account, ann: User) -> None:
    deal = created(account, amount=500_000, currency="EUR", external_id="crm-1", kind="expansion")
    assert (deal["stage"][:4], deal["pipeline"], deal["category"]) == ("stg_", "sales", "pipeline")
    assert (deal["owner"], deal["amount"], deal["state"]) == (ann.public_id, 500_000, "open")
    client = caller(user=ann)
    assert client.get(f"{BASE}/opportunities/external_id:crm-1").json() == deal
    whole = {name: value for name, value in deal.items() if name != "reason"}
    assert client.patch(f"{BASE}/opportunities/{deal['id']}", whole).json()["version"] == 1
    wrong = {"account": account.public_id, "name": "A", **STEP, "stage": "nowhere"}
    assert problem(caller().post(f"{BASE}/opportunities", wrong), status=400) == ("not_found", "stage")


def test_a_loss_without_its_reason_is_refused_field_by_field_and_one_patch_does_it(account: Account) -> None:  # A44
    deal = created(account)
    url, client = f"{BASE}/opportunities/{deal['id']}", caller()
    assert problem(client.patch(url, {"stage": "lost"}), status=400) == ("required", "lost_reason")
    refused = client.patch(url, {"stage": "evaluation"})
    assert refused.status_code == 400
    attrs = {error["attr"].partition(".")[0] for error in refused.json()["errors"]}
    assert attrs == {"amount", "close_date_basis", "confirmations"}
    assert Opportunity.objects.get().version == 1
    lost = client.patch(url, {"stage": "lost", "lost_reason": "no_budget"}, headers={"If-Match": '"1"'}).json()
    assert (lost["state"], lost["lost_category"], lost["category"]) == ("lost", "no_decision", "omitted")
    assert problem(client.patch(url, {"name": "B"}, headers={"If-Match": '"1"'}), status=409)[0] == "stale_version"
    assert problem(client.patch(url, {"stage": "understanding"}), status=400) == ("required", "reason")
    back = client.patch(url, {"stage": "understanding", "reason": "They called"}).json()
    assert (back["state"], back["lost_reason"]) == ("open", None)
    story = client.get(f"{url}/history").json()["results"]
    assert [one["what"] for one in story if one["is_backward"]] == ["stage"]


def test_criteria_are_confirmed_with_the_move(account: Account) -> None:
    deal = created(account, amount=1)
    client, url = caller(), f"{BASE}/opportunities/{deal['id']}"
    stages = {s["id"]: s for s in client.get(f"{BASE}/stages?pipeline=sales").json()["results"]}
    asked = [one["id"] for one in stages[deal["stage"]]["requirements"] if one["required"]]
    given = [{"requirement": one, "evidence": "Mail"} for one in asked]
    moved = client.patch(url, {"stage": "business_case", "confirmations": given}).json()
    assert stages[moved["stage"]]["code"] == "business_case"
    assert [one["requirement"] for one in moved["confirmations"]] == asked
    assert Event.objects.filter(type="crm.opportunity.confirmed").count() == len(asked)


def test_a_rep_sees_and_changes_what_is_theirs(account: Account, ann: User) -> None:
    bob, otto = world.bob(), world.otto()
    deal = makers.opportunity(account=account, owner=bob)
    seen = {user.name: caller(user=user).get(f"{BASE}/opportunities").json()["results"] for user in (ann, bob, otto)}
    assert {name: len(rows) for name, rows in seen.items()} == {"Ann": 1, "Bob": 1, "Otto": 0}
    assert caller(user=otto).patch(f"{BASE}/opportunities/{deal.public_id}", {"name": "B"}).status_code == 404
    body = {"account": account.public_id, "name": "Mine", **STEP}
    assert problem(caller(user=otto).post(f"{BASE}/opportunities", body), status=400) == ("not_found", "account")


def test_a_list_asks_the_same_however_long_it_is(account: Account, ann: User) -> None:
    client, counts = caller(user=ann), []
    for _round in range(3):
        makers.opportunity(account=account, owner=ann)
        with CaptureQueriesContext(connection) as seen:
            assert client.get(f"{BASE}/opportunities?state=open&owner={ann.public_id}").status_code == 200
        counts.append(len(seen))
    assert counts[1] == counts[2] <= 5
