import pytest
from django.core.cache import cache
from django.test import RequestFactory
from rest_framework.settings import api_settings

from gtm.shared.api import throttling
from tests import world
from tests.shared.api_world import caller, problem

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.shared.api_world")]
CLOCKS = "/api/v1/clocks"


@pytest.fixture
def three_an_hour(settings):
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": {"key": "3/hour"}}
    assert api_settings.DEFAULT_THROTTLE_RATES == {"key": "3/hour"}


@pytest.mark.usefixtures("three_an_hour")
class TestKeyThrottle:
    def test_lets_the_rate_pass_and_says_how_long_to_wait(self):
        client = caller(scope="read")
        assert [client.get(CLOCKS).status_code for _ in range(3)] == [200, 200, 200]
        response = client.get(CLOCKS)
        assert problem(response, status=429) == ("throttled", None)
        assert 1 <= int(response["Retry-After"]) <= 7200

    def test_counts_each_key_alone(self):
        first, second = caller(), caller(user=world.ann())
        assert [first.get(CLOCKS).status_code for _ in range(4)][-1] == 429
        assert second.get(CLOCKS).status_code == 200

    def test_is_not_remembered_by_an_idempotency_key(self):
        client = caller()
        for _ in range(3):
            client.get(CLOCKS)
        response = client.post(CLOCKS, {"frozen_time": "2026-01-01T00:00:00Z"}, headers={"Idempotency-Key": "k"})
        problem(response, status=429)
        cache.clear()
        response = client.post(CLOCKS, {"frozen_time": "2026-01-01T00:00:00Z"}, headers={"Idempotency-Key": "k"})
        assert response.status_code == 201

    def test_lets_all_pass_while_the_cache_is_away(self, settings, caplog):
        away = settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}
        settings.CACHES = {"default": away}
        client = caller()
        assert [client.get(CLOCKS).status_code for _ in range(5)] == [200] * 5
        assert "cache_away" in caplog.text


@pytest.mark.parametrize(
    ("trusted", "forwarded", "expected"),
    [
        (False, "6.6.6.6", "9.9.9.9"),
        (True, "6.6.6.6, 7.7.7.7", "7.7.7.7"),
        (True, "", "9.9.9.9"),
        (False, "", "9.9.9.9"),
    ],
)
def test_an_address_is_only_believed_from_a_trusted_proxy(settings, trusted, forwarded, expected):
    settings.TRUSTED_PROXY = trusted
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    assert throttling.address(RequestFactory(headers=headers).get("/", REMOTE_ADDR="9.9.9.9")) == expected
