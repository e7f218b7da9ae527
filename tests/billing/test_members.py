"""Members with roles, and invitations: whom they let in, and that somebody always remains who decides."""

import re
import threading
from datetime import timedelta

import pytest
from django.contrib.auth import get_user
from django.db import connection
from django.test import Client
from django.urls import reverse

from billing import members
from billing.models import Customer, Invitation, Member
from gtm.shared import db, users
from gtm.shared.errors import Conflict, Forbidden, Invalid
from gtm.shared.models import Event, Mail, User
from tests import world
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Customer:
    return makers.customer()


def invited(customer: Customer, email: str = "nora@corp.example", **fields: object) -> Invitation:
    terms = {"role": "billing", "invited_by": None, "at": JAN_1} | fields
    return members.invite(customer=customer, email=email, **terms)  # type: ignore[arg-type]


def link(email: str = "nora@corp.example") -> str:
    """The path of the last invitation mailed to an address."""
    text = Mail.objects.filter(recipient=email, template="member_invitation").latest("created_at").text
    found = re.search(r"https?://[^/]+(/join/\S+)", text)
    assert found is not None
    return found[1]


class TestMembers:
    def test_a_member_is_added_once(self, acme: Customer) -> None:
        cora = world.user(email="cora@acme.example")
        makers.member(acme, "olaf@acme.example")
        for role in ("owner", "viewer"):
            member = members.add(customer=acme, user=cora, role=role, at=JAN_1)
        assert (member.role, acme.members.count()) == ("viewer", 2)
        assert Event.objects.filter(type="billing.member.added").count() == 2
        with pytest.raises(Invalid):
            members.add(customer=acme, user=cora, role="king", at=JAN_1)

    def test_a_new_role_is_told_with_the_old_one_and_the_same_one_is_not(self, acme: Customer) -> None:
        makers.member(acme, "olaf@acme.example")
        cora = makers.member(acme, "cora@acme.example", role="billing")
        for role in ("viewer", "viewer"):
            members.add(customer=acme, user=cora, role=role, at=JAN_1)
        told = Event.objects.get(type="billing.member.changed")
        assert (told.previous, told.data["role"], told.customer_id) == ({"role": "billing"}, "viewer", acme.pk)

    def test_the_last_owner_neither_leaves_nor_steps_down(self, acme: Customer) -> None:
        makers.member(acme, "vic@acme.example", role="viewer")
        makers.member(acme, "cora@acme.example")
        member = Member.objects.get(role="owner")
        for change in (
            lambda: members.remove(member=member, at=JAN_1),
            lambda: members.change_role(member=member, role="billing", at=JAN_1),
            lambda: members.add(customer=acme, user=member.user, role="viewer", at=JAN_1),
        ):
            with pytest.raises(Conflict) as refused:
                change()
            assert refused.value.code == "last_owner"
        assert Member.objects.filter(role="owner").count() == 1

    def test_an_owner_who_may_not_sign_in_counts_for_nothing(self, acme: Customer) -> None:
        makers.member(acme, "cora@acme.example")
        gone = makers.member(acme, "gone@acme.example")
        User.objects.filter(pk=gone.pk).update(is_active=False)
        with pytest.raises(Conflict):
            members.remove(member=Member.objects.get(user__email="cora@acme.example"), at=JAN_1)

    def test_who_is_removed_takes_their_open_invitations_along(self, acme: Customer) -> None:
        makers.member(acme, "olaf@acme.example")
        cora = makers.member(acme, "cora@acme.example")
        theirs, other = invited(acme, invited_by=cora), invited(acme, "nils@corp.example")
        members.remove(member=Member.objects.get(user=cora), at=JAN_1)
        told = Event.objects.get(type="billing.member.removed")
        assert (told.data, told.customer_id) == ({"user": cora.public_id, "role": "owner"}, acme.pk)
        assert list(Invitation.objects.waiting()) == [other]
        assert Event.objects.get(type="billing.invitation.revoked").object_id == theirs.pk

    @pytest.mark.django_db(transaction=True)
    def test_of_two_owners_who_remove_each_other_one_remains(self, acme: Customer) -> None:
        makers.member(acme, "cora@acme.example")
        makers.member(acme, "olaf@acme.example")
        refused: list[str] = []

        def remove(member: Member) -> None:
            try:
                members.remove(member=member, at=JAN_1)
            except Conflict as conflict:
                refused.append(conflict.code)
            finally:
                connection.close()

        races = [threading.Thread(target=remove, args=[member]) for member in Member.objects.all()]
        for race in races:
            race.start()
        for race in races:
            race.join()
        assert (refused, Member.objects.count()) == (["last_owner"], 1)


class TestInviting:
    def test_the_mail_has_the_link_and_the_table_only_its_digest(self, acme: Customer) -> None:
        cora = makers.member(acme, "cora@acme.example")
        invitation = invited(acme, "Nora@Corp.example", invited_by=cora)
        letter = Mail.objects.get(template="member_invitation")
        token = link().split("/")[2]
        assert (letter.recipient, letter.customer_id) == ("nora@corp.example", acme.pk)
        assert "Cora invites you to the account of Acme" in letter.text
        assert token not in str(vars(Invitation.objects.get()))
        assert members.find(token) == invitation
        fact = Event.objects.get(type="billing.invitation.created")
        assert (fact.data, fact.customer_id) == ({"role": "billing"}, acme.pk)

    def test_it_is_written_in_the_customers_language(self) -> None:
        invited(makers.customer(preferred_locale="de"))
        assert "Sie sind zum Konto von Acme bei" in Mail.objects.get().text

    def test_who_is_in_or_was_asked_already_is_not_asked_again(self, acme: Customer) -> None:
        makers.member(acme, "cora@acme.example")
        invited(acme)
        for email, code in (("CORA@acme.example", "already_member"), ("nora@corp.example", "already_invited")):
            with pytest.raises(Conflict) as refused:
                invited(acme, email)
            assert (refused.value.code, refused.value.attr) == (code, "email")
        with pytest.raises(Invalid):
            invited(acme, "nobody")
        assert Mail.objects.filter(template="member_invitation").count() == 1

    def test_another_link_kills_the_first_one(self, acme: Customer) -> None:
        invitation = invited(acme)
        first = link()
        members.resend(invitation=invitation, at=JAN_1)
        assert link() != first
        assert Client().get(first).status_code == 404
        assert Client().get(link()).status_code == 200
        assert Event.objects.filter(type="billing.invitation.resent").count() == 1

    def test_what_has_ended_is_neither_sent_nor_revoked_again(self, acme: Customer) -> None:
        invitation = invited(acme)
        members.revoke(invitation=invitation, at=JAN_1)
        for again in (members.resend, members.revoke):
            with pytest.raises(Conflict) as refused:
                again(invitation=invitation, at=JAN_1)
            assert refused.value.code == "invitation_revoked"
        assert invited(acme).pk != invitation.pk


class TestAccepting:
    def test_only_whom_it_is_for(self, acme: Customer) -> None:
        invitation, zoe = invited(acme), world.user(email="zoe@other.example")
        with pytest.raises(Forbidden):
            members.accept(invitation=invitation, user=zoe, at=JAN_1)
        assert not acme.members.exists()

    def test_somebody_new_chooses_a_password_and_is_in(self, acme: Customer, client: Client) -> None:
        invited(acme)
        page = client.get(link())
        assert b"Changes the plan, pays" in page.content
        assert client.post(link(), {"password": "short"}).status_code == 422
        answer = client.post(link(), {"name": "Nora", "password": world.PASSWORD})
        assert answer.headers["Location"] == reverse("portal_overview", args=[acme.public_id])
        nora = get_user(client)
        member = Member.objects.get()
        assert (member.user, member.role, member.user.name) == (nora, "billing", "Nora")
        assert users.is_confirmed(member.user)
        assert Event.objects.filter(type="billing.invitation.accepted").count() == 1

    def test_it_works_once(self, acme: Customer, client: Client) -> None:
        invited(acme)
        client.post(link(), {"password": world.PASSWORD})
        for again in (client, Client()):
            assert again.get(link()).status_code == 410
            assert again.post(link(), {"password": world.PASSWORD}).status_code == 410
        assert acme.members.count() == 1

    def test_looking_at_it_accepts_nothing(self, acme: Customer, client: Client) -> None:
        invited(acme)
        client.force_login(world.user(email="nora@corp.example"))
        client.get(link())
        client.head(link())
        assert not acme.members.exists()

    def test_who_has_an_account_signs_in_and_joins(self, acme: Customer, client: Client) -> None:
        nora = world.user(email="nora@corp.example")
        invited(acme)
        page = client.post(link(), {"password": world.PASSWORD, "name": "Somebody else"})
        assert (page.status_code, acme.members.count()) == (200, 0)
        assert b"Sign in to join" in page.content
        client.force_login(nora)
        client.post(link())
        assert Member.objects.get().user == nora

    def test_somebody_elses_session_gets_nowhere(self, acme: Customer, client: Client) -> None:
        invited(acme)
        client.force_login(world.user(email="zoe@other.example"))
        answer = client.post(link(), {"password": world.PASSWORD})
        assert b"you are signed in as zoe@other.example" in answer.content
        assert not Member.objects.exists()

    @pytest.mark.parametrize("state", ["expired", "revoked", "unknown"])
    def test_a_dead_link_says_so(self, acme: Customer, client: Client, state: str) -> None:
        invitation = invited(acme)
        if state == "expired":
            Invitation.objects.update(expires_at=db.now() - timedelta(seconds=1))
        if state == "revoked":
            members.revoke(invitation=invitation, at=JAN_1)
        address = link() if state != "unknown" else "/join/nonsense/"
        for answer in (client.get(address), client.post(address, {"password": world.PASSWORD})):
            assert answer.status_code == (404 if state == "unknown" else 410)
        assert not Member.objects.exists()

    def test_a_member_by_now_keeps_the_role(self, acme: Customer) -> None:
        invitation = invited(acme, role="viewer")
        nora = makers.member(acme, "nora@corp.example")
        assert members.accept(invitation=invitation, user=nora, at=JAN_1).role == "owner"

    def test_tokens_are_not_for_guessing(self, client: Client) -> None:
        statuses = [client.get(f"/join/guess-{n}/").status_code for n in range(121)]
        assert (statuses[0], statuses[-1]) == (404, 429)


class TestPeoplePage:
    @pytest.fixture
    def cora(self, acme: Customer, client: Client) -> User:
        cora = makers.member(acme, "cora@acme.example")
        users.confirm(user=cora)
        client.force_login(cora)
        return cora

    def url(self, acme: Customer, name: str = "portal_people", *more: str) -> str:
        return reverse(name, args=[acme.public_id, *more])

    def test_an_owner_invites_sends_again_and_takes_back(self, acme: Customer, cora: User, client: Client) -> None:
        answer = client.post(self.url(acme), {"email": "nora@corp.example", "role": "viewer"}, follow=True)
        assert "An invitation is on its way to nora@corp.example." in answer.content.decode()
        invitation = Invitation.objects.get()
        assert (invitation.role, invitation.invited_by) == ("viewer", cora)
        client.post(self.url(acme, "portal_invitation_resend", invitation.public_id))
        assert Mail.objects.filter(template="member_invitation").count() == 2
        client.post(self.url(acme, "portal_invitation_revoke", invitation.public_id))
        assert not Invitation.objects.waiting().exists()

    def test_who_has_not_confirmed_their_address_is_asked_to_first(
        self, acme: Customer, cora: User, client: Client
    ) -> None:
        cora.emailaddress_set.update(verified=False)  # type: ignore[attr-defined]
        answer = client.post(self.url(acme), {"email": "nora@corp.example", "role": "viewer"})
        assert answer.status_code == 422
        assert "Confirm your own address first." in answer.content.decode()
        assert [mail.template for mail in Mail.objects.all()] == ["email_confirmation"]

    def test_an_owner_changes_roles_and_removes(self, acme: Customer, cora: User, client: Client) -> None:
        makers.member(acme, "vic@acme.example", role="viewer")
        vic = Member.objects.get(role="viewer")
        client.post(self.url(acme, "portal_member_role", vic.public_id), {"role": "billing"})
        vic.refresh_from_db()
        assert vic.role == "billing"
        assert client.post(self.url(acme, "portal_member_role", vic.public_id), {"role": "king"}).status_code == 404
        client.post(self.url(acme, "portal_member_removal", vic.public_id))
        assert not Member.objects.filter(pk=vic.pk).exists()

    def test_the_last_owner_is_told_why_not(self, acme: Customer, cora: User, client: Client) -> None:
        assert self.url(acme, "portal_leave") not in client.get(self.url(acme)).content.decode()
        answer = client.post(self.url(acme, "portal_leave"))
        assert (answer.status_code, "One owner must remain." in answer.content.decode()) == (409, True)

    @pytest.mark.parametrize("role", ["viewer", "billing"])
    def test_others_look_on_and_may_leave(self, acme: Customer, cora: User, role: str) -> None:
        vic = makers.member(acme, "vic@acme.example", role=role)
        invited(acme)
        visitor = Client()
        visitor.force_login(vic)
        page = visitor.get(self.url(acme)).content.decode()
        assert "cora@acme.example" in page
        assert "nora@corp.example" not in page
        assert visitor.post(self.url(acme), {"email": "x@corp.example", "role": "owner"}).status_code == 404
        assert visitor.post(self.url(acme, "portal_leave")).status_code == 302
        assert visitor.get(self.url(acme)).status_code == 404

    def test_invitations_are_rationed(self, acme: Customer, cora: User, client: Client) -> None:
        for n in range(31):
            answer = client.post(self.url(acme), {"email": f"n{n}@corp.example", "role": "viewer"})
        assert (answer.status_code, Invitation.objects.count()) == (422, 30)
