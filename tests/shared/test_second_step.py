"""The second step: an authenticator app, recovery codes, and that staff can be made to have one."""

import re
import time
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from django.contrib.auth import get_user
from django.test import Client

from gtm.shared import users
from gtm.shared.models import Event, Mail, User
from tests import world
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
EMAIL = "fay@vendor.example"


def code(secret: str) -> str:
    """What the app shows; not in the last second of its half minute."""
    if time.time() % 30 > 28:
        time.sleep(2)
    return totp.format_hotp_value(totp.hotp_value(secret, next(iter(totp.yield_hotp_counters_from_time()))))


def sign_in(client: Client, email: str = EMAIL) -> Any:
    return client.post("/account/login/", {"login": email, "password": world.PASSWORD})


def set_up(client: Client) -> tuple[str, list[str]]:
    """An authenticator app as somebody sets it up; its secret, and the recovery codes."""
    client.post("/account/reauthenticate/", {"password": world.PASSWORD})
    secret = client.get("/account/2fa/totp/activate/").context["form"].secret
    answer = client.post("/account/2fa/totp/activate/", {"code": code(secret)}, follow=True)
    assert answer.redirect_chain[-1][0] == "/account/2fa/recovery-codes/"
    return secret, list(answer.context["unused_codes"])


@pytest.fixture
def fay() -> User:
    return world.fay()


class TestAnApp:
    def test_it_is_asked_for_and_nothing_else_lets_one_in(self, fay: User) -> None:
        first = Client()
        sign_in(first)
        secret, _codes = set_up(first)
        assert secret not in str(Authenticator.objects.get(type="totp").data), "it is sealed"
        client = Client()
        assert sign_in(client).headers["Location"] == "/account/2fa/authenticate/"
        assert not get_user(client).is_authenticated
        assert client.get("/admin/").status_code == 302
        assert client.post("/account/2fa/authenticate/", {"code": "000000"}).status_code == 200
        assert not get_user(client).is_authenticated
        client.post("/account/2fa/authenticate/", {"code": code(secret)})
        assert get_user(client) == fay

    def test_a_code_works_once_and_is_not_for_guessing(self, fay: User) -> None:
        client = Client()
        sign_in(client)
        secret, _codes = set_up(client)
        shown = code(secret)
        for visitor, is_in in ((Client(), True), (Client(), False)):
            sign_in(visitor)
            visitor.post("/account/2fa/authenticate/", {"code": shown})
            assert get_user(visitor).is_authenticated == is_in
        guesser = Client()
        sign_in(guesser)
        for _ in range(6):
            answer = guesser.post("/account/2fa/authenticate/", {"code": "000000"})
        assert b"Too many failed login attempts" in answer.content

    def test_recovery_codes_let_in_once_each_and_are_shown_once(self, fay: User) -> None:
        client = Client()
        sign_in(client)
        _secret, codes = set_up(client)
        assert len(codes) == 10
        assert codes[0].encode() not in client.get("/account/2fa/recovery-codes/").content
        for visitor, is_in in ((Client(), True), (Client(), False)):
            sign_in(visitor)
            visitor.post("/account/2fa/authenticate/", {"code": codes[0]})
            assert get_user(visitor).is_authenticated == is_in

    def test_a_forgotten_password_does_not_go_around_it(self, fay: User) -> None:
        client = Client()
        sign_in(client)
        set_up(client)
        client.logout()
        client.post("/account/password/reset/", {"email": EMAIL})
        text = Mail.objects.filter(template="password_reset_key").get().text
        path = re.findall(r"https?://[^/]+(/account/\S+)", text)[0]
        form = client.get(path, follow=True)
        new = "another pass phrase"
        client.post(form.redirect_chain[-1][0], {"password1": new, "password2": new})
        assert not get_user(client).is_authenticated

    def test_it_is_told_by_mail_and_needs_the_password_again(
        self, fay: User, django_capture_on_commit_callbacks: Any
    ) -> None:
        client = Client()
        sign_in(client)
        assert client.get("/account/2fa/totp/activate/").headers["Location"].startswith("/account/reauthenticate/")
        with django_capture_on_commit_callbacks(execute=True):
            set_up(client)
        assert "totp_activated" in set(Mail.objects.values_list("template", flat=True))

    def test_a_stranger_can_not_lock_an_address_that_is_not_theirs(self, client: Client) -> None:
        users.sign_up(at=JAN_1, email="cora@acme.example", password=world.PASSWORD)
        sign_in(client, "cora@acme.example")
        client.post("/account/reauthenticate/", {"password": world.PASSWORD})
        assert client.get("/account/2fa/totp/activate/").headers["Location"] == "/account/2fa/"


class TestStaffMustHaveOne:
    @pytest.fixture(autouse=True)
    def demanded(self, settings: Any) -> None:
        settings.STAFF_MFA = True

    @pytest.mark.parametrize(
        "address", ["/admin/", "/today/", "/crm/accounts/", "/help/", "/health/", "/pricing/", "/"]
    )
    def test_every_page_leads_to_where_it_is_set_up(self, client: Client, fay: User, address: str) -> None:
        sign_in(client)
        for ask in (client.get, client.post):
            assert ask(address).headers["Location"] == "/account/2fa/"
        assert client.get("/account/2fa/").status_code == 200

    def test_the_api_refuses_the_session_and_says_why(self, client: Client, fay: User) -> None:
        sign_in(client)
        answer = client.get("/api/v1/customers")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (403, "mfa_required")

    def test_with_one_everything_opens(self, client: Client, fay: User) -> None:
        sign_in(client)
        set_up(client)
        assert client.get("/today/").status_code == 200
        assert client.get("/api/v1/customers").status_code == 200

    def test_recovery_codes_alone_are_none(self, client: Client, fay: User) -> None:
        sign_in(client)
        Authenticator.objects.create(user=fay, type="recovery_codes", data={"seed": "x", "used_mask": 0})
        assert client.get("/today/").headers["Location"] == "/account/2fa/"

    def test_customers_are_free_to(self, client: Client) -> None:
        world.user(email="cora@acme.example")
        sign_in(client, "cora@acme.example")
        assert client.get("/pricing/").status_code == 200

    def test_who_was_invited_can_set_it_up_without_another_mail(self, client: Client) -> None:
        """Without a mail server founders couldn't read a confirmation: the way there is closed to them."""
        world.user(email="new@vendor.example", roles=("founder",))
        sign_in(client, "new@vendor.example")
        client.get("/account/email/")
        set_up(client)
        assert client.get("/admin/").status_code == 200


class TestReset:
    def test_a_founder_takes_it_away_from_who_has_lost_it(self, fay: User) -> None:
        client = Client()
        sign_in(client)
        set_up(client)
        users.reset_second_step(user=fay, at=JAN_1)
        assert not Authenticator.objects.exists()
        assert Event.objects.get(type="user.second_step_reset").object_id == fay.pk
        assert not get_user(client).is_authenticated, "sessions that passed it end"
        assert sign_in(Client()).headers["Location"] == "/"
