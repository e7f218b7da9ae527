"""Web, worker and beat under honcho: each is started again when it ends by itself, and none outlives the supervisor."""

import fcntl
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from honcho.compat import ProcessManager
from honcho.manager import Manager
from honcho.process import Popen, Process

from gtm import processes
from gtm.env import BadSetting

ROOT = Path(__file__).resolve().parent.parent
QUEUES = "billing,signals,delivery,default"
_MARK = "TANDEM_UP"  # in the environment of what a supervisor starts: by it the next one finds what is left
_QUICK_SECONDS = 10  # a process that lives no longer than this has failed to start
_QUICK_ENDINGS = 5
_STOP_SECONDS = 5


def commands(*, host: str, port: int, data_dir: Path) -> dict[str, list[str]]:
    """The command line of each process. One machine's worth; more workers may run elsewhere on the same servers."""
    web = f"granian --interface wsgi --host {host} --port {port} --workers 2 --blocking-threads 4 --no-ws"
    worker = f"celery --quiet --app gtm worker --queues {QUEUES} --concurrency 2 --without-gossip --without-mingle"
    beat = "celery --app gtm beat --pidfile="
    return {
        "web": [*_python(web), "--respawn-failed-workers", "--workers-kill-timeout", "4", "gtm.wsgi:application"],
        "worker": _python(worker),
        "beat": [*_python(beat), "--schedule", str(data_dir / "beat-schedule")],
    }


def _python(module_and_options: str) -> list[str]:
    return [sys.executable, "-m", *module_and_options.split()]


@contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """One supervisor at a time over a data folder, with nothing of a killed one left; BadSetting for a second."""
    with (data_dir / "up.lock").open("a+") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadSetting(f"Tandem is already running on {data_dir}; stop it, or set another DATA_DIR.") from error
        _end_marked(data_dir)
        yield


def run(lines: Mapping[str, list[str]], data_dir: Path) -> int:
    """Run until asked to stop (0) or until a process fails again and again (1)."""
    manager = _Manager(environment={**os.environ, _MARK: str(data_dir), "PYTHONUNBUFFERED": "1"})
    for name, line in lines.items():
        manager.add_process(name, line, env=manager.environment, cwd=str(ROOT))
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda number, frame: os.kill(os.getpid(), signal.SIGTERM))
    try:
        manager.loop()
    finally:
        _end_marked(data_dir)
    return 0 if manager.returncode in {128 + signal.SIGINT, 128 + signal.SIGTERM} else 1


class _Manager(Manager):  # type: ignore[misc]
    """Honcho's, but a process that ends is started again before the others are stopped for it."""

    def __init__(self, *, environment: dict[str, str]) -> None:
        super().__init__()
        self.environment = environment
        self._stopping = multiprocessing.Event()
        self._process_ctor = partial(_KeptProcess, stopping=self._stopping)
        self._procmgr = _LeadersFirst()

    def terminate(self) -> None:
        self._stopping.set()
        super().terminate()


class _LeadersFirst(ProcessManager):  # type: ignore[misc]
    """Celery and granian end their own children in order; only what is left is killed with its group."""

    def terminate(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


class _KeptProcess(Process):  # type: ignore[misc]
    """Runs in a process of honcho's own and relays the lines of its child."""

    def __init__(self, *arguments: Any, stopping: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._stopping = stopping
        self._quick_endings = 0
        self._began = 0.0
        self._child_ctor = partial(Popen, shell=False, preexec_fn=partial(processes.end_with_parent, signal.SIGTERM))

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        processes.end_with_parent(signal.SIGKILL)
        while True:
            self._began = time.monotonic()
            super().run(events, ignore_signals)
            if self._ended_for_good():
                break
            pause = 2**self._quick_endings
            self._send_message(f"ended ({self._child.returncode}); it is started again in {pause} s\n")
            self._stopping.wait(pause)
        super()._send_message({"returncode": self._child.returncode}, type="stop")

    def _ended_for_good(self) -> bool:
        quick = time.monotonic() - self._began < _QUICK_SECONDS
        self._quick_endings = self._quick_endings + 1 if quick else 0
        return bool(self._stopping.is_set()) or self._quick_endings >= _QUICK_ENDINGS

    def _send_message(self, data: Any, type: str = "line") -> None:  # noqa: A002  (honcho's name)
        if type == "start":
            threading.Thread(target=_end_group_with, args=(self._child,), daemon=True).start()
        if type != "stop":
            super()._send_message(data, type=type)


def _end_group_with(leader: Popen) -> None:
    """Children of a killed leader would keep its port and its output open."""
    leader.wait()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader.pid, signal.SIGKILL)


def _end_marked(data_dir: Path) -> None:
    """End whatever this folder's supervisor, perhaps killed since, has started."""
    marked = [process for process in psutil.process_iter() if _mark(process) == str(data_dir)]
    for process in marked:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, left = psutil.wait_procs(marked, timeout=_STOP_SECONDS)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _mark(process: psutil.Process) -> str:
    try:
        return str(process.environ().get(_MARK, ""))
    except (psutil.Error, OSError):
        return ""  # somebody else's, or already gone
