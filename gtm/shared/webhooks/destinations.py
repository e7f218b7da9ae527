"""Where a URL points, and whether its form can be allowed; the addresses behind a name are checked when it is used.

https on port 443 or 8443, to a name with a dot or a public address. Hosts that the installation allows by name
(``WEBHOOK_ALLOWED_HOSTS``) may have any address, any port, and http.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from gtm.shared.webhooks import addresses

PORTS = (443, 8443)
MAX_LENGTH = 2000
_DEFAULT_PORTS = {"https": 443, "http": 80}
_VISIBLE = re.compile(r"[!-\[\]-~]+", re.ASCII)  # printable, without spaces and backslashes, which parsers disagree on
_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"(\d+|0x[0-9a-f]*)")
_LOCAL = ("localhost", "local", "internal", "home.arpa")


class Refused(ValueError):
    """In words, why nothing is sent there."""


@dataclass(frozen=True, slots=True)
class Destination:
    """``host`` is a name, or an address without brackets; ``target`` path and query; ``trusted``: allowed by name."""

    scheme: str
    host: str
    port: int
    target: str
    trusted: bool


def parse(url: str, *, allowed: Collection[str]) -> Destination:
    """Read and check a URL; ``allowed`` holds trusted hosts, as ``name`` or ``name:port``. Raises Refused."""
    parts, port = _split(url)
    host = parts.hostname or ""
    trusted = not {host, f"{host}:{port}"}.isdisjoint(allowed)
    _check_host(host, trusted)
    if not trusted and parts.scheme != "https":
        raise Refused("The address must start with https://.")
    if not trusted and port not in PORTS:
        raise Refused(f"The port must be {' or '.join(map(str, PORTS))}.")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Destination(scheme=parts.scheme, host=host, port=port, target=target, trusted=trusted)


def _split(url: str) -> tuple[SplitResult, int]:
    if len(url) > MAX_LENGTH or not _VISIBLE.fullmatch(url):
        raise Refused("Give an address such as https://example.com/webhooks, of visible ASCII characters.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Refused("Give an address such as https://example.com/webhooks.") from error
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise Refused("The address must start with https:// and name a host.")
    if "@" in parts.netloc:
        raise Refused("The address can't hold a user or a password.")
    if "#" in url:
        raise Refused("The address can't hold a fragment.")
    return parts, _DEFAULT_PORTS[parts.scheme] if port is None else port


def _check_host(host: str, trusted: bool) -> None:
    """Numbers that some resolvers read as an address (``2130706433``, ``0x7f.1``) are no names."""
    if addresses.literal(host) is not None:
        if not trusted and not addresses.is_public(host):
            raise Refused(f"{host} is no public address.")
        return
    if not _NAME.fullmatch(host) or _NUMBER.fullmatch(host.rpartition(".")[2]):
        raise Refused(f"{host} is no name of a host. Write international names in their xn-- form.")
    if not trusted and ("." not in host or host.endswith(tuple(f".{name}" for name in _LOCAL))):
        raise Refused(f"{host} is no public name.")
