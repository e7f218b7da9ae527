"""Cases about changes in the midst of a period: what the old terms give back and what the new ones cost."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

import pytest

from billing import changes, coupons
from billing.models import CreditNote, CustomerBalance, InvoiceLine, LineKind, Subscription
from tests.billing.cases.book import Case, case, elapsed
from tests.billing.cases.payer import MADE, Ordered, Payer, amounts, items_of
from tests.billing.lives import day_of, local

pytestmark = pytest.mark.django_db


def change(payer: Payer, subscription: Subscription, *ordered: Ordered, at: datetime, **terms: object) -> list[int]:
    """Change to these items now; the amounts on the invoice of it, the credits first."""
    before = len(payer.invoices())
    items = items_of(ordered)
    options = {"plan": items[0].price.plan, "effective": "now", "invoicing": "now", "origin": "api"}
    changes.change(subscription=subscription, items=items, at=at, **options | terms)
    return sorted(amount for invoice in payer.invoices()[before:] for amount in amounts(invoice))


def notes(payer: Payer) -> list[CreditNote]:
    return list(CreditNote.objects.filter(customer=payer.customer).order_by("number"))


def credited(payer: Payer, charged: list[int]) -> int:
    """What was given back: by lines on the invoice, and by a note where there was no room on it."""
    return sum(amount for amount in charged if amount < 0) - sum(note.subtotal for note in notes(payer))


def balance(payer: Payer) -> int:
    return sum(CustomerBalance.objects.filter(customer=payer.customer).values_list("amount", flat=True))


def spans(lines: Iterable[InvoiceLine]) -> list[tuple[int, str]]:
    """Amounts with the days that they are for."""
    return sorted((one.amount, f"{day_of(one.period_start, 'UTC')}..{day_of(one.period_end, 'UTC')}") for one in lines)


def stated(lines: Iterable[Case]) -> list[tuple[int, str]]:
    return sorted((one["amount"], one["period"]) for one in lines)


# --- credit notes and credit lines -------------------------------------------------------------
@case("lago-upg-cal-2", "lago-upg-ann-1")
def test_an_upgrade_offsets_what_is_unpaid_by_a_credit_note(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit, zone=inputs["customer_timezone"], tax=inputs["tax_rate"])
    old, new = payer.price("old", inputs["old_plan_price"]), payer.price("new", inputs["new_plan_price"])
    subscription = payer.start(old, at=payer.moment(inputs["start"]), alignment=inputs["alignment"])
    if "first_invoice_net" in expected:
        assert payer.invoices()[0].subtotal == expected["first_invoice_net"]
    charged = change(payer, subscription, new, at=payer.moment(inputs["change_at"]))
    assert charged == [expected["new_plan_fee_net"]]
    (note,) = notes(payer)
    assert note.total == expected["credit_note_total_incl_tax"] == note.offset_amount
    if "credit_note_net" in expected:
        assert (note.subtotal, note.tax_total) == (expected["credit_note_net"], expected["credit_note_tax"])


@case("lago-upg-addon-same-day")
def test_an_upgrade_on_the_day_of_the_start_gives_back_all_of_it(case: Case, unit: str) -> None:
    """The shared add-on costs the new price less all that was paid for the old one."""
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit)
    a = payer.price("a", inputs["old_addons"][0])
    b = payer.price("b", inputs["old_addons"][1], plan=a.plan)
    dearer = payer.price("dearer", inputs["new_addons_B_C"][0])
    c = payer.price("c", inputs["new_addons_B_C"][1], plan=dearer.plan)
    start = payer.moment(inputs["start"])
    subscription = payer.start(a, b, at=start, alignment=inputs["alignment"])
    assert amounts(payer.invoices()[0]) == expected["first_invoice"]
    payer.pay(at=start)
    charged = change(payer, subscription, dearer, c, at=payer.moment(inputs["change_at"]))
    (unshared, shared), (difference, third) = expected["first_invoice"], expected["upgrade_invoice"]
    assert charged == sorted([-unshared, -shared, difference + shared, third])


@case("kb-same-day-upgrades")
def test_three_plans_on_one_day_cost_what_the_last_one_does(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit)
    first = payer.price("p0", inputs["prices"][0])
    addon = payer.price("addon", inputs["addon"], plan=first.plan)
    at = payer.moment(inputs["date"])
    subscription = payer.start(first, addon, at=at)
    assert amounts(payer.invoices()[0]) == expected["invoice_1"]
    for position, amount in enumerate(inputs["prices"][1:], start=2):
        payer.pay(at=at)
        charged = change(payer, subscription, payer.price(f"p{position}", amount), at=at)
        assert charged == sorted(expected[f"invoice_{position}"])


@case("kb-multi-repair")
def test_what_a_downgrade_gives_back_is_used_by_the_next_change(case: Case, unit: str) -> None:
    """The credit has no room on an invoice of 8.02: it stands to the payer's credit."""
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit)
    prices = [payer.price(f"p{n}", amount) for n, amount in enumerate(inputs["prices"])]
    start = payer.moment(inputs["period"].partition("..")[0])
    subscription = payer.start(prices[0], at=start)
    payer.pay(at=start)
    first, second = ({key: one[key] for one in expected[name] for key in one} for name in ("invoice_1", "invoice_2"))

    charged = change(payer, subscription, prices[1], at=payer.moment(inputs["changes"][0]))
    assert charged[-1] == first["charge"]
    assert credited(payer, charged) == first["repair"]
    assert balance(payer) == first["credit"]
    charged = change(payer, subscription, prices[2], at=payer.moment(inputs["changes"][1]))
    assert charged == [second["repair"], second["charge"]]
    assert balance(payer) == first["credit"] + second["credit_used"]


# --- the same interval -------------------------------------------------------------------------
@case(
    "polar-switch-1",
    "polar-switch-2",
    "polar-switch-5",
    "polar-switch-7",
    "polar-switch-8",
    "polar-switch-10",
    "polar-switch-11",
)
def test_a_switch_credits_the_rest_of_the_old_and_charges_the_new(case: Case, unit: str) -> None:
    """With the same interval for the rest of the period; with another one for a whole period from then on."""
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit)
    old = payer.price("old", inputs["old_plan_price"], interval=inputs["old_interval"])
    new = payer.price("new", inputs["new_plan_price"], interval=inputs["new_interval"])
    subscription = payer.start(old, at=local(inputs["period_start"]))
    payer.pay(at=local(inputs["period_start"]))
    end = subscription.current_period_end
    charged = change(payer, subscription, new, at=local(inputs["change_at"]))
    assert (credited(payer, charged), charged[-1]) == (-expected["credit"], expected["debit"])
    subscription.refresh_from_db()
    if expected["cycle"] == "unchanged":
        assert subscription.current_period_end == end
    else:
        assert day_of(subscription.current_period_start, "UTC") == expected["cycle"].rpartition(" ")[2]


@case("flex-upgrade", "flex-downgrade", "flex-quantity", "flex-add-item")
def test_a_change_in_the_middle_of_march(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit, zone=inputs["timezone"])
    if "quantity" in inputs:
        seat = payer.price("seat", inputs["unit_price"], model="per_unit")
        before, after = ((seat, quantity) for quantity in inputs["quantity"])
        old, new = [before], [after]
    elif "item_price" in inputs:
        base = payer.price("base", 1000)
        old, new = [base], [base, payer.price("item", inputs["item_price"], plan=base.plan)]
    else:
        prices = [inputs.get(f"{name}_plan_price", inputs.get(f"{name}_total")) for name in ("old", "new")]
        old, new = ([payer.price(f"p{amount}", amount)] for amount in prices)
    start = payer.moment(inputs["period"].partition("..")[0])
    subscription = payer.start(*old, at=start)
    payer.pay(at=start)
    charged = change(payer, subscription, *new, at=payer.moment(inputs["change_at"]))
    credit = credited(payer, charged)
    assert (credit, charged[-1]) == (expected.get("credit", 0), expected["charge"])
    assert credit + charged[-1] == expected["net"]


@case("polar-seats-1", "polar-seats-4")
def test_seats_change_now_and_the_scheduled_plan_survives(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit)
    seat = payer.price("seat", inputs["seat_price"], model="per_unit")
    dearer = payer.price("dearer", inputs["scheduled_seat_price"], model="per_unit")
    start, end = (local(day) for day in inputs["period"].split(".."))
    before, after = inputs["seats"]
    subscription = payer.start((seat, before), at=start)
    payer.pay(at=start)
    assert change(payer, subscription, (dearer, before), at=start, effective="period_end") == []
    charged = change(payer, subscription, (seat, after), at=local(inputs["change_at"]), invoicing="next")
    assert charged == []
    payer.bill(end)
    invoice = payer.invoices()[-1]
    kinds = {line.kind: 0 for line in invoice.lines.all()}
    for line in invoice.lines.all():
        kinds[line.kind] += line.amount
    recurring = kinds.pop(LineKind.RECURRING)
    sign = 1 if expected["direction"] == "debit" else -1
    assert (sum(kinds.values()), recurring) == (sign * expected["proration"], expected["next_cycle_amount"])


@case("polar-seat-change-percent-discount")
def test_a_share_off_comes_off_what_a_change_costs(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit)
    base = payer.price("base", inputs["base"])
    seat = payer.price("seat", inputs["seat_price"], plan=base.plan, model="per_unit")
    share = {"percent_off": Decimal(inputs["discount"].rstrip("%")), "duration": "forever"}
    before, after = inputs["seats"]
    start, half = local("2025-06-01"), local("2025-06-16")
    assert elapsed(half, local("2025-07-01"), start, local("2025-07-01")) == Fraction(inputs["fraction"])
    given = coupons.create(at=MADE, code="SHARE", **share)
    subscription = payer.start(base, (seat, before), at=start, coupons=[given])
    payer.pay(at=start)
    change(payer, subscription, base, (seat, after), at=half)
    invoice = payer.invoices()[-1]
    assert invoice.subtotal - invoice.discount_total == invoice.total == expected["debit"]


# --- in arrears, phases, other intervals -------------------------------------------------------
@case("lago-doc-upgrade-arrears")
def test_in_arrears_each_plan_is_billed_for_its_days(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit)
    terms = {"timing": inputs["billing"]}
    old, new = (
        payer.price("old", inputs["old_plan_price"], **terms),
        payer.price("new", inputs["new_plan_price"], **terms),
    )
    start, changed = (datetime.strptime(f"2026 {inputs[name]} +0000", "%Y %b %d %z") for name in ("start", "change_at"))
    subscription = payer.start(old, at=start, alignment=inputs["alignment"])
    assert change(payer, subscription, new, at=changed) == [expected["invoice_jan_15"]]
    payer.bill(local("2026-02-01"))
    assert amounts(payer.invoices()[-1]) == [expected["invoice_jan_31"]]


@case("om-phase-proration")
def test_two_phases_of_a_month_cost_together_what_it_costs(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit)
    first, second = (payer.price(name, inputs["plan_price"], timing="in_arrears") for name in ("first", "second"))
    start, changed = (local(day) for day in inputs["phase_1"].split(".."))
    subscription = payer.start(first, at=start, alignment="calendar")
    change(payer, subscription, second, at=start, effective=changed)
    payer.bill(changed, local("2024-02-01"), local("2024-03-01"))
    ordered = sorted(payer.lines(), key=lambda line: line.period_start)
    assert [line.amount for line in ordered] == expected["lines"]


@case("lago-upg-adv-usage-feb-leap")
def test_an_upgrade_in_a_leap_february_with_units_in_arrears(case: Case, unit: str) -> None:
    """The source's recurring metric, prorated by time, is a quantity here: so many units, in arrears."""
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit)
    terms = {"model": "per_unit", "timing": "in_arrears"}
    units = inputs["metric"]["units"]
    old = payer.price("old", inputs["old_plan_price"])
    old_units = payer.price("old-units", inputs["metric"]["unit_price"], plan=old.plan, **terms)
    new = payer.price("new", inputs["new_plan_price"])
    new_units = payer.price("new-units", inputs["metric"]["unit_price"], plan=new.plan, **terms)
    subscription = payer.start(old, (old_units, units), at=payer.moment(inputs["start"]), alignment=inputs["alignment"])
    payer.bill(local("2024-02-01"))
    payer.pay(at=local("2024-02-01"))
    charged = change(payer, subscription, new, (new_units, units), at=payer.moment(inputs["change_at"]))
    assert sorted(charged) == sorted(expected["upgrade_invoice_lines"].values())
    assert (sum(charged), min(charged)) == (expected["upgrade_invoice_total"], -expected["credit_note"])
    payer.bill(local("2024-03-01"))
    assert payer.invoices()[-1].total == expected["march_invoice_total"]


@case("kb-plan-change-bcd16")
def test_a_longer_interval_begins_now_with_a_new_anchor(case: Case, unit: str) -> None:
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit)
    old, new = (
        payer.price("old", inputs["old_plan_price"]),
        payer.price("new", inputs["new_plan_price"], interval="year"),
    )
    subscription = payer.start(old, at=local(inputs["start"]))
    payer.pay(at=local(inputs["start"]))
    items = items_of([new])
    changes.change(subscription=subscription, plan=new.plan, items=items, origin="api", at=local(inputs["change_at"]))
    invoice = payer.invoices()[-1]
    assert spans(invoice.lines.all()) == stated(expected["lines"])
    assert invoice.total == expected["total"]


@case("kb-month-to-annual-other-bcd")
def test_a_plan_that_joins_on_another_day_than_the_cycles(case: Case, unit: str) -> None:
    """The day of the source's cycle is that of a free plan which came before."""
    inputs, expected = case["inputs"], case["expected"]
    payer = Payer.begin(unit)
    free = payer.price("free", 0)
    month, year = (
        payer.price("month", inputs["old_plan_price"]),
        payer.price("year", inputs["new_plan_price"], interval="year"),
    )
    joined, changed = local(inputs["start_paid"]), local(inputs["change_at"])
    subscription = payer.start(free, at=joined.replace(month=6, day=inputs["bcd"]))
    change(payer, subscription, month, at=joined)
    payer.bill(local("2016-07-10"))
    payer.pay(at=local("2016-07-10"))
    change(payer, subscription, year, at=changed)
    billed = [line for line in payer.lines() if line.amount]
    assert spans(billed) == stated(expected["lines"])
