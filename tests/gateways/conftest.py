"""Stripe's double, started once for the tests that ask for it, and forgetful between them."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from tests.gateways.telling import Double, Webhooks


@pytest.fixture(scope="session")
def _double() -> "Iterator[Double]":
    from tests.gateways.telling import Double

    port = _free_port()
    script = Path(__file__).with_name("double.py")
    process = subprocess.Popen([sys.executable, "-W", "ignore", script, str(port)])
    double = Double(f"http://127.0.0.1:{port}")
    with closing(double.session):
        _wait_for(double, process)
        yield double
    process.terminate()
    process.wait()


@pytest.fixture
def double(_double: "Double", settings: Any) -> "Double":
    """The double, empty, with the installation's keys set to it."""
    from tests.gateways.telling import OTHER_SECRET, SECRET

    _double.reset()
    settings.STRIPE_API_BASE = _double.url
    settings.STRIPE_SECRET_KEY, settings.STRIPE_PUBLISHABLE_KEY = "sk_test_double", "pk_test_double"
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET, OTHER_SECRET]
    return _double


@pytest.fixture
def webhooks() -> "Webhooks":
    from tests.gateways.telling import Webhooks

    return Webhooks()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _wait_for(double: "Double", process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, "the double ended"
        try:
            double.reset()
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("the double does not answer")
