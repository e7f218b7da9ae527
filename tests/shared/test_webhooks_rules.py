"""The rules of webhooks that need no database: which facts, when again, and where nothing is ever sent."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gtm import env
from gtm.shared import sealing
from gtm.shared.webhooks import addresses, destinations, event_types, retries
from gtm.shared.webhooks.destinations import Refused


class TestEventTypes:
    @pytest.mark.parametrize(
        ("patterns", "event_type", "expected"),
        [
            ([], "billing.invoice.paid", True),
            (["*"], "user.changed", True),
            (["billing.invoice.paid"], "billing.invoice.paid", True),
            (["billing.invoice.paid"], "billing.invoice.paid_late", False),
            (["billing.invoice.*"], "billing.invoice.paid", True),
            (["billing.invoice.*"], "billing.invoices.paid", False),
            (["billing.*"], "billing.credit_note.issued", True),
            (["billing.*.created"], "billing.plan.created", True),
            (["billing.*.created"], "crm.lead.created", False),
            (["crm.lead.created", "billing.*"], "billing.plan.created", True),
            (["billing.invoice.paid"], "billingxinvoice.paid", False),
        ],
    )
    def test_they_match(self, patterns: list[str], event_type: str, expected: bool) -> None:
        assert event_types.matches(patterns, event_type) is expected

    @pytest.mark.parametrize("text", ["billing.invoice.paid", "billing.*", "*", "*.created", "api_key.issued"])
    def test_they_may_be_written_so(self, text: str) -> None:
        assert event_types.is_pattern(text)

    @pytest.mark.parametrize(
        "text", ["", ".", "billing.", "Billing.x", "billing.in*", "a..b", "(x|y)", "a\nb", "a" * 81]
    )
    def test_they_may_not_be_written_so(self, text: str) -> None:
        assert not event_types.is_pattern(text)


class TestRetries:
    def test_they_take_about_three_days(self) -> None:
        waits = [retries.wait(failures=number, jitter=0) for number in range(1, 10)]
        assert timedelta(days=3) < sum(filter(None, waits), timedelta()) < timedelta(days=3, hours=6)
        assert waits == sorted(filter(None, waits))

    def test_they_end(self) -> None:
        assert retries.wait(failures=10, jitter=0) is None

    @given(st.integers(1, 9), st.floats(0, 1, exclude_max=True))
    @settings(max_examples=30, deadline=None)
    def test_they_spread_by_a_tenth(self, failures: int, jitter: float) -> None:
        wait, least = retries.wait(failures=failures, jitter=jitter), retries.WAITS[failures - 1]
        assert wait is not None
        assert least <= wait <= 1.1 * least


PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "10.0.0.5",
    "172.16.3.4",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",  # noqa: S104 -- an address to refuse
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:93.184.216.34",
    "::10.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "2002:7f00:1::1",
    "2001::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "2606:4700::1111%eth0",
    "not an address",
]


class TestAddresses:
    @pytest.mark.parametrize("address", PRIVATE)
    def test_these_are_not_for_strangers(self, address: str) -> None:
        assert not addresses.is_public(address)

    @pytest.mark.parametrize("address", ["93.184.216.34", "1.1.1.1", "172.15.0.1", "172.32.0.1", "2606:4700::1111"])
    def test_these_are_public(self, address: str) -> None:
        assert addresses.is_public(address)


class TestDestinations:
    @pytest.mark.parametrize(
        ("url", "host", "port", "target"),
        [
            ("https://hooks.example.com", "hooks.example.com", 443, "/"),
            ("https://HOOKS.example.com:8443/in?x=1&y=2", "hooks.example.com", 8443, "/in?x=1&y=2"),
            ("https://1.1.1.1/in", "1.1.1.1", 443, "/in"),
            ("https://[2606:4700::1111]/in", "2606:4700::1111", 443, "/in"),
            ("https://xn--mnchen-3ya.example/in", "xn--mnchen-3ya.example", 443, "/in"),
        ],
    )
    def test_they_are_read(self, url: str, host: str, port: int, target: str) -> None:
        found = destinations.parse(url, allowed=())
        assert (found.scheme, found.host, found.port, found.target, found.trusted) == (
            "https",
            host,
            port,
            target,
            False,
        )

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("", "such as"),
            ("hooks.example.com", "must start with https"),
            ("ftp://hooks.example.com", "must start with https"),
            ("https://", "name a host"),
            ("http://hooks.example.com", "must start with https"),
            ("https://user@hooks.example.com", "user or a password"),
            ("https://a:b@hooks.example.com", "user or a password"),
            ("https://hooks.example.com/#x", "fragment"),
            ("https://hooks.example.com:22", "port must be 443 or 8443"),
            ("https://hooks.example.com:0", "port must be"),
            ("https://hooks.example.com:99999", "such as"),
            ("https://hooks.example.com\\@evil.example", "visible ASCII"),
            ("https://hooks.example.com/a b", "visible ASCII"),
            ("https://hooks.example.com/\r\nHost: x", "visible ASCII"),
            ("https://münchen.example/", "visible ASCII"),
            ("https://" + "a" * 2000, "such as"),
            ("https://localhost/", "no public name"),
            ("https://intranet/", "no public name"),
            ("https://db.internal/", "no public name"),
            ("https://127.0.0.1/", "no public address"),
            ("https://[::1]/", "no public address"),
            ("https://[::ffff:10.0.0.1]/", "no public address"),
            ("https://2130706433/", "no name of a host"),
            ("https://0x7f000001/", "no name of a host"),
            ("https://127.1/", "no name of a host"),
            ("https://0177.0.0.01/", "no name of a host"),
            ("https://-x.example/", "no name of a host"),
            ("https://[fe80::1%25eth0]/", "fe80"),
        ],
    )
    def test_these_are_refused(self, url: str, words: str) -> None:
        with pytest.raises(Refused, match=words):
            destinations.parse(url, allowed=())

    @pytest.mark.parametrize("url", ["http://127.0.0.1:9000/in", "http://receiver:80/", "https://receiver:9/"])
    def test_the_installation_may_allow_hosts_by_name(self, url: str) -> None:
        assert destinations.parse(url, allowed={"127.0.0.1:9000", "receiver"}).trusted

    def test_an_allowed_port_is_that_port_alone(self) -> None:
        with pytest.raises(Refused):
            destinations.parse("http://127.0.0.1:9001/", allowed={"127.0.0.1:9000"})

    @given(st.text(max_size=60))
    @settings(max_examples=50, deadline=None)
    def test_whatever_is_written_it_is_read_or_refused(self, text: str) -> None:
        for url in (text, f"https://{text}", f"https://example.com{text}"):
            try:
                found = destinations.parse(url, allowed=())
            except Refused:
                continue
            assert found.scheme == "https"
            assert found.port in destinations.PORTS


class TestAllowedHosts:
    def test_they_are_read_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WEBHOOK_ALLOWED_HOSTS", "Receiver.test, 127.0.0.1:9000,[::1]:80")
        assert env.hosts("WEBHOOK_ALLOWED_HOSTS") == {"receiver.test", "127.0.0.1:9000", "::1:80"}

    @pytest.mark.parametrize("value", ["http://x", "a/b", "a b", "*.example.com"])
    def test_a_wrong_one_stops_the_start(self, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WEBHOOK_ALLOWED_HOSTS", value)
        with pytest.raises(env.BadSetting, match="WEBHOOK_ALLOWED_HOSTS"):
            env.hosts("WEBHOOK_ALLOWED_HOSTS")


class TestSealing:
    def test_what_is_sealed_can_be_opened_and_not_read(self) -> None:
        sealed = sealing.seal("whsec_secret")
        assert "secret" not in sealed
        assert sealing.unseal(sealed) == "whsec_secret"
        assert sealing.seal("whsec_secret") != sealed

    def test_another_key_opens_nothing_but_a_fallback_does(self, settings: object) -> None:
        sealed, old = sealing.seal("x"), settings.SECRET_KEY  # type: ignore[attr-defined]
        settings.SECRET_KEY = "another"  # type: ignore[attr-defined]
        with pytest.raises(sealing.Unreadable):
            sealing.unseal(sealed)
        settings.SECRET_KEY_FALLBACKS = [old]  # type: ignore[attr-defined]
        assert sealing.unseal(sealed) == "x"


def test_an_id_bounds_what_was_made_since() -> None:
    from gtm.shared import ids

    before = datetime.now(UTC) - timedelta(milliseconds=5)
    made = ids.uuid7()
    assert ids.first_of(before) < made < ids.first_of(datetime.now(UTC) + timedelta(seconds=1))
