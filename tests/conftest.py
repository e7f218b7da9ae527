"""Servers of this test run alone, and settings that make tests quick. The named world stands in ``tests/world.py``."""

import fcntl
import gc
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import psutil
import psycopg
import pytest

from gtm import embedded
from tests import migrated

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.running import Processes

_PREFIX = "tandem-tests-"
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_CHROMIUM_OPTIONS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
_TEMPLATE = "test_template"
_TEMPLATE_LOCK = "template.lock"
_ROOT = Path(__file__).resolve().parent.parent
_TABLES = """
    SELECT quote_ident(relname) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    AND relname NOT IN ('django_migrations', 'django_content_type', 'auth_permission')
"""
_UNDIVIDED = {"tests/ops/test_up.py"}
_for_this_run = ExitStack()


# How long an example takes to be made up says how busy the machine is.
hypothesis.settings.register_profile("tandem", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("tandem")


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers before the settings are read; the workers of xdist use their controller's."""
    several = bool(config.getoption("numprocesses", default=None))
    if not hasattr(config, "workerinput"):
        _let_bytecode_be_kept()
        if not _start_servers() and several:
            _start_migrating()
    if hasattr(config, "workerinput") or not several:
        _set_up_django(worker=os.environ.get("PYTEST_XDIST_WORKER", "gw0"))
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)  # or xdist's workers would read the settings before they get here


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests go to whichever worker is free, and modules that start something once for all of theirs to one alone.

    xdist's own mark for that writes what this pytest doesn't read.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.partition("::")[0]
            return module if module in _UNDIVIDED else nodeid

    return Scheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: not item.get_closest_marker("slow"))


def pytest_collection_finish() -> None:
    """What was imported and collected lives as long as the run: the collector needn't look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_unconfigure() -> None:
    _for_this_run.close()


def _let_bytecode_be_kept() -> None:
    """Or each worker and each process that a test starts would compile the whole project again."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def _start_migrating() -> None:
    """Migrate one database, which the workers copy, while they import and collect. It holds the lock until it ends."""
    with _maintenance() as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {_TEMPLATE}")
        connection.execute(f"CREATE DATABASE {_TEMPLATE}")
    url = urlsplit(os.environ["DATABASE_URL"])
    there = {"DATABASE_URL": urlunsplit(url._replace(path=f"/{_TEMPLATE}")), "DJANGO_SETTINGS_MODULE": "gtm.settings"}
    with (Path(os.environ["DATA_DIR"]) / _TEMPLATE_LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        migrating = subprocess.Popen(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
            cwd=_ROOT,
            env=os.environ | there,
            pass_fds=[lock.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    _for_this_run.callback(_drop_template)
    _for_this_run.callback(migrating.wait)
    _for_this_run.callback(migrating.kill)


def _drop_template() -> None:
    with _maintenance() as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {_TEMPLATE}")


def _maintenance() -> psycopg.Connection[Any]:
    """A connection in whose place databases are made and dropped."""
    return psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Copy the migrated database where there is one; a migration that failed there fails again here, and is seen."""
    from django.conf import settings

    with suppress(FileNotFoundError), (settings.DATA_DIR / _TEMPLATE_LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        settings.DATABASES["default"]["TEST"]["TEMPLATE"] = _TEMPLATE


def _start_servers() -> bool:
    """True where the database from which those of the tests are copied is there already."""
    os.environ["DATA_DIR"] = str(_data_folder())
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # Playwright's loop runs in the thread that asks the database
    ours = ("SECRET_KEY", "SECRET_KEY_FALLBACKS", "EMAIL_URL", "BASE_URL", "PORT", "DEBUG")
    theirs = [name for name in os.environ if name.startswith("STRIPE_")]
    for name in (*ours, *theirs, "WEBHOOK_ALLOWED_HOSTS"):
        os.environ.pop(name, None)
    if os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL"):
        return False
    folder = Path(os.environ["DATA_DIR"])
    is_migrated = migrated.copy_into(folder)
    _for_this_run.enter_context(embedded.private(folder))
    if is_migrated:
        migrated.rename(os.environ["DATABASE_URL"], _TEMPLATE)
        (folder / _TEMPLATE_LOCK).touch()
    return is_migrated


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
    from django.test import TransactionTestCase

    TransactionTestCase._fixture_teardown = _empty_tables


def _empty_tables(_test: Any) -> None:
    """After a test that commits. Django truncates every table and writes all permissions anew: 0.5 s of work, not 7 ms.

    No trigger and no foreign key is asked, for which one has to be the database's superuser.
    """
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(_TABLES)
        some = " UNION ALL ".join(f"(SELECT '{table}' FROM {table} LIMIT 1)" for (table,) in cursor.fetchall())  # noqa: S608
        cursor.execute(some)
        emptied = "".join(f"DELETE FROM {table};" for (table,) in cursor.fetchall())  # noqa: S608
        cursor.execute(f"BEGIN; SET LOCAL session_replication_role = replica; {emptied} COMMIT")


def _with_database(redis_url: str, number: int) -> str:
    """The same server, another of its numbered databases: queues and cache of one worker of xdist."""
    return urlunsplit(urlsplit(redis_url)._replace(path=f"/{number}"))


@pytest.fixture(autouse=True)
def _empty_broker(request: pytest.FixtureRequest) -> None:
    """No test finds another's messages, cached pages or rate limits; processes that run keep their bindings."""
    if not request.node.get_closest_marker("processes"):
        from django.core.cache import cache

        cache.clear()


@pytest.fixture(autouse=True)
def _english() -> None:
    """No test finds the language of another's last request."""
    from django.utils import translation

    translation.activate("en")


@pytest.fixture
def processes(tmp_path: Path, transactional_db: None) -> "Iterator[Processes]":
    """Starts Tandem's own processes over the test's database: ``processes.start("worker")``."""
    from django.core.cache import cache

    from tests.running import Processes

    cache.clear()  # the broker's numbered database too: no message of an earlier test waits there
    running = Processes(tmp_path)
    yield running
    running.end()


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if not path:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing(f"no browser: none of {', '.join(_CHROMIUM)} is installed")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=_CHROMIUM_OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture
def new_page(browser: "Browser", live_server: Any, settings: Any) -> "Iterator[Callable[..., Page]]":
    """Opens a page of a new visitor: ``new_page(color_scheme="dark", viewport={"width": 360, "height": 800})``."""
    settings.BASE_URL = live_server.url
    settings.CSRF_TRUSTED_ORIGINS = [live_server.url]
    complaints: list[str] = []
    contexts = []

    def open_page(**options: Any) -> "Page":
        context = browser.new_context(base_url=live_server.url, **options)
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console", lambda line: complaints.append(line.text) if "Content Security Policy" in line.text else None
        )
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints, f"the browser complained: {complaints}"


@pytest.fixture
def page(new_page: "Callable[..., Page]") -> "Page":
    """A visitor's page on the live server, whose addresses may be given without the host."""
    return new_page()


@pytest.fixture
def axe() -> "Callable[[Page], None]":
    """Fails on any serious or critical finding of axe-core on the page as it stands."""
    from axe_playwright_python.sync_playwright import Axe

    script = Axe().axe_script

    def check(page: "Page") -> None:
        if page.evaluate("typeof axe === 'undefined'"):
            page.evaluate(script)
        violations = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(found => found.violations)")
        found = [f for f in violations if f["impact"] in {"serious", "critical"}]
        told = [f"{f['id']} ({f['impact']}): {[node['html'] for node in f['nodes'][:3]]}" for f in found]
        assert not told, f"{page.url}: " + "; ".join(told)

    return check


@pytest.fixture
def screenshot(tmp_path: Path) -> "Callable[[Page, str], Path]":
    """Keeps a picture of the whole page, in ``SCREENSHOTS`` where that folder is named, and returns its path."""
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path)

    def take(page: "Page", name: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"{name}.png", full_page=True)
        return folder / f"{name}.png"

    return take
