"""The servers that Tandem stands on: database, broker, mail, card gateway."""

import time
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from urllib.parse import urlsplit

import redis
from django.conf import settings
from django.core.mail import get_connection
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from billing import gateways
from gtm.health.findings import Finding, error, ok, warning
from gtm.shared import db
from gtm.shared.models import Mail

DATABASE, MIGRATIONS, BROKER = "Database", "Migrations", "Broker"
CLOCK, EMAIL, GATEWAY = "Clock", "E-mail", "Card gateway"
OLDEST_POSTGRES = 150_000
SKEW_WARNING, SKEW_ERROR = timedelta(seconds=2), timedelta(seconds=30)
PATIENCE_SECONDS = 3


def database() -> Finding:
    began = time.monotonic()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version_num")
            number = int(cursor.fetchone()[0])
    except DatabaseError as problem:
        sentence = f"PostgreSQL does not answer: {_first_line(problem)}."
        return error(DATABASE, sentence, "Start it, or correct DATABASE_URL.")
    took = round((time.monotonic() - began) * 1000)
    if number < OLDEST_POSTGRES:
        return error(DATABASE, f"PostgreSQL {number // 10_000} is too old.", "Use PostgreSQL 15 to 18.")
    return ok(DATABASE, f"PostgreSQL {number // 10_000} answers in {took} ms.")


def migrations() -> Finding:
    applied = set(MigrationRecorder(connection).applied_migrations())
    missing = sorted(".".join(key) for key in _known_migrations() - applied)
    if not missing:
        return ok(MIGRATIONS, "The tables are as this version of Tandem wants them.")
    some = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
    return error(MIGRATIONS, f"Migrations that are not applied: {len(missing)} ({some}).", "Run manage.py migrate.")


@cache
def _known_migrations() -> frozenset[tuple[str, str]]:
    """What this process's code brings along. A squashed migration's parts don't count for themselves."""
    return frozenset(MigrationLoader(None).graph.nodes)


def broker() -> Finding:
    try:
        with closing(_redis()) as client:
            about = client.info("server")
    except redis.RedisError as problem:
        sentence = f"The broker does not answer: {_first_line(problem)}."
        return error(BROKER, sentence, "Start Valkey or Redis, or correct REDIS_URL. Nothing is lost meanwhile.")
    kind = f"Valkey {about['valkey_version']}" if "valkey_version" in about else f"Redis {about['redis_version']}"
    return ok(BROKER, f"{kind} answers at {_place(settings.REDIS_URL)}.")


def queue_depths() -> dict[str, int]:
    """Messages that wait for a worker, by queue; empty while the broker is away."""
    queues = ("billing", "signals", "delivery", "default")
    with suppress(redis.RedisError), closing(_redis()) as client:
        return {name: client.llen(name) for name in queues}
    return {}


def _redis() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=PATIENCE_SECONDS, socket_connect_timeout=PATIENCE_SECONDS
    )


def clock() -> Finding:
    """The database's clock decides; a process whose own is off signs tokens and cookies for the wrong time."""
    before = datetime.now(UTC)
    theirs = db.now()
    ours = before + (datetime.now(UTC) - before) / 2
    skew = abs(theirs - ours)
    words = f"This machine's clock and the database's are {skew.total_seconds():.1f} s apart."
    remedy = "Synchronise both machines' clocks (NTP)."
    if skew >= SKEW_ERROR:
        return error(CLOCK, words, remedy)
    return warning(CLOCK, words, remedy) if skew >= SKEW_WARNING else ok(CLOCK, words)


def email() -> Finding:
    if not settings.EMAIL_URL:
        waiting = Mail.objects.filter(status=Mail.Status.QUEUED).count()
        sentence = f"No mail server is set. Messages waiting, to be read in the admin: {waiting}."
        return warning(EMAIL, sentence, "Set EMAIL_URL, such as smtp+tls://user:password@host:587.")
    if problem := _smtp_problem():
        return error(EMAIL, f"{_place(settings.EMAIL_URL)} can't be used: {problem}.", "Correct EMAIL_URL.")
    stuck = Mail.objects.filter(status__in=[Mail.Status.UNKNOWN, Mail.Status.FAILED]).count()
    if stuck:
        sentence = f"Messages that failed, or of which nobody knows whether they left: {stuck}."
        return warning(EMAIL, sentence, "Look at them in the admin under Mail, and send them again or let them be.")
    return ok(EMAIL, f"{_place(settings.EMAIL_URL)} takes mail.")


def _smtp_problem() -> str:
    """Why a message could not be handed over, found out by connecting and signing in."""
    try:
        with get_connection(timeout=PATIENCE_SECONDS):
            return ""
    except OSError as problem:
        return _first_line(problem)


def gateway() -> Finding:
    """The keys as far as they can be looked at without calling anybody."""
    if settings.STRIPE_TEST_SECRET_KEY and gateways.is_for_money(settings.STRIPE_TEST_SECRET_KEY):
        return error(GATEWAY, "STRIPE_TEST_SECRET_KEY is a live key.", "Set a key that begins with sk_test_ there.")
    if settings.STRIPE_SECRET_KEY or settings.STRIPE_TEST_SECRET_KEY:
        return _stripe()
    if _is_public():
        sentence = f"The sandbox serves {settings.BASE_URL}: cards are accepted and no money moves."
        return warning(GATEWAY, sentence, "Set STRIPE_SECRET_KEY, or let real customers pay by invoice.")
    return ok(GATEWAY, "The sandbox takes test cards; no money moves.")


def _stripe() -> Finding:
    if settings.STRIPE_SECRET_KEY and not settings.STRIPE_PUBLISHABLE_KEY:
        return error(
            GATEWAY, "STRIPE_PUBLISHABLE_KEY is not set: nobody can enter a card.", "Set it; it begins with pk_."
        )
    if not settings.STRIPE_WEBHOOK_SECRETS:
        address = f"{settings.BASE_URL}/webhooks/stripe/"
        sentence = "No webhook secret is set: disputes, returned debits and transfers are never heard of."
        return error(
            GATEWAY, sentence, f"Add {address} at Stripe, and set STRIPE_WEBHOOK_SECRETS to its whsec_ secret."
        )
    mode = "Stripe takes real money." if gateways.is_live() else "Stripe answers in test mode; no money moves."
    return ok(GATEWAY, mode) if gateways.is_live() or not _is_public() else warning(GATEWAY, mode, "Set a live key.")


def _is_public() -> bool:
    return urlsplit(settings.BASE_URL).hostname not in {"localhost", "127.0.0.1", "::1"}


def _place(url: str) -> str:
    """Where an address points, without its user and password."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def _first_line(problem: Exception) -> str:
    text = str(problem).strip() or type(problem).__name__
    return text.splitlines()[0].rstrip(".")
