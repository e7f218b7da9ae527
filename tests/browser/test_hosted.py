"""From the mail to the paid invoice, as somebody does it who never signs in."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from billing.models import Invoice, Plan
from gtm.shared import db, outbox
from gtm.shared.models import Mail
from tests.billing import letters, makers

PHONE = {"width": 360, "height": 800}

pytestmark = pytest.mark.browser


def path_in(mail: Mail, page: str) -> str:
    (address,) = re.findall(rf"https?://[^/]+(/{page}/\S+)", mail.text)
    return str(address)


def test_an_invoice_is_paid_from_its_mail(
    new_page: Callable[..., Page], axe: Callable[[Page], None], pro: Plan
) -> None:
    """On a phone, without scripts: a card that is refused, the next one, the receipt; then what mail one wants."""
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

    looked = new_page(viewport=PHONE)
    open_one = makers.invoiced(acme, 700, at=db.now())
    outbox.relay()
    letter = Mail.objects.get(template="invoice", attachments=[open_one.pk])
    for place in (path_in(letter, "i"), path_in(letter, "mail"), "/i/nothing/"):
        looked.goto(place)
        for scheme in ("light", "dark"):
            looked.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            looked.evaluate("document.getAnimations().forEach(one => one.finish())")
            axe(looked)
        assert looked.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    outbox.relay()
    letter_page = new_page(viewport=PHONE, color_scheme="dark")
    letter_page.set_content(Mail.objects.get(template="receipt").html)
    axe(letter_page)
