"""Numbers of documents: one gapless series for each entity, kind of document, year of issue and test clock.

The row of a series stays locked from the moment a number is taken until the transaction ends, so that a number is used
or was never taken. Take it last: whoever finalizes at the same time waits from then on.
"""

import uuid

from django.db import connection

from billing.models import LegalEntity
from gtm.shared import ids

_TAKE = """
INSERT INTO billing_numberseries (id, entity_id, kind, year, test_clock_id, last_number)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (entity_id, kind, year, test_clock_id)
DO UPDATE SET last_number = billing_numberseries.last_number + EXCLUDED.last_number
RETURNING last_number
"""


def take(*, entity: LegalEntity, kind: str, year: int, test_clock_id: uuid.UUID | None, count: int) -> list[str]:
    """The next ``count`` numbers, as they stand on documents: ``INV-2026-000001``, on a test clock ``TEST-INV-…``."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [ids.uuid7(), entity.id, kind, year, test_clock_id, count])
        last = cursor.fetchone()[0]
    prefix = entity.invoice_prefix if kind == "invoice" else entity.credit_note_prefix
    series = f"TEST-{prefix}" if test_clock_id else prefix
    return [f"{series}-{year}-{number:06d}" for number in range(last - count + 1, last + 1)]
