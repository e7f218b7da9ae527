"""Signing up and in, getting in again, and that nobody learns whose addresses are known, by words or by the clock."""

import re
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth import get_user
from django.contrib.auth.hashers import MD5PasswordHasher
from django.test import Client
from django.utils.html import strip_tags

from gtm.shared import users
from gtm.shared.errors import Conflict
from gtm.shared.models import Event, Mail, User
from tests import world
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
KNOWN, UNKNOWN = "nora@corp.example", "nobody@corp.example"
hashed: list[str] = []


class CountedHasher(MD5PasswordHasher):
    """Stands for the slow ones: what takes time in earnest is counted."""

    def encode(self, password: str, salt: str, *args: Any) -> str:
        hashed.append(password)
        return super().encode(password, salt, *args)


@pytest.fixture
def work(settings: Any) -> list[str]:
    settings.PASSWORD_HASHERS = ["tests.shared.test_accounts.CountedHasher"]
    world.user(email=KNOWN)
    hashed.clear()
    return hashed


def link(template: str) -> str:
    """The path that the last mail of a kind leads to."""
    text = Mail.objects.filter(template=template).latest("created_at").text
    return re.findall(r"https?://[^/]+(/account/\S+)", text)[-1]


def seen(answer: Any) -> tuple[Any, ...]:
    """What a stranger sees of an answer, but for what they typed themselves."""
    words = strip_tags(answer.content.decode()).replace(KNOWN, "…").replace(UNKNOWN, "…")
    return answer.status_code, answer.headers.get("Location"), re.sub(r"[A-Za-z0-9]{64}", "token", words)


class TestSigningUp:
    def test_a_link_leads_to_an_account_whose_address_is_confirmed(self, client: Client) -> None:
        asked = client.post("/account/signup/", {"email": "Nora@corp.example"})
        assert (asked.headers["Location"], User.objects.count()) == ("/account/confirm-email/", 0)
        there = link("sign_up")
        assert client.post(there, {"password": "1234567890"}).status_code == 422
        assert client.post(there, {"password": world.PASSWORD, "name": "Nora"}).headers["Location"] == "/"
        nora = get_user(client)
        assert isinstance(nora, User)
        assert (nora.email, nora.name, users.is_confirmed(nora)) == (KNOWN, "Nora", True)
        assert Event.objects.get(type="user.created").data == {"roles": []}

    def test_the_link_works_once_and_no_other_does(self, client: Client) -> None:
        client.post("/account/signup/", {"email": KNOWN})
        client.post(link("sign_up"), {"password": world.PASSWORD})
        again = Client().post(link("sign_up"), {"password": "another pass phrase"})
        assert (again.status_code, Client().get("/account/signup/made-up/").status_code) == (410, 404)
        assert User.objects.get().check_password(world.PASSWORD)

    def test_it_leads_on_to_where_somebody_wanted_to_go_and_never_to_another_site(self, client: Client) -> None:
        for wanted, there in (("/checkout/pro/", "/checkout/pro/"), ("https://evil.example/", "/")):
            email = f"n{len(wanted)}@corp.example"
            client.post(f"/account/signup/?next={wanted}", {"email": email, "next": wanted})
            assert Client().post(link("sign_up"), {"password": world.PASSWORD}).headers["Location"] == there

    def test_an_address_in_use_is_not_given_twice(self) -> None:
        world.user(email=KNOWN)
        with pytest.raises(Conflict) as refused:
            users.sign_up(at=JAN_1, email="NORA@corp.example", password=world.PASSWORD)
        assert refused.value.code == "known"

    def test_signed_in_people_have_no_business_there(self, client: Client) -> None:
        client.force_login(world.user(email=KNOWN))
        assert client.get("/account/signup/").headers["Location"] == "/"


class TestNobodyLearnsWhoIsKnown:
    def test_by_signing_in(self, work: list[str]) -> None:
        answers, effort = [], []
        for email in (KNOWN, UNKNOWN):
            work.clear()
            answers.append(seen(Client().post("/account/login/", {"login": email, "password": "wrong"})))
            effort.append(len(work))
        assert answers[0] == answers[1]
        assert effort == [1, 1]

    def test_not_even_of_a_colleague_who_has_no_password_yet(self, work: list[str]) -> None:
        users.create_staff(at=JAN_1, email="nils@corp.example", roles=["ae"])
        work.clear()
        Client().post("/account/login/", {"login": "nils@corp.example", "password": "wrong"})
        assert len(work) == 1

    @pytest.mark.parametrize("address", ["/account/signup/", "/account/password/reset/"])
    def test_by_signing_up_or_asking_for_a_new_password(self, work: list[str], address: str) -> None:
        answers, effort = [], []
        for email in (KNOWN, UNKNOWN):
            visitor, mails = Client(), Mail.objects.count()
            first = seen(visitor.post(address, {"email": email}))
            answers.append((first, seen(visitor.get(first[1]))))
            effort.append((len(work), Mail.objects.count() - mails))
            work.clear()
        assert answers[0] == answers[1]
        assert effort == [(0, 1), (0, 1)]

    def test_by_wishing_for_their_address(self, work: list[str]) -> None:
        answers = []
        for email in (KNOWN, UNKNOWN):
            visitor = Client()
            wishing = world.user(email=f"to-{email}").email
            visitor.post("/account/login/", {"login": wishing, "password": world.PASSWORD})
            visitor.post("/account/reauthenticate/", {"password": world.PASSWORD})
            answer = visitor.post("/account/email/", {"email": email, "action_add": ""}, follow=True)
            words = strip_tags(answer.content.decode()).replace(wishing, "+").replace(email, "…")
            answers.append((answer.status_code, words))
        assert answers[0] == answers[1]

    def test_what_the_mails_say_is_for_who_reads_them(self, client: Client) -> None:
        world.user(email=KNOWN)
        for email in (KNOWN, UNKNOWN):
            client.post("/account/signup/", {"email": email})
        assert "You have one" in Mail.objects.get(recipient=KNOWN).text
        assert "/account/password/reset/" in Mail.objects.get(recipient=KNOWN).text
        assert "/account/signup/" in Mail.objects.get(recipient=UNKNOWN).text


class TestRates:
    def test_passwords_are_not_for_guessing_whether_the_address_is_known_or_not(self) -> None:
        world.user(email=KNOWN)
        answers = []
        for email in (KNOWN, UNKNOWN):
            for _ in range(5):
                Client().post("/account/login/", {"login": email, "password": "wrong"})
            answers.append(seen(Client().post("/account/login/", {"login": email, "password": world.PASSWORD})))
        assert answers[0] == answers[1]
        assert "Too many failed login attempts" in answers[0][2]

    @pytest.mark.parametrize("address", ["/account/signup/", "/account/password/reset/"])
    def test_a_mailbox_is_not_for_flooding(self, address: str) -> None:
        statuses = [Client().post(address, {"email": KNOWN}).status_code for _ in range(6)]
        assert (statuses[:5], statuses[5]) == ([302] * 5, 429)
        assert Mail.objects.count() == 5


class TestSessions:
    @pytest.fixture
    def nora(self) -> User:
        return world.user(email=KNOWN)

    def sign_in(self) -> Client:
        client = Client()
        client.post("/account/login/", {"login": KNOWN, "password": world.PASSWORD})
        return client

    def test_a_key_from_before_the_sign_in_is_worth_nothing(self, nora: User, client: Client) -> None:
        client.post("/language/", {"language": "de"})
        session = client.session
        session["planted"] = True
        session.save()
        before = session.session_key
        client.post("/account/login/", {"login": KNOWN, "password": world.PASSWORD})
        assert client.session.session_key != before
        thief = Client()
        thief.cookies["sessionid"] = str(before)
        assert not get_user(thief).is_authenticated

    def test_they_are_listed_and_ended_everywhere_else(self, nora: User) -> None:
        here, there = self.sign_in(), self.sign_in()
        page = here.get("/account/sessions/")
        assert (page.context["session_count"], b"This one" in page.content) == (2, True)
        here.post("/account/sessions/")
        assert (get_user(here), get_user(there).is_authenticated) == (nora, False)

    def test_another_password_ends_the_others(self, nora: User) -> None:
        here, there = self.sign_in(), self.sign_in()
        here.post("/account/reauthenticate/", {"password": world.PASSWORD})
        new = "another pass phrase"
        here.post("/account/password/change/", {"oldpassword": world.PASSWORD, "password1": new, "password2": new})
        assert (get_user(here), get_user(there).is_authenticated) == (nora, False)
        assert Mail.objects.get().template == "password_changed"

    def test_who_may_not_sign_in_any_more_is_out_at_once(self, nora: User) -> None:
        client = self.sign_in()
        User.objects.update(is_active=False)
        assert not get_user(client).is_authenticated


class TestForgottenPasswords:
    def test_it_is_replaced_by_the_link_in_the_mail_which_proves_the_address(self, client: Client) -> None:
        nora = users.sign_up(at=JAN_1, email=KNOWN, password=world.PASSWORD)
        client.post("/account/password/reset/", {"email": KNOWN})
        form = client.get(link("password_reset_key"), follow=True)
        new = "another pass phrase"
        client.post(form.redirect_chain[-1][0], {"password1": new, "password2": new})
        assert Client().login(email=KNOWN, password=new)
        assert users.is_confirmed(nora)

    def test_a_link_to_another_mailbox_proves_nothing(self, client: Client) -> None:
        """Somebody buys under the victim's address, wishes for their own, and asks for a new password there."""
        victim = users.sign_up(at=JAN_1, email=KNOWN, password=world.PASSWORD)
        EmailAddress.objects.create(user=victim, email="thief@evil.example")
        client.post("/account/password/reset/", {"email": "thief@evil.example"})
        form = client.get(link("password_reset_key"), follow=True)
        new = "another pass phrase"
        client.post(form.redirect_chain[-1][0], {"password1": new, "password2": new})
        assert not users.is_confirmed(victim)
