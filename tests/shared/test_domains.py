import pytest
from disposable_email_domains import blocklist
from hypothesis import given
from hypothesis import strategies as st

from gtm.shared import domains
from gtm.shared.free_mail import FREE_MAIL


class TestRegistrableDomain:
    @pytest.mark.parametrize(
        ("text", "domain"),
        [
            ("acme.com", "acme.com"),
            ("ACME.com.", "acme.com"),
            ("  www.acme.com ", "acme.com"),
            ("a@eu.acme.co.uk", "acme.co.uk"),
            ("A.B+c@Mail.Acme.Co.Uk", "acme.co.uk"),
            ('"odd@local/part"@acme.com', "acme.com"),
            ("a/b@acme.com", "acme.com"),
            ("mailto:bob@acme.com", "acme.com"),
            ("https://app.acme.io/login?next=/x@y", "acme.io"),
            ("https://user:secret@acme.io:8443/", "acme.io"),
            ("acme.com/pricing", "acme.com"),
            ("acme.com/@handle", "acme.com"),
            ("acme.com:8080", "acme.com"),
            ("münchen.de", "xn--mnchen-3ya.de"),
            ("info@MÜNCHEN.de", "xn--mnchen-3ya.de"),
            ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
            ("shop.例え.jp", "xn--r8jz45g.jp"),
            ("one.myshopify.com", "one.myshopify.com"),
            ("globex.example", "globex.example"),
            ("mail.initech.test", "initech.test"),
            ("a.b.c.kawasaki.jp", "b.c.kawasaki.jp"),
        ],
    )
    def test_finds_what_was_registered(self, text: str, domain: str) -> None:
        assert domains.registrable_domain(text) == domain

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "   ",
            "acme",
            "co.uk",
            "myshopify.com",
            "localhost",
            "printer.local",
            "db.internal",
            "192.168.1.1",
            "bob@192.168.1.1",
            "http://[::1]/",
            "http://[::1",
            "[::1]",
            "bob@",
            "@",
            "a..com",
            ".acme.com",
            "-acme.com",
            "ac me.com",
            "acme_corp.com",
            "Acme Corporation",
            "javascript:alert(1)",
            f"{'a' * 64}.com",
            f"{'a.' * 130}com",
            "acme\u2100.com",
            "acme\0.com",
        ],
    )
    def test_is_none_where_there_is_no_such_domain(self, text: str) -> None:
        assert domains.registrable_domain(text) is None

    @given(st.text())
    def test_takes_any_text(self, text: str) -> None:
        found = domains.registrable_domain(text)
        assert found is None or domains.registrable_domain(found) == found


class TestIsFreeMail:
    @pytest.mark.parametrize(
        "domain", ["gmail.com", "GMail.com", "mail.yahoo.co.uk", "web.de", "qq.com", "mailinator.com"]
    )
    def test_knows_open_and_disposable_providers(self, domain: str) -> None:
        assert domains.is_free_mail(domain)

    @pytest.mark.parametrize("domain", ["acme.com", "gmail.com.acme.com", "", "notgmail.com"])
    def test_takes_everything_else_for_a_company(self, domain: str) -> None:
        assert not domains.is_free_mail(domain)

    def test_lists_registrable_domains_only(self) -> None:
        assert len(FREE_MAIL) > 150
        assert [domain for domain in FREE_MAIL - blocklist if domains.registrable_domain(domain) != domain] == []


class TestBusinessDomain:
    @pytest.mark.parametrize(
        ("email", "domain"),
        [
            ("ann@eu.acme.co.uk", "acme.co.uk"),
            ("ann@gmail.com", None),
            ("ann@icloud.com", None),
            ("ann@yopmail.com", None),
            ("ann@localhost", None),
            ("ann", None),
        ],
    )
    def test_is_none_for_addresses_anybody_can_have(self, email: str, domain: str | None) -> None:
        assert domains.business_domain(email) == domain
