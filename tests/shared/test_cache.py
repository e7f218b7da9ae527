"""A cache that is away costs no request."""

import pytest
from django.core.cache.backends.base import BaseCache
from django.test import Client

from gtm.shared.cache import ForgivingRedisCache
from tests import world


@pytest.fixture
def away() -> BaseCache:
    """A cache whose server refuses connections."""
    return ForgivingRedisCache("redis://127.0.0.1:1/0", {"OPTIONS": {"socket_connect_timeout": 0.2}})


def test_it_answers_as_if_nothing_were_kept(away: BaseCache) -> None:
    away.set("seat", 1)
    assert away.get("seat", "nothing") == "nothing"
    assert away.add("seat", 1) is True
    assert away.incr("seat") == 1
    assert away.delete("seat") is False


@pytest.mark.django_db
def test_one_can_sign_in_without_it(client: Client, settings: pytest.FixtureRequest) -> None:
    settings.CACHES = {  # type: ignore[attr-defined]
        "default": {"BACKEND": "gtm.shared.cache.ForgivingRedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
    }
    ann = world.ann()
    answer = client.post("/account/login/", {"login": ann.email, "password": world.PASSWORD})
    assert answer.status_code == 302
