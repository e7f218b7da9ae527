"""``manage.py up`` as a person starts, stops, breaks and starts it again."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gtm.processes import lives
from gtm.servers import Postgres, Valkey
from tests.running import ROOT, Processes, Started, free_port, get, server_folder, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with embedded servers unless the environment says otherwise."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": "", "REDIS_URL": "", "DEMO": "0", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def start(processes: Processes, data_dir: Path) -> Started:
    up = processes.up(data_dir, port=free_port())

    def ready() -> bool:
        assert up.process.poll() is None, up.read()
        return get(f"{up.url}/readyz")[0] == 200

    wait_until(ready, what="readiness")
    return up


def family(up: Started) -> list[psutil.Process]:
    """The supervisor and everything it has started."""
    supervisor = psutil.Process(up.process.pid)
    return [supervisor, *supervisor.children(recursive=True)]


@pytest.fixture(scope="module")
def data_dir() -> Path:
    return server_folder("data with spaces")


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> Iterator[Processes]:
    """With one ``up`` for all tests of this module, the last started, which is stopped as Ctrl-C stops it."""
    running = Processes(tmp_path_factory.mktemp("logs"))
    try:
        start(running, data_dir)
        yield running
        last = running.started[-1]
        members = family(last)
        assert last.stop(signal.SIGINT) == 0, last.read()
        assert [process for process in members if lives(process)] == []
    finally:
        running.end()
        for server in (Postgres(data_dir), Valkey(data_dir)):
            server.stop()


@pytest.fixture
def up(processes: Processes) -> Started:
    return processes.started[-1]


def test_it_says_where_it_is_and_who_writes_each_line(up: Started) -> None:
    up.wait_for(f"Tandem is at {up.url}")
    for name in ("web    |", "worker |", "beat   |"):
        up.wait_for(name)


def test_a_command_beside_it_uses_its_database(up: Started, data_dir: Path) -> None:
    code = "from django.db import connection; print(connection.cursor().execute('SHOW data_directory').fetchone()[0])"
    said = manage("shell", "--verbosity", "0", "--command", code, DATA_DIR=str(data_dir))
    assert said.stdout.strip() == str(data_dir / "postgres"), said.stderr
    assert get(f"{up.url}/readyz")[0] == 200


def test_a_second_one_over_the_same_folder_is_refused(up: Started, data_dir: Path) -> None:
    said = manage("up", DATA_DIR=str(data_dir), PORT=str(free_port()))
    assert said.returncode == 1
    assert said.stderr == f"Tandem is already running on {data_dir}; stop it, or set another DATA_DIR.\n"


def test_a_taken_port_is_said(up: Started) -> None:
    said = manage("up", DATA_DIR=str(server_folder()), PORT=up.url.rsplit(":")[-1])
    assert said.returncode == 1
    assert "cannot be used (Address already in use); choose another with PORT" in said.stderr
    assert "Traceback" not in said.stderr


def test_whatever_is_killed_starts_again(up: Started, data_dir: Path) -> None:
    """The web process, whose children hold the port; the worker; the broker and the database."""
    leaders = [process for process in family(up) if {"granian", "worker"} & set(process.cmdline())]
    servers = [kind(data_dir) for kind in (Valkey, Postgres)]
    killed = [*leaders, *(server.process() for server in servers)]
    for process in killed:
        process.kill()
    wait_until(lambda: all(server.process() not in [None, *killed] for server in servers), what="new servers")
    wait_until(lambda: get(f"{up.url}/readyz")[0] == 200, what="readiness")
    wait_until(lambda: up.read().count("worker started") == 2, what="new worker")
    assert not any(lives(process) for process in killed)


def test_a_killed_supervisor_leaves_nothing_in_the_way_of_the_next(processes: Processes, data_dir: Path) -> None:
    killed = processes.started[-1]
    servers = [Postgres(data_dir), Valkey(data_dir)]
    before = [server.process() for server in servers]
    members = [process for process in family(killed) if "postgres" not in process.name() and process not in before]
    killed.process.kill()
    start(processes, data_dir)
    assert [server.process() for server in servers] == before
    assert [process for process in members if lives(process)] == []


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, "DATABASE_URL cannot be used: "),
        ({"REDIS_URL": "redis://127.0.0.1:1"}, "REDIS_URL cannot be used: "),
        ({"DATA_DIR": "/dev/null/data"}, "DATA_DIR /dev/null/data cannot be written to: Not a directory."),
    ],
)
def test_a_wrong_setting_is_one_sentence(environment: dict[str, str], sentence: str) -> None:
    said = manage("up", **{"DATA_DIR": str(server_folder()), "PORT": str(free_port()), **environment})
    assert said.returncode == 1
    assert sentence in said.stderr
    assert "Traceback" not in said.stderr
