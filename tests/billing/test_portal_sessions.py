"""The portal opened from within the vendor's product: once, soon, by a POST, for one customer; nobody is signed in."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client

from billing import members, portal_sessions
from billing.forms import BillingDetailsForm
from billing.models import Customer, Invitation, Member, PortalSession
from gtm.shared import db, links, vendors
from gtm.shared.models import Event, User
from tests import world
from tests.billing import makers
from tests.billing.api import BASE, caller, problem
from tests.billing.visits import begun, path_of, visiting
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
BACK = "https://app.acme.example/settings"


@pytest.fixture
def acme() -> Customer:
    vendors.change(return_hosts=["app.acme.example"])
    return makers.customer()


def overview(customer: Customer) -> str:
    return f"/portal/{customer.public_id}/"


class TestBeginning:
    def test_it_stands_for_the_member_named_else_the_longest_owner_else_nobody(self, acme: Customer) -> None:
        assert begun(acme)["member"] is None
        makers.member(acme, "vic@acme.example", role="viewer")
        assert begun(acme)["member"] is None
        gone = makers.member(acme, "gone@acme.example")
        User.objects.filter(pk=gone.pk).update(is_active=False)
        for email in ("cora@acme.example", "olaf@acme.example"):
            makers.member(acme, email)
        session = begun(acme, return_url=BACK)
        of = {member.user.email: member.public_id for member in Member.objects.select_related("user")}
        assert (session["member"], session["customer"], session["return_url"]) == (
            of["cora@acme.example"],
            acme.public_id,
            BACK,
        )
        assert begun(acme, email="Vic@Acme.example")["member"] == of["vic@acme.example"]
        fact = Event.objects.filter(type="billing.portal_session.created").latest("recorded_at")
        assert (fact.data, fact.customer_id) == ({"member": of["vic@acme.example"]}, acme.pk)

    @pytest.mark.parametrize(
        ("wanted", "attr"),
        [
            ({"return_url": "https://evil.example/"}, "return_url"),
            ({"return_url": "javascript:alert(1)"}, "return_url"),
            ({"email": "zoe@other.example"}, "email"),
            ({"email": "gone@acme.example"}, "email"),
            ({"role": "owner"}, "role"),
        ],
    )
    def test_what_it_can_not_stand_for_is_refused(self, acme: Customer, wanted: dict[str, str], attr: str) -> None:
        makers.member(makers.customer(name="Other"), "zoe@other.example")
        gone = makers.member(acme, "gone@acme.example")
        User.objects.filter(pk=gone.pk).update(is_active=False)
        answer = caller().post(f"{BASE}/customers/{acme.public_id}/portal_session", wanted)
        assert problem(answer, status=400)[1] == attr
        assert not PortalSession.objects.exists()

    def test_an_idempotency_key_begins_one(self, acme: Customer) -> None:
        key, address = {"HTTP_IDEMPOTENCY_KEY": "p-1"}, f"{BASE}/customers/{acme.public_id}/portal_session"
        client = caller()
        first, again = (client.post(address, {}, **key).json() for _time in range(2))
        assert (first == again, PortalSession.objects.count()) == (True, 1)

    def test_only_who_moves_money_begins_one(self, acme: Customer) -> None:
        address = f"{BASE}/customers/{acme.public_id}/portal_session"
        assert caller(user=world.fay()).post(address, {}).status_code == 201
        assert problem(caller(user=world.ann()).post(address, {}), status=403)[0] == "lacks_scope"
        assert problem(caller(scope="read").post(address, {}), status=403)[0] == "lacks_scope"


class TestOpening:
    def test_a_look_ahead_opens_nothing_and_the_button_does_once(self, acme: Customer) -> None:
        makers.member(acme, "cora@acme.example")
        path, client, scanner = path_of(begun(acme, return_url=BACK)), Client(), Client()
        for _time in range(2):
            assert "Acme" in scanner.get(path).content.decode()
        assert scanner.get(overview(acme)).status_code == 302
        assert client.post(path).headers["Location"] == overview(acme)
        page = client.get(overview(acme))
        assert (page.status_code, f'href="{BACK}"' in page.content.decode()) == (200, True)
        for late in (scanner, client):
            assert (late.get(path).status_code, late.post(path).status_code) == (410, 410)
        assert scanner.get(overview(acme)).status_code == 302
        assert Event.objects.filter(type="billing.portal_session.opened").count() == 1

    def test_a_forged_form_does_not_open_it(self, acme: Customer) -> None:
        client = Client(enforce_csrf_checks=True)
        assert client.post(path_of(begun(acme))).status_code == 403
        assert PortalSession.objects.get().opened_at is None

    def test_the_browser_gets_another_session_key_and_keeps_who_is_signed_in(self, acme: Customer) -> None:
        client, zoe = Client(), makers.member(makers.customer(name="Other"), "zoe@other.example")
        client.force_login(zoe)
        before = client.session.session_key
        client.post(path_of(begun(acme)))
        assert client.session.session_key != before
        assert client.get(overview(acme)).status_code == 200
        assert client.session["_auth_user_id"] == str(zoe.pk)

    def test_what_is_unknown_old_or_for_something_else_opens_nothing(self, acme: Customer) -> None:
        long_ago = db.now() - timedelta(minutes=6)
        old = portal_sessions.create(customer=acme, at=JAN_1, wall_time=long_ago)
        client = Client()
        assert client.post(portal_sessions.path(old, at=long_ago)).status_code == 410
        for token in (
            "forged.token",
            links.make("card", old.pk, at=db.now(), lasts=timedelta(hours=1)),
            links.make(portal_sessions.PURPOSE, acme.pk, at=db.now(), lasts=timedelta(hours=1)),
        ):
            assert (client.get(f"/visit/{token}/").status_code, client.post(f"/visit/{token}/").status_code) == (
                404,
                404,
            )
        assert client.get(overview(acme)).status_code == 302

    @pytest.mark.django_db(transaction=True)
    def test_of_two_at_once_one_gets_in(self, acme: Customer) -> None:
        path, answers = path_of(begun(acme)), []

        def come() -> None:
            try:
                answers.append(Client().post(path).status_code)
            finally:
                connection.close()

        races = [threading.Thread(target=come) for _one in range(3)]
        for race in races:
            race.start()
        for race in races:
            race.join()
        assert sorted(answers) == [302, 410, 410]


class TestVisiting:
    def test_it_reaches_one_customer_and_signs_nobody_in(self, acme: Customer) -> None:
        cora = makers.member(acme, "cora@acme.example")
        other = makers.customer(name="Second Home")
        members.add(customer=other, user=cora, role="owner", at=JAN_1)
        client = visiting(acme, email="cora@acme.example")
        page = client.get(overview(acme)).content.decode()
        assert "Second Home" not in page
        assert "/people/" not in page
        details = client.get(f"{overview(acme)}details/")
        assert (details.status_code, b"/mail/" in details.content) == (200, False)
        assert "_auth_user_id" not in client.session
        for elsewhere in (overview(other), "/account/email/", "/today/"):
            assert client.get(elsewhere)["Location"].startswith("/account/login/"), elsewhere
        client.post(f"/portal/{acme.public_id}/people/", {"email": "eve@evil.example", "role": "owner"})
        assert not Invitation.objects.exists()

    def test_nobodys_visit_shows_nobodys_customers(self, acme: Customer) -> None:
        makers.customer(name="Without Members")
        assert "Without Members" not in visiting(acme).get(overview(acme)).content.decode()

    def test_what_it_changes_is_told_as_its_doing(self, acme: Customer) -> None:
        client = visiting(acme)
        place = {"country": "US", "line1": "1 Main St", "city": "Austin", "postal_code": "73301", "state": "TX"}
        typed = BillingDetailsForm.initial_of(acme) | {"name": "Acme GmbH", "email": "cora@acme.example"} | place
        assert client.post(f"/portal/{acme.public_id}/details/", typed).status_code == 302
        fact = Event.objects.get(type="billing.customer.changed")
        assert fact.actor == f"portal_session:{PortalSession.objects.get().public_id}"

    @pytest.mark.parametrize("ending", ["time", "removal", "deactivation", "leaving"])
    def test_it_ends(self, acme: Customer, ending: str) -> None:
        makers.member(acme, "olaf@acme.example")
        cora = makers.member(acme, "cora@acme.example")
        client = visiting(acme, email="cora@acme.example")
        assert client.get(overview(acme)).status_code == 200
        if ending == "time":
            hour = db.now() - timedelta(hours=1)
            PortalSession.objects.update(opened_at=hour - timedelta(minutes=1), expires_at=hour)
        elif ending == "removal":
            members.remove(member=Member.objects.get(user=cora), at=JAN_1)
        elif ending == "deactivation":
            User.objects.filter(pk=cora.pk).update(is_active=False)
        else:
            client.post("/visit/")
        assert client.get(overview(acme)).status_code == 302

    def test_those_that_are_over_are_forgotten(self, acme: Customer) -> None:
        for days in (2, 0):
            portal_sessions.create(customer=acme, at=JAN_1, wall_time=db.now() - timedelta(days=days))
        portal_sessions.forget(at=db.now())
        assert PortalSession.objects.count() == 1
