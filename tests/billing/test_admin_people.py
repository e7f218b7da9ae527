"""A customer's people in the back office: invited, added where the address is confirmed, and removed."""

import pytest
from django.test import Client

from billing.models import Customer, Invitation, Member
from gtm.shared import users
from gtm.shared.models import Mail
from tests import world
from tests.backoffice import address, errors, facts, signed_in, submit
from tests.billing import makers

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return signed_in(world.fay())


@pytest.fixture
def acme() -> Customer:
    return makers.customer()


def test_somebody_is_invited_and_stands_on_the_page(client: Client, acme: Customer) -> None:
    submit(client, address("billing_customer_invite_member", acme.pk), email="Nora@corp.example", role="billing")
    invitation = Invitation.objects.get()
    assert (invitation.email, invitation.role, invitation.invited_by) == ("nora@corp.example", "billing", None)
    assert "You are invited to the account of Acme" in Mail.objects.get(template="member_invitation").text
    assert b"nora@corp.example" in client.get(address("billing_customer_change", acme.pk)).content
    assert facts("billing.invitation.created") == ["billing.invitation.created"]


def test_only_a_confirmed_address_is_added_without_asking(client: Client, acme: Customer) -> None:
    squatter = world.user(email="cfo@corp.example")
    page = submit(client, address("billing_customer_add_member", acme.pk), user="cfo@corp.example", role="owner")
    assert "Invite them instead." in errors(page)["user"][0]
    users.confirm(user=squatter)
    submit(client, address("billing_customer_add_member", acme.pk), user="CFO@corp.example", role="owner")
    assert Member.objects.get().role == "owner"
    assert facts("billing.member.added") == ["billing.member.added"]


def test_a_member_is_removed_but_for_the_last_owner(client: Client, acme: Customer) -> None:
    makers.member(acme, "cora@acme.example")
    makers.member(acme, "vic@acme.example", role="viewer")
    owner, viewer = Member.objects.get(role="owner"), Member.objects.get(role="viewer")
    page = submit(client, address("billing_customer_remove_member", acme.pk), member=owner.pk)
    assert "One owner must remain." in str(errors(page))
    submit(client, address("billing_customer_remove_member", acme.pk), member=viewer.pk)
    assert list(acme.members.all()) == [owner]
