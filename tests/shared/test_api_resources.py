"""Lists, pages, filters, versions, and what a body may hold."""

import json
from datetime import UTC, datetime, timedelta
from itertools import chain
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from gtm.shared.api.pagination import Cursor
from gtm.shared.models import TestClock
from tests.shared.api_world import caller, clock, in_thread, problem
from tests.world import JAN_1

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.shared.api_world")]
CLOCKS = "/api/v1/clocks"
BODY = {"name": "Year", "frozen_time": "2026-01-01T00:00:00Z"}


class TestRepresentation:
    def test_has_what_every_object_has(self):
        response = caller().post(CLOCKS, BODY | {"external_id": " a ", "metadata": {"x": 1.5, "y": None, "z": True}})
        year = TestClock.objects.get()
        assert response.status_code == 201
        assert response["ETag"] == '"1"'
        assert list(response.json().items()) == [
            ("id", year.public_id),
            ("external_id", "a"),
            ("name", "Year"),
            ("frozen_time", "2026-01-01T00:00:00Z"),
            ("status", "ready"),
            ("metadata", {"x": 1.5, "y": None, "z": True}),
            ("version", 1),
            ("created_at", year.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z")),
            ("updated_at", year.updated_at.astimezone(UTC).isoformat().replace("+00:00", "Z")),
        ]

    def test_answers_in_utc(self):
        response = caller().post(CLOCKS, BODY | {"frozen_time": "2026-01-01t05:30:00.250+05:30"})
        assert response.json()["frozen_time"] == "2026-01-01T00:00:00.250000Z"

    def test_what_is_read_can_be_written_back_whole(self):
        client, year = caller(), clock()
        content = client.get(f"{CLOCKS}/{year.public_id}").json() | {"name": "New"}
        response = client.patch(f"{CLOCKS}/{year.public_id}", content)
        assert response.status_code == 200
        assert response.json()["name"] == "New"

    @pytest.mark.parametrize(
        "change", [{"id": "clock_x"}, {"status": "failed"}, {"version": 7}, {"frozen_time": "2026-02-01T00:00:00Z"}]
    )
    def test_what_cannot_be_set_is_refused_where_it_differs(self, change):
        year = clock()
        response = caller().patch(f"{CLOCKS}/{year.public_id}", change)
        assert problem(response, status=400) == ("read_only", *change)

    def test_what_cannot_be_set_is_refused_on_creation(self):
        assert problem(caller().post(CLOCKS, BODY | {"status": "ready"}), status=400) == ("read_only", "status")


HOSTILE = [
    b"null",
    b"[]",
    b'"x"',
    b"{",
    b'{"name": NaN}',
    b'{"name": Infinity}',
    b'{"name": 1e999}',
    b'{"name": "\\u0000"}',
    b'{"name\\u0000": "x"}',
    b'{"metadata": {"a": "x\\u0000"}}',
    b'{"name": "\x00"}',
    b'{"name": "\\ud800"}',
    b'{"name": "\xff"}',
    b'{"name": "\xed\xa0\x80"}',
    b"\xef\xbb\xbf{}",
    b'{"metadata": ' + b'{"a":' * 40 + b"1" + b"}" * 41,
    b'{"metadata": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"metadata": {"a": ' + b"9" * 400 + b"}}",
    b'{"metadata": {"a": ' + b"9" * 5000 + b"}}",
    b'{"metadata": {"a": 9223372036854775808}}',
    b'{"metadata": {"a": {"b": 1}}}',
    b'{"metadata": {"a": [1]}}',
    b'{"metadata": {"": 1}}',
    b'{"metadata": {"%s": 1}}' % (b"x" * 41),
    b'{"metadata": {"a": "%s"}}' % (b"x" * 501),
    json.dumps({"metadata": {str(n): n for n in range(51)}}).encode(),
    b'{"metadata": null}',
    b'{"metadata": []}',
    b'{"name": {"a": 1}}',
    b'{"name": ["a"]}',
    b'{"name": true}',
    b'{"name": "%s"}' % (b"x" * 201),
    b'{"external_id": ""}',
    b'{"external_id": "%s"}' % (b"x" * 201),
    b'{"frozen_time": "2026-01-01T00:00:00"}',
    b'{"frozen_time": "2026-01-01"}',
    b'{"frozen_time": 1767225600}',
    b'{"frozen_time": "0001-01-01T00:00:00+14:00"}',
    b'{"frozen_time": "9999-12-31T23:59:59-14:00"}',
    b'{"frozen_time": "2026-02-30T00:00:00Z"}',
    b'{"frozen_time": "2026-01-01T25:00:00Z"}',
    b'{"frozen_time": "2026-01-01T00:00:00+99:99"}',
    '{"frozen_time": "２０２６-01-01T00:00:00Z"}'.encode(),
    b'{"hands": {}}',
    b'{"hands": "x"}',
    b'{"hands": [1]}',
    b'{"hands": [null]}',
    b'{"hands": [{"size": 2147483648}]}',
    b'{"hands": [{"size": %s}]}' % (b"9" * 400),
    b'{"hands": [{"size": 1.0}]}',
    b'{"hands": [{"size": true}]}',
    b'{"hands": [{"size": "1"}]}',
    b'{"twin": 1}',
    b'{"twin": {}}',
    b'{"twin": "clock_0"}',
    b'{"twin": "external_id:nope"}',
    b'{"twin": ""}',
]


class TestHostileBodies:
    @pytest.mark.parametrize("method", ["POST", "PATCH"])
    @pytest.mark.parametrize("body", HOSTILE, ids=[body[:40].decode("latin-1") for body in HOSTILE])
    def test_are_400(self, method, body):
        year = clock(name="before")
        path = CLOCKS if method == "POST" else f"{CLOCKS}/{year.public_id}"
        response = caller().generic(method, path, body, content_type="application/json; charset=utf-16")
        assert response.status_code == 400, response.content
        assert {*response.json()} == {"type", "errors"}
        assert TestClock.objects.get().name == "before"

    @pytest.mark.parametrize("body", [b'{"name": "a", "name": "b"}', b'{"name": "\\ud83d\\ude00 \\\\u0000"}'])
    def test_odd_but_sound_ones_are_taken(self, body):
        response = caller().generic("PATCH", f"{CLOCKS}/{clock().public_id}", body, content_type="application/json")
        assert response.status_code == 200
        assert response.json()["name"] in {"b", "😀 \\u0000"}

    def test_no_body_is_an_empty_object(self):
        assert caller().generic("POST", "/api/v1/echo").json() == {}


def ids_of(response):
    return [row["id"] for row in response.json()["results"]]


class TestPages:
    def walk(self, client, path, step="next"):
        pages = []
        while path:
            response = client.get(path)
            assert response.status_code == 200, response.content
            pages.append(ids_of(response))
            path = response.json()[step]
            assert len(pages) < 50
        return pages

    def test_walk_all_rows_once_though_all_were_written_at_once(self):
        TestClock.objects.bulk_create([TestClock(frozen_time=JAN_1, created_at=JAN_1) for _ in range(57)])
        newest_first = [row.public_id for row in TestClock.objects.order_by("-id")]
        pages = self.walk(caller(), f"{CLOCKS}?limit=10")
        assert [len(page) for page in pages] == [10, 10, 10, 10, 10, 7]
        assert list(chain(*pages)) == newest_first

    def test_walk_back_as_they_came(self):
        for day in range(7):
            clock(created_at=JAN_1 + timedelta(days=day // 3))
        client = caller()
        forwards = self.walk(client, f"{CLOCKS}?limit=2")
        last = client.get(client.get(client.get(f"{CLOCKS}?limit=2").json()["next"]).json()["next"]).json()["next"]
        backwards = self.walk(client, last, step="previous")
        assert backwards == forwards[::-1]

    def test_stay_in_place_while_rows_come_and_go(self):
        rows = [clock(created_at=JAN_1 + timedelta(days=day)) for day in range(6)][::-1]
        client = caller()
        first = client.get(f"{CLOCKS}?limit=2").json()
        clock(created_at=JAN_1 + timedelta(days=30))
        rows[1].delete()  # the very row that the cursor names
        second = client.get(first["next"])
        assert ids_of(second) == [rows[2].public_id, rows[3].public_id]
        assert ids_of(client.get(second.json()["previous"]))[-1] == rows[0].public_id

    def test_have_ends(self):
        client, newest = caller(), [clock() for _ in range(3)][-1]
        first = client.get(f"{CLOCKS}?limit=3").json()
        assert (first["next"], first["previous"]) == (None, None)
        first = client.get(f"{CLOCKS}?limit=2").json()
        assert first["previous"] is None
        last = client.get(first["next"]).json()
        assert last["next"] is None
        back = client.get(last["previous"]).json()
        assert (back["results"][0]["id"], back["previous"]) == (newest.public_id, None)
        TestClock.objects.all().delete()
        assert client.get(first["next"]).json() == {"results": [], "next": None, "previous": None}

    def test_links_are_absolute_and_keep_the_filters(self):
        for _ in range(2):
            clock()
        link = caller().get(f"{CLOCKS}?limit=1&status=ready&updated_at[gte]=2020-01-01T00:00:00%2B01:00").json()["next"]
        assert link.startswith("http://testserver/api/v1/clocks?")
        assert parse_qs(urlsplit(link).query)["updated_at[gte]"] == ["2020-01-01T00:00:00+01:00"]

    @pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "1.0", "1e1", "", "٣", "9" * 5000, "%00", " 1"])
    def test_a_limit_out_of_range_is_refused(self, limit):
        assert problem(caller().get(f"{CLOCKS}?limit={limit}"), status=400) == ("invalid", "limit")

    def test_of_a_hundred_rows_are_allowed_and_twenty_are_the_default(self):
        TestClock.objects.bulk_create([TestClock(frozen_time=JAN_1) for _ in range(101)])
        assert len(ids_of(caller().get(f"{CLOCKS}?limit=100"))) == 100
        assert len(ids_of(caller().get(CLOCKS))) == 20

    @pytest.mark.parametrize(
        "cursor",
        [
            "", "x", "%00", "W10", "bnVsbA", "e30", "ü", "%ff", "=", "A" * 5000,
            Cursor(backwards=False, values=()).encode(),
            Cursor(backwards=False, values=(JAN_1,)).encode(),
            Cursor(backwards=False, values=("nope", "nope")).encode(),
            Cursor(backwards=False, values=(JAN_1, "nope")).encode(),
            Cursor(backwards=False, values=(None, None)).encode(),
            Cursor(backwards=False, values=("99999-01-01T00:00:00Z", JAN_1)).encode(),
            Cursor(backwards=False, values=(JAN_1, "0" * 32, 1)).encode(),
            Cursor(backwards=False, values=(datetime(1, 1, 1), "0" * 32)).encode(),
        ],
    )  # fmt: skip
    def test_a_cursor_that_is_none_is_refused(self, cursor):
        assert problem(caller().get(f"{CLOCKS}?cursor={cursor}"), status=400) == ("invalid", "cursor")

    def test_cost_one_query_each_by_the_whole_key(self):
        clock()
        client = caller()
        link = client.get(f"{CLOCKS}?limit=1").json()["next"] or f"{CLOCKS}"
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get(link)
        assert len(queries) == 2


class TestFilters:
    def test_by_time(self):
        early, late = (clock(updated_at=JAN_1 + timedelta(days=day)) for day in (0, 1))
        client = caller()
        for query, expected in {
            "updated_at[gte]=2026-01-02T00:00:00Z": [late],
            "updated_at[gt]=2026-01-02T00:00:00Z": [],
            "updated_at[lte]=2026-01-01T00:00:00Z": [early],
            "updated_at[lt]=2026-01-02T05:00:00%2B05:00": [early],
            "updated_at[lt]=2026-01-02T05:00:00+05:00": [early],
            "updated_at[gte]=2026-01-01T00:00:00Z&updated_at[lt]=2026-01-02T00:00:00Z": [early],
            "created_at[gte]=2020-01-01T00:00:00Z&updated_at[lt]=2026-01-02T00:00:00Z": [early],
        }.items():
            assert ids_of(client.get(f"{CLOCKS}?{query}")) == [row.public_id for row in expected], query

    def test_by_id_flag_choice_and_own_id(self):
        named, bare = clock(external_id="a"), clock(name="")
        client = caller()
        for query, expected in {
            f"twin={named.public_id}": [named],
            "twin=clock_00000000000000000000000000": [],
            "external_id=a": [named],
            "named=false": [bare],
            "named=true": [named],
            "status=advancing": [],
            "twin=": [bare, named],
        }.items():
            assert ids_of(client.get(f"{CLOCKS}?{query}")) == [row.public_id for row in expected], query

    @pytest.mark.parametrize(
        ("query", "attr"),
        [
            ("updated_at[gte]=2026-01-01", "updated_at[gte]"),
            ("updated_at[gte]=2026-01-01T00:00:00", "updated_at[gte]"),
            ("updated_at[gte]=x%00", "updated_at[gte]"),
            ("updated_at[gte]=9999-12-31T23:59:59-14:00", "updated_at[gte]"),
            ("twin=cus_x", "twin"),
            ("twin=%00", "twin"),
            ("named=yes", "named"),
            ("status=nope", "status"),
            ("external_id=a%00", "external_id"),
        ],
    )
    def test_refuse_what_they_cannot_read(self, query, attr):
        code, found = problem(caller().get(f"{CLOCKS}?{query}"), status=400)
        assert code != "unknown_parameter"
        assert found == attr

    def test_a_misspelt_filter_is_refused(self):
        assert problem(caller().get(f"{CLOCKS}?updated_at=x"), status=400) == ("unknown_parameter", "updated_at")


class TestIfMatch:
    def patch(self, year, version, client=None):
        path = f"{CLOCKS}/{year.public_id}"
        return (client or caller()).patch(path, {"name": "New"}, headers={"If-Match": version})

    @pytest.mark.parametrize("version", ["1", '"1"', 'W/"1"', "*", '"0", "1"'])
    def test_lets_a_write_of_this_version_pass(self, version):
        response = self.patch(clock(), version)
        assert response.status_code == 200
        assert (response.json()["version"], response["ETag"]) == (2, '"2"')

    @pytest.mark.parametrize("version", ["2", '"0"', "99999999"])
    def test_refuses_a_stale_one(self, version):
        year = clock()
        assert problem(self.patch(year, version), status=409) == ("stale_version", "If-Match")
        year.refresh_from_db()
        assert year.name == "Year"

    @pytest.mark.parametrize("version", ["x", '"', "-1", "1.5", "", '"1" "2"'])
    def test_refuses_other_words(self, version):
        assert problem(self.patch(clock(), version), status=400) == ("invalid", "If-Match")

    def test_holds_for_verbs_too(self):
        year = clock()
        for verb in ("failure", "charge", "pause"):
            response = caller().post(f"{CLOCKS}/{year.public_id}/{verb}", {"kind": "bug"}, headers={"If-Match": "2"})
            assert problem(response, status=409)[0] == "stale_version"

    def test_is_nothing_to_a_read(self):
        response = caller().get(f"{CLOCKS}/{clock().public_id}", headers={"If-Match": "7"})
        assert response.status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_two_writes_of_the_same_version_at_once_one_wins():
    year, client = clock(), caller()
    path = f"{CLOCKS}/{year.public_id}"
    writers = [in_thread(lambda n=n: client.patch(path, {"name": str(n)}, headers={"If-Match": "1"})) for n in range(5)]
    responses = [wait() for wait in writers]
    assert sorted(response.status_code for response in responses) == [200, 409, 409, 409, 409]
    year.refresh_from_db()
    assert year.version == 2
