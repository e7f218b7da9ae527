"""Asking a worker to look now: a hint that may be lost without harm, and that may neither fail nor hold up a request.

What is to be done stands in a table, and beat has it looked for every few seconds anyway. So a nudge is tried once per
transaction, with little patience; while the broker is away nobody waits for it again and again.
"""

import time
from collections.abc import Callable
from functools import cache, partial

import structlog
from celery import current_app
from django.db import transaction
from django.utils.module_loading import import_string
from kombu import Connection, pools

log = structlog.get_logger(__name__)
_PATIENCE_SECONDS = 0.3
_PAUSE_SECONDS = 3.0
_EXPIRES_SECONDS = 60
_away_until = 0.0


def on_commit(task: str) -> None:
    """When the transaction commits, queue the task of this dotted name; once, however often it is asked for."""
    hint = _hint(task)
    connection = transaction.get_connection()
    if not any(registered is hint for _savepoints, registered, _robust in connection.run_on_commit):
        transaction.on_commit(hint, robust=True)


@cache
def _hint(task: str) -> Callable[[], bool]:
    return partial(send, task)


def send(task: str) -> bool:
    """Queue the task if the broker is there: True when it took the message."""
    global _away_until
    if time.monotonic() < _away_until:
        return False
    try:
        with pools.producers[_broker()].acquire(block=True, timeout=_PATIENCE_SECONDS) as producer:
            import_string(task).apply_async(producer=producer, retry=False, expires=_EXPIRES_SECONDS)
    except Exception as error:  # noqa: BLE001 -- whatever the broker's client raises, the work is safe in its table
        _away_until = time.monotonic() + _PAUSE_SECONDS
        log.warning("worker_not_nudged", task=task, error=str(error))
        return False
    return True


@cache
def _broker() -> Connection:
    """The broker, given up on quickly: Celery's own connections rather wait."""
    hasty = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
    timeouts = {"socket_timeout": _PATIENCE_SECONDS, "socket_connect_timeout": _PATIENCE_SECONDS}
    return current_app.connection_for_write(transport_options=hasty | timeouts)
