"""The vendor's settings."""

import secrets
from typing import Any

from django.db import transaction

from gtm.shared import db, outbox, sealing
from gtm.shared.models import Vendor

VENDOR_UUID = "00000000-0000-7000-8000-000000000001"


def current() -> Vendor:
    """The vendor's row; defaults before the first one is written."""
    return Vendor.objects.filter(pk=1).first() or Vendor()


@transaction.atomic
def change(**changes: Any) -> Vendor:
    """Set what is given and publish ``vendor.changed`` with the previous values."""
    Vendor.objects.get_or_create(pk=1)
    vendor = Vendor.objects.select_for_update().get(pk=1)
    previous = {name: getattr(vendor, name) for name in changes if getattr(vendor, name) != changes[name]}
    for name in previous:
        setattr(vendor, name, changes[name])
    if previous:
        vendor.version += 1
        vendor.updated_at = at = db.now()
        vendor.full_clean()
        vendor.save()
        outbox.publish(
            "vendor.changed",
            vendor,
            at=at,
            data={n: _plain(changes[n]) for n in previous},
            previous={n: _plain(v) for n, v in previous.items()},
        )
    return vendor


@transaction.atomic
def return_secret() -> str:
    """What signs the word that a buyer brings back to the vendor's product; made when it is first asked for."""
    Vendor.objects.get_or_create(pk=1)
    vendor = Vendor.objects.select_for_update().get(pk=1)
    if vendor.sealed_return_secret:
        return sealing.unseal(vendor.sealed_return_secret)
    secret = f"ret_{secrets.token_urlsafe(32)}"
    Vendor.objects.filter(pk=1).update(sealed_return_secret=sealing.seal(secret))
    outbox.publish("vendor.return_secret_made", vendor, at=db.now())
    return secret


def _plain(value: object) -> object:
    return value if isinstance(value, int | str) and len(str(value)) <= 200 else "(long)"
