"""Signing in as a person does: a passkey by a virtual authenticator, and the people of an account."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from billing.models import Customer

pytestmark = pytest.mark.browser
NARROW = {"width": 360, "height": 800}


def with_authenticator(page: "Page") -> Any:
    """A telephone that says yes to every question, by the browser's own protocol."""
    device = page.context.new_cdp_session(page)
    device.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    device.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return device


def sign_in(page: "Page", email: str) -> None:
    from tests import world

    page.goto("/account/login/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(world.PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_a_passkey_is_added_and_then_lets_one_in_without_a_password(
    page: "Page", acme: "Customer", axe: Callable[["Page"], None], screenshot: Callable[["Page", str], Any]
) -> None:
    from tests import world

    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    with_authenticator(page)
    sign_in(page, "cora@acme.com")
    page.goto("/account/2fa/")
    axe(page)
    screenshot(page, "two-step-sign-in")
    page.get_by_role("link", name="Add a passkey").click()
    page.get_by_label("Password").fill(world.PASSWORD)
    page.get_by_role("button", name="Go on").click()
    axe(page)
    page.get_by_label("Name").fill("Telephone")
    page.get_by_label("Passwordless").check()
    page.get_by_role("button", name="Add the passkey").click()
    page.wait_for_url("**/2fa/recovery-codes/**")
    assert len(page.locator(".entry-secret").inner_text().split()) == 10
    axe(page)

    page.context.clear_cookies()
    page.goto("/account/login/")
    axe(page)
    screenshot(page, "sign-in")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url("**/portal/**")

    page.goto("/account/2fa/webauthn/")
    page.get_by_role("link", name="Remove").click()
    page.get_by_label("Password").fill(world.PASSWORD)
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Remove").click()
    page.wait_for_url(re.compile(r"/2fa/webauthn/$|/2fa/$"))


def test_a_passkey_that_is_not_there_is_said_on_the_page(page: "Page", acme: "Customer") -> None:
    page.goto("/account/login/")
    page.evaluate("() => { navigator.credentials.get = () => Promise.reject(new DOMException('', 'NotAllowedError')) }")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.get_by_text("The browser did not use a passkey").wait_for()


def test_an_owner_invites_somebody_who_joins(
    page: "Page",
    new_page: Callable[..., "Page"],
    acme: "Customer",
    axe: Callable[["Page"], None],
    screenshot: Callable[["Page", str], Any],
) -> None:
    from gtm.shared import users
    from gtm.shared.models import Mail
    from tests import world

    users.confirm(user=acme.members.get().user)
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    sign_in(page, "cora@acme.com")
    page.get_by_role("link", name="People").click()
    page.get_by_label("Email").fill("nora@acme.com")
    page.get_by_label("Role", exact=True).select_option("billing")
    page.get_by_role("button", name="Send the invitation").click()
    page.get_by_text("An invitation is on its way to nora@acme.com.").wait_for()
    axe(page)
    screenshot(page, "people")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360

    link = re.search(r"http\S+/join/\S+", Mail.objects.get(template="member_invitation").text)
    assert link is not None
    nora = new_page(viewport=NARROW, color_scheme="dark")
    nora.goto(link[0])
    axe(nora)
    screenshot(nora, "join")
    nora.get_by_label("Your name").fill("Nora")
    nora.get_by_label("Password").fill(world.PASSWORD)
    nora.get_by_role("button", name="Join").click()
    nora.wait_for_url("**/portal/**")
    assert not nora.get_by_role("button", name="Send the invitation").count()
