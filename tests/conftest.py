"""Servers of this test run alone, and settings that make tests quick. The named world stands in ``tests/world.py``."""

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
import pytest

from gtm import embedded

_PREFIX = "tandem-tests-"
_for_this_run = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers before the settings are read; the workers of xdist use their controller's."""
    if not hasattr(config, "workerinput"):
        _start_servers()
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", default=None):
        _set_up_django(worker=os.environ.get("PYTEST_XDIST_WORKER", "gw0"))
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)  # or xdist's workers would read the settings before they get here


def pytest_unconfigure() -> None:
    _for_this_run.close()


def _start_servers() -> None:
    os.environ["DATA_DIR"] = str(_data_folder())
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # Playwright's loop runs in the thread that asks the database
    for name in ("SECRET_KEY", "EMAIL_URL", "STRIPE_SECRET_KEY", "BASE_URL", "PORT", "DEBUG"):
        os.environ.pop(name, None)
    if not (os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL")):
        _for_this_run.enter_context(embedded.private(Path(os.environ["DATA_DIR"])))


def _data_folder() -> Path:
    """A new folder; those of runs that were killed are removed."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if not psutil.pid_exists(int(left.name.removeprefix(_PREFIX).split("-")[0])):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    _for_this_run.callback(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o711)  # PostgreSQL has an account of its own where we are root
    (folder / "static").mkdir()
    return folder


def _set_up_django(*, worker: str) -> None:
    os.environ["REDIS_URL"] = _with_database(os.environ["REDIS_URL"], 1 + int(worker.removeprefix("gw")))
    os.environ["DJANGO_SETTINGS_MODULE"] = "gtm.settings"
    import django
    from django.conf import settings

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    django.setup()


def _with_database(redis_url: str, number: int) -> str:
    """The same server, another of its numbered databases: queues and cache of one worker of xdist."""
    return urlunsplit(urlsplit(redis_url)._replace(path=f"/{number}"))


@pytest.fixture(autouse=True)
def _empty_broker(request: pytest.FixtureRequest) -> None:
    """No test finds another's messages, cached pages or rate limits; processes that run keep their bindings."""
    if not request.node.get_closest_marker("processes"):
        from django.core.cache import cache

        cache.clear()
