"""Bulk writes leave what Django's own leave, for every type of column that a table of ours has."""

import itertools
from collections.abc import Callable
from copy import copy
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, models, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from billing.models import Charge, Customer, Document, Entitlement, LineKind, PlanVersion, TaxRate
from gtm.shared import bulk, ids
from gtm.shared.models import Event
from tests.world import JAN_1

pytestmark = pytest.mark.django_db
NASTY = [
    "",
    r"\N",
    "tab\there",
    "new\nline, return\r and \\ slash \\n \\\\.",
    "{\"curly\", 'quotes'}",
    "Ünïcode ☃ 😀",
    " spaces ",
    "null",
]
IDS = [ids.uuid7() for _number in range(8)]
CEST = timezone(timedelta(hours=2))


def customers() -> list[Customer]:
    rows = [
        Customer(
            name=text,
            billing_emails=NASTY if number % 2 else [],
            traits={"text": text, "deep": [{"n": 1.5, "none": None}, True, NASTY]},
            net_terms_days=number or None,
            managed=bool(number % 2),
            account_id=IDS[0] if number % 2 else None,
            external_id=text or None,
        )
        for number, text in enumerate(NASTY)
    ]
    rows[0].name = gettext_lazy("Yes")  # type: ignore[assignment]  # as a form may leave it
    rows[1].name = SafeString("<b>")
    return rows


def charges() -> list[Charge]:
    amounts = [
        Decimal(0),
        Decimal("-1.5"),
        Decimal("1E+3"),
        7,
        Decimal("0.000000000001"),
        Decimal("9" * 20),
        Decimal("2.0"),
    ]
    instants = [JAN_1, datetime(2026, 6, 1, 2, 3, 4, 567, tzinfo=CEST), datetime(9999, 12, 31, tzinfo=UTC)]
    return [
        Charge(
            customer_id=IDS[0],
            payer_id=IDS[1],
            kind=LineKind.USAGE,
            reason="manual",
            currency="USD",
            amount=(-1) ** number * 2**40,
            quantity=amount,
            unit_amount=amount if number % 2 else None,
            description=NASTY[number],
            explanation=[{"code": "flat", "amount": str(amount)}],
            invoice_at=instants[number % 3],
            created_at=JAN_1,
        )
        for number, amount in enumerate(amounts)
    ]


def documents() -> list[Document]:
    contents = [b"", bytes(range(256)), memoryview(b"%PDF")]
    return [
        Document(invoice_id=key, locale="en", filename="a.pdf", content=content, sha256="0" * 64, rendered_at=JAN_1)
        for key, content in zip(IDS, contents, strict=False)
    ]


def tax_rates() -> list[TaxRate]:
    until = [None, date(2027, 1, 1)]
    return [
        TaxRate(
            code=f"t{n}",
            name="VAT",
            percentage=Decimal("19.00001"),
            country="DE",
            valid_from=date(2026, 1, 1),
            valid_to=to,
        )
        for n, to in enumerate(until)
    ]


def entitlements() -> list[Entitlement]:
    of = {"plan_version_id": IDS[0]}
    return [Entitlement(feature_id=IDS[1], **of), Entitlement(feature_id=IDS[2], granted=False, limit=0, **of)]


@pytest.fixture
def written() -> Callable[..., list[dict[str, Any]]]:
    """What a way of writing leaves in the table; nothing of it stays, nor do the foreign keys have to hold."""

    def write_and_read(model: type[models.Model], write: Callable[[], object]) -> list[dict[str, Any]]:
        with transaction.atomic():
            write()
            found = [_readable(row) for row in model._default_manager.order_by("pk").values()]
            transaction.set_rollback(True)
        return found

    return write_and_read


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    row = {name: bytes(value) if isinstance(value, memoryview) else value for name, value in row.items()}
    return {name: value for name, value in row.items() if name not in {"created_at", "updated_at"}}


class TestSelect:
    @pytest.mark.parametrize("make", [customers, charges, documents, tax_rates, entitlements])
    def test_reads_what_the_queryset_reads(self, make):
        rows = make()
        model = type(rows[0])
        with transaction.atomic():
            bulk.insert(model, rows)
            read = bulk.select(model.objects.order_by("-pk"))
            expected = list(model.objects.order_by("-pk").values())
            transaction.set_rollback(True)
        assert [_readable(_columns(row)) for row in read] == [_readable(row) for row in expected]
        assert not any(row._state.adding for row in read)

    def test_locks_and_filters_as_the_queryset_does(self, django_assert_num_queries):
        bulk.insert(TaxRate, tax_rates())
        with django_assert_num_queries(1):
            locked = bulk.select(TaxRate.objects.filter(code="t1").select_for_update(skip_locked=True))
        assert [rate.code for rate in locked] == ["t1"]
        assert bulk.select(TaxRate.objects.filter(code__in=[])) == []


class TestNew:
    def test_is_what_the_constructor_makes(self):
        payer, now = Customer(name="Acme"), datetime.now(UTC)
        values = {"payer": payer, "customer_id": IDS[0], "item": None, "amount": 1, "invoice_at": now}
        made, plain = bulk.new(Charge, **values), Charge(**values)
        plain.pk = made.pk
        assert made.payer is payer
        assert made._state.adding
        assert _columns(made) == _columns(plain) | {"created_at": made.created_at}

    def test_shares_no_default_that_could_be_changed(self):
        one, other = bulk.new(Customer, name="A"), bulk.new(Customer, name="B")
        one.traits["seats"] = 3
        assert (other.traits, Customer(name="C").traits) == ({}, {})
        assert one.pk != other.pk

    def test_refuses_names_of_no_field(self):
        with pytest.raises(TypeError, match="nickname"):
            bulk.new(Customer, nickname="A")


def _columns(row: models.Model) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


class TestInsert:
    @pytest.mark.parametrize("make", [customers, charges, documents, tax_rates, entitlements])
    def test_leaves_what_bulk_create_leaves(self, make, written):
        rows = make()
        model = type(rows[0])
        copied = written(model, lambda: bulk.insert(model, map(copy, rows)))
        assert copied == written(model, lambda: model.objects.bulk_create(rows))
        assert len(copied) == len(rows)

    def test_knows_every_type_of_column(self):
        tables = [
            model for app in ("shared", "billing", "crm", "signals") for model in apps.get_app_config(app).get_models()
        ]
        columns = itertools.chain.from_iterable(model._meta.concrete_fields for model in tables)
        for field in columns:
            if not isinstance(field, models.CompositePrimaryKey):
                bulk._dump(field)

    def test_leaves_to_the_database_what_is_its_own(self):
        given = Event(type="a.b.c", object_id=IDS[0], actor="system", occurred_at=JAN_1, recorded_at=JAN_1)
        left = [Event(type="a.b.c", object_id=IDS[0], actor="system", occurred_at=JAN_1) for _number in range(2)]
        bulk.insert(Event, [left[0], given, left[1]])
        assert left[0].position < left[1].position
        assert left[0].recorded_at > JAN_1 == Event.objects.get(pk=given.pk).recorded_at
        assert not left[0]._state.adding

    def test_is_one_statement_and_none_for_nothing(self):
        with CaptureQueriesContext(connection) as queries:
            bulk.insert(TaxRate, tax_rates())
            bulk.insert(TaxRate, [])
        assert len(queries) == 1

    def test_raises_what_the_database_says(self):
        rows = tax_rates()
        rows[1].code = rows[0].code
        with pytest.raises(IntegrityError, match="duplicate key"), transaction.atomic():
            bulk.insert(TaxRate, rows)
        assert not TaxRate.objects.exists()

    @pytest.mark.parametrize("field", ["traits", "metadata"])
    def test_refuses_what_no_json_holds(self, field):
        with pytest.raises(TypeError), transaction.atomic():
            bulk.insert(Customer, [Customer(name="Acme", **{field: {"a": object()}})])


class TestUpdate:
    @pytest.mark.parametrize(
        ("make", "names"),
        [
            (customers, ["name", "billing_emails", "traits", "net_terms_days", "managed", "account_id"]),
            (
                charges,
                ["kind", "amount", "quantity", "unit_amount", "description", "explanation", "invoice_at", "payer"],
            ),
            (tax_rates, ["percentage", "valid_from", "valid_to"]),
        ],
    )
    def test_leaves_what_bulk_update_leaves(self, make, names, written):
        stored, wanted = make(), make()
        model = type(wanted[0])
        for row, old in zip(wanted, reversed(stored), strict=True):
            row.pk = old.pk

        def write(update: Callable[[], object]) -> Callable[[], None]:
            def write_both() -> None:
                model.objects.bulk_create(stored)
                update()

            return write_both

        ours = written(model, write(lambda: bulk.update(model, wanted, names)))
        assert ours == written(model, write(lambda: model.objects.bulk_update(wanted, names)))
        assert ours != written(model, lambda: model.objects.bulk_create(stored))

    def test_computes_expressions_in_the_database(self):
        rate = tax_rates()[0]
        bulk.insert(TaxRate, [rate])
        TaxRate.objects.update(updated_at=JAN_1)
        rate.updated_at = Now()  # type: ignore[assignment]
        with CaptureQueriesContext(connection) as queries:
            bulk.update(TaxRate, [rate], ["updated_at", "name"])
        assert len(queries) == 1
        assert rate.updated_at > JAN_1

    def test_of_nothing_is_nothing(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            bulk.update(PlanVersion, [], ["number"])
