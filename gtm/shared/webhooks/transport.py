"""One request to a stranger's address, which learns nothing by it of our own network.

The name is resolved once, every address that it stands for is checked, and the connection is made to such a checked
address: a name that means another host a moment later (DNS rebinding) is of no use. The certificate and the Host header
are still the name's. Redirects are answers like any other, proxies of the environment aren't asked, the answer is read
up to a limit, and the whole exchange has an end, however slowly the other side drips.

``requests-hardened``, which comes nearest, takes a name's first address alone, knows no single trusted hosts, and sets
no limit to the whole; so this is the standard library's client, with a ``connect`` of our own.
"""

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from threading import Timer

from gtm.shared.webhooks import addresses
from gtm.shared.webhooks.destinations import Destination, Refused, parse

MAX_ADDRESSES = 3
MAX_EXCERPT = 1000


@dataclass(frozen=True, slots=True)
class Request:
    url: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request: a status with the beginning of the answer, or an error in words."""

    status: int | None = None
    excerpt: str = ""
    error: str = ""
    milliseconds: int = 0

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def resolve(host: str, port: int) -> list[str]:
    """The addresses that the system knows for the name, each once, in its order. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@cache
def system_trust() -> ssl.SSLContext:
    """The certificates that the system trusts; reading them takes a while."""
    return ssl.create_default_context()


@dataclass(frozen=True, slots=True)
class Network:
    """How the outside is reached: by which resolver, to which addresses, trusting whom, and for how many seconds."""

    resolve: Callable[[str, int], Sequence[str]] = resolve
    is_public: Callable[[str], bool] = addresses.is_public
    trust: Callable[[], ssl.SSLContext] = system_trust
    connect_seconds: float = 5.0
    exchange_seconds: float = 15.0


SYSTEM = Network()


def send(request: Request, *, allowed: Collection[str], network: Network = SYSTEM) -> Answer:
    """POST it, and tell what came of it. Whatever goes wrong out there is an Answer, not an exception."""
    began = time.monotonic()
    try:
        destination = parse(request.url, allowed=allowed)
        status, excerpt = _exchange(destination, _checked(destination, network), request, network)
    except (OSError, http.client.HTTPException, ValueError) as error:
        seconds = time.monotonic() - began
        return Answer(error=_words(error, seconds, network), milliseconds=round(seconds * 1000))
    return Answer(status, excerpt, _complaint(status), round((time.monotonic() - began) * 1000))


def _complaint(status: int) -> str:
    if 200 <= status < 300:
        return ""
    return f"It answered {status}{': redirects are not followed' if 300 <= status < 400 else ''}."


def _checked(destination: Destination, network: Network) -> Sequence[str]:
    """The addresses to connect to. One private address among them spoils all: the name's owner is up to something."""
    found = network.resolve(destination.host, destination.port)
    if not found:
        raise Refused(f"{destination.host} has no address.")
    private = [address for address in found if not network.is_public(address)]
    if private and not destination.trusted:
        raise Refused(f"{destination.host} stands for {private[0]}, which is no public address.")
    return found[:MAX_ADDRESSES]


class _Connection(http.client.HTTPConnection):
    """To the first of the checked addresses that takes it, in the name of the host."""

    def __init__(self, destination: Destination, checked: Sequence[str], network: Network) -> None:
        super().__init__(destination.host, destination.port, timeout=network.connect_seconds)
        self.default_port = 443 if destination.scheme == "https" else 80  # left out of the Host header
        self._checked = checked
        self._trust = network.trust if destination.scheme == "https" else None

    def connect(self) -> None:
        self.sock = self._first_socket()
        if self._trust is not None:
            self.sock = self._trust().wrap_socket(self.sock, server_hostname=self.host)

    def _first_socket(self) -> socket.socket:
        for last, address in enumerate(self._checked, start=1):
            try:
                return socket.create_connection((address, self.port), self.timeout)
            except OSError:
                if last == len(self._checked):
                    raise
        raise AssertionError("there is at least one address")


def _exchange(destination: Destination, checked: Sequence[str], request: Request, network: Network) -> tuple[int, str]:
    with closing(_Connection(destination, checked, network)) as connection:
        connection.connect()
        connection.sock.settimeout(network.exchange_seconds)
        end = Timer(network.exchange_seconds, _hang_up, [connection.sock])
        end.daemon = True
        end.start()
        try:
            connection.request("POST", destination.target, body=request.body, headers=dict(request.headers))
            response = connection.getresponse()
            return response.status, _excerpt(response)
        finally:
            end.cancel()


def _hang_up(connected: socket.socket) -> None:
    """Wakes whoever waits for it. A socket's time-out alone starts anew with each byte that arrives."""
    try:
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
    except OSError:  # it has ended meanwhile
        return


def _excerpt(response: http.client.HTTPResponse) -> str:
    """The beginning of the answer, as text that the database takes; the status counts even if it breaks off."""
    try:
        content = response.read(MAX_EXCERPT)
    except (OSError, http.client.HTTPException):
        return ""
    return content.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _words(error: Exception, seconds: float, network: Network) -> str:
    if isinstance(error, Refused):
        return str(error)[:300]
    if isinstance(error, TimeoutError) or seconds >= network.exchange_seconds:
        return f"No answer within {seconds:.0f} s."
    if isinstance(error, socket.gaierror):
        return "The name of the host is unknown."
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"Its certificate is not to be trusted: {error.verify_message}."[:300]
    said = f"{type(error).__name__}: {error}"
    return "".join(letter if letter.isprintable() else " " for letter in said)[:300]
