"""Starting and ending processes of our own: as an account of their own, tied to their parent's life, reaped."""

import ctypes
import os
import pwd
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from gtm.env import BadSetting

Account = pwd.struct_passwd

_ACCOUNT = "pgserver"
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")  # nothing of ours, above all no secrets
_LOG_BYTES = 5_000_000
_STOP_SECONDS = 20
_POLL_SECONDS = 0.02
_PR_SET_PDEATHSIG = 1
_PRCTL = getattr(ctypes.CDLL(None), "prctl", None)  # Linux alone has it; looked up before any fork


def spawn(
    command: list[str], log: Path, *, account: Account | None, at_death: int | None = None, text: str = ""
) -> subprocess.Popen[bytes]:
    """Start a server out of reach of the terminal's Ctrl-C, as another account where one is given.

    ``text`` is its standard input; ``at_death`` the signal it gets when this process dies (Linux). BadSetting if the
    program cannot be run.
    """
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    if account:
        _let_pass(account, Path(command[0]))
    try:
        with log.open("ab") as output:
            child = subprocess.Popen(  # noqa: S603  (the command is ours)
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd="/",
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ} | {"LC_ALL": "C"},
                start_new_session=True,
                preexec_fn=(lambda: end_with_parent(at_death)) if at_death else None,
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
            )
    except OSError as error:
        raise BadSetting(f"{command[0]} cannot be started: {error.strerror}.") from error
    assert child.stdin
    with suppress(BrokenPipeError), child.stdin:
        child.stdin.write(text.encode())
    return child


def end_with_parent(number: int) -> None:
    """Between fork and exec: have the kernel (Linux) send this signal when the parent dies, even by SIGKILL."""
    if _PRCTL:
        _PRCTL(_PR_SET_PDEATHSIG, number)


def end(process: psutil.Process | None, *signals: int, seconds: float = _STOP_SECONDS) -> None:
    """Ask with each signal in turn and kill at last; returns when the process is gone."""
    for number in (*signals, signal.SIGKILL):
        deadline = time.monotonic() + seconds
        if process and lives(process):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        while lives(process) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


def lives(process: psutil.Process | None) -> bool:
    """False for a zombie too, whoever has yet to reap it."""
    try:
        return process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def running_child(child: subprocess.Popen[bytes] | None) -> psutil.Process | None:
    """The process we started, while it runs; reaps it otherwise."""
    if child is None or child.poll() is not None:
        return None
    return psutil.Process(child.pid)


def reap(child: subprocess.Popen[bytes] | None) -> None:
    """Wait for one that was ended: it looks gone a moment before its last thread is."""
    if child is not None:
        child.wait(timeout=_STOP_SECONDS)


def make_server_folder(folder: Path, *, account: Account | None) -> None:
    """Make a folder that only the servers' account can read, and a way to it."""
    folder.mkdir(mode=0o700)
    if account:
        _let_pass(account, folder)
        os.chown(folder, account.pw_uid, account.pw_gid)


def account_over(data_dir: Path) -> Account | None:
    """As whom the servers run where we are root, which PostgreSQL refuses to: the folder's owner, or their own."""
    if os.geteuid() != 0:
        return None
    if owner := data_dir.stat().st_uid:
        with suppress(KeyError):
            return pwd.getpwuid(owner)
    for _ in range(2):
        with suppress(KeyError):
            return pwd.getpwnam(_ACCOUNT)
        with suppress(OSError):  # another process may win the race to make it
            command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _ACCOUNT]
            subprocess.run(command, capture_output=True, check=False)  # noqa: S603  (the command is ours)
    raise BadSetting(
        f"PostgreSQL does not run as root, and useradd cannot make the account {_ACCOUNT} for it; "
        "run Tandem as an ordinary user or set DATABASE_URL and REDIS_URL."
    )


def _let_pass(account: Account, path: Path) -> None:
    """Let the servers' account through the folders above ``path``."""
    for folder in path.parents:
        status = folder.stat()
        if not status.st_mode & stat.S_IXOTH and status.st_uid != account.pw_uid:
            sys.stderr.write(f"{folder} now lets other accounts pass (chmod o+x): PostgreSQL does not run as root.\n")
            folder.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)
