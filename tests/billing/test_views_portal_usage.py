"""Usage in the portal: its course against the limit, where it leads, and the days of a usage line."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from billing import runs
from billing.models import Customer, Feature, Invoice, Meter
from billing.queries import entitlements_of, usage_courses
from gtm.shared import db
from tests.billing import makers

pytestmark = pytest.mark.django_db


@pytest.fixture
def start() -> datetime:
    """Ten days ago, at midnight."""
    return db.now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=10)


@pytest.fixture
def acme(start: datetime, client: Client) -> Customer:
    """On Pro, 1,000 API calls a month, for ten days: 30 calls on each of the first three, none since."""
    makers.legal_entity()
    plan = makers.published_plan(at=start)
    makers.price(plan=plan, code="call", meter=Meter.objects.get(), model="per_unit", unit_amount=1, at=start)
    acme = makers.customer(at=start)
    makers.subscribed(acme, plan=plan, at=start)
    for day in range(3):
        makers.calls(acme, 30, at=start + timedelta(days=day, hours=9))
    client.force_login(makers.member(acme, "cora@acme.com", at=start))
    return acme


def text(answer: Any) -> str:
    return str(answer.content.decode())


def test_the_course_rises_and_leads_somewhere(acme: Customer, start: datetime) -> None:
    at = start + timedelta(days=9)
    states = entitlements_of(customer_id=acme.pk, at=at)
    (course,) = usage_courses.of_customer(acme, states, at=at)
    assert [int(day.quantity) for day in course.days] == [30, 30, 30, 0, 0, 0, 0, 0, 0, 0]
    assert course.days[-1].total == 90
    assert course.slots in {28, 29, 30, 31}
    assert course.projected == Decimal(round(90 * course.slots / 9))
    assert course.reaches is None


def test_the_page_says_so_in_words_and_draws_it(acme: Customer, client: Client) -> None:
    page = text(client.get(reverse("portal_usage", args=[acme.public_id])))
    for words in (
        "90 of 1,000 API calls",
        "At this pace you come to",
        '<svg class="course"',
        "By day",
        'class="ahead"',
    ):
        assert words in page
    Feature.objects.get().entitlements.update(limit=100)
    acme.grants.update(limit=100)
    page = text(client.get(reverse("portal_usage", args=[acme.public_id])))
    assert "At this pace you reach the limit on" in page
    assert "90% used." in page


def test_largest_values_are_drawn_by_the_day(acme: Customer, client: Client, start: datetime) -> None:
    peak = makers.meter(code="peak", name="Peak", event_name="peak", aggregation="max", property="size", at=start)
    feature = makers.feature(code="peak", name="Peak", meter=peak, at=start)
    acme.grants.create(feature=feature, source="manual", limit=10)
    page = text(client.get(reverse("portal_usage", args=[acme.public_id])))
    assert '<svg class="bars"' in page


def test_a_usage_line_opens_to_its_days(acme: Customer, client: Client, start: datetime) -> None:
    runs.bill_due(at=start + timedelta(days=32))
    runs.bill_due(at=start + timedelta(days=32, hours=2))
    invoice = Invoice.objects.filter(customer=acme).latest("created_at")
    line = invoice.lines.get(kind="usage")
    address = reverse("portal_line", args=[acme.public_id, invoice.public_id, line.public_id])
    assert address in text(client.get(reverse("portal_invoice", args=[acme.public_id, invoice.public_id])))
    page = client.get(address)
    assert [int(quantity) for _day, quantity in page.context["days"]] == [30, 30, 30]
    other = invoice.lines.exclude(kind="usage")[0]
    assert client.get(address.replace(line.public_id, other.public_id)).status_code == 302
    for wrong in ("il_1", invoice.public_id):
        assert client.get(address.replace(line.public_id, wrong)).status_code == 404


def test_pages_cost_the_same_however_much_is_counted(
    acme: Customer, client: Client, start: datetime, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    address = reverse("portal_usage", args=[acme.public_id])
    with django_assert_num_queries(10):
        client.get(address)
    for number in range(3):
        meter = makers.meter(code=f"m{number}", event_name=f"m{number}", at=start)
        feature = makers.feature(code=f"f{number}", name=f"F{number}", meter=meter, at=start)
        acme.grants.create(feature=feature, source="manual", limit=10)
    with django_assert_num_queries(10):
        client.get(address)
