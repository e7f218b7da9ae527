"""All checks in their order. Without a database only those that need none are made."""

from collections.abc import Callable
from functools import partial

from gtm.health import books, servers, work
from gtm.health.findings import ERROR, Finding
from gtm.shared import db


def diagnose(*, afresh: bool = False) -> list[Finding]:
    """Everything that doctor and the health page tell.

    ``afresh``: with the consistency checks made now, instead of what they found after the last bill run.
    """
    database = servers.database()
    if database.state == ERROR:
        return [database, servers.broker(), servers.gateway()]
    migrations = servers.migrations()
    if migrations.state == ERROR:
        return [database, migrations, servers.broker(), servers.clock(), servers.gateway()]
    at = db.now()
    about_work: list[Callable[[], Finding]] = [
        *(partial(check, at) for check in (work.worker, work.beat, work.facts, work.webhooks, work.gateway_events)),
        *(partial(check, at) for check in (work.jobs, work.runs)),
        partial(books.now, at) if afresh else books.after_last_run,
        work.parked,
        work.kept_elsewhere,
        work.clocks,
    ]
    about_servers = [servers.broker, servers.clock, servers.email, servers.gateway]
    return [database, migrations, *(check() for check in [*about_servers, *about_work])]


def readiness() -> dict[str, bool]:
    """Whether requests can be served: database, migrations and broker, in order or not."""
    database = servers.database().state != ERROR
    return {
        "database": database,
        "broker": servers.broker().state != ERROR,
        "migrations": database and servers.migrations().state != ERROR,
    }
