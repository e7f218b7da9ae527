"""Real PostgreSQL and Valkey out of wheels, for whichever of DATABASE_URL and REDIS_URL is unset.

Whoever uses the servers of a data folder holds a shared lock on ``servers.users``; the last one to leave stops them.
The locks are the kernel's: a killed process holds none, and the servers it left are found and used by the next one.
"""

import fcntl
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from gtm import env
from gtm.servers import Postgres, Server, Valkey

_WITHOUT_SERVERS = {
    "help",
    "version",
    "check",
    "collectstatic",
    "compilemessages",
    "diffsettings",
    "makemessages",
    "spectacular",
}
_HELP_OR_VERSION = {"-h", "--help", "--version"}
_REVIVE_SECONDS = 1.0

_in_use: list[Server] = []


def data_dir() -> Path:
    """The folder of everything Tandem keeps beside an external database (``DATA_DIR``, by default ``.data``)."""
    default = Path(__file__).resolve().parent.parent / ".data"
    return Path(env.text("DATA_DIR") or default).expanduser().resolve()


def writable_data_dir() -> Path:
    """Make the data folder and return it; BadSetting where that fails or nothing can be written to it."""
    folder = data_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise env.BadSetting(f"DATA_DIR {folder} cannot be written to: {error.strerror}.") from error
    return folder


@contextmanager
def for_command(argv: Sequence[str]) -> Iterator[None]:
    """Set DATABASE_URL and REDIS_URL for the length of a command, with servers found running or started for it."""
    arguments = set(argv[1:])
    if not arguments or argv[1] in _WITHOUT_SERVERS or arguments & _HELP_OR_VERSION:
        yield
        return
    with ExitStack() as stack:
        if servers := [kind for kind in (Postgres, Valkey) if not env.text(kind.variable)]:
            folder = writable_data_dir()
            stack.enter_context(_exit_on_signals())
            stack.enter_context(_shared(folder, [kind(folder) for kind in servers]))
        yield


@contextmanager
def private(folder: Path) -> Iterator[None]:
    """Servers for tests in a folder of their own: no waiting for the disk, gone with this process however it ends."""
    servers: list[Server] = [Postgres(folder, private=True), Valkey(folder, private=True)]
    try:
        for server in servers:
            server.ensure()
            os.environ[server.variable] = server.url
        yield
    finally:
        for server in servers:
            os.environ.pop(server.variable, None)
            server.stop()


@contextmanager
def kept_running() -> Iterator[None]:
    """Start again, at the same address, whichever of this process's embedded servers dies."""
    leaving = threading.Event()
    watch = threading.Thread(target=_revive, args=(leaving,), name="embedded servers", daemon=True)
    watch.start()
    try:
        yield
    finally:
        leaving.set()
        watch.join()


def _revive(leaving: threading.Event) -> None:
    while not leaving.wait(_REVIVE_SECONDS):
        for server in _in_use:
            if server.process() is None:
                sys.stderr.write(f"{server.title} has ended; starting it again.\n")
                try:
                    with _lock(server.folder / "servers.lock"):
                        server.ensure()
                except env.BadSetting as error:
                    sys.stderr.write(f"{error}\n")


@contextmanager
def _shared(folder: Path, servers: list[Server]) -> Iterator[None]:
    """Use the folder's servers together with other processes."""
    users = (folder / "servers.users").open("a+")
    try:
        with _lock(folder / "servers.lock"):
            fcntl.lockf(users, fcntl.LOCK_SH)
            for server in servers:
                server.ensure()
                os.environ[server.variable] = server.url
        _in_use.extend(servers)
        yield
    finally:
        with _undisturbed(), users, _lock(folder / "servers.lock"):
            _in_use.clear()
            for server in servers:
                os.environ.pop(server.variable, None)
            with suppress(BlockingIOError):
                fcntl.lockf(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for server in reversed(servers):
                    server.stop()


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Held by one process at a time. A POSIX lock, which children don't inherit and the kernel frees."""
    with path.open("a+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _exit_on_signals() -> Iterator[None]:
    """Leave by an exception on SIGTERM and SIGHUP, so that the servers are let go of."""

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    defaults = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    for number in defaults:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in defaults:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C must not leave a server behind."""
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
