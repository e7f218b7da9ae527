"""The probes of a load balancer and the founders' health page."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client

from gtm.health import servers
from gtm.shared import db
from gtm.shared.models import Pulse
from tests import world


@pytest.fixture
def broken_database(settings: LazySettings) -> Iterator[None]:
    """A database that nobody listens for; the real one comes back after."""
    connection.close()
    host = connection.settings_dict["HOST"]
    connection.settings_dict["HOST"] = "/nonexistent"
    yield
    connection.close()
    connection.settings_dict["HOST"] = host


class TestHealthz:
    def test_it_answers_without_asking_the_database(self, client: Client) -> None:
        answer = client.get("/healthz")  # pytest-django refuses the database to a test without its mark
        assert (answer.status_code, answer.content) == (200, b"ok\n")


@pytest.mark.django_db(transaction=True)
class TestReadyz:
    def test_it_is_ready_when_all_is_in_order(self, client: Client) -> None:
        answer = client.get("/readyz")
        assert answer.status_code == 200
        in_order = {"database": "ok", "broker": "ok", "migrations": "ok"}
        assert answer.json() == {"status": "ready", "checks": in_order}
        assert "no-store" in answer["Cache-Control"]

    def test_it_says_that_the_broker_is_away(self, client: Client, settings: LazySettings) -> None:
        settings.REDIS_URL = "redis://127.0.0.1:1/0"
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["failing"] == ["broker"]

    def test_it_says_that_the_database_is_away(self, client: Client, broken_database: None) -> None:
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["failing"] == ["database", "migrations"]
        assert "/nonexistent" not in answer.content.decode()

    def test_it_says_that_migrations_are_missing(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(servers, "_known_migrations", lambda: frozenset({("billing", "9999_to_come")}))
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["failing"] == ["migrations"]

    def test_it_needs_few_queries(self, client: Client, django_assert_max_num_queries: Any) -> None:
        client.get("/readyz")
        with django_assert_max_num_queries(3):
            client.get("/readyz")


@pytest.mark.django_db
class TestHealthPage:
    def test_founders_see_heartbeats_jobs_queues_and_errors_in_words(self, client: Client) -> None:
        now = db.now()
        Pulse.objects.create(name="worker:celery@here", beat_at=now)
        Pulse.objects.create(name="beat", beat_at=now - timedelta(minutes=20))
        Pulse.objects.create(name="job:bill what is due", last_failed_at=now, last_error="Conflict: no legal entity")
        Pulse.objects.create(name="job:send mail", last_succeeded_at=now)
        client.force_login(world.fay())
        page = client.get("/health/")
        text = page.content.decode()
        assert page.status_code == 200
        for words in (
            "worker:celery@here",
            "bill what is due",
            "Conflict: no legal entity",
            "send mail",
            "Queue billing",
        ):
            assert words in text
        assert "Beat&#x27;s last tick was 20 minutes ago." in text
        assert "Failing" in text

    def test_it_speaks_of_a_broker_that_is_away(self, client: Client, settings: LazySettings) -> None:
        settings.REDIS_URL = "redis://127.0.0.1:1/0"
        client.force_login(world.fay())
        text = client.get("/health/").content.decode()
        assert "The broker does not answer" in text

    def test_nobody_else_finds_it(self, client: Client) -> None:
        assert client.get("/health/").status_code == 302
        for person in (world.ann(), world.user(email="cora@acme.example")):
            client.force_login(person)
            assert client.get("/health/").status_code == 404
