"""The log holds no key: neither links that open something to whoever has them, nor what is asked for by address."""

import logging

import pytest
from django.test import Client

from gtm.shared.logs import masked

TOKEN = "AZ0VYcDQcmqbqU8mCUDnZQAAAABqzFcA.5m2kZbW0m9kq3vX1yT7cJr4uP8sD6fGhLzQwEaNiOk"
CUSTOMER = "cus_2wv8cf82c19y0t6h04aygc67y5"
UUID = "0195c0a2-1234-7123-8123-123456789abc"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"GET /i/{TOKEN}/pdf/", "GET /i/…/pdf/"),
        (f"GET /portal/{CUSTOMER}/plan/", f"GET /portal/{CUSTOMER}/plan/"),
        (f"GET /admin/billing/invoice/{UUID}/change/", f"GET /admin/billing/invoice/{UUID}/change/"),
        ("Not Found: /account/password/reset/key/3-cx9q2k-0123456789abcdef0123456789abcdef/", None),
        (f"GET /checkout/pro/?session={TOKEN}&email=ann%40acme.example", "GET /checkout/pro/?session=…&email=…"),
        ("GET /pricing/", "GET /pricing/"),
    ],
)
def test_what_is_a_key_is_left_out(address: str, shown: str | None) -> None:
    assert masked(address) == (shown or "Not Found: /account/password/reset/key/…/")


@pytest.mark.django_db
def test_no_line_of_a_request_holds_its_link(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        client.get(f"/i/{TOKEN}/?email=ann%40acme.example")
    lines = [str(record.msg) for record in caplog.records]
    assert any("request_finished" in line for line in lines)
    assert not [line for line in lines if TOKEN in line or "acme.example" in line]
