"""Sending a buyer back to the vendor's product, with a signed word on what was bought.

The token is ``BASE64URL(JSON).HEX(HMAC-SHA256(secret, the first part))``, so that a few lines in any language verify
it; who would rather ask finds the same at ``GET /checkout_sessions/{id}``.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import UUID

from billing.models import Checkout, Customer
from gtm.shared import ids, vendors
from gtm.shared.errors import Invalid

PARAMETER = "checkout_token"
_LOCAL = ("localhost", "127.0.0.1", "[::1]")


def is_allowed(url: str, hosts: Iterable[str]) -> bool:
    """Whether the address is of a host that the vendor has listed: by https, or http on the developer's machine."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return False
    if parts.username or parts.password or "\\" in url or any(ord(char) <= 32 for char in url):
        return False
    listed = {one.lower() for one in hosts}
    named = f"{host}:{port}" if port else host
    is_local = parts.scheme == "http" and host in _LOCAL
    return bool(host) and (parts.scheme == "https" or is_local) and bool({named, host} & listed)


def require_listed(url: str) -> None:
    """Raises Invalid (``not_listed``) for an address that the vendor doesn't send anybody to; none is fine."""
    if url and not is_allowed(url, vendors.current().return_hosts):
        raise Invalid("This host is not listed in Settings as one to return to.", attr="return_url", code="not_listed")


def origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def address(checkout: Checkout, customer: Customer, *, status: str, at: datetime) -> str:
    """Where the buyer goes, with the token in the query; empty where there is nowhere, or it isn't listed any more.

    ``status`` is ``completed`` or ``processing``; ``at`` is wall time.
    """
    url = checkout.return_url
    if not url or not is_allowed(url, vendors.current().return_hosts):
        return ""
    said = {
        "checkout": public_id(checkout),
        "customer": customer.public_id,
        "external_id": customer.external_id,
        "status": status,
        "at": int(at.timestamp()),
    }
    parts = urlsplit(url)
    query = [*parse_qsl(parts.query, keep_blank_values=True), (PARAMETER, token(said, vendors.return_secret()))]
    return urlunsplit(parts._replace(query=urlencode(query)))


def public_id(checkout: Checkout) -> str:
    """The id that the checkout had when it was begun: a changed order goes on under another one."""
    begun_as = checkout.detail.get("begun_as")
    return ids.encode(Checkout.PREFIX, UUID(begun_as)) if begun_as else checkout.public_id


def token(said: Mapping[str, object], secret: str) -> str:
    written = json.dumps(said, separators=(",", ":"), sort_keys=True).encode()
    body = base64.urlsafe_b64encode(written).rstrip(b"=")
    return f"{body.decode()}.{hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
