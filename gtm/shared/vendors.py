"""The vendor's settings."""

from typing import Any

from django.db import transaction

from gtm.shared import db, outbox
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


def _plain(value: object) -> object:
    return value if isinstance(value, int | str) and len(str(value)) <= 200 else "(long)"
