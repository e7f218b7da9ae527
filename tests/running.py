"""Tandem's own processes over a test's database, and ``manage.py up`` over a data folder of its own."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from django.conf import settings
from django.db import connection

from gtm import supervisor

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 120


def wait_until(condition: Any, *, what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """Poll until the condition is truthy and return it; fails with ``what`` was waited for."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"no {what} within {seconds:g} s"
        time.sleep(0.05)
    return found


def server_folder(name: str = "data") -> Path:
    """A new folder for embedded servers, which run as an account of their own where we are root.

    pytest's own temporary folders won't do: whenever another run begins it closes their root to every other account.
    """
    folder = Path(tempfile.mkdtemp(prefix="ops-", dir=os.environ["DATA_DIR"]))
    folder.chmod(0o711)
    return folder / name


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str) -> tuple[int, str]:
    """Status and body; (0, reason) while nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  (an address of this machine)
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def _database_url() -> str:
    """The running test's database, as a process is told of it."""
    parts = connection.settings_dict
    where = {key.lower(): str(parts[key]) for key in ("HOST", "PORT") if parts[key]}
    return f"postgresql://{quote(parts['USER'])}:{quote(parts['PASSWORD'])}@/{parts['NAME']}?{urlencode(where)}"


@dataclass
class Started:
    """A process and its log; the process leads a group of its own."""

    process: subprocess.Popen[bytes]
    log: Path
    url: str = ""

    def read(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, text: str) -> None:
        def found() -> bool:
            assert self.process.poll() is None, f"ended ({self.process.returncode}): {self.read()}"
            return text in self.read()

        wait_until(found, what=f"{text!r} in the log")

    def kill(self) -> None:
        """SIGKILL to all of it, as a machine that fails would."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_SECONDS)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end, as Ctrl-C (SIGINT) or a service manager does, and return its code."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE_SECONDS)
        finally:
            self.kill()


@dataclass
class Processes:
    """Starts web, worker and beat as ``manage.py up`` does, over the test's database and broker; ends them all."""

    folder: Path
    started: list[Started] = field(default_factory=list)

    @staticmethod
    def addresses() -> dict[str, str]:
        """The variables that lead a process to this test's database and broker."""
        return {"DATABASE_URL": _database_url(), "REDIS_URL": settings.REDIS_URL}

    def start(self, name: str, **environment: str) -> Started:
        """Start "web", "worker" or "beat" and wait until it is ready."""
        port = free_port()
        variables = {**self.addresses(), "BASE_URL": f"http://127.0.0.1:{port}", **environment}
        line = supervisor.commands(host="127.0.0.1", port=port, data_dir=self.folder)[name]
        started = self.launch(line, name=name, **variables)
        started.url = variables["BASE_URL"]
        started.wait_for({"web": "Started worker-2", "worker": " ready.", "beat": "is starting"}[name])
        return started

    def launch(self, line: list[str], *, name: str, **environment: str) -> Started:
        """Start any command in the project's folder."""
        log = self.folder / f"{name}-{len(self.started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                line,
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.started.append(Started(process=process, log=log))
        return self.started[-1]

    def up(self, data_dir: Path, *, port: int, **environment: str) -> Started:
        """``manage.py up`` with embedded servers over a data folder."""
        variables = {"DATA_DIR": str(data_dir), "PORT": str(port), "DEMO": "0", "DATABASE_URL": "", "REDIS_URL": ""}
        started = self.launch([sys.executable, "manage.py", "up"], name="up", **{**variables, **environment})
        started.url = f"http://127.0.0.1:{port}"
        return started

    def end(self) -> None:
        for started in self.started:
            started.kill()
