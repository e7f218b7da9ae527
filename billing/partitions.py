"""Monthly partitions of the usage stream; events of a month without one are kept in the default partition."""

from datetime import UTC, datetime

from django.db import connection, transaction

from billing import metering

MONTHS_AHEAD = 3
_LOCK_TIMEOUT = "5s"


def make_partitions(*, at: datetime) -> list[str]:
    """Make the partitions of this month and the next three, and return the names of those that were new.

    Events of such a month that came too early are moved out of the default partition.
    """
    months = [_month(at.astimezone(UTC), ahead) for ahead in range(MONTHS_AHEAD + 1)]
    return [name for month in months if (name := _make(month))]


def _month(at: datetime, ahead: int) -> datetime:
    year, month = divmod(at.year * 12 + at.month - 1 + ahead, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


@transaction.atomic
def _make(month: datetime) -> str | None:
    """Fill a table of its own with what the default partition holds of the month, and attach it.

    Writers of events are kept away meanwhile: one that had chosen the default partition before would be refused by it
    after. Whoever reads old events may hold this up; then it gives up, and the next run tries again.
    """
    name = f"billing_usageevent_{month:%Y%m}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [name])
        if cursor.fetchone()[0] is not None:
            return None
        cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
        metering.hold_partitions()
        bounds = [month, _month(month, 1)]
        cursor.execute(f"CREATE TABLE {name} (LIKE billing_usageevent INCLUDING ALL)")
        cursor.execute(
            f"WITH early AS (DELETE FROM billing_usageevent_other WHERE timestamp >= %s AND timestamp < %s RETURNING *)"  # noqa: S608 -- a name of ours
            f" INSERT INTO {name} SELECT * FROM early",
            bounds,
        )
        start, end = (bound.isoformat() for bound in bounds)
        cursor.execute(
            f"ALTER TABLE billing_usageevent ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{end}')"
        )
    return name
