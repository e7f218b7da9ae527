"""Migrated databases kept from one test run to the next, where ``TANDEM_TEST_CACHE`` names a folder for them.

Migrating takes longer than most runs of a few files. What is kept is known by the hash of every migration and of what
is installed; a run copies the whole data folder of PostgreSQL before it starts its server.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import psycopg

_ROOT = Path(__file__).resolve().parent.parent
_OURS = ("billing", "crm", "gtm", "signals")


def copy_into(folder: Path) -> bool:
    """Put a migrated cluster, made where there is none yet, into a data folder; False where none are kept."""
    kept = os.environ.get("TANDEM_TEST_CACHE")
    if not kept or os.environ.get("DATABASE_URL"):
        return False
    cluster = Path(kept) / _digest()
    cluster.parent.mkdir(parents=True, exist_ok=True)
    with cluster.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not cluster.exists():
            _make(cluster)
    subprocess.run(["cp", "-a", str(cluster / "postgres"), str(folder / "postgres")], check=True)
    return True


def rename(url: str, template: str) -> None:
    """Call the copied database by the name from which Django copies those of the tests."""
    with psycopg.connect(url, dbname="postgres", autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE tandem RENAME TO {template}")
        connection.execute("CREATE DATABASE tandem TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'")


def _digest() -> str:
    files = sorted(path for app in _OURS for path in (_ROOT / app).rglob("migrations/*.py"))
    digest = hashlib.sha256()
    for path in [*files, _ROOT / "requirements-dev.txt"]:
        digest.update(str(path.relative_to(_ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _make(cluster: Path) -> None:
    """By the command, whose servers end in order; a run that is killed leaves only a folder that nobody reads."""
    unfinished = cluster.with_suffix(f".{os.getpid()}")
    unfinished.mkdir(mode=0o711)
    unwanted = ("DATABASE_URL", "REDIS_URL")
    environment = {name: value for name, value in os.environ.items() if name not in unwanted}
    there = {"DATA_DIR": str(unfinished), "DJANGO_SETTINGS_MODULE": "gtm.settings"}
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(command, cwd=_ROOT, env=environment | there, check=True)
    unfinished.rename(cluster)
