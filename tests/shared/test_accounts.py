"""Signing up, and getting in again with a forgotten password."""

import re

import pytest
from django.contrib.auth import get_user
from django.test import Client
from django.utils.html import strip_tags

from gtm.shared.models import Mail
from tests import world

pytestmark = pytest.mark.django_db


def test_a_sign_up_signs_in_and_queues_the_confirmation(client: Client) -> None:
    answer = client.post("/account/signup/", {"email": "Nora@corp.example", "password1": world.PASSWORD})
    assert answer.headers["Location"] == "/"
    assert get_user(client).email == "nora@corp.example"  # type: ignore[union-attr]
    mail = Mail.objects.get()
    assert (mail.status, mail.recipient, mail.template) == (
        "queued",
        "nora@corp.example",
        "email_confirmation_signup",
    )
    assert mail.subject.startswith("Please Confirm")


def test_a_forgotten_password_is_replaced_by_the_link_in_the_mail(client: Client) -> None:
    world.user(email="nora@corp.example")
    client.post("/account/password/reset/", {"email": "nora@corp.example"})
    link = re.search(r"https?://[^/]+(/account/\S+)", Mail.objects.get().text)
    assert link is not None
    form = client.get(link[1], follow=True)
    address = form.redirect_chain[-1][0]
    new = "another pass phrase"
    client.post(address, {"password1": new, "password2": new})
    assert Client().login(email="nora@corp.example", password=new)


def test_nobody_learns_whether_an_address_is_known(client: Client) -> None:
    world.user(email="nora@corp.example")
    known, unknown = (
        strip_tags(client.post("/account/password/reset/", {"email": email}, follow=True).content.decode())
        for email in ("nora@corp.example", "nobody@corp.example")
    )
    assert known == unknown
