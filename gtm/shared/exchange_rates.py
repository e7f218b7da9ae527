"""Rates by which figures in other currencies are brought to the vendor's own."""

from datetime import date as Date  # noqa: N812 -- the field's own name is date
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from gtm.shared import db, money, outbox, saving, vendors
from gtm.shared.errors import Invalid
from gtm.shared.models import ExchangeRate


@transaction.atomic
def create(*, at: datetime, date: Date, currency: str, rate: Decimal) -> ExchangeRate:
    """``rate`` units of ``currency`` for one unit of the base currency on ``date``. Raises Invalid."""
    row = ExchangeRate(date=date, currency=currency.upper(), rate=rate)
    _check(row)
    saving.insert(row)
    outbox.publish("exchange_rate.created", row, at=at, data=_told(row))
    return row


@transaction.atomic
def change(*, exchange_rate: ExchangeRate, at: datetime, rate: Decimal) -> ExchangeRate:
    """Correct a rate. Figures that were computed with it are computed anew where they are shown. Raises Invalid."""
    row = db.lock_one(exchange_rate)
    previous, row.rate = row.rate, rate
    _check(row)
    if previous != rate:
        row.save(update_fields=["rate"])
        outbox.publish("exchange_rate.changed", row, at=at, data=_told(row), previous={"rate": str(previous)})
    return row


@transaction.atomic
def remove(*, exchange_rate: ExchangeRate, at: datetime) -> None:
    row = db.lock_one(exchange_rate)
    outbox.publish("exchange_rate.removed", row, at=at, data=_told(row))
    row.delete()


def _check(row: ExchangeRate) -> None:
    saving.clean(row)
    if row.rate <= 0:
        raise Invalid("A rate is more than 0.", attr="rate")
    try:
        money.exponent(row.currency)
    except ValueError as error:
        raise Invalid(f"{row.currency!r} is not a currency code of ISO 4217.", attr="currency") from error
    if row.currency == vendors.current().base_currency:
        raise Invalid("That is your base currency: one of it is one of it.", attr="currency")


def _told(row: ExchangeRate) -> dict[str, str]:
    return {"date": row.date.isoformat(), "currency": row.currency, "rate": str(row.rate)}
