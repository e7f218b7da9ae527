"""``manage.py up``: make the database ready, then serve web, worker and beat until Ctrl-C."""

import ipaddress
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
from django.core.management import BaseCommand, call_command, get_commands
from django.db import connections

from gtm import embedded, env, supervisor

_OLDEST_POSTGRES = 150000
_GREETING_SECONDS = 120


class Command(BaseCommand):
    help = "Serve Tandem: web, worker and beat under one supervisor."

    def handle(self, *args: Any, **options: Any) -> None:
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
        call_command("migrate", interactive=False, verbosity=0)
        _collect_static()
        if "demo" not in get_commands():
            return []
        exposure = _exposure(host)
        if settings.DEMO and not exposure:
            call_command("demo", "--if-empty")
        sign_ins = _demonstration_sign_ins()
        if exposure and (sign_ins or settings.DEMO):
            remedy = "use another database" if sign_ins else "set DEMO=0"
            raise env.BadSetting(f"The demonstration's sign-ins are public, so it is not served {exposure}; {remedy}.")
        return sign_ins

    def _greet(self, host: str, port: int, sign_ins: list[str]) -> None:
        """Say where it is once it answers."""
        for _ in range(_GREETING_SECONDS):
            with suppress(OSError, HTTPException), closing(HTTPConnection(host, port, timeout=30)) as connection:
                connection.request("GET", "/healthz")
                connection.getresponse()
                break
            time.sleep(1)
        self.stdout.write("\n".join(["", f"Tandem is at {settings.BASE_URL}", *sign_ins, "Ctrl-C stops it.", ""]))


def _demonstration_sign_ins() -> list[str]:
    """Lines for a person, if the database holds the demonstration."""
    from gtm import demo
    from gtm.shared.models import User

    emails = [email for _, email, _ in demo.SIGN_INS]
    if not User.objects.filter(email__in=emails).exists():
        return []
    width = max(map(len, emails))
    return ["Sign in as", *(f"  {email:<{width}}  {password}  ({role})" for role, email, password in demo.SIGN_INS)]


def _exposure(host: str) -> str:
    """In words, why passwords that everybody knows must not work here; empty on one's own machine."""
    if not _is_loopback(host):
        return f"on HOST={host}"
    return "with a live gateway key" if "_live_" in settings.STRIPE_SECRET_KEY else ""


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
