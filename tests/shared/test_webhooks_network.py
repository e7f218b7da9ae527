"""Where a request really goes: private, redirected and rebound addresses learn nothing; slow ones are given up."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gtm.shared.webhooks import transport
from gtm.shared.webhooks.transport import Answer, Network, Request
from tests.receivers import certified, listening

HOSTS = frozenset({"127.0.0.1", "hooks.test"})
PUBLIC, PRIVATE = "93.184.216.34", "10.0.0.5"


def send(url: str, *, allowed: frozenset[str] = HOSTS, **network: Any) -> Answer:
    return transport.send(Request(url, b"{}", {"webhook-id": "evt_1"}), allowed=allowed, network=Network(**network))


def resolving(*answers: list[str]) -> tuple[Callable[[str, int], list[str]], list[str]]:
    """A resolver that says something else each time, and whom it was asked for."""
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return resolve, asked


class TestPrivateAddresses:
    @pytest.mark.parametrize(
        "addresses",
        [[PRIVATE], ["127.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"], [PUBLIC, PRIVATE], []],
    )
    def test_a_name_that_stands_for_one_is_refused(self, addresses: list[str]) -> None:
        with listening() as receiver:
            resolve, _ = resolving(addresses)
            answer = send("https://hooks.example.com:8443/", resolve=resolve)
            assert answer.status is None
            assert "no public address" in answer.error or "has no address" in answer.error
            assert receiver.received == []

    @pytest.mark.parametrize("url", ["https://127.0.0.2/", "https://localhost/", "http://hooks.example.com/"])
    def test_one_that_is_written_is_refused_before_anybody_is_asked(self, url: str) -> None:
        resolve, asked = resolving([PUBLIC])
        assert send(url, resolve=resolve).status is None
        assert asked == []

    def test_a_host_that_is_allowed_by_name_may_have_one(self) -> None:
        with listening() as receiver:
            assert send(receiver.url).status == 200
            assert send(receiver.url, allowed=frozenset()).status is None
            assert len(receiver.received) == 1


class TestRebinding:
    def test_the_request_goes_to_the_address_that_was_checked(self, tmp_path: Path) -> None:
        server, client = certified(tmp_path, "hooks.test")
        resolve, asked = resolving(["127.0.0.1"], ["127.0.0.2"])
        with listening(tls=server) as checked, listening(address="127.0.0.2", port=checked.port, tls=server) as inner:
            answer = transport.send(
                Request(f"https://hooks.test:{checked.port}/in", b"{}", {}),
                allowed=frozenset({"hooks.test"}),
                network=Network(resolve=resolve, trust=lambda: client),
            )
            assert (answer.status, answer.error) == (200, "")
            assert (len(checked.received), len(inner.received)) == (1, 0)
            assert checked.received[0].headers["host"] == f"hooks.test:{checked.port}"
        assert asked == ["hooks.test"]

    def test_each_request_is_checked_anew(self) -> None:
        resolve, asked = resolving(["127.0.0.9"], [PRIVATE])
        answers = [
            send("https://hooks.example.com/", resolve=resolve, is_public=lambda address: address != PRIVATE)
            for _ in range(2)
        ]
        assert answers[0].error.startswith("ConnectionRefusedError")
        assert "10.0.0.5, which is no public address" in answers[1].error
        assert len(asked) == 2


class TestCertificates:
    def test_the_names_own_is_wanted(self, tmp_path: Path) -> None:
        server, client = certified(tmp_path, "hooks.test")
        with listening(tls=server) as receiver:
            url = f"https://127.0.0.1:{receiver.port}/"
            answer = send(url, trust=lambda: client)
            assert answer.status is None
            assert "certificate is not to be trusted" in answer.error
            assert receiver.received == []

    def test_a_strangers_is_refused(self, tmp_path: Path) -> None:
        server, _ = certified(tmp_path, "hooks.test")
        resolve, _asked = resolving(["127.0.0.1"])
        with listening(tls=server) as receiver:
            answer = send(f"https://hooks.test:{receiver.port}/", resolve=resolve)
            assert "certificate is not to be trusted" in answer.error
            assert receiver.received == []


class TestAnswers:
    def test_a_redirect_is_not_followed(self) -> None:
        with listening() as inner, listening() as receiver:
            receiver.status, receiver.headers = 302, {"Location": inner.url}
            answer = send(receiver.url)
            assert (answer.status, answer.is_success) == (302, False)
            assert answer.error == "It answered 302: redirects are not followed."
            assert inner.received == []

    def test_only_its_beginning_is_read(self) -> None:
        with listening() as receiver:
            receiver.answer = b"x" * 5_000_000
            answer = send(receiver.url)
            assert answer.excerpt == "x" * transport.MAX_EXCERPT
            assert answer.is_success

    def test_what_is_no_text_is_kept_as_such(self) -> None:
        with listening() as receiver:
            receiver.answer = b"\xff\0ok"
            assert send(receiver.url).excerpt == "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}ok"

    def test_silence_ends(self) -> None:
        with listening() as receiver:
            receiver.gate.clear()
            answer = send(receiver.url, exchange_seconds=0.2)
            assert answer.error == "No answer within 0 s."

    def test_dripping_ends_too(self) -> None:
        with listening() as receiver:
            receiver.drip = 0.05
            assert send(receiver.url, exchange_seconds=0.3).error.startswith("No answer within")

    def test_a_closed_port_is_said(self) -> None:
        assert send("http://127.0.0.1:1/").error.startswith("ConnectionRefusedError")

    def test_a_second_address_is_tried_where_the_first_is_closed(self) -> None:
        with listening() as receiver:
            resolve, _ = resolving(["127.0.0.3", "127.0.0.1"])
            assert send(f"http://hooks.test:{receiver.port}/", resolve=resolve).status == 200

    def test_an_unknown_name_is_said(self) -> None:
        def unknown(host: str, port: int) -> list[str]:
            raise socket.gaierror(-2, "Name or service not known")

        assert send("https://hooks.example.com/", resolve=unknown).error == "The name of the host is unknown."

    def test_proxies_of_the_environment_are_not_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with listening() as proxy, listening() as receiver:
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            assert send(receiver.url).status == 200
            assert proxy.received == []

    def test_the_systems_resolver_is_the_usual_one(self) -> None:
        assert "127.0.0.1" in transport.resolve("127.0.0.1", 80)
