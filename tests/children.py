"""Python processes of their own on this run's database and broker, to be killed at will."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from django.conf import settings
from django.db import connection

ROOT = Path(__file__).resolve().parent.parent


def environment(**more: str) -> dict[str, str]:
    """What a process needs in order to work on the same database, broker and data folder as this test."""
    where = connection.settings_dict
    database = f"postgresql://{quote(where['USER'])}:{quote(where['PASSWORD'])}@{_place(where['HOST'], where['PORT'])}"
    own = {"DATABASE_URL": database, "REDIS_URL": settings.REDIS_URL, "DATA_DIR": str(settings.DATA_DIR)}
    return {**os.environ, **own, "DJANGO_SETTINGS_MODULE": "gtm.settings", "PYTHONUNBUFFERED": "1", **more}


def start(code: str, **more: str) -> subprocess.Popen[bytes]:
    """Run Python code in a process of its own, with Django set up."""
    code = f"import django; django.setup()\n{code}"
    return subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, env=environment(**more))


def _place(host: str, port: str) -> str:
    name = connection.settings_dict["NAME"]
    if host.startswith("/"):
        return f"/{name}?host={quote(host)}"
    return f"{host}:{port or 5432}/{name}"
