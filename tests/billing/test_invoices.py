"""Invoices: what they gather, how they are frozen, and what can still happen to them."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from billing import invoices, payments, runs, subscriptions
from billing.models import Charge, Customer, Invoice, InvoiceLine, LegalEntity, NumberSeries, Subscription, TaxRate
from billing.taxation import PlaceUnknown
from gtm.shared import vendors
from gtm.shared.errors import Conflict
from gtm.shared.models import Event
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
FEB_1 = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
def plan():
    return makers.published_plan()


def bought(plan, customer=None, **terms) -> Invoice:
    """The open invoice of a customer that pays by transfer."""
    customer = customer or makers.customer()
    subscription = subscriptions.create(
        customer=customer, plan=plan, collection_method="send_invoice", **{"at": JAN_1} | terms
    )
    return Invoice.objects.get(lines__subscription=subscription)


def vat(**fields) -> TaxRate:
    defaults = {"code": "de-19", "name": "VAT", "percentage": 19, "country": "DE", "valid_from": date(2020, 1, 1)}
    return TaxRate.objects.create(**defaults | fields)


class TestGathering:
    def test_one_payers_subscriptions_share_an_invoice(self, plan):
        customer = makers.customer()
        for _ in range(2):
            bought_by = {"collection_method": "send_invoice", "at": JAN_1}
            subscriptions.create(customer=customer, plan=plan, **bought_by)
        run = runs.bill_due(at=FEB_1)
        assert (run.subscriptions, run.invoices) == (2, 1)
        assert Invoice.objects.get(gathered_at=FEB_1).lines.count() == 2

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ({"po_number": "PO-1"}, {"po_number": "PO-2"}),
            ({"net_terms_days": 10}, {"net_terms_days": 30}),
            ({"collection_method": "send_invoice"}, {"collection_method": "charge_automatically"}),
        ],
    )
    def test_what_differs_in_terms_never_shares_one(self, plan, first, second):
        customer = makers.customer()
        makers.card(customer)
        for terms in (first, second):
            subscriptions.create(
                customer=customer, plan=plan, **{"collection_method": "send_invoice", "at": JAN_1} | terms
            )
        assert runs.bill_due(at=FEB_1).invoices == 2

    def test_a_line_says_what_it_is_made_of(self, plan):
        line = bought(plan).lines.get()
        charge = Charge.objects.get()
        assert (charge.invoice_line, charge.status) == (line, Charge.Status.BILLED)
        assert (line.kind, line.reason, line.description) == ("recurring", "subscription_start", "Pro")
        assert (line.period_start, line.period_end) == (JAN_1, FEB_1)
        assert line.explanation == [{"code": "flat", "amount": "4900"}]


class TestTax:
    def test_is_added_by_the_place_of_the_payer(self, plan):
        vat()
        invoice = bought(plan, makers.customer(country="DE"))
        assert (invoice.subtotal, invoice.tax_total, invoice.total) == (4900, 931, 5831)
        assert list(invoice.taxes.values_list("rate", "taxable", "amount")) == [("de-19", 4900, 931)]
        assert invoice.lines.get().taxes[0]["evidence"]["country"] == "DE"

    def test_is_the_recipients_for_a_vat_id_abroad(self, plan):
        makers.legal_entity()
        vat()
        vat(code="fr-20", country="FR", percentage=20)
        invoice = bought(plan, makers.customer(country="FR", tax_id="FR40303265045"))
        assert (invoice.tax_total, invoice.tax_treatment) == (0, "reverse_charge")

    def test_an_unknown_place_is_refused_and_nothing_is_written(self, plan):
        vat()
        with pytest.raises(PlaceUnknown) as refusal:
            bought(plan, makers.customer(country=""))
        assert refusal.value.attr == "country"
        assert not Subscription.objects.exists()
        assert not Invoice.objects.exists()


class TestNumber:
    def test_counts_by_year_of_issue_in_the_entitys_zone(self, plan):
        makers.legal_entity(timezone="Asia/Tokyo")
        new_years_eve = datetime(2025, 12, 31, 14, tzinfo=UTC)
        assert bought(plan, at=new_years_eve).number == "INV-2025-000001"
        assert bought(plan, at=new_years_eve + timedelta(hours=2)).number == "INV-2026-000001"
        assert bought(plan, at=new_years_eve + timedelta(hours=3)).number == "INV-2026-000002"

    def test_of_a_test_clock_is_of_its_own_series(self, plan):
        clocks = [makers.clock(), makers.clock()]
        numbers = [bought(plan, makers.customer(test_clock=clock)).number for clock in clocks]
        assert numbers == ["TEST-INV-2026-000001"] * 2
        assert bought(plan).number == "INV-2026-000001"

    def test_that_was_rolled_back_is_given_again(self, plan):
        draft = _draft(plan)
        with transaction.atomic():
            assert invoices.finalize(invoice=draft, at=FEB_1).number == "INV-2026-000002"
            transaction.set_rollback(True)
        assert NumberSeries.objects.get().last_number == 1
        assert invoices.finalize(invoice=draft, at=FEB_1).number == "INV-2026-000002"

    def test_is_not_given_in_a_closed_period(self, plan):
        makers.legal_entity()
        LegalEntity.objects.update(closed_through=date(2026, 1, 1))
        with pytest.raises(Conflict) as refusal:
            bought(plan)
        assert refusal.value.code == "period_closed"


def _draft(plan) -> Invoice:
    """A renewal with usage, which waits for stragglers."""
    meter = plan.current_version.entitlements.get().feature.meter
    if not plan.current_version.prices.filter(meter=meter).exists():
        makers.price(plan=plan, code="calls", meter=meter, timing="in_arrears", model="per_unit", unit_amount=2)
    customer = makers.customer()
    bought(plan, customer)
    makers.calls(customer, 70, at=JAN_1 + timedelta(days=5))
    runs.bill_due(at=FEB_1)
    return Invoice.objects.get(status=Invoice.Status.DRAFT)


class TestDraft:
    def test_with_usage_waits_for_stragglers(self, plan):
        draft = _draft(plan)
        assert draft.finalize_at == FEB_1 + timedelta(hours=1)
        assert (draft.number, draft.total) == (None, 4900 + 140)
        makers.calls(draft.customer, 30, at=JAN_1 + timedelta(days=20))
        runs.bill_due(at=FEB_1 + timedelta(minutes=59))
        draft.refresh_from_db()
        assert draft.status == Invoice.Status.DRAFT
        runs.bill_due(at=FEB_1 + timedelta(hours=1))
        draft.refresh_from_db()
        line = draft.lines.get(kind="usage")
        assert (draft.status, draft.number, draft.total) == (Invoice.Status.OPEN, "INV-2026-000002", 4900 + 200)
        assert (line.quantity, line.amount, line.explanation[0]["quantity"]) == (100, 200, "100")
        assert Charge.objects.get(kind="usage").amount == 200

    def test_does_not_wait_where_the_vendor_grants_no_grace(self, plan):
        vendors.change(draft_grace_minutes=0)
        meter = plan.current_version.entitlements.get().feature.meter
        makers.price(plan=plan, code="calls", meter=meter, timing="in_arrears", model="per_unit", unit_amount=2)
        bought(plan)
        runs.bill_due(at=FEB_1)
        assert not Invoice.objects.filter(status=Invoice.Status.DRAFT).exists()

    def test_can_be_finalized_before(self, plan):
        draft = _draft(plan)
        at = FEB_1 + timedelta(minutes=10)
        finalized = invoices.finalize(invoice=draft, at=at)
        assert (finalized.status, finalized.finalized_at) == (Invoice.Status.OPEN, at)
        with pytest.raises(Conflict) as refusal:
            invoices.finalize(invoice=draft, at=at)
        assert refusal.value.code == "invoice_not_draft"
        assert Event.objects.filter(type="billing.invoice.finalized", object_id=draft.pk).count() == 1


class TestFrozen:
    """By the database itself: a finalized invoice can't be changed even by SQL."""

    @pytest.mark.parametrize(
        "change", [{"total": 1, "subtotal": 1}, {"number": "X"}, {"due_date": date(2030, 1, 1)}, {"buyer": {}}]
    )
    def test_what_it_says_can_not_be_changed(self, plan, change):
        invoice = bought(plan)
        with pytest.raises(IntegrityError, match="finalized and cannot be changed"), transaction.atomic():
            Invoice.objects.filter(pk=invoice.pk).update(**change)

    def test_it_can_not_be_deleted(self, plan):
        invoice = bought(plan)
        with pytest.raises(IntegrityError, match="cannot be deleted"), transaction.atomic():
            Invoice.objects.filter(pk=invoice.pk)._raw_delete("default")

    def test_its_lines_can_not_be_changed_or_deleted(self, plan):
        lines = bought(plan).lines.all()
        with pytest.raises(IntegrityError), transaction.atomic():
            lines.update(amount=1)
        with pytest.raises(IntegrityError), transaction.atomic():
            InvoiceLine.objects.filter(pk__in=lines)._raw_delete("default")

    def test_no_line_can_be_added(self, plan):
        line = bought(plan).lines.get()
        line.pk, line.position = None, 2
        with pytest.raises(IntegrityError, match="nothing can be added"), transaction.atomic():
            InvoiceLine(
                invoice=line.invoice, position=2, kind="one_off", reason="manual", customer=line.customer,
                quantity=1, amount=1,
            ).save()  # fmt: skip

    @pytest.mark.parametrize("table", ["billing_invoiceline", "billing_invoicetax"])
    def test_no_part_of_a_draft_can_be_moved_onto_it(self, plan, table):
        vat(code="us", country="US")
        draft = _draft(plan)
        finalized = Invoice.objects.exclude(number=None).get()
        statement = f"UPDATE {table} SET invoice_id = %s WHERE invoice_id = %s"  # noqa: S608 -- one of two tables of ours
        with (
            pytest.raises(IntegrityError, match="nothing can be added"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, [finalized.pk, draft.pk])

    def test_the_parties_stay_as_they_were(self, plan):
        customer = makers.customer(name="Old Name")
        invoice = bought(plan, customer)
        Customer.objects.filter(pk=customer.pk).update(name="New Name")
        invoice.refresh_from_db()
        assert invoice.buyer["name"] == "Old Name"


class TestVoid:
    def test_takes_back_what_nobody_paid_and_charges_for_it_again(self, plan):
        invoice = invoices.void(invoice=bought(plan), at=JAN_1, reason="wrong PO")
        assert (invoice.status, invoice.amount_due) == (Invoice.Status.VOID, 0)
        old, new = Charge.objects.order_by("revision")
        assert (old.status, new.status, new.revision) == (Charge.Status.REPLACED, Charge.Status.PENDING, 1)
        assert (new.amount, new.period_start, new.invoice_line) == (old.amount, old.period_start, None)
        runs.bill_due(at=FEB_1)
        assert Invoice.objects.get(status=Invoice.Status.OPEN).total == 2 * 4900

    def test_keeps_the_reason_beside_the_invoice_and_a_code_in_the_fact(self, plan):
        invoice = invoices.void(invoice=bought(plan), at=JAN_1, reason="Ann Lee ordered by mistake")
        invoice.refresh_from_db()
        assert invoice.metadata == {"void_reason": "Ann Lee ordered by mistake"}
        assert Event.objects.get(type="billing.invoice.voided").reason == "voided_by_staff"

    def test_can_waive_it(self, plan):
        invoices.void(invoice=bought(plan), at=JAN_1, waive=True)
        assert Charge.objects.get().status == Charge.Status.WAIVED
        runs.bill_due(at=FEB_1)
        assert Invoice.objects.get(status=Invoice.Status.OPEN).total == 4900

    def test_is_refused_for_a_paid_and_a_partly_paid_invoice(self, plan):
        invoice = bought(plan)
        pay = {"customer": invoice.customer, "invoices": [invoice], "method": "cheque", "paid_at": JAN_1, "at": JAN_1}
        payments.record_manual(amount=1, **pay)
        with pytest.raises(Conflict) as partly:
            invoices.void(invoice=invoice, at=JAN_1)
        payments.record_manual(amount=4899, **pay)
        with pytest.raises(Conflict) as paid:
            invoices.void(invoice=invoice, at=JAN_1)
        assert (partly.value.code, paid.value.code) == ("invoice_partly_paid", "invoice_paid")

    def test_is_refused_for_a_draft(self, plan):
        with pytest.raises(Conflict) as refusal:
            invoices.void(invoice=_draft(plan), at=FEB_1)
        assert refusal.value.code == "invoice_not_open"
