"""What ``docker-compose.yml`` runs, run here without Docker, over this test's servers."""

import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.running import ROOT, Processes, free_port, get, wait_until

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
OURS = {name: service for name, service in COMPOSE["services"].items() if service.get("image") == "tandem"}


def environment(service: dict[str, Any]) -> dict[str, str]:
    """The service's variables, with the defaults that Compose would put in."""
    return {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value)) for name, value in service["environment"].items()}


def line(service: dict[str, Any], *, data_dir: str) -> list[str]:
    return [part.replace("/data/", f"{data_dir}/") for part in shlex.split(service["command"])]


def test_it_has_the_four_processes_and_two_servers() -> None:
    assert set(OURS) == {"migrate", "web", "worker", "beat"}
    assert set(COMPOSE["services"]) - set(OURS) == {"postgres", "redis"}
    for name in ("web", "worker", "beat"):
        assert OURS[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


@pytest.mark.processes
@pytest.mark.slow
def test_each_command_does_its_work(processes: Processes) -> None:
    port = free_port()
    data_dir = processes.folder / "data"
    data_dir.mkdir()

    def start(name: str) -> Any:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        variables = {**environment(OURS[name]), **processes.addresses(), "DATA_DIR": str(data_dir), "PATH": path}
        if name == "web":
            variables |= {"GRANIAN_HOST": "127.0.0.1", "GRANIAN_PORT": str(port)}
        return processes.launch(line(OURS[name], data_dir=str(data_dir)), name=name, **variables)

    migrate = start("migrate")
    assert migrate.process.wait(120) == 0, migrate.read()
    web, worker, beat = start("web"), start("worker"), start("beat")
    worker.wait_for(" ready.")
    beat.wait_for("is starting")
    assert wait_until(lambda: get(f"http://127.0.0.1:{port}/readyz")[0] == 200, what="readiness"), web.read()
    assert [started.stop() for started in (web, worker, beat)] == [0, 0, 0]
