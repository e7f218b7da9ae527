"""Who may call, and how everything that goes wrong is answered."""

import pytest
from django.test import Client
from django.urls import reverse

from gtm.shared import ids, keys
from gtm.shared.models import Event, TestClock
from tests import world
from tests.shared.api_world import caller, clock, problem

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.shared.api_world")]
CLOCKS = "/api/v1/clocks"
BODY = {"name": "Year", "frozen_time": "2026-01-01T00:00:00Z"}


def signed_in(user, **options):
    client = Client(**options)
    client.force_login(user)
    return client


class TestAuthentication:
    @pytest.mark.parametrize(
        "header", ["", "Bearer", "Bearer a b", "Bearer tdm_nope", "bearer \xff\xfe", "Basic dTpw", "Token x", "tdm_x"]
    )
    def test_answers_401_without_a_good_key(self, header):
        response = Client().get(CLOCKS, headers={"Authorization": header} if header else {})
        code, _ = problem(response, status=401)
        assert code in {"not_authenticated", "authentication_failed"}
        assert response["WWW-Authenticate"] == 'Bearer realm="api"'

    def test_takes_a_key_whatever_the_case_of_the_word(self):
        _, plaintext = keys.issue(name="x", scope="read")
        assert Client().get(CLOCKS, headers={"Authorization": f"bearer {plaintext}"}).status_code == 200

    def test_names_the_key_as_the_actor_of_facts(self):
        key, plaintext = keys.issue(name="x", scope="write", user=world.ann())
        headers = {"Authorization": f"Bearer {plaintext}"}
        Client().post(CLOCKS, BODY, content_type="application/json", headers=headers)
        event = Event.objects.get(type="test_clock.created")
        assert event.actor == f"key:{key.public_id}"
        assert event.request_id

    def test_takes_the_session_of_staff_and_names_them(self):
        client = signed_in(ann := world.ann())
        assert client.get(CLOCKS).status_code == 200
        assert client.post(CLOCKS, BODY, content_type="application/json").status_code == 201
        assert Event.objects.get(type="test_clock.created").actor == f"user:{ann.public_id}"

    def test_asks_a_session_for_its_csrf_token(self):
        client = signed_in(world.ann(), enforce_csrf_checks=True)
        assert client.get(CLOCKS).status_code == 200
        assert problem(client.post(CLOCKS, BODY, content_type="application/json"), status=403)[0] == "permission_denied"

    def test_asks_a_key_for_no_csrf_token(self):
        assert caller(enforce_csrf_checks=True).post(CLOCKS, BODY).status_code == 201

    def test_never_takes_a_customers_session(self):
        client = signed_in(world.user(email="cora@acme.example"))
        problem(client.get(CLOCKS), status=401)
        problem(client.post(CLOCKS, BODY, content_type="application/json"), status=401)

    def test_does_not_fall_back_to_the_session_when_the_key_is_bad(self):
        client = signed_in(world.ann())
        problem(client.get(CLOCKS, headers={"Authorization": "Bearer tdm_nope"}), status=401)

    def test_costs_one_query(self, django_assert_num_queries):
        client = caller(scope="read")
        client.get(CLOCKS)
        with django_assert_num_queries(2):
            client.get(CLOCKS)


class TestScopes:
    @pytest.mark.parametrize(
        ("scope", "reads", "writes", "sends_usage"),
        [("read", 200, 403, 403), ("write", 200, 201, 200), ("usage", 403, 403, 200)],
    )
    def test_a_key_does_what_its_scope_says(self, scope, reads, writes, sends_usage):
        client, year = caller(scope=scope), clock()
        assert client.get(CLOCKS).status_code == reads
        assert client.post(CLOCKS, BODY).status_code == writes
        assert client.post(f"{CLOCKS}/{year.public_id}/usage").status_code == sends_usage

    def test_says_what_it_lacks(self):
        response = caller(scope="read").post(CLOCKS, BODY)
        assert problem(response, status=403) == ("lacks_scope", None)
        assert "read" in response.json()["errors"][0]["detail"]
        assert not TestClock.objects.exists()

    @pytest.mark.parametrize(("who", "status"), [(world.ann, 403), (world.max_manager, 200), (world.fay, 200)])
    def test_staff_need_the_role_that_a_view_asks_for(self, who, status):
        year = clock()
        assert caller(user=who()).post(f"{CLOCKS}/{year.public_id}/approval").status_code == status

    def test_a_key_of_staff_sees_their_rows_only(self):
        mine, other = clock(name="Ann"), clock(name="Bob")
        client = caller(user=world.ann())
        assert [row["id"] for row in client.get("/api/v1/frozen").json()["results"]] == [mine.public_id]
        problem(client.get(f"/api/v1/frozen/{other.public_id}"), status=404)
        problem(client.patch(f"/api/v1/frozen/{other.public_id}", {"name": "Ann"}), status=404)
        assert len(caller().get("/api/v1/frozen").json()["results"]) == 2


class TestErrors:
    @pytest.mark.parametrize(
        ("kind", "status", "code", "attr"),
        [
            ("invalid", 400, "invalid", "kind"),
            ("forbidden", 403, "permission_denied", None),
            ("not_found", 404, "not_found", None),
            ("conflict", 409, "limit_reached", None),
        ],
    )
    def test_refusals_of_the_domain_carry_their_status_and_leave_the_transaction(self, kind, status, code, attr):
        response = caller().post(f"{CLOCKS}/{clock().public_id}/failure", {"kind": kind})
        assert problem(response, status=status) == (code, attr)
        assert response.json()["type"] == ("validation_error" if status == 400 else "client_error")

    def test_a_bug_shows_nothing_of_the_inside_and_is_logged_with_the_request(self, caplog):
        client = caller(raise_request_exception=False)
        response = client.post(f"{CLOCKS}/{clock().public_id}/failure", {"kind": "bug"})
        assert problem(response, status=500) == ("error", None)
        assert response.json()["type"] == "server_error"
        assert b"secret" not in response.content
        assert "secret inside" in caplog.text
        number = response.json()["errors"][0]["detail"].rsplit("Request ", 1)[1].rstrip(".")
        assert number in caplog.text

    def test_names_every_wrong_field_by_its_path(self):
        body = BODY | {"hands": [{"size": 1}, {"size": 0, "tooth": "x"}, {}]}
        response = caller().post(CLOCKS, body)
        assert response.status_code == 400
        assert {(error["attr"], error["code"]) for error in response.json()["errors"]} == {
            ("hands.1.size", "min_value"),
            ("hands.1.tooth", "invalid"),
            ("hands.2.size", "required"),
        }

    def test_names_unknown_fields(self):
        response = caller().post(CLOCKS, BODY | {"nmae": "x"})
        assert problem(response, status=400) == ("unknown_field", "nmae")
        response = caller().post(CLOCKS, BODY | {"hands": [{"size": 1, "finger": 2}]})
        assert problem(response, status=400) == ("unknown_field", "hands.0.finger")

    @pytest.mark.parametrize("method", ["put", "delete"])
    def test_other_methods_are_405(self, method):
        problem(getattr(caller(), method)(f"{CLOCKS}/{clock().public_id}"), status=405)
        problem(caller().options(CLOCKS), status=405)

    @pytest.mark.parametrize(
        "content_type", ["text/plain", "application/x-www-form-urlencoded", "text/xml", "*/*x", ""]
    )
    def test_other_media_types_are_415(self, content_type):
        problem(caller().generic("POST", CLOCKS, "name=x", content_type=content_type), status=415)

    def test_answers_json_whatever_is_accepted(self):
        for accept in ("text/html", "application/xml;q=1", "nonsense", "application/json;version=9"):
            assert caller().get(CLOCKS, headers={"Accept": accept})["Content-Type"] == "application/json"

    def test_unknown_paths_are_json(self, settings):
        settings.DEBUG = True
        assert problem(Client().get("/api/v2/nothing"), status=404) == ("not_found", None)
        assert problem(Client(enforce_csrf_checks=True).post("/api/v1/clocks/a/b/c"), status=404) == ("not_found", None)

    def test_a_crash_outside_the_framework_is_json_under_api_only(self):
        client = Client(raise_request_exception=False)
        response = client.get("/api/v1/crash")
        assert problem(response, status=500) == ("error", None)
        assert b"secret" not in response.content

    def test_a_host_that_is_not_ours_is_400(self):
        assert problem(Client().get(CLOCKS, headers={"Host": "evil.example"}), status=400)[0] == "bad_request"

    def test_a_body_over_the_limit_is_400(self, settings):
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
        assert problem(caller().post(CLOCKS, {"name": "x" * 200}), status=400)[0] == "too_large"
        response = caller().post(CLOCKS, {"name": "x" * 200}, headers={"Idempotency-Key": "k"})
        assert problem(response, status=400)[0] == "too_large"

    def test_a_race_for_an_external_id_is_a_validation_error(self):
        clock(external_id="a")
        assert problem(caller().post(CLOCKS, BODY | {"external_id": "a"}), status=400) == ("unique", "external_id")


class TestAddresses:
    def test_objects_are_found_by_id_and_external_id(self):
        year = clock(external_id="a b:ü")
        client = caller()
        for name in (year.public_id, "external_id:a b:ü", f"{year.public_id}/"):
            assert client.get(f"{CLOCKS}/{name}").json()["id"] == year.public_id

    @pytest.mark.parametrize(
        "name",
        [
            "clock_", "clock_0", "clock_00000000000000000000000000", "CLOCK_00000000000000000000000000",
            "cus_00000000000000000000000000", "external_id:", "external_id:nope", "external_id:%00",
            "external_id:" + "x" * 3000, "nope", "%00", "a%00b", "%ff%fe", "%ED%A0%80", "None", "1", "ü" * 300,
        ],
    )  # fmt: skip
    def test_what_names_nothing_is_404(self, name):
        clock()
        problem(caller().get(f"{CLOCKS}/{name}"), status=404)
        problem(
            caller().post(f"{CLOCKS}/{name}/failure", {"kind": "bug"}, headers={"Idempotency-Key": "k"}), status=404
        )

    def test_are_written_without_a_slash_and_taken_with_one(self):
        assert reverse("testclock-list") == CLOCKS
        assert caller().get(f"{CLOCKS}/").status_code == 200

    def test_an_id_of_another_kind_is_404(self):
        year = clock()
        problem(caller().get(f"{CLOCKS}/{ids.encode('cus', year.id)}"), status=404)
