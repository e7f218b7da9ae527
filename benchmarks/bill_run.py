"""How fast the bill run is: invoices a second with one and with two workers, beside the floor under it.

    python benchmarks/bill_run.py --subscriptions 20000

Each measurement bills a fresh copy of the same database, and is followed by the floor for the rows that it wrote, so
that both were taken within the same minute. Of three rounds the medians count. ``draft_grace_minutes`` is 0, so that
every invoice is final at once. PostgreSQL is private to the run and, as in tests, doesn't wait for the disk.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

sys.modules.update(dict.fromkeys(("rich", "pygments", "greenlet")))  # only tests install them; others look for them

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from benchmarks import floor  # noqa: E402
from benchmarks.floor import Floor  # noqa: E402
from gtm import embedded  # noqa: E402

BATCH = 500
FEW = 5_000
MAX_SECONDS = 900


@dataclass(frozen=True)
class Measured:
    """One bill run: seconds for so many invoices, by so many workers, and the floor for the rows it wrote."""

    invoices: int
    seconds: float
    checks_seconds: float
    peak_mb: float
    floor: Floor

    @property
    def rate(self) -> float:
        return self.invoices / self.seconds

    @property
    def floor_rate(self) -> float:
        return self.invoices / self.floor.seconds

    @property
    def ratio(self) -> float:
        return self.floor.seconds / self.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subscriptions", type=int, default=20_000, metavar="N")
    parser.add_argument("--workers", default="1,2", help="processes that share one run, such as 1,2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", choices=["seed", "work"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        _set_up_django()
        return _seed(options.subscriptions) if options.part == "seed" else _work()
    measure(options.subscriptions, [int(number) for number in options.workers.split(",")], rounds=options.rounds)
    return None


def measure(subscriptions: int, workers: list[int], *, rounds: int) -> None:
    cases = [(subscriptions, number) for number in workers]
    if subscriptions > FEW:
        cases.append((FEW, 1))
    with _servers() as url:
        for size in {size for size, _number in cases}:
            began = time.perf_counter()
            _run_part("seed", _database(url, _template(size)), "--subscriptions", str(size))
            print(f"seeded {size:,} subscriptions in {time.perf_counter() - began:.0f} s", flush=True)
        found: dict[tuple[int, int], list[Measured]] = {case: [] for case in cases}
        deadline = time.monotonic() + MAX_SECONDS
        for number in range(rounds):
            for case in cases:
                if time.monotonic() > deadline and all(found.values()):
                    print(f"stopped after {MAX_SECONDS} s")
                    return _tell(found)
                found[case].append(_measure(url, *case))
                one = found[case][-1]
                print(
                    f"round {number + 1}: {case[0]:,} by {case[1]}: {one.rate:,.0f}/s, floor {one.floor_rate:,.0f}/s,"
                    f" ratio {one.ratio:.2f}, {one.peak_mb:.0f} MB",
                    flush=True,
                )
        return _tell(found)


def _measure(url: str, subscriptions: int, workers: int) -> Measured:
    with _clone(url, _template(subscriptions)) as clone:
        with psycopg.connect(clone) as connection:
            empty = _tables(connection, filled=False)
        results, seconds = _bill(clone, workers)
        invoices = sum(result["invoices"] for result in results)
        assert invoices == subscriptions, f"{invoices} invoices for {subscriptions} subscriptions"
        with psycopg.connect(clone, autocommit=True) as connection:
            written = sorted(empty & _tables(connection, filled=True))
            under = floor.measure(connection, written, batches=-(-subscriptions // BATCH))
    checks = max(result["checks_seconds"] for result in results)
    return Measured(invoices, seconds, checks, max(result["peak_mb"] for result in results), under)


def _bill(url: str, workers: int) -> tuple[list[dict[str, float]], float]:
    """Let so many processes share a bill run; what each says of itself, and how long all of it took."""
    processes = [_start_part("work", url) for _number in range(workers)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    began = time.perf_counter()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [json.loads(process.stdout.readline()) for process in processes]
    seconds = max(result["ended"] for result in results) - began
    for process in processes:
        process.wait()
    return results, seconds


def _work() -> None:
    """A worker of the bill run, that says how it did."""
    from benchmarks import world
    from billing import runs

    print("ready", flush=True)
    sys.stdin.readline()
    run = runs.bill_due(at=world.DUE, collect=False)
    assert not run.parked, run.last_error
    ended, checks = time.perf_counter(), sum(check["milliseconds"] for check in run.checks) / 1000
    said = {"invoices": run.invoices, "ended": ended - checks, "checks_seconds": checks, "peak_mb": _peak_mb()}
    print(json.dumps(said), flush=True)


def _peak_mb() -> float:
    """The most memory that this process had (its own: what rusage says was its parent's too)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _seed(subscriptions: int) -> None:
    from django.core.management import call_command

    from benchmarks import world

    call_command("migrate", verbosity=0)
    world.seed(subscriptions)


def _tell(found: dict[tuple[int, int], list[Measured]]) -> None:
    print(f"\n{'subscriptions':>13} {'workers':>7} {'invoices/s':>10} {'floor/s':>8} {'ratio':>6} {'peak MB':>8}")
    for (size, workers), runs in found.items():
        rate, under = (statistics.median(getattr(run, name) for run in runs) for name in ("rate", "floor_rate"))
        ratio, peak = statistics.median(run.ratio for run in runs), max(run.peak_mb for run in runs)
        print(f"{size:>13,} {workers:>7} {rate:>10,.0f} {under:>8,.0f} {ratio:>6.2f} {peak:>8.0f}")
    rows, size = next((run.floor.rows, run.invoices) for runs in found.values() for run in runs)
    print(f"\n{rows / size:.1f} rows an invoice; medians of {max(map(len, found.values()))}; drafts don't wait.")
    largest = max(size for size, _workers in found)
    if {(largest, 1), (largest, 2)} <= found.keys():
        times = [two.rate / one.rate for one, two in zip(found[largest, 1], found[largest, 2], strict=False)]
        print(f"Two workers: {statistics.median(times):.2f} times one.")
    checks = statistics.median(run.checks_seconds for run in found[largest, 1]) if (largest, 1) in found else 0
    print(f"The consistency checks after {largest:,} invoices took {checks:.2f} s, which the rates leave out.")
    if {(largest, 1), (FEW, 1)} <= found.keys() and largest > FEW:
        costs = [few.rate / many.rate for few, many in zip(found[FEW, 1], found[largest, 1], strict=False)]
        print(f"An invoice of {largest:,} costs {statistics.median(costs):.2f} times what one of {FEW:,} does.")


# --- servers, databases, processes --------------------------------------------------------------
@contextmanager
def _servers() -> Iterator[str]:
    """A PostgreSQL and a Valkey of our own, gone with this process however it ends."""
    folder = Path(tempfile.mkdtemp(prefix="tandem-bench-"))
    folder.chmod(0o711)
    try:
        with embedded.private(folder):
            os.environ["DATA_DIR"] = str(folder)
            yield os.environ["DATABASE_URL"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _template(subscriptions: int) -> str:
    return f"seeded_{subscriptions}"


def _database(url: str, name: str) -> str:
    """The address of another database on the same server, which is made where it is missing."""
    with psycopg.connect(url, autocommit=True) as connection:
        if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'")
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@contextmanager
def _clone(url: str, template: str) -> Iterator[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE measured TEMPLATE {template} STRATEGY FILE_COPY")
    try:
        yield urlunsplit(urlsplit(url)._replace(path="/measured"))
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP DATABASE measured WITH (FORCE)")


def _tables(connection: psycopg.Connection, *, filled: bool) -> set[str]:
    """The tables that hold rows, or those that hold none."""
    names = connection.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    found = {name: connection.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone() for (name,) in names}
    return {name for name, row in found.items() if (row is not None) == filled}


def _start_part(part: str, url: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-W", "ignore", __file__, "--part", part, *arguments]
    environment = {**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "gtm.settings", "LOG_LEVEL": "WARNING"}
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _run_part(part: str, url: str, *arguments: str) -> None:
    process = _start_part(part, url, *arguments)
    _output, _errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"{part} failed")


def _set_up_django() -> None:
    import django

    django.setup()


if __name__ == "__main__":
    main()
