"""A real SMTP server on loopback for the length of a block, polite or not."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from email import message_from_bytes
from email.message import Message
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


class PostOffice:
    """Keeps what it is handed. ``recipient_answer`` and ``data_answer`` refuse; ``silent`` keeps the sender waiting."""

    def __init__(self) -> None:
        self.delivered: list[Message] = []
        self.recipients: list[str] = []
        self.recipient_answer = "250 OK"
        self.data_answer = "250 OK"
        self.drops = False
        self.silent = False
        self.url = ""

    async def handle_RCPT(  # noqa: N802 -- aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[Any]
    ) -> str:
        if self.recipient_answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.recipient_answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.silent:
            await asyncio.sleep(60)
        if self.data_answer.startswith("250"):
            self.delivered.append(message_from_bytes(envelope.content or b""))
            self.recipients.extend(envelope.rcpt_tos)
        if self.drops:
            assert server.transport
            server.transport.abort()
        return self.data_answer


@contextmanager
def post_office() -> Iterator[PostOffice]:
    office = PostOffice()
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    controller = Controller(office, hostname="127.0.0.1", port=port)
    controller.start()
    office.url = f"smtp://127.0.0.1:{port}"
    try:
        yield office
    finally:
        controller.stop(no_assert=True)
