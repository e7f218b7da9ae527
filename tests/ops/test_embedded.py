"""The embedded servers, used by processes of their own as commands use them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis

from gtm.servers import Postgres, Valkey
from tests.running import ROOT, server_folder, wait_until

pytestmark = pytest.mark.processes

COMMAND = """
import os, sys
from pathlib import Path
from gtm import embedded
with {servers}:
    print(os.environ["DATABASE_URL"], os.environ["REDIS_URL"], flush=True)
    sys.stdin.read()
"""
SHARED = 'embedded.for_command(["manage.py", "shell"])'
PRIVATE = 'embedded.private(Path(os.environ["DATA_DIR"]))'


class Command:
    """A process that uses the servers until it is told to leave."""

    def __init__(self, data_dir: Path, *, servers: str = SHARED, leave: bool = True) -> None:
        self.leave = leave
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND.format(servers=servers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={**os.environ, "DATA_DIR": str(data_dir), "DATABASE_URL": "", "REDIS_URL": "", "PYTHONPATH": str(ROOT)},
            text=True,
        )

    def __enter__(self) -> "Command":
        assert self.process.stdout
        line = self.process.stdout.readline()
        self.database_url, self.redis_url = line.split() if line else ("", "")
        return self

    def __exit__(self, *error: object) -> None:
        _, self.complaint = self.process.communicate(timeout=30)

    def send(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait(30)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    folder = server_folder("it's a folder with spaces") / 'and a "long" path to it' / ("of many letters " * 6) / "data"
    folder.mkdir(parents=True)
    yield folder
    for process in servers_of(folder):
        process.kill()


def servers_of(folder: Path) -> list[psutil.Process]:
    """The servers of this folder that run."""
    return [process for kind in (Postgres, Valkey) if (process := kind(folder).process())]


def query(url: str, sql: str) -> Any:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchone()[0] if cursor.description else None


def test_it_keeps_data_and_stops_with_the_command(data_dir: Path) -> None:
    with Command(data_dir) as first:
        query(first.database_url, "CREATE TABLE kept AS SELECT 42 AS number")
        assert query(first.database_url, "SHOW server_encoding") == "UTF8"
        assert query(first.database_url, "SELECT datcollate FROM pg_database WHERE datname = current_database()") == "C"
    assert not servers_of(data_dir)
    assert not Path(first.database_url.split("host=")[1]).exists()
    with Command(data_dir) as second:
        assert query(second.database_url, "SELECT number FROM kept") == 42
        second.send(signal.SIGTERM)
    assert not servers_of(data_dir)


def test_commands_at_one_time_share_servers_and_the_last_one_stops_them(data_dir: Path) -> None:
    with Command(data_dir) as staying, Command(data_dir) as third:
        with Command(data_dir) as leaving:
            assert leaving.database_url == staying.database_url == third.database_url
        assert query(staying.database_url, "SELECT 1") == 1
        with redis.Redis.from_url(staying.redis_url) as client:
            assert client.ping()
    assert not servers_of(data_dir)


def test_servers_of_a_killed_command_are_found_and_then_stopped(data_dir: Path) -> None:
    with Command(data_dir) as killed:
        killed.send(signal.SIGKILL)
    assert len(servers_of(data_dir)) == 2
    with Command(data_dir) as next_one:
        assert next_one.database_url == killed.database_url
        assert next_one.redis_url == killed.redis_url
    assert not servers_of(data_dir)


def test_killed_servers_start_again_although_their_process_id_is_in_use(data_dir: Path) -> None:
    with Command(data_dir) as killed:
        query(killed.database_url, "CREATE TABLE kept AS SELECT 42 AS number")
        killed.send(signal.SIGKILL)
    for process in servers_of(data_dir):
        process.kill()
        wait_until(lambda process=process: not process.is_running() or process.status() == "zombie", what="end")
    pid_file = data_dir / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getppid()), *lines[1:], ""]))
    with Command(data_dir) as next_one:
        assert query(next_one.database_url, "SELECT number FROM kept") == 42


def test_an_unfinished_data_folder_is_made_anew(data_dir: Path) -> None:
    (data_dir / "postgres.new").mkdir()
    (data_dir / "postgres.new" / "PG_VERSION").write_text("18\n")
    with Command(data_dir) as command:
        assert query(command.database_url, "SELECT 1") == 1


def test_a_data_folder_that_cannot_be_written_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Command(tmp_path / "file" / "data") as command:
        pass
    assert command.complaint == f"DATA_DIR {tmp_path / 'file' / 'data'} cannot be written to: Not a directory.\n"
    assert command.process.returncode == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_private_servers_end_with_a_killed_test_run() -> None:
    folder = server_folder()
    folder.mkdir()
    with Command(folder, servers=PRIVATE) as killed:
        running = servers_of(folder)
        killed.send(signal.SIGKILL)
    assert len(running) == 2
    wait_until(lambda: not servers_of(folder), what="end of the servers")
