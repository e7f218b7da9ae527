"""Every address of the portal, with whom it is for. A new route belongs here, or the walks fail and say so.

``PORTAL`` names the least role that may ask for each; ``POSTED`` take a POST alone; ``FILES`` answer with a document.
"""

from collections.abc import Iterator

import pytest
from django.urls import get_resolver, reverse

from billing import members
from billing.models import CreditNote, Customer, Invitation, Invoice, Member, Payment, Plan, Prompt, Subscription
from tests.billing import makers, papers
from tests.world import JAN_1

PORTAL = {
    "portal_overview": "viewer",
    "portal_usage": "viewer",
    "portal_plan": "viewer",
    "portal_invoices": "viewer",
    "portal_invoice": "viewer",
    "portal_invoice_pdf": "viewer",
    "portal_invoice_xml": "viewer",
    "portal_receipt": "viewer",
    "portal_credit_note": "viewer",
    "portal_people": "viewer",
    "portal_mail": "viewer",
    "portal_leave": "viewer",
    "portal_dismiss": "viewer",
    "portal_line": "viewer",
    "portal_way": "billing",
    "portal_pay_open": "billing",
    "portal_quote": "billing",
    "portal_offer": "billing",
    "portal_unpause": "billing",
    "portal_change": "billing",
    "portal_change_preview": "billing",
    "portal_change_undo": "billing",
    "portal_pay": "billing",
    "portal_card": "billing",
    "portal_cancel": "billing",
    "portal_resume": "billing",
    "portal_details": "billing",
    "portal_member_role": "owner",
    "portal_member_removal": "owner",
    "portal_invitation_resend": "owner",
    "portal_invitation_revoke": "owner",
}
POSTED = {
    "portal_resume",
    "portal_offer",
    "portal_unpause",
    "portal_change_undo",
    "portal_dismiss",
    "portal_leave",
    "portal_member_role",
    "portal_member_removal",
    "portal_invitation_resend",
    "portal_invitation_revoke",
}
FILES = {"portal_invoice_pdf", "portal_invoice_xml", "portal_receipt", "portal_credit_note"}
RANKS = ("viewer", "billing", "owner")
FOR_PEOPLE = {
    "portal_people",
    "portal_mail",
    "portal_leave",
}  # who have signed in, and haven't come by a portal session


def portal(customer: Customer) -> Iterator[tuple[str, str]]:
    """The name and the address of each page of the customer's portal, with objects that are the customer's."""
    found = _objects(customer)
    for name, parameters in sorted(_routes()):
        if name not in PORTAL or not set(parameters) <= set(found):
            pytest.fail(f"{name}{parameters} is new: say in tests/billing/addresses.py whom it is for, and of what.")
        yield name, reverse(name, kwargs={parameter: found[parameter] for parameter in parameters})


def _routes() -> Iterator[tuple[str, list[str]]]:
    named = get_resolver().reverse_dict
    for name in named:
        if isinstance(name, str) and name.startswith("portal_"):
            yield name, named[name][0][0][1]


def _objects(customer: Customer) -> dict[str, object]:
    """One of each of what addresses name; what the customer lacks is made."""
    invoice = Invoice.objects.filter(customer=customer).latest("created_at")
    note = CreditNote.objects.filter(customer=customer).first() or papers.credit_note(invoice, 100)
    invitation = Invitation.objects.filter(customer=customer).first() or members.invite(
        customer=customer, email="nils@corp.example", role="viewer", invited_by=None, at=JAN_1
    )
    member = Member.objects.filter(customer=customer).order_by("created_at", "id").first()
    return {
        "customer": customer.public_id,
        "invoice": invoice.public_id,
        "payment": Payment.objects.filter(customer=customer, status="succeeded").latest("created_at").public_id,
        "note": note.public_id,
        "subscription": Subscription.objects.filter(customer=customer).latest("created_at").public_id,
        "plan": _by_quote().code,
        "line": invoice.lines.order_by("position")[0].public_id,
        "prompt": Prompt.objects.filter(customer=customer).latest("created_at").pk,
        "other": member.public_id if member else "mbr_none",
        "invitation": invitation.public_id,
    }


def _by_quote() -> Plan:
    known = Plan.objects.filter(code="by-quote").first()
    return known or makers.plan(code="by-quote", name="Enterprise", purchase_mode="quote_only", published=True)
