"""Every page that a customer can come to, one after the other, on a telephone and in each language.

axe-core looks at each once, in light and dark by turns: the style page is looked at in both. None is wider than 360 px
in any language, and none makes the browser complain: of a script, of a missing file, of the security policy.
"""

import os
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import cycle
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core import signing
from playwright.sync_api import ConsoleMessage, Page

from billing import catalog, changes, collection, confirmations, hosted, members, payments, prompts, subscriptions
from billing.models import Customer, Invoice, Payment, Plan, Subscription
from crm import lead_forms
from gtm import sign_up
from gtm.shared import db, outbox, vendors
from gtm.shared.models import Mail, User
from tests.billing import makers
from tests.billing.addresses import FILES, POSTED, portal
from tests.billing.test_dunning_cases import FUNDS

PHONE = {"width": 360, "height": 740}
OTHER_LANGUAGES = [code for code, _name in django_settings.LANGUAGES if code != "en"]
IN_PLACE = """async (path) => {
    const other = new DOMParser().parseFromString(await (await fetch(path)).text(), "text/html");
    document.body.replaceWith(document.adoptNode(other.body));
    const { scrollWidth, clientWidth } = document.documentElement;
    return { lang: other.documentElement.lang, fits: scrollWidth <= clientWidth || scrollWidth };
}"""  # all pages have the same styles: quicker than to load them again
pytestmark = pytest.mark.browser


@pytest.fixture
def at(pro: Plan) -> datetime:
    """Now, in a shop with all it can have: Pro; Team by the seat, in two currencies, with tax, terms and coupons."""
    catalog.change_plan(plan=pro, at=(at := db.now()), cancel_offer="pause")
    team = makers.plan(code="team", name="Team", description="For teams.", purchase_mode="sales_assisted", at=at)
    for currency, interval, amount in (("USD", "month", 1500), ("USD", "year", 15000), ("EUR", "month", 1400)):
        terms = {"currency": currency, "interval": interval, "model": "per_unit", "unit_amount": amount}
        makers.price(plan=team, code=f"team-{currency}-{interval}".lower(), at=at, **terms)
    catalog.publish(plan=team, at=at)
    makers.tax_rate("19", country="DE", at=at)
    makers.coupon("HALF", percent_off=50)
    vendors.change(terms_url="https://example.com/terms", terms_version="1", support_email="help@vendor.example")
    return at


@pytest.fixture
def acme(at: datetime, acme: Customer, pro: Plan) -> Customer:
    """On Pro, beside an open invoice and a payment that failed; invited somebody; has used most of its calls."""
    prompts.show(customer_id=acme.pk, code="usage", period="1", text="You have used 80 %.", link="/x/", at=at)
    makers.calls(acme, 900, at=db.now())
    members.invite(customer=acme, email="nora@acme.com", role="billing", invited_by=None, at=at)
    failed = makers.invoiced(acme, 900, at=at)
    payments.collect(invoice=failed, payment_method=makers.card(acme, FUNDS, default=False, at=at), at=at)
    makers.credited(Invoice.objects.get(customer=acme, status="paid"), 100, at=at)
    makers.invoiced(acme, 123456, 700, at=at)
    outbox.relay()
    return acme


@pytest.fixture
def zeta(at: datetime, acme: Customer) -> Customer:
    """Cora's other one, by invoice: a seat of Team, which another plan follows; a trial of Pro that is canceled."""
    zeta = makers.customer(name="Zeta", email="cora@acme.com", at=at)
    members.add(customer=zeta, user=User.objects.get(email="cora@acme.com"), role="owner", at=at)
    collection.allow(customer=zeta, methods=["charge_automatically", "send_invoice"], reason="sales_assisted", at=at)
    zeta.refresh_from_db()
    team, pro = Plan.objects.get(code="team"), Plan.objects.get(code="pro")
    seat = makers.subscribed(zeta, plan=team, at=at)
    changes.change(subscription=seat, plan=pro, effective="period_end", origin="portal", at=at)
    subscriptions.cancel(subscription=makers.subscribed(zeta, plan=pro, trial_days=14, at=at), at=at)
    return zeta


def signed_out(acme: Customer, at: datetime) -> Iterator[str]:
    """What anybody can open, and what a link in a mail opens."""
    yield from ("/pricing/", "/pricing/?interval=year&currency=EUR", "/checkout/pro/", "/checkout/team/?coupon=HALF")
    yield from ("/contact-sales/?plan=team", "/contact-sales/thanks/")
    lead_forms.create(at=at, code="demo", title="Watch it at work", consent_text="You may write to me.")
    yield from ("/f/demo/", "/f/demo/thanks/")
    yield from ("/account/login/", "/account/signup/", "/account/confirm-email/", "/account/inactive/")
    yield from ("/account/password/reset/", "/account/password/reset/done/", "/account/password/reset/key/1-x/")
    yield "/account/signup/" + signing.dumps(["new@acme.com", ""], salt=sign_up.SALT, compress=True) + "/"
    yield from (
        f"/{page}/nothing/" for page in ("account/signup", "join", "confirm", "card", "i", "mail", "visit", "checkout")
    )
    yield from (f"/error/{name}/" for name in ("400", "403", "403_csrf", "429"))
    bill, old = Invoice.objects.filter(customer=acme, status="open").latest("created_at"), at - timedelta(days=4000)
    asked = makers.invoiced(acme, 500, at=at)
    by = makers.card(acme, "pm_card_authenticationRequired", default=False, at=at)
    payments.collect(invoice=asked, payment_method=by, at=at)
    waiting = Payment.objects.get(attempts__payment_method=by)
    yield confirmations.path(waiting.pk, at=at)
    letter = Mail.objects.filter(customer_id=acme.pk, template="usage_hint").latest("created_at")
    for address in (
        hosted.invoice_url(bill.pk, at=at),
        hosted.invoice_url(bill.pk, at=old),
        hosted.invoice_url(Invoice.objects.filter(customer=acme, status="paid").latest("created_at").pk, at=at),
        hosted.card_url(acme.pk, at=at),
        hosted.preferences_url(letter.pk, at=at),
        hosted.unsubscribe_url(letter.pk, at=at),
        *_links_in(Mail.objects.get(template="member_invitation"), "/join/"),
    ):
        yield address.removeprefix(django_settings.BASE_URL)


def signed_in(acme: Customer, zeta: Customer) -> Iterator[str]:
    """The portal, by the list that the walks of the rights go by; buying more; one's own sign-in."""
    pages = {name: url for name, url in portal(acme) if name not in {*POSTED, *FILES}}
    pages["portal_change_preview"] += "?plan=team&interval=year"
    yield from pages.values()
    own = Subscription.objects.get(customer=zeta, plan_version__plan__code="team").public_id
    yield from (f"/portal/{zeta.public_id}/{page}" for page in ("", "plan/", "payment/", "usage/", "open-invoices/"))
    yield from (f"/portal/{zeta.public_id}/subscriptions/{own}/change/{rest}" for rest in ("", "preview/?seats=9"))
    yield f"/portal/{acme.public_id}/usage/nothing/"
    yield from ("/checkout/team/", "/checkout/pro/")
    yield from ("/account/email/", "/account/password/change/", "/account/sessions/", "/account/2fa/")
    yield from ("/account/2fa/totp/activate/", "/account/logout/")


def _links_in(mail: Mail, start: str) -> list[str]:
    return [word[word.index(start) :] for word in mail.text.split() if start in word]


@pytest.fixture
def look(page: Page, axe: Callable[[Page], None], screenshot: Any, settings: Any) -> Callable[[list[str]], None]:
    """Go through the pages, first in English with axe-core."""
    settings.ROOT_URLCONF = "tests.browser.urls"
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(_told(said)) if said.type == "error" else None)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]

    def look(paths: list[str]) -> None:
        for path, scheme in zip(paths, cycle(("light", "dark")), strict=False):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.goto(path)
            assert ("/login/" in page.url) == ("/login/" in path), path
            axe(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
            if "SCREENSHOTS" in os.environ:
                screenshot(page, re.sub(r"\W+", "-", path)[:60])
        for language in OTHER_LANGUAGES:
            _speak(page, language)
            for path in paths:
                seen = page.evaluate(IN_PLACE, path)
                assert seen == {"lang": language, "fits": True}, f"{path}: {seen}"
        assert not [told for told in complaints if told]

    return look


def test_what_anybody_can_open(look: Callable[[list[str]], None], acme: Customer, at: datetime) -> None:
    look(list(signed_out(acme, at)))


def test_what_members_can_open(
    look: Callable[[list[str]], None], page: Page, acme: Customer, zeta: Customer, sign_in: Any
) -> None:
    sign_in(page, User.objects.get(email="cora@acme.com"))
    look(list(signed_in(acme, zeta)))


def _told(said: ConsoleMessage) -> str:
    """What the browser complains of; nothing for the status of a page that says itself what isn't there."""
    where = said.location["url"]
    return "" if "status of 4" in said.text and not where.endswith((".css", ".js", ".svg")) else f"{where}: {said.text}"


def _speak(page: Page, language: str) -> None:
    cookie = {"name": django_settings.LANGUAGE_COOKIE_NAME, "value": language, "url": django_settings.BASE_URL}
    page.context.add_cookies([cookie])  # type: ignore[list-item]
