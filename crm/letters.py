"""Mail as it arrives, read without trust: who wrote whom, when, what, and how much was attached. Pure.

Whoever knows an address can send anything there. So: the header block, each header, the number of parts and the text
are bounded before they are parsed; addresses and subjects are read from raw headers, never by the structured parser
whose cost grows with what it is given; attachments are counted and never kept; HTML becomes text in one pass.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.errors import HeaderParseError, MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime
from html import unescape

MAX_BYTES = 10 * 1024 * 1024
MAX_HEADER_BLOCK, MAX_HEADERS, MAX_HEADER = 128 * 1024, 400, 16 * 1024
MAX_PARTS, MAX_ADDRESSES = 100, 100
MAX_HTML, MAX_TEXT, MAX_SUBJECT, MAX_ID = 500_000, 50_000, 250, 500
_ADDRESS = re.compile(r"[^\s<>@,;:\"]{1,64}@[^\s<>@,;:\"]{1,190}")
_MESSAGE_ID = re.compile(r"<([^<>\s]{1,498})>")
_TAG = re.compile(r"<[^<>]*>")
_BREAK = re.compile(r"<(?:br|/p|/div|/tr|/li|/h[1-6]|hr)\b[^<>]*>", re.IGNORECASE)
_HIDDEN = ("script", "style", "head", "title")
_BLANKS = re.compile(r"[ \t\xa0]+")


@dataclass(frozen=True, slots=True)
class Letter:
    """A message. Addresses are in lower case, ids without their brackets; ``sent_at`` None where it doesn't say."""

    message_id: str
    references: tuple[str, ...]
    sender: str
    recipients: tuple[str, ...]
    delivered_to: tuple[str, ...]
    subject: str
    text: str
    sent_at: datetime | None
    attachment_count: int
    attachment_bytes: int
    is_automatic: bool = False

    @property
    def in_reply_to(self) -> str:
        return self.references[-1] if self.references else ""


class Unreadable(ValueError):
    """Too large, too intricate, or no message at all; in words."""


def read(raw: bytes) -> Letter:
    """Raises Unreadable. Whatever the library stumbles over in what somebody made up on purpose is unreadable too."""
    _check(raw)
    try:
        return _letter(message_from_bytes(raw, policy=policy.compat32))
    except Unreadable:
        raise
    except (MessageError, RecursionError, LookupError, AssertionError, ValueError, TypeError) as error:
        raise Unreadable("This is no message that can be read.") from error


def _letter(message: Message) -> Letter:
    text, count, size = _content(_parts(message))
    headers = _headers(message)
    senders = _addresses(headers.get("from", []))
    message_id = _ids(headers.get("message-id", []))
    if not senders or not message_id:
        raise Unreadable("A message has a sender and a Message-ID.")
    replied = _ids(headers.get("in-reply-to", []))
    return Letter(
        message_id=message_id[0],
        references=tuple(dict.fromkeys([*_ids(headers.get("references", [])), *replied]))[-20:],
        sender=senders[0],
        recipients=_addresses([*headers.get("to", []), *headers.get("cc", [])]),
        delivered_to=_addresses([*headers.get("delivered-to", []), *headers.get("x-original-to", [])]),
        subject=_subject(headers.get("subject", [])),
        text=text,
        sent_at=_date(headers.get("date", [])),
        attachment_count=count,
        attachment_bytes=size,
        is_automatic=_is_automatic(headers),
    )


def _check(raw: bytes) -> None:
    if len(raw) > MAX_BYTES:
        raise Unreadable(f"A message is at most {MAX_BYTES // 1024 // 1024} MB.")
    end = min(
        (at for mark in (b"\r\n\r\n", b"\n\n") if (at := raw.find(mark, 0, MAX_HEADER_BLOCK + 4)) >= 0), default=-1
    )
    if end < 0 and len(raw) > MAX_HEADER_BLOCK:
        raise Unreadable("The headers are too long.")
    if raw.count(b"\n", 0, end if end >= 0 else len(raw)) > 4 * MAX_HEADERS:
        raise Unreadable("There are too many headers.")
    if raw.lower().count(b"boundary=") > MAX_PARTS:
        raise Unreadable("There are too many parts.")


def _parts(message: Message) -> list[Message]:
    found: list[Message] = []
    for part in message.walk():
        found.append(part)
        if len(found) > MAX_PARTS:
            raise Unreadable("There are too many parts.")
    return found


def _headers(message: Message) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    raw = list(message.raw_items())
    if len(raw) > MAX_HEADERS:
        raise Unreadable("There are too many headers.")
    for name, value in raw:
        found.setdefault(name.lower()[:100], []).append(str(value)[:MAX_HEADER].replace("\0", ""))
    return found


def _addresses(values: list[str]) -> tuple[str, ...]:
    found = [address.strip().lower() for _name, address in getaddresses(values[:10])[: 2 * MAX_ADDRESSES]]
    return tuple(dict.fromkeys(one for one in found if _ADDRESS.fullmatch(one)))[:MAX_ADDRESSES]


def _ids(values: list[str]) -> list[str]:
    found = [match for value in values[:5] for match in _MESSAGE_ID.findall(value)]
    return [_plain(one)[:MAX_ID] for one in found]


def _subject(values: list[str]) -> str:
    if not values:
        return ""
    try:
        text = str(make_header(decode_header(values[0][:4000])))
    except (HeaderParseError, LookupError, ValueError):
        text = values[0]
    return " ".join(_plain(text).split())[:MAX_SUBJECT]


def _date(values: list[str]) -> datetime | None:
    try:
        found = parsedate_to_datetime(values[0][:100])
        return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
    except (IndexError, ValueError, TypeError, OverflowError):
        return None


def _is_automatic(headers: dict[str, list[str]]) -> bool:
    """Out of office, bounces and lists: nobody waits for an answer to those (RFC 3834)."""
    said = " ".join(headers.get("auto-submitted", [])).lower()
    bulk = " ".join(headers.get("precedence", [])).lower() in {"bulk", "junk", "list", "auto_reply"}
    return bulk or (said not in {"", "no"}) or "<>" in headers.get("return-path", [])


# --- what it says ------------------------------------------------------------------------------
def _content(parts: list[Message]) -> tuple[str, int, int]:
    """The text, the plain one if there is one, and how many attachments of how many bytes."""
    plain, html, count, size = "", "", 0, 0
    for part in parts:
        if part.is_multipart():
            continue
        body = part.get_payload(decode=True)
        body = body if isinstance(body, bytes) else b""
        kind = part.get_content_type()
        if (
            part.get_content_disposition() == "attachment"
            or part.get_filename()
            or kind not in {"text/plain", "text/html"}
        ):
            count, size = count + 1, size + len(body)
        elif kind == "text/plain":
            plain = plain or _decoded(body[: 4 * MAX_TEXT], part)
        else:
            html = html or stripped(_decoded(body[:MAX_HTML], part))
    return _tidy(plain or html), count, size


def _decoded(body: bytes, part: Message) -> str:
    try:
        return body.decode(str(part.get_content_charset() or "utf-8"), errors="replace")
    except (LookupError, ValueError):
        return body.decode("utf-8", errors="replace")


def stripped(html: str) -> str:
    """HTML as text: no tags, no scripts, no styles; each pass takes time in proportion to its length."""
    for name in _HIDDEN:
        html = "".join(_outside(html, name))
    html = _BREAK.sub("\n", html)
    return unescape(_TAG.sub("", html))


def _outside(html: str, name: str) -> Iterator[str]:
    """What stands outside of the elements of that name; one that is never closed reaches to the end."""
    lower, at = html.lower(), 0
    if len(lower) != len(html):  # a letter that is longer in lower case would shift what follows
        lower = html
    while (start := lower.find(f"<{name}", at)) >= 0:
        yield html[at:start]
        end = lower.find(f"</{name}", start)
        if end < 0:
            return
        close = lower.find(">", end)
        at = close + 1 if close >= 0 else len(html)
    yield html[at:]


def _tidy(text: str) -> str:
    lines = [_BLANKS.sub(" ", line).rstrip() for line in _plain(text[: 2 * MAX_TEXT]).splitlines()]
    kept = [line for at, line in enumerate(lines) if line.strip() or (at and lines[at - 1].strip())]
    return "\n".join(kept).strip()[:MAX_TEXT]


def _plain(text: str) -> str:
    """Without what a database or a page can't show: NUL, lone surrogates, other control characters."""
    clean = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(one for one in clean if one in "\n\t" or one.isprintable() or one in "\r\xa0")
