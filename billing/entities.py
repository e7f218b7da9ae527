"""The legal entities that sell: which one invoices a customer, how it stands on a document, and its own data."""

from datetime import datetime
from typing import Any

from django.db import transaction
from stdnum import bic, iban
from stdnum.exceptions import ValidationError

from billing.models import Customer, LegalEntity
from gtm.shared import countries, db, outbox, periods, saving, vendors
from gtm.shared.errors import Conflict, Invalid


def of_customer(customer: Customer) -> LegalEntity:
    """The entity that invoices ``customer``: its own, or the default."""
    return customer.legal_entity or default()


def default() -> LegalEntity:
    """The entity that sells unless a customer has another one; made from the vendor's name before there is any."""
    known = LegalEntity.objects.filter(is_default=True).first()
    if known is not None:
        return known
    values = {"name": vendors.current().name, "is_default": True}
    return LegalEntity.objects.get_or_create(code="main", defaults=values)[0]


def as_seller(entity: LegalEntity) -> dict[str, Any]:
    """The entity as a finalized document keeps it."""
    return {
        "name": entity.name,
        "address": entity.address,
        "country": entity.country,
        "tax_ids": list(entity.tax_ids),
        "email": entity.email,
        "bank_details": entity.bank_details,
        "iban": entity.iban,
        "bic": entity.bic,
        "registration_number": entity.registration_number,
    }


def as_buyer(customer: Customer) -> dict[str, Any]:
    """The payer as a finalized document keeps it."""
    return {
        "name": customer.name,
        "address": customer.billing_address,
        "country": customer.place,
        "tax_id": customer.tax_id,
        "email": customer.email,
        "locale": customer.preferred_locale,
        "timezone": customer.timezone,
    }


@transaction.atomic
def create(*, at: datetime, code: str, name: str, **fields: Any) -> LegalEntity:
    """Make another entity that sells; the first one is the default. Raises Invalid."""
    db.advisory_lock("billing.entities")
    is_default = fields.pop("is_default", False) or not LegalEntity.objects.exists()
    entity = LegalEntity(code=code, name=name.strip(), **fields)
    _check(entity, at=at)
    saving.insert(entity)
    if is_default:
        _make_default(entity)
    outbox.publish("billing.legal_entity.created", entity, at=at, data={"code": code, "country": entity.country})
    return entity


@transaction.atomic
def change(*, entity: LegalEntity, at: datetime, **changes: Any) -> LegalEntity:
    """Change what stands on the documents to come; those that were issued keep what they say.

    Raises Invalid, and Conflict for taking the default away without naming another.
    """
    assert "code" not in changes, "an entity keeps its code"
    db.advisory_lock("billing.entities")
    entity = db.lock_one(entity)
    becomes_default = changes.pop("is_default", entity.is_default)
    if entity.is_default and not becomes_default:
        detail = "One entity must be the default: make another one it instead."
        raise Conflict(detail, code="default_needed", attr="is_default")
    previous = {name: getattr(entity, name) for name in changes if getattr(entity, name) != changes[name]}
    for name in previous:
        setattr(entity, name, changes[name])
    _check(entity, at=at)
    if becomes_default != entity.is_default:
        _make_default(entity)
        previous["is_default"] = False
    if previous:
        entity.version += 1
        entity.save(update_fields=[*previous, "version"])
        data = {"code": entity.code, "changed": sorted(previous)}
        outbox.publish("billing.legal_entity.changed", entity, at=at, data=data)
    return entity


def _make_default(entity: LegalEntity) -> None:
    LegalEntity.objects.filter(is_default=True).exclude(pk=entity.pk).update(is_default=False)
    entity.is_default = True
    entity.save(update_fields=["is_default"])


def _check(entity: LegalEntity, *, at: datetime) -> None:
    entity.iban, entity.bic = ("".join(number.split()).upper() for number in (entity.iban, entity.bic))
    saving.clean(entity)
    if not entity.name:
        raise Invalid("An entity needs the name that stands on its documents.", attr="name", code="required")
    _check_account(entity)
    if entity.country and not countries.is_country(entity.country):
        raise Invalid(f"{entity.country!r} is not a country code of ISO 3166.", attr="country")
    try:
        periods.zone(entity.timezone)
    except ValueError as error:
        raise Invalid(f"{entity.timezone!r} is not a time zone such as Europe/Berlin.", attr="timezone") from error
    if entity.closed_through is not None and entity.closed_through >= periods.local_date(at, entity.timezone):
        detail = "Books are closed through a day that is over: nothing could be invoiced today."
        raise Invalid(detail, attr="closed_through")


def _check_account(entity: LegalEntity) -> None:
    """The numbers that customers send money to: a mistyped one is refused."""
    for attr, check in (("iban", iban), ("bic", bic)):
        number = getattr(entity, attr)
        if not number:
            continue
        try:
            check.validate(number)
        except ValidationError as error:
            raise Invalid(f"{number!r} is no {attr.upper()}: check each letter and digit.", attr=attr) from error
