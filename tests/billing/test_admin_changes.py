"""What finance and founders change of subscriptions: seen first, then made, scheduled, undone."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from billing import catalog, subscriptions
from billing.models import Invoice, Phase, Price, Subscription
from billing.selection import ItemTerms
from gtm.shared import keys
from gtm.shared.models import User
from tests import world
from tests.backoffice import address, errors, facts, signed_in, submit
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return signed_in(world.user(email="money@vendor.example", roles=("finance",)))


@pytest.fixture
def clock():
    return makers.clock()


@pytest.fixture
def seats(clock) -> Subscription:
    """Five seats at 10.00 USD, on a clock that stands at their start; there is Pro at 49.00 and 490.00, too."""
    makers.legal_entity()
    makers.published_plan()
    team = makers.plan(code="team", name="Team")
    makers.price(plan=team, code="seat", name="Seats", model="per_unit", unit_amount=1000)
    makers.price(plan=team, code="extra", add_on=True, unit_amount=2500)
    catalog.publish(plan=team, at=JAN_1)
    acme = makers.customer(test_clock=clock)
    makers.card(acme)
    items = [ItemTerms(Price.objects.get(code="seat"), 5)]
    return subscriptions.create(customer=acme, items=items, at=JAN_1)


def field(code: str) -> str:
    return f"price_{Price.objects.get(code=code).pk.hex}"


def made(client: Client, subscription: Subscription, **changes: object) -> list[str]:
    """Ask for a change, and take it when it was shown; what was shown."""
    path = address("billing_subscription_change_items", subscription.pk)
    page = submit(client, path, **changes)
    shown = list(page.context["outcome"])
    answer = submit(client, path, **changes, _shown=page.context["shown"])
    assert answer["Location"] == address("billing_subscription_change", subscription.pk)
    return shown


class TestChange:
    def test_another_plan_is_seen_and_then_made(self, client, seats):
        path = address("billing_subscription_change_items", seats.pk)
        pro = Price.objects.get(code="pro-year").plan
        page = submit(client, path, plan=str(pro.pk), interval="year")
        assert [line.rpartition(": ")[2] for line in page.context["outcome"]] == [
            "Takes effect on Jan 1, 2026.",
            "-$50.00",
            "$490.00",
            "$440.00, tax included.",
            "The next invoice, on Jan 1, 2027, comes to $490.00.",
        ]
        assert not facts("billing.subscription.changed")
        submit(client, path, plan=str(pro.pk), interval="year", _shown=page.context["shown"])
        seats.refresh_from_db()
        assert seats.plan_version.plan == pro
        assert seats.changes.get(kind="changed").origin == "admin"
        assert facts("billing.subscription.changed") == ["billing.subscription.changed"]
        assert Invoice.objects.latest("created_at").status == "paid"

    def test_plans_of_one_name_are_told_apart(self, client, seats):
        makers.plan(code="team-2026", name="Team")
        page = client.get(address("billing_subscription_change_items", seats.pk))
        labels = {label for _key, label in page.context["form"].fields["plan"].choices}
        assert {"Team (team)", "Team (team-2026)", "Pro"} <= labels

    def test_the_page_names_who_acted_by_two_queries_for_all_rows(self, client, seats):
        key, plaintext = keys.issue(name="The product", scope="write")
        for quantity in (6, 7):
            caller = APIClient(HTTP_AUTHORIZATION=f"Bearer {plaintext}")
            wanted = {"items": [{"price": "seat", "quantity": quantity}]}
            assert caller.post(f"/api/v1/subscriptions/{seats.public_id}/change", wanted).status_code == 200
        path = address("billing_subscription_change", seats.pk)
        with CaptureQueriesContext(connection) as few:
            page = client.get(path).content.decode()
        assert "The product" in page
        assert key.public_id not in page.replace(f"/{key.public_id}", "")
        assert "PO number" in page
        assert "Po number" not in page
        made(client, seats, **{field("seat"): 9})
        with CaptureQueriesContext(connection) as more:
            page = client.get(path).content.decode()
        of_names = [sum("shared_apikey" in one["sql"] for one in queries) for queries in (few, more)]
        assert of_names[0] == of_names[1]
        assert str(User.objects.get(email="money@vendor.example")) in page

    def test_quantities_stand_as_they_are_and_wait_for_the_next_invoice(self, client, seats):
        shown = made(client, seats, **{field("seat"): "8"})
        assert shown[-1].endswith("comes to $110.00.")  # 30.00 more for January, and February
        assert seats.items.filter(ended_at=None).get().quantity == 8

    def test_an_add_on_is_added(self, client, seats):
        made(client, seats, **{field("extra"): "1"})
        live = seats.items.filter(ended_at=None)
        assert set(live.values_list("price__code", flat=True)) == {"seat", "extra"}

    def test_what_is_refused_stands_at_its_field(self, client, seats):
        path = address("billing_subscription_change_items", seats.pk)
        assert errors(submit(client, path, **{field("seat"): "-1"})).keys() == {field("seat")}
        assert "already" in errors(submit(client, path))["__all__"][0]
        assert "at least one item" in errors(submit(client, path, **{field("seat"): None}))["__all__"][0]

    def test_it_is_not_offered_for_what_has_ended(self, client, seats):
        subscriptions.cancel(subscription=seats, when="now", at=JAN_1)
        page = client.get(address("billing_subscription_change", seats.pk))
        assert "Change plan" not in [action["title"] for action in page.context["actions_detail"]]


class TestScheduled:
    def test_is_shown_and_undone(self, client, seats):
        made(client, seats, **{field("seat"): "3"})
        assert Phase.objects.count() == 1
        page = client.get(address("billing_subscription_change", seats.pk))
        assert b"3 \xc3\x97 seat" in page.content
        assert "Feb 1, 2026" in page.context["notes"][0]
        assert [note.partition(": ")[2] for note in page.context["notes"]] == [
            "it becomes Team.",
            "its next invoice is made.",
        ]
        submit(client, address("billing_subscription_undo_change", seats.pk))
        assert not Phase.objects.exists()
        kinds = ("billing.subscription.change_scheduled", "billing.subscription.change_undone")
        assert facts(*kinds) == list(kinds)
