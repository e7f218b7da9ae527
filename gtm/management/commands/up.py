"""``manage.py up``: make the database ready, then serve web, worker and beat until Ctrl-C."""

import ipaddress
import signal
import socket
import sys
import threading
import time
from contextlib import closing, suppress
from hashlib import sha256
from http.client import HTTPConnection, HTTPException
from typing import Any

import psycopg
import redis
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import BaseCommand, call_command
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor

from gtm import demo, embedded, env, supervisor
from gtm.shared.models import User

_OLDEST_POSTGRES = 150000
_GREETING_SECONDS = 120


class Command(BaseCommand):
    help = "Serve Tandem: web, worker and beat under one supervisor."

    def handle(self, *args: Any, **options: Any) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would not hear of it
        data_dir = embedded.writable_data_dir()
        host, port = env.text("HOST", "127.0.0.1"), settings.PORT
        with supervisor.only_one(data_dir):
            _check_port(host, port)
            _check_database()
            _check_broker()
            sign_ins = self._prepare(host)
            connections.close_all()
            threading.Thread(target=self._greet, args=(host, port, sign_ins), daemon=True).start()
            with embedded.kept_running():
                sys.exit(supervisor.run(supervisor.commands(host=host, port=port, data_dir=data_dir), data_dir))

    def _prepare(self, host: str) -> list[str]:
        """Bring database and static files up to date, load the demonstration once, and return what to say of it."""
        _migrate()
        _collect_static()
        return demonstrate(host)

    def _greet(self, host: str, port: int, sign_ins: list[str]) -> None:
        """Say where it is once it answers."""
        for _ in range(_GREETING_SECONDS):
            with suppress(OSError, HTTPException), closing(HTTPConnection(host, port, timeout=30)) as connection:
                connection.request("GET", "/healthz")
                connection.getresponse()
                break
            time.sleep(1)
        self.stdout.write("\n".join(["", f"Tandem is at {settings.BASE_URL}", *sign_ins, "Ctrl-C stops it.", ""]))


def demonstrate(host: str) -> list[str]:
    """Load the demonstration into an empty database and say how to sign in; refuse it where others could, too."""
    public = f"The demonstration's sign-ins are public, and HOST is {host}; set DEMO=0."
    reason = demo.refusal() if _is_loopback(host) else public
    if settings.DEMO and demo.is_empty():
        if reason:
            raise env.BadSetting(reason)
        call_command("demo")
    emails = [email for _, email, _ in demo.SIGN_INS]
    if not User.objects.filter(email__in=emails).exists():
        return []
    if reason:
        raise env.BadSetting(
            "This database holds the demonstration, whose sign-ins are public: "
            "use another one, or serve it on this machine alone and without a live gateway key."
        )
    width = max(map(len, emails))
    return ["Sign in as", *(f"  {email:<{width}}  {password}  ({role})" for role, email, password in demo.SIGN_INS)]


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _check_port(host: str, port: int) -> None:
    if not 0 < port < 2**16:
        raise env.BadSetting(f"PORT must be between 1 and 65535, not {port}.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with closing(socket.socket(family, kind, protocol)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        words = f"Port {port} on {host} cannot be used ({error.strerror})"
        raise env.BadSetting(f"{words}; choose another with PORT or HOST.") from error


def _check_database() -> None:
    try:
        with psycopg.connect(settings.DATABASE_URL, connect_timeout=5) as connection:
            version = connection.info.server_version
    except psycopg.Error as error:
        raise env.BadSetting(f"DATABASE_URL cannot be used: {_first_line(error)}.") from error
    if version < _OLDEST_POSTGRES:
        raise env.BadSetting(f"Tandem needs PostgreSQL 15 or newer; DATABASE_URL leads to version {version // 10000}.")


def _check_broker() -> None:
    try:
        with closing(redis.Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=5)) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        raise env.BadSetting(f"REDIS_URL cannot be used: {_first_line(error)}.") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")


def _migrate() -> None:
    """Only where something is pending: what the command does besides costs a second of every start."""
    executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", interactive=False, verbosity=0)


def _collect_static() -> None:
    """Collect only what has changed since the last start: compressing everything takes longer than all the rest."""
    digest = sha256(repr((settings.STATICFILES_DIRS, settings.STORAGES["staticfiles"])).encode())
    for finder in get_finders():
        for path, storage in finder.list([]):
            digest.update(f"{path} {storage.size(path)} {storage.get_modified_time(path)}\n".encode())
    stamp = settings.STATIC_ROOT / ".collected"
    if stamp.exists() and stamp.read_text(encoding="ascii") == digest.hexdigest():
        return
    call_command("collectstatic", interactive=False, verbosity=0)
    stamp.write_text(digest.hexdigest(), encoding="ascii")
