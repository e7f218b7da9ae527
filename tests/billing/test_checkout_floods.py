"""A checkout is no place to try out stolen cards by the hundred."""

import pytest
from django.test import Client

from billing.models import Customer
from billing.views import checkout
from tests.billing import makers


@pytest.mark.django_db(transaction=True)
def test_one_address_sends_no_more_orders_than_a_person_would(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkout, "FROM_ONE_ADDRESS", "2/h")
    makers.legal_entity()
    makers.published_plan()
    answers = []
    for number in range(3):
        form = dict(client.get("/checkout/pro/").context["form"].initial)
        typed = {"name": "Acme", "email": f"buyer{number}@example.com", "password": "correct horse battery"}
        typed |= {"country": "US", "card": "pm_card_visa"}
        answers.append(Client(REMOTE_ADDR="198.51.100.7").post("/checkout/pro/", form | typed).status_code)
    assert answers == [302, 302, 429]
    assert Customer.objects.count() == 2
