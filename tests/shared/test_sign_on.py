"""Staff signs in with the company's provider: whom it lets in, whom it doesn't, and what it is believed."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth import get_user
from django.test import Client

from gtm import env
from gtm.shared import sign_on, users
from gtm.shared.errors import Forbidden
from gtm.shared.models import Event, Mail, User
from tests import oidc, world
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
ANN = {"sub": "248289", "email": "Ann@vendor.example", "email_verified": True, "name": "Ann"}


@pytest.fixture
def provider(settings: Any) -> Iterator[oidc.Provider]:
    with oidc.running() as provider:
        settings.SOCIALACCOUNT_PROVIDERS = provider.settings()
        provider.person = dict(ANN)
        yield provider


def come(client: Client, *, query: str = "") -> Any:
    """From the button to the answer to the way back; in between stands the real provider."""
    sent = client.get(f"/account/oidc/staff/login/{query}")
    back = requests.get(sent.headers["Location"], allow_redirects=False, timeout=5).headers["Location"]
    return client.get(back.partition("testserver")[2])


class TestWhoComesIn:
    def test_a_colleague_by_the_address_and_then_by_the_providers_id(
        self, client: Client, provider: oidc.Provider
    ) -> None:
        ann = world.ann()
        assert b"Vendor ID" in client.get("/account/login/").content
        assert come(client).headers["Location"] == "/"
        assert get_user(client) == ann
        assert SocialAccount.objects.get().uid == "248289"
        assert (Event.objects.get(type="user.linked").object_id, users.is_confirmed(ann)) == (ann.pk, True)
        provider.person["email"] = "ann.married@vendor.example"
        again = Client()
        come(again)
        assert (get_user(again), User.objects.count()) == (ann, 1)

    def test_nobody_learns_of_it_where_there_is_none(self, client: Client) -> None:
        assert b"You work here?" not in client.get("/account/login/").content
        assert client.get("/account/oidc/staff/login/").status_code == 404

    def test_it_counts_as_the_second_step(self, client: Client, provider: oidc.Provider, settings: Any) -> None:
        settings.STAFF_MFA = True
        world.ann()
        come(client)
        assert client.get("/today/").status_code == 200

    def test_it_makes_colleagues_only_where_that_is_wished(
        self, client: Client, provider: oidc.Provider, settings: Any
    ) -> None:
        assert (come(client).status_code, User.objects.count()) == (403, 0)
        settings.OIDC_DOMAINS, settings.OIDC_CREATE_ROLES = ["vendor.example"], ["ae"]
        assert come(client).status_code == 302
        ann = User.objects.get()
        assert (ann.email, ann.roles, ann.name, ann.has_usable_password()) == (
            "ann@vendor.example",
            ["ae"],
            "Ann",
            False,
        )
        assert Mail.objects.filter(template="invitation").count() == 0


class TestWhoDoesNot:
    @pytest.mark.parametrize(
        "person",
        [
            {"email": "stranger@vendor.example"},
            {"email_verified": False},
            {"email_verified": "true"},
            {"email_verified": None},
            {"email": ""},
            {"email": "cora@acme.example"},
        ],
    )
    def test_strangers_customers_and_unverified_addresses(
        self, client: Client, provider: oidc.Provider, person: dict[str, Any]
    ) -> None:
        world.ann()
        world.user(email="cora@acme.example")
        provider.person |= person
        assert come(client).status_code == 403
        assert not get_user(client).is_authenticated
        assert not SocialAccount.objects.exists()

    def test_another_domain(self, client: Client, provider: oidc.Provider, settings: Any) -> None:
        world.ann()
        settings.OIDC_DOMAINS = ["other.example"]
        assert come(client).status_code == 403

    @pytest.mark.parametrize("change", [{"is_active": False}, {"roles": []}])
    def test_who_was_let_go(self, client: Client, provider: oidc.Provider, change: dict[str, Any]) -> None:
        world.fay()
        ann = world.ann()
        come(client)
        client.logout()
        users.change(user=ann, at=JAN_1, **change)
        assert come(client).status_code == 403
        assert not get_user(client).is_authenticated

    def test_answers_that_speak_of_two_people(self, client: Client, provider: oidc.Provider) -> None:
        world.ann()
        provider.userinfo = {"sub": "another"}
        assert come(client).status_code == 403
        with pytest.raises(Forbidden):
            sign_on.claims_of({"id_token": {"sub": "1"}, "userinfo": {"sub": "2"}})

    def test_a_session_is_not_linked_to_another_person(self, client: Client, provider: oidc.Provider) -> None:
        cora = world.user(email="cora@acme.example")
        client.force_login(cora)
        assert come(client, query="?process=connect").status_code == 403
        assert not SocialAccount.objects.exists()

    @pytest.mark.parametrize("claim", [{"iss": "https://evil.example"}, {"aud": "another"}, {"exp": 1}])
    def test_tokens_for_somebody_else(self, client: Client, provider: oidc.Provider, claim: dict[str, Any]) -> None:
        world.ann()
        provider.person |= claim
        answer = come(client)
        assert b"gave no answer" in answer.content
        assert not get_user(client).is_authenticated

    def test_an_answer_that_nobody_asked_for(self, client: Client, provider: oidc.Provider) -> None:
        world.ann()
        thief = Client()
        sent = thief.get("/account/oidc/staff/login/").headers["Location"]
        back = requests.get(sent, allow_redirects=False, timeout=5).headers["Location"].partition("testserver")[2]
        assert b"gave no answer" in client.get(back).content
        assert not get_user(client).is_authenticated


class TestSettings:
    def test_they_are_complete_or_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert env.oidc("OIDC") == {}
        for name, value, words in (
            ("OIDC_ISSUER", "http://id.example.com", "https"),
            ("OIDC_ISSUER", "https://id.example.com", "OIDC_CLIENT_ID"),
        ):
            monkeypatch.setenv(name, value)
            with pytest.raises(env.BadSetting, match=words):
                env.oidc("OIDC")
        monkeypatch.setenv("OIDC_CLIENT_ID", "tandem")
        assert env.oidc("OIDC")["settings"] == {"server_url": "https://id.example.com", "oauth_pkce_enabled": True}
