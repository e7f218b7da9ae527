"""A lead's whole way as people meet it: from a form within the vendor's own site to a deal of an account we know."""

import re
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from billing.models import Plan
from crm import lead_forms
from crm.lead_forms import FieldTerms
from crm.models import Lead, Opportunity
from gtm.shared import db, outbox
from tests.crm import makers

pytestmark = pytest.mark.browser
ASKED = [
    FieldTerms("company", required=True),
    FieldTerms("employee_count", required=True),
    FieldTerms("choice", "start", "When do you start?", ("This month", "Later"), required=True),
]


@pytest.fixture
def site(live_server: Any) -> Iterator[str]:
    """A page of the vendor's own, on a server of its own, that shows the form as the manual says."""
    frame = f'<iframe src="{live_server.url}/f/demo/" title="Demo" data-tandem-form style="height: 200px"></iframe>'
    html = f'{frame}<script src="{live_server.url}/static/gtm/js/embed.js"></script>'

    class Ours(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_args: Any) -> None:
            """Nothing is said of it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Ours) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_lead_comes_by_a_form_in_another_site_and_becomes_a_deal_of_a_known_account(
    page: Page,
    new_page: Callable[..., Page],
    site: str,
    pro: Plan,
    sign_in: Callable[[Page, Any], None],
    axe: Callable[[Page], None],
) -> None:
    known = makers.account(domain="big-company.com", at=db.now())
    lead_forms.create(
        at=db.now(),
        code="demo",
        title="See it at work",
        consent_text="You may write to me.",
        fields=ASKED,
        allowed_hosts=[site],
    )
    page.goto(site)
    frame = page.frame_locator("iframe")
    expect(page.locator("iframe")).to_have_attribute("style", re.compile(r"height: ([4-9]\d\d|1\d\d\d)px"))
    frame.get_by_label("Your name").fill("Dora")
    frame.get_by_label("Work email").fill("dora@big-company.com")
    frame.get_by_label("Company").fill("Big Company Inc")
    frame.get_by_label("When do you start?").select_option("This month")
    frame.get_by_role("button", name="Send").click()
    expect(frame.get_by_role("alert")).to_contain_text("Please correct what is marked")
    frame.get_by_label("Number of employees").fill("400")
    frame.get_by_label("You may write to me.").check()
    page.wait_for_timeout(2100)  # a person takes longer than two seconds
    frame.get_by_role("button", name="Send").click()
    expect(frame.get_by_role("heading", name="Thank you")).to_be_visible()
    assert not page.context.cookies()
    outbox.relay()

    lead = Lead.objects.get(email="dora@big-company.com")
    assert lead.owner is not None
    assert (lead.account, lead.owner) == (known, known.owner)
    desk = new_page()
    sign_in(desk, lead.owner)
    desk.goto("/crm/leads/queue/")
    axe(desk)
    desk.get_by_role("link", name="Big Company Inc").click()
    expect(desk.get_by_role("main")).to_contain_text("This month")
    desk.get_by_role("link", name="Accept (SAL)").click()
    axe(desk)
    expect(desk.get_by_role("radio", name=re.compile("big-company.com"))).to_be_checked()
    desk.get_by_label("Months until a funded project").fill("18")
    desk.get_by_role("button", name="Accept").click()
    expect(desk.get_by_role("main")).to_contain_text("It has to be a good fit.")
    desk.get_by_label("Months until a funded project").fill("6")
    desk.get_by_label("A good fit").check()
    desk.get_by_label("Pain").fill("Checks take days")
    desk.get_by_label("Commits to connect us with power").check()
    desk.get_by_label("Next step", exact=False).first.fill("Show it with their invoices")
    desk.get_by_role("button", name="Accept").click()
    expect(desk.get_by_role("main")).to_contain_text("Why it was accepted")
    deal = Opportunity.objects.get()
    assert (deal.account, deal.lead, deal.owner) == (known, lead, lead.owner)
    desk.get_by_role("link", name=deal.name).last.click()
    expect(desk.get_by_role("heading", level=1)).to_contain_text(deal.name)
