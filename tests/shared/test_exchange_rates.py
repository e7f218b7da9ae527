"""Rates are set, corrected and removed as facts."""

from decimal import Decimal

import pytest

from gtm.shared import exchange_rates
from gtm.shared.errors import Invalid
from gtm.shared.models import Event, ExchangeRate
from tests.world import JAN_1

pytestmark = pytest.mark.django_db


def euro(**fields: object) -> ExchangeRate:
    defaults = {"date": JAN_1.date(), "currency": "eur", "rate": Decimal("0.92")}
    return exchange_rates.create(at=JAN_1, **defaults | fields)


def test_a_rate_is_made_corrected_and_removed() -> None:
    row = euro()
    exchange_rates.change(exchange_rate=row, at=JAN_1, rate=Decimal("0.93"))
    exchange_rates.change(exchange_rate=row, at=JAN_1, rate=Decimal("0.93"))
    exchange_rates.remove(exchange_rate=row, at=JAN_1)
    told = Event.objects.order_by("position").values_list("type", "data__rate", "data__currency")
    assert list(told) == [
        ("exchange_rate.created", "0.92", "EUR"),
        ("exchange_rate.changed", "0.93", "EUR"),
        ("exchange_rate.removed", "0.9300000000", "EUR"),
    ]
    assert not ExchangeRate.objects.exists()


@pytest.mark.parametrize(
    ("fields", "attr"),
    [({"rate": Decimal(0)}, "rate"), ({"currency": "QQQ"}, "currency"), ({"currency": "USD"}, "currency")],
)
def test_it_refuses_what_makes_no_sense(fields: dict[str, object], attr: str) -> None:
    with pytest.raises(Invalid) as refused:
        euro(**fields)
    assert refused.value.attr == attr


def test_there_is_one_rate_of_a_currency_a_day() -> None:
    euro()
    with pytest.raises(Invalid):
        euro()
