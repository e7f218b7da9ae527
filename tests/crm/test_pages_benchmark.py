"""The benchmark of the desk's pages, as small as it gets: what it seeds stands together, and every page answers."""

from typing import Any

import pytest
from django.test import Client

from benchmarks import pages, sales
from crm.models import Account, Contact, Opportunity
from gtm.shared.models import Event, User

pytestmark = pytest.mark.django_db


def test_it_seeds_a_world_whose_pages_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    seed_without_vacuum(monkeypatch)
    found = (Account.objects, Contact.objects, Opportunity.objects, Event.objects.filter(type__startswith="crm."))
    assert [rows.count() for rows in found] >= [40, 120, 20, 400]
    for who, email in (("rep", sales.REP), ("founder", sales.FOUNDER)):
        client = Client()
        client.force_login(User.objects.get(email=email))
        for page, addresses in pages._pages(40).items():
            assert client.get(addresses[who][0]).status_code == 200, page


def seed_without_vacuum(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A test runs in a transaction, where nothing can be vacuumed."""
    monkeypatch.setattr(sales, "VACUUM", "SELECT 1")
    sales.seed(40)


def test_its_table_says_what_grows() -> None:
    few, many = ([pages.Measured("Today", "rep", tuple(n * times / 1000 for n in range(10, 30)))] for times in (1, 2))
    table = pages.table(few, many, sizes=[10, 100], requests=20)
    assert "| Today | rep | 20 / 29 ms | 39 / 58 ms | 2.00 (more than 1.5) |" in table
