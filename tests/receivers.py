"""Receivers of webhooks on loopback for the length of a block, polite or not."""

import ipaddress
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from standardwebhooks import Webhook


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    def verified(self, secret: str) -> dict[str, Any]:
        """As an integrator reads it. Raises ``standardwebhooks.WebhookVerificationError``."""
        content: dict[str, Any] = Webhook(secret).verify(self.body, self.headers)
        return content


@dataclass
class Receiver:
    """Keeps what it is sent, and answers ``status``; ``gate`` closed keeps the sender waiting, ``drip`` bores it."""

    port: int = 0
    address: str = "127.0.0.1"
    scheme: str = "http"
    status: int = 200
    answer: bytes = b"thanks"
    headers: dict[str, str] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    gate: Event = field(default_factory=Event)
    drip: float = 0.0

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.address}:{self.port}/hooks?tenant=1"


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.received.append(Received(self.path, headers, body))
            receiver.gate.wait(20)
            try:
                self._answer()
            except OSError:  # the sender has had enough
                return

        def _answer(self) -> None:
            while receiver.drip:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX: x"[:1])
                time.sleep(receiver.drip)
            self.send_response(receiver.status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(receiver.answer)))
            self.end_headers()
            self.wfile.write(receiver.answer)

        def log_message(self, *args: Any) -> None:
            """Nothing on the console."""

    return Handler


@contextmanager
def listening(*, address: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver = Receiver(address=address, scheme="https" if tls else "http")
    receiver.gate.set()
    server = ThreadingHTTPServer((address, port), _handler(receiver))
    server.daemon_threads = True
    server.handle_error = lambda *args: None  # type: ignore[method-assign]  # a sender that doesn't trust us hangs up
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    receiver.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.gate.set()
        receiver.drip = 0
        server.shutdown()
        server.server_close()
        thread.join()


def certified(folder: Path, *names: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server of these names and addresses shows, and what a client that trusts it holds."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([_named(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    written = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(private + written)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem")
    return server, ssl.create_default_context(cadata=written.decode())


def _named(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
