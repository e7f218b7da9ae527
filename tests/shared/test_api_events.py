import pytest

from gtm.shared import context, db, ids, outbox
from gtm.shared.models import Role
from tests import world
from tests.shared.api_world import caller, clock, problem

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.shared.api_world")]
EVENTS = "/api/v1/events"


def fact(type_="test_clock.created", obj=None, **columns):
    return outbox.publish(type_, obj or clock(), at=db.now(), **columns)


def ids_of(response):
    assert response.status_code == 200, response.content
    return [row["id"] for row in response.json()["results"]]


class TestEvents:
    def test_say_what_happened_to_what_by_whom_and_when(self):
        year, customer, account = clock(), ids.uuid7(), ids.uuid7()
        with context.acting("key:key_x", on_behalf_of="user:usr_x"):
            event = fact(
                obj=year,
                customer_id=customer,
                account_id=account,
                test_clock_id=year.id,
                data={"amount": 5},
                previous={"amount": 4},
                reason="because",
            )
        event.refresh_from_db()
        found = caller(scope="read").get(f"{EVENTS}/{event.public_id}").json()
        assert found.pop("recorded_at").endswith("Z")
        assert found.pop("occurred_at").endswith("Z")
        assert found == {
            "id": event.public_id,
            "type": "test_clock.created",
            "position": event.position,
            "object": {"type": "test_clock", "id": year.public_id},
            "version": 1,
            "customer": ids.encode("cus", customer),
            "account": ids.encode("acct", account),
            "test_clock": year.public_id,
            "actor": "key:key_x",
            "on_behalf_of": "user:usr_x",
            "request_id": "",
            "reason": "because",
            "data": {"amount": 5},
            "previous": {"amount": 4},
        }

    def test_of_the_installation_itself_have_an_id_too(self):
        event = fact("user.changed", world.ann())
        assert caller().get(f"{EVENTS}/{event.public_id}").json()["object"]["id"].startswith("usr_")

    def test_come_newest_first_in_stable_pages(self):
        client = caller()
        events = [fact() for _ in range(5)][::-1]
        first = client.get(f"{EVENTS}?limit=3&type=test_clock.created")
        fact()
        second = client.get(first.json()["next"])
        assert ids_of(first) + ids_of(second) == [event.public_id for event in events]

    def test_are_filtered_by_type_customer_account_object_and_clock(self):
        customer, account, year = ids.uuid7(), ids.uuid7(), clock(external_id="a")
        event = fact("a.b", year, customer_id=customer, account_id=account, test_clock_id=year.id)
        fact("a.c", customer_id=ids.uuid7(), account_id=ids.uuid7())
        for query in (
            "type=a.b",
            f"customer={ids.encode('cus', customer)}",
            f"account={ids.encode('acct', account)}",
            f"object={year.public_id}",
            f"test_clock={year.public_id}",
            "test_clock=external_id:a",
        ):
            assert ids_of(caller().get(f"{EVENTS}?{query}")) == [event.public_id], query
        assert ids_of(caller().get(f"{EVENTS}?type=a")) == []
        for query in ("customer=acct_x", "object=x", "object=", "recorded_at[gte]=now"):
            status = 200 if query == "object=" else 400
            assert caller().get(f"{EVENTS}?{query}").status_code == status

    def test_cannot_be_written(self):
        problem(caller().post(EVENTS, {}), status=405)
        problem(caller().patch(f"{EVENTS}/{fact().public_id}", {}), status=405)

    def test_of_nobody_in_particular_are_for_those_who_see_all(self):
        event = fact()
        assert event.public_id in ids_of(caller(user=world.fay()).get(EVENTS))
        client = caller(user=world.ann())
        assert ids_of(client.get(EVENTS)) == []
        problem(client.get(f"{EVENTS}/{event.public_id}"), status=404)

    def test_cost_a_constant_number_of_queries(self, django_assert_num_queries):
        client = caller()
        client.get(EVENTS)
        for _ in range(10):
            year = clock()
            fact(obj=year, test_clock_id=year.id)
        with django_assert_num_queries(2):
            client.get(EVENTS)


class TestUsers:
    def test_are_staff_alone(self):
        fay, ann = world.fay(), world.ann()
        cora = world.user(email="cora@acme.example")
        client = caller(scope="read")
        assert ids_of(client.get("/api/v1/users")) == [ann.public_id, fay.public_id]
        found = client.get(f"/api/v1/users/{ann.public_id}").json()
        del found["created_at"]
        assert found == {
            "id": ann.public_id,
            "name": "Ann",
            "email": "ann@vendor.example",
            "roles": ["ae"],
            "active": True,
            "timezone": "UTC",
            "locale": "en",
        }
        problem(client.get(f"/api/v1/users/{cora.public_id}"), status=404)

    def test_are_filtered_by_role_email_and_whether_they_are_active(self):
        ann, otto = world.ann(), world.user(email="otto@vendor.example", roles=(Role.CSM,), is_active=False)
        for query, expected in {
            "role=ae": [ann],
            "email=ANN@vendor.example": [ann],
            "active=false": [otto],
            "active=true&role=csm": [],
        }.items():
            assert ids_of(caller().get(f"/api/v1/users?{query}")) == [user.public_id for user in expected]
        problem(caller().get("/api/v1/users?role=king"), status=400)
