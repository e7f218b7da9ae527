"""From the mail to what it asks for, as somebody does it who never signs in."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from billing import runs
from billing.models import Invoice, Payment, Plan
from gtm.shared import db, outbox
from gtm.shared.models import Mail
from tests.billing import letters, makers
from tests.billing.test_dunning_cases import FUNDS

PHONE = {"width": 360, "height": 800}

pytestmark = pytest.mark.browser


def path_in(mail: Mail, page: str) -> str:
    (address,) = re.findall(rf"https?://[^/]+(/{page}/\S+)", mail.text)
    return str(address)


def test_an_invoice_is_paid_from_its_mail(
    new_page: Callable[..., Page], axe: Callable[[Page], None], pro: Plan
) -> None:
    """On a phone, without scripts: a card that is refused, the next one, the receipt, which looks well in dark, too."""
    acme = letters.customer(collection_method="send_invoice", billing_emails=[])
    invoice = makers.invoiced(acme, 5000, at=db.now())
    outbox.relay()
    page = new_page(java_script_enabled=False, viewport=PHONE)
    page.goto(path_in(Mail.objects.get(template="invoice"), "i"))
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Invoice {invoice.number}")
    page.get_by_label("is declined").check()
    page.get_by_role("button", name="Pay $50.00").click()
    expect(page.get_by_role("alert")).to_contain_text("Your card was declined.")
    page.get_by_role("button", name="Deutsch").click()
    expect(page.get_by_role("heading", name="Mit Karte zahlen")).to_be_visible()
    page.get_by_role("button", name="English").click()
    page.get_by_label("Visa 4242").check()
    page.get_by_role("button", name="Pay $50.00").click()
    expect(page.get_by_role("main")).to_contain_text("Paid")
    expect(page.get_by_role("heading", name="Pay by card")).to_have_count(0)
    with page.expect_download() as download:
        page.get_by_role("link", name="Receipt").click()
    assert download.value.path().read_bytes().startswith(b"%PDF-")
    page.get_by_role("textbox", name="PO number").fill("PO-7")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("The PO number is saved.")
    assert Invoice.objects.get().status == "paid"

    outbox.relay()
    letter_page = new_page(viewport=PHONE, color_scheme="dark")
    letter_page.set_content(Mail.objects.get(template="receipt").html)
    axe(letter_page)


@pytest.mark.parametrize("scripts", [True, False])
def test_a_card_that_fails_is_mended_from_its_mail(new_page: Callable[..., Page], pro: Plan, scripts: bool) -> None:
    """The renewal fails; another card that is declined changes nothing; the next pays what is open, once."""
    began = db.now() - timedelta(days=40)
    subscription = makers.subscribed(letters.customer(billing_emails=[], at=began), plan=pro, at=began)
    makers.card(subscription.payer, FUNDS, at=began)
    runs.bill_due(at=db.now())
    outbox.relay()
    subscription.refresh_from_db()
    assert subscription.status == "past_due"

    page = new_page(java_script_enabled=scripts, viewport=PHONE)
    page.goto(path_in(Mail.objects.get(template="payment_failed"), "card"))
    expect(page.get_by_role("main")).to_contain_text("$49.00")
    page.get_by_label("is declined").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("This card was declined, too.")
    page.get_by_label("Mastercard 4444").check()
    page.get_by_role("button", name="Save").dblclick()
    expect(page.get_by_role("status")).to_contain_text("Saved.")
    expect(page.get_by_role("main")).not_to_contain_text("$49.00")
    subscription.refresh_from_db()
    assert subscription.status == "active"
    assert not Invoice.objects.exclude(status="paid").exists()
    assert Payment.objects.filter(status="succeeded").count() == Invoice.objects.count() == 2
    outbox.relay()
    assert Mail.objects.filter(template="receipt").count() == 2
