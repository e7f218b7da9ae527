"""How fast the desk's pages are over HTTP, and how much slower at ten times the data.

    python benchmarks/pages.py --accounts 100000

Two databases are seeded, one with a tenth of the accounts, and the pages asked for by 8 clients at once, as a rep and
as a founder who are signed in, of the web server that ``manage.py up`` starts. Each request is timed from its sending
to the last byte of its answer; answers other than 200 end the run. PostgreSQL is private to the run and, as in tests,
doesn't wait for the disk; with DATABASE_URL and REDIS_URL set, the databases are made on that server, and kept.
"""

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

if __name__ == "__main__":  # only tests install them; others look for them
    sys.modules.update(dict.fromkeys(("rich", "pygments", "greenlet")))

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from gtm import embedded  # noqa: E402

CLIENTS = 8
WARM_UP = 2 * CLIENTS
AIM = 1.5
START_SECONDS = 60


@dataclass(frozen=True)
class Measured:
    """One page, as one kind of user: seconds of each request."""

    page: str
    who: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds) * 1000

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.seconds, n=20)[-1] * 1000 if len(self.seconds) > 1 else self.median


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=100_000, metavar="N")
    parser.add_argument("--requests", type=int, default=160, help="for each page and user")
    parser.add_argument("--only", default="", help="pages whose name holds this")
    parser.add_argument("--part", choices=["seed", "sign-in"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        return _part(options.part, options.accounts)
    sizes = [options.accounts // 10, options.accounts]
    with _servers() as url:
        found = [_measure(url, size, requests=options.requests, only=options.only) for size in sizes]
    print(table(*found, sizes=sizes, requests=options.requests))
    return None


def _measure(url: str, accounts: int, *, requests: int, only: str) -> list[Measured]:
    """Every page as rep and as founder, over a database with so many accounts."""
    database = _database(url, f"pages_{accounts}")
    began = time.perf_counter()
    if _run("seed", database, accounts) == "seeded":
        print(f"seeded {accounts:,} accounts in {time.perf_counter() - began:.0f} s", flush=True)
    said = json.loads(_run("sign-in", database, accounts))
    found = []
    with _served(database) as port:
        for page, addresses in said["pages"].items():
            for who, cookie in said["cookies"].items():
                if only in page:
                    found.append(Measured(page, who, _ask(port, addresses[who], cookie, requests)))
                    print(f"{accounts:>8,} {page}, {who}: {found[-1].median:.0f} / {found[-1].p95:.0f} ms", flush=True)
    return found


def _ask(port: int, addresses: list[str], cookie: str, requests: int) -> tuple[float, ...]:
    """Ask for the addresses in turn by 8 clients, and say how long each answer took; the first ones warm up."""
    turns = iter(list(itertools.islice(itertools.cycle(addresses), WARM_UP + requests)))
    lock, seconds, failures = threading.Lock(), [], []

    def client() -> None:
        with closing(HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
            while not failures:
                with lock:
                    address = next(turns, None)
                if address is None:
                    return
                began = time.perf_counter()
                connection.request("GET", address, headers={"Cookie": cookie})
                answer = connection.getresponse()
                answer.read()
                took = time.perf_counter() - began
                with lock:
                    seconds.append(took)
                    if answer.status != 200:
                        failures.append(f"{answer.status} for {address}")

    threads = [threading.Thread(target=client) for _number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise SystemExit(failures[0])
    return tuple(seconds[WARM_UP:])


def table(few: list[Measured], many: list[Measured], *, sizes: list[int], requests: int) -> str:
    """Median and 95th percentile in milliseconds at both sizes, and how many times the median grows."""
    lines = [
        f"| page | as | {sizes[0]:,} accounts: median / p95 | {sizes[1]:,} accounts: median / p95 | growth |",
        "| --- | --- | --- | --- | --- |",
    ]
    for before, after in zip(few, many, strict=True):
        growth = after.median / before.median
        late = "" if growth <= AIM else f" (more than {AIM})"
        lines.append(
            f"| {after.page} | {after.who} | {before.median:.0f} / {before.p95:.0f} ms |"
            f" {after.median:.0f} / {after.p95:.0f} ms | {growth:.2f}{late} |"
        )
    return "\n".join(["", *lines, "", f"{requests} requests each by {CLIENTS} clients at once."])


# --- what runs with Django set up ----------------------------------------------------------------
def _part(part: str, accounts: int) -> None:
    import django

    django.setup()
    if part == "seed":
        _seed(accounts)
    else:
        print(json.dumps({"cookies": _cookies(), "pages": _pages(accounts)}))


def _seed(accounts: int) -> None:
    from django.core.management import call_command

    from benchmarks import sales
    from crm.models import Account

    call_command("migrate", verbosity=0)
    if not Account.objects.exists():
        sales.seed(accounts)
        print("seeded")


def _cookies() -> dict[str, str]:
    """The cookies of a session of each, as signing in sets them."""
    from django.conf import settings
    from django.test import Client

    from benchmarks import sales
    from gtm.shared.models import User

    found = {}
    for who, email in (("rep", sales.REP), ("founder", sales.FOUNDER)):
        client = Client()
        client.force_login(User.objects.get(email=email), backend=settings.AUTHENTICATION_BACKENDS[0])
        found[who] = "; ".join(f"{name}={value.value}" for name, value in client.cookies.items())
    return found


def _pages(accounts: int) -> dict[str, dict[str, list[str]]]:
    """The addresses of each page for each user: words and accounts differ from request to request."""
    from django.urls import reverse

    from benchmarks import sales
    from crm.models import Account
    from gtm.shared.models import User

    dice = random.Random(5)
    mine = Account.objects.filter(owner=User.objects.get(email=sales.REP)).order_by("pk")
    books = {
        "rep": list(mine[:200]),
        "founder": list(Account.objects.order_by("pk")[: accounts : max(1, accounts // 200)]),
    }
    both = ("rep", "founder")
    listed = [
        f"{reverse('crm_accounts')}?motion={motion}&sort=-employee_count" for motion in ("sales_led", "self_serve")
    ]
    words = {who: [dice.choice(books[who]).name.split()[0][:4].lower() for _number in range(50)] for who in both}
    boards = [reverse(name) for name in ("crm_board", "crm_pipeline") if _exists(name)]
    search = next(name for name in ("crm_search", "crm_accounts") if _exists(name))
    return {
        "Today": {who: [reverse("today")] for who in both},
        "Accounts, filtered and sorted": dict.fromkeys(both, listed),
        "Search": {who: [f"{reverse(search)}?q={word}" for word in words[who]] for who in both},
        **({"Board": dict.fromkeys(both, boards[:1])} if boards else {}),
        "Account 360": {who: [reverse("crm_account", args=[one.public_id]) for one in books[who]] for who in both},
    }


def _exists(name: str) -> bool:
    from django.urls import NoReverseMatch, reverse

    with suppress(NoReverseMatch):
        return bool(reverse(name))
    return False


# --- servers, databases, processes ---------------------------------------------------------------
@contextmanager
def _servers() -> Iterator[str]:
    """A PostgreSQL and a Valkey of our own, gone with this process however it ends; or those that are named."""
    folder = Path(tempfile.mkdtemp(prefix="tandem-pages-"))
    folder.chmod(0o711)
    named = "DATABASE_URL" in os.environ and "REDIS_URL" in os.environ
    os.environ["DATA_DIR"] = str(folder)
    try:
        with nullcontext() if named else embedded.private(folder):
            yield os.environ["DATABASE_URL"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _database(url: str, name: str) -> str:
    """The address of another database on the same server, which is made where it is missing."""
    with psycopg.connect(url, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'")
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def _environment(database: str) -> dict[str, str]:
    """As ``up`` has it on this machine alone, where staff need no second step."""
    return {
        **os.environ,
        "DATABASE_URL": database,
        "DJANGO_SETTINGS_MODULE": "gtm.settings",
        "LOG_LEVEL": "WARNING",
        "STAFF_MFA": "0",
        "DEMO": "0",
    }


def _run(part: str, database: str, accounts: int) -> str:
    command = [sys.executable, "-W", "ignore", __file__, "--part", part, "--accounts", str(accounts)]
    done = subprocess.run(command, env=_environment(database), stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{part} failed")
    return done.stdout.strip()


@contextmanager
def _served(database: str) -> Iterator[int]:
    """The port of the web server, which is started as ``up`` starts it."""
    from gtm import supervisor

    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = supervisor.commands(host="127.0.0.1", port=port, data_dir=Path(os.environ["DATA_DIR"]))["web"]
    environment = {**_environment(database), "PORT": str(port)}
    subprocess.run(
        [sys.executable, "-W", "ignore", "manage.py", "collectstatic", "--no-input", "-v0"],
        cwd=ROOT,
        env=environment,
        check=True,
    )
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        _wait_for(port)
        yield port
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            server.wait(10)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError), closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            connection.request("GET", "/healthz")
            connection.getresponse()
            return
        time.sleep(0.2)
    raise SystemExit("the web server did not start")


if __name__ == "__main__":
    main()
