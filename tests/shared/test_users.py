"""Colleagues are invited, given roles and let go; somebody who runs the place always remains."""

import re

import pytest
from django.test import Client

from gtm.shared import users
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event, Mail, Role, User
from tests import world
from tests.world import JAN_1

pytestmark = pytest.mark.django_db


def nina(**fields: object) -> User:
    return users.create_staff(at=JAN_1, **{"email": "Nina@Vendor.example", "roles": ["ae"], "name": "Nina"} | fields)


class TestCreateStaff:
    def test_it_makes_somebody_who_can_not_sign_in_yet(self) -> None:
        user = nina()
        assert (user.email, user.roles, user.is_staff, user.has_usable_password()) == (
            "nina@vendor.example",
            ["ae"],
            True,
            False,
        )

    def test_it_tells_roles_and_nothing_personal(self) -> None:
        nina()
        fact = Event.objects.get(type="user.created")
        assert (fact.data, fact.previous) == ({"roles": ["ae"]}, {})

    def test_the_mailed_link_lets_them_choose_a_password_once(self) -> None:
        nina()
        letter = Mail.objects.get(template="invitation")
        link = re.search(r"http\S+", letter.text)
        assert link is not None
        path = "/" + link[0].split("/", 3)[3]
        client = Client()
        form = client.get(path, follow=True)
        chosen = {"password1": world.PASSWORD, "password2": world.PASSWORD}
        client.post(form.redirect_chain[-1][0], chosen)
        assert User.objects.get().check_password(world.PASSWORD)
        assert b"password1" not in Client().get(path, follow=True).content

    @pytest.mark.parametrize(
        ("fields", "attr"),
        [
            ({"roles": []}, "roles"),
            ({"roles": ["king"]}, "roles"),
            ({"timezone": "Mars/Olympus"}, "timezone"),
            ({"email": "nobody"}, "email"),
        ],
    )
    def test_it_refuses_what_makes_no_sense(self, fields: dict[str, object], attr: str) -> None:
        with pytest.raises(Invalid) as refused:
            nina(**fields)
        assert refused.value.attr == attr

    def test_it_refuses_an_address_that_is_taken(self) -> None:
        nina()
        with pytest.raises(Invalid) as refused:
            nina(email="NINA@vendor.example")
        assert (refused.value.attr, refused.value.code) == ("email", "unique")


class TestChange:
    def test_it_tells_what_changed_and_how_it_was(self) -> None:
        user = users.change(user=nina(), at=JAN_1, roles=["csm", "founder"], name="Nina N")
        assert user.roles == ["founder", "csm"]
        fact = Event.objects.get(type="user.changed")
        assert fact.data["changed"] == ["name", "roles"]
        assert fact.previous == {"roles": ["ae"]}

    def test_nothing_changed_is_no_fact(self) -> None:
        users.change(user=nina(), at=JAN_1, roles=["ae"])
        assert not Event.objects.filter(type="user.changed").exists()

    def test_who_has_not_confirmed_the_address_gets_no_roles(self) -> None:
        world.fay()
        cora = users.sign_up(at=JAN_1, email="cora@vendor.example", password="correct horse battery")
        with pytest.raises(Conflict) as refused:
            users.change(user=cora, at=JAN_1, roles=["ae"])
        assert (refused.value.code, refused.value.attr) == ("address_not_confirmed", "roles")
        users.confirm(user=cora)
        assert users.change(user=cora, at=JAN_1, roles=["ae"]).is_staff

    def test_without_roles_somebody_is_staff_no_more(self) -> None:
        world.fay()
        assert not users.change(user=nina(), at=JAN_1, roles=[]).is_staff

    @pytest.mark.parametrize("changes", [{"roles": ["ae"]}, {"is_active": False}])
    def test_the_last_founder_stays(self, changes: dict[str, object]) -> None:
        with pytest.raises(Conflict) as refused:
            users.change(user=world.fay(), at=JAN_1, **changes)
        assert refused.value.code == "last_founder"
        assert User.objects.get().has_role(Role.FOUNDER)

    def test_one_founder_of_two_may_go(self) -> None:
        world.fay()
        other = world.user(email="finn@vendor.example", roles=("founder",))
        assert not users.change(user=other, at=JAN_1, is_active=False).is_active


class TestInvite:
    def test_it_mails_another_link(self) -> None:
        users.invite(user=nina(), at=JAN_1)
        assert Mail.objects.filter(template="invitation").count() == 2

    def test_it_refuses_somebody_who_may_not_sign_in(self) -> None:
        world.fay()
        user = users.change(user=nina(), at=JAN_1, is_active=False)
        with pytest.raises(Conflict):
            users.invite(user=user, at=JAN_1)
