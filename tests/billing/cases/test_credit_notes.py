"""Cases about credit notes in parts: together they come to the invoice, to the last minor unit."""

import pytest

from billing import credit_notes
from billing.credit_notes import LineCredit
from billing.models import CreditNote, Invoice
from tests.billing.cases.book import Case, case
from tests.billing.cases.payer import Payer, totals
from tests.billing.lives import local

pytestmark = pytest.mark.django_db
AT = local("2026-01-01")


def invoiced(unit: str, tax: str, nets: list[int]) -> Invoice:
    """An open invoice with one line for each of the amounts."""
    payer = Payer.begin(unit, tax=tax)
    plan = payer.price("item0", nets[0]).plan
    prices = [*plan.prices.all(), *[payer.price(f"item{n}", net, plan=plan) for n, net in enumerate(nets[1:], 1)]]
    payer.start(*prices, at=AT)
    (invoice,) = payer.invoices()
    return invoice


def credited(invoice: Invoice, *parts: tuple[int, int]) -> list[CreditNote]:
    """A note for each of (position of the line, net)."""
    lines = list(invoice.lines.order_by("position"))
    terms = {"settle": "balance", "reason": "As the case has it.", "origin": "api", "at": AT}
    return [credit_notes.issue(invoice=invoice, lines=[LineCredit(lines[n], net)], **terms) for n, net in parts]


def summed(notes: list[CreditNote]) -> list[dict[str, int]]:
    return [{"net": note.subtotal, "tax": note.tax_total, "total": note.total} for note in notes]


@case("lago-cn-partial")
def test_the_last_note_takes_what_is_left(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    invoice = invoiced(unit, inputs["tax_rate"], [inputs["net"]])
    assert {name: totals(invoice)[name] for name in expected["invoice"]} == expected["invoice"]
    notes = credited(invoice, *[(0, net) for net in inputs["items"]])
    assert summed(notes) == expected["credit_notes"]
    assert sum(note.total for note in notes) == invoice.total


@case("lago-cn-four-items-parts")
def test_notes_of_lines_and_of_parts_of_a_line(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    invoice = invoiced(unit, inputs["tax_rate"], inputs["items"])
    assert {name: totals(invoice)[name] for name in expected["invoice"]} == expected["invoice"]
    whole = len(inputs["items"]) - 1  # the last line is given back in parts
    parts = [(min(position, whole), net) for position, net in enumerate(inputs["credited"])]
    assert [note.total for note in credited(invoice, *parts)] == expected["credit_note_totals"]
    invoice.refresh_from_db()
    assert invoice.total - invoice.credit_note_total == expected["remaining"]


@case("lago-credit-note-tax-doc")
def test_notes_of_all_lines_sum_to_the_invoice_and_not_to_more(case: Case, unit: str) -> None:
    """The source's fault: four notes came to more than the invoice."""
    inputs, expected = case["inputs"], case["expected"]
    invoice = invoiced(unit, inputs["tax_rate"], inputs["items"])
    assert invoice.total == expected["invoice_total"]
    found = [note.total for note in credited(invoice, *enumerate(inputs["items"]))]
    assert sum(found) == expected["invoice_total"] == expected["naive_sum"] - 1
    assert sorted([*found[:-1], found[-1] + 1]) == sorted(expected["naive_credit_notes"])
