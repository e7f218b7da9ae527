"""What is promised of Idempotency-Key, alone and with two real connections at once."""

import threading
from datetime import timedelta

import pytest

from gtm.shared import db
from gtm.shared.models import Event, IdempotencyRecord, TestClock
from tests import world
from tests.shared import api_world
from tests.shared.api_world import caller, clock, in_thread, problem

CLOCKS = "/api/v1/clocks"
BODY = {"name": "Year", "frozen_time": "2026-01-01T00:00:00Z", "external_id": "a"}
pytestmark = pytest.mark.urls("tests.shared.api_world")


def with_key(key="k"):
    return {"Idempotency-Key": key}


@pytest.fixture(autouse=True)
def _closed_gate():
    api_world.CHARGED.clear()
    api_world.GATE.clear()
    api_world.ENTERED.clear()
    yield
    api_world.GATE.set()


@pytest.mark.django_db
class TestReplay:
    def test_the_same_key_and_body_get_the_first_answer_to_the_byte(self):
        client = caller()
        first = client.post(CLOCKS, BODY, headers=with_key())
        TestClock.objects.update(name="changed since")
        second = client.post(CLOCKS, BODY, headers=with_key())
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.content == second.content
        assert first["ETag"] == second["ETag"] == '"1"'
        assert "Idempotency-Replayed" not in first
        assert second["Idempotency-Replayed"] == "true"
        assert TestClock.objects.count() == Event.objects.filter(type="test_clock.created").count() == 1

    @pytest.mark.parametrize("change", [{"name": "Other"}, {"external_id": "b"}, {"metadata": {}}])
    def test_another_body_is_refused(self, change):
        client = caller()
        client.post(CLOCKS, BODY, headers=with_key())
        response = client.post(CLOCKS, BODY | change, headers=with_key())
        assert problem(response, status=409) == ("idempotency_key_reused", "Idempotency-Key")
        assert TestClock.objects.count() == 1

    def test_another_path_is_refused(self):
        client = caller()
        client.post(CLOCKS, BODY, headers=with_key())
        response = client.post(f"{CLOCKS}?x=1", BODY, headers=with_key())
        assert problem(response, status=409)[0] == "idempotency_key_reused"
        assert problem(client.post("/api/v1/echo", BODY, headers=with_key()), status=409)[0] == "idempotency_key_reused"

    def test_without_a_key_every_post_counts(self):
        client = caller()
        for _ in range(2):
            assert client.post(CLOCKS, BODY | {"external_id": None}).status_code == 201
        assert TestClock.objects.count() == 2

    def test_a_key_belongs_to_its_owner(self):
        assert caller().post(CLOCKS, BODY | {"external_id": "1"}, headers=with_key()).status_code == 201
        # Another key of the installation's may retry: keys are rotated.
        again = caller().post(CLOCKS, BODY | {"external_id": "1"}, headers=with_key())
        assert again["Idempotency-Replayed"] == "true"
        assert caller(user=world.ann()).post(CLOCKS, BODY, headers=with_key()).status_code == 201

    def test_after_a_day_the_key_is_new(self):
        client = caller()
        client.post(CLOCKS, BODY, headers=with_key())
        IdempotencyRecord.objects.update(created_at=db.now() - timedelta(hours=24))
        response = client.post(CLOCKS, BODY | {"external_id": "b"}, headers=with_key())
        assert response.status_code == 201
        assert "Idempotency-Replayed" not in response

    @pytest.mark.parametrize("key", ["", " ", "x" * 256, "ü", "a\tb"])
    def test_a_key_that_cannot_be_kept_is_refused(self, key):
        assert problem(caller().post(CLOCKS, BODY, headers=with_key(key)), status=400)[1] == "Idempotency-Key"
        assert not TestClock.objects.exists()

    def test_a_key_is_ignored_where_nothing_is_posted(self):
        year = clock()
        for _ in range(2):
            response = caller().patch(f"{CLOCKS}/{year.public_id}", {"name": "x"}, headers=with_key())
            assert response.status_code == 200
        assert not IdempotencyRecord.objects.exists()

    def test_a_body_that_is_no_json_is_answered_the_same_again(self):
        for replayed in (False, True):
            response = caller().generic("POST", CLOCKS, "{", content_type="application/json", headers=with_key())
            assert problem(response, status=400)[0] == "parse_error"
            assert ("Idempotency-Replayed" in response) is replayed

    def test_costs_a_constant_number_of_queries(self, django_assert_num_queries):
        client = caller()
        client.post(CLOCKS, BODY | {"external_id": "x"})
        with django_assert_num_queries(16):
            client.post(CLOCKS, BODY, headers=with_key())
        with django_assert_num_queries(6):
            client.post(CLOCKS, BODY, headers=with_key())


@pytest.mark.django_db
class TestRefusals:
    @pytest.mark.parametrize(("kind", "status"), [("invalid", 400), ("conflict", 409), ("not_found", 404)])
    def test_are_remembered_and_their_writes_are_not(self, kind, status):
        client, year = caller(), clock()
        for replayed in (False, True):
            response = client.post(f"{CLOCKS}/{year.public_id}/failure", {"kind": kind}, headers=with_key())
            problem(response, status=status)
            assert ("Idempotency-Replayed" in response) is replayed
        year.refresh_from_db()
        assert year.name == "Year"

    @pytest.mark.parametrize(("kind", "status"), [("forbidden", 403), ("clock_advancing", 409), ("bug", 500)])
    def test_are_forgotten_where_a_later_try_may_succeed(self, kind, status):
        client, year = caller(raise_request_exception=False), clock()
        for _ in range(2):
            response = client.post(f"{CLOCKS}/{year.public_id}/failure", {"kind": kind}, headers=with_key())
            problem(response, status=status)
            assert "Idempotency-Replayed" not in response
        year.refresh_from_db()
        assert year.name == "Year"
        assert not IdempotencyRecord.objects.exists()

    def test_before_the_view_leave_no_record(self):
        for client, status in ((caller(scope="read"), 403), (caller(), 405)):
            path = CLOCKS if status == 403 else f"{CLOCKS}/{clock().public_id}"
            problem(client.post(path, BODY, headers=with_key()), status=status)
        assert not IdempotencyRecord.objects.exists()

    def test_a_failed_validation_can_be_sent_again_under_another_key(self):
        problem(caller().post(CLOCKS, {}, headers=with_key("1")), status=400)
        assert caller().post(CLOCKS, BODY, headers=with_key("2")).status_code == 201


@pytest.mark.django_db(transaction=True)
class TestTwoConnections:
    @pytest.mark.parametrize("verb", ["pause", "charge"])
    def test_one_runs_and_the_other_is_told_at_once(self, verb):
        client, path = caller(), f"{CLOCKS}/{clock().public_id}/{verb}"
        first = in_thread(lambda: client.post(path, {"wait": True}, headers=with_key()))
        assert api_world.ENTERED.wait(10)
        second = client.post(path, {"wait": True}, headers=with_key())
        assert problem(second, status=409) == ("idempotency_key_in_use", "Idempotency-Key")
        other = client.post(f"{CLOCKS}/{clock().public_id}/usage", headers=with_key("another"))
        assert other.status_code == 200
        api_world.GATE.set()
        assert first().status_code == 200
        third = client.post(path, {"wait": True}, headers=with_key())
        assert third.content == first().content
        assert third["Idempotency-Replayed"] == "true"

    def test_of_many_at_once_one_writes(self):
        client = caller()
        start = threading.Barrier(6)

        def post():
            start.wait(10)
            return client.post(CLOCKS, BODY, headers=with_key())

        responses = [wait() for wait in [in_thread(post) for _ in range(6)]]
        fresh = [r for r in responses if r.status_code == 201 and "Idempotency-Replayed" not in r]
        assert len(fresh) == 1
        for response in responses:
            assert response.status_code == 201 or problem(response, status=409)[0] == "idempotency_key_in_use"
        assert TestClock.objects.count() == Event.objects.filter(type="test_clock.created").count() == 1

    def test_a_rolled_back_request_leaves_its_key_free(self):
        client, year = caller(raise_request_exception=False), clock()
        problem(client.post(f"{CLOCKS}/{year.public_id}/failure", {"kind": "bug"}, headers=with_key()), status=500)
        assert not IdempotencyRecord.objects.exists()
        response = client.post(f"{CLOCKS}/{year.public_id}/usage", headers=with_key())
        assert response.status_code == 200


@pytest.mark.django_db(transaction=True)
class TestResumable:
    def test_runs_outside_of_a_transaction_and_replays(self):
        client, path = caller(), f"{CLOCKS}/{clock().public_id}/charge"
        first, second = (client.post(path, {}, headers=with_key()) for _ in range(2))
        assert first.content == second.content
        assert second["Idempotency-Replayed"] == "true"
        assert len(api_world.CHARGED) == 1
        record = IdempotencyRecord.objects.get()
        assert (record.status, record.started_at) == (200, None)

    def test_after_a_500_the_same_key_goes_on_with_the_same_id(self):
        client, path = caller(raise_request_exception=False), f"{CLOCKS}/{clock().public_id}/charge"
        for _ in range(2):
            problem(client.post(path, {"kind": "bug"}, headers=with_key()), status=500)
        assert len(api_world.CHARGED) == 1
        problem(client.post(path, {}, headers=with_key()), status=409)

    def test_a_refusal_is_remembered(self):
        client, path = caller(), f"{CLOCKS}/{clock().public_id}/charge"
        for replayed in (False, True):
            response = client.post(path, {"kind": "conflict"}, headers=with_key())
            assert problem(response, status=409)[0] == "limit_reached"
            assert ("Idempotency-Replayed" in response) is replayed

    @pytest.mark.parametrize(("seconds", "status"), [(55, 409), (65, 200)])
    def test_what_a_dead_process_left_may_be_resumed_after_a_minute(self, seconds, status):
        client, path = caller(), f"{CLOCKS}/{clock().public_id}/charge"
        client.post(path, {}, headers=with_key())
        started_at = db.now() - timedelta(seconds=seconds)
        IdempotencyRecord.objects.update(status=None, body=None, started_at=started_at)
        response = client.post(path, {}, headers=with_key())
        assert response.status_code == status
        assert "Idempotency-Replayed" not in response
        assert len(api_world.CHARGED) == 1

    def test_of_two_that_resume_the_later_ones_answer_stays(self):
        client, path = caller(), f"{CLOCKS}/{clock().public_id}/charge"
        slow = in_thread(lambda: client.post(path, {"wait": True}, headers=with_key()))
        assert api_world.ENTERED.wait(10)
        IdempotencyRecord.objects.update(started_at=db.now() - timedelta(seconds=61))
        api_world.GATE.set()
        resumed = client.post(path, {"wait": True}, headers=with_key())
        assert resumed.status_code == slow().status_code == 200
        assert len(api_world.CHARGED) == 1
        assert IdempotencyRecord.objects.get().status == 200

    def test_without_a_key_there_is_no_id(self):
        response = caller().post(f"{CLOCKS}/{clock().public_id}/charge", {})
        assert response.status_code == 200
        assert api_world.CHARGED == [None]
