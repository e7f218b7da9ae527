"""What comes first, whom a text names, which words fill a letter, and what a stranger's mail says: all of it pure."""

import base64
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage as Message
from time import perf_counter
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm import inbox, letters, mail_merge, mentions, plays
from crm.inbox import Row

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class TestOrder:
    @pytest.mark.parametrize(
        ("kind", "severity", "due", "band"),
        [
            ("alert", "critical", None, 0),
            ("alert", "high", None, 1),
            ("alert", "medium", None, 2),
            ("alert", "low", None, 3),
            ("alert", "low", -HOUR, 0),  # its answer is late
            ("alert", "low", HOUR, 3),
            ("lead", "", HOUR, 1),
            ("lead", "", timedelta(0), 0),
            ("task", "", HOUR, 2),
            ("task", "", -HOUR, 1),
            ("opportunity", "", -HOUR, 1),
            ("reply", "", None, 1),
            ("mention", "", None, 2),
        ],
    )
    def test_urgency(self, kind: str, severity: str, due: timedelta | None, band: int) -> None:
        assert inbox.band(kind, severity, NOON + due if due is not None else None, NOON) == band

    def test_the_urgent_then_the_dear_then_what_waits_longest(self) -> None:
        rows = [
            Row("alert", UUID(int=1), NOON, severity="low", worth=900),
            Row("task", UUID(int=2), NOON, due_at=NOON + HOUR, worth=5),
            Row("alert", UUID(int=3), NOON, severity="high", worth=1),
            Row("alert", UUID(int=4), NOON - HOUR, severity="high", worth=2),
            Row("lead", UUID(int=5), NOON - 9 * HOUR, due_at=NOON - HOUR),
            Row("alert", UUID(int=6), NOON - HOUR, severity="high", worth=1),
            Row("alert", UUID(int=7), NOON, severity="critical"),
        ]
        ordered = sorted(rows, key=lambda row: inbox.place(row, NOON))
        assert [row.id.int for row in ordered] == [5, 7, 4, 6, 3, 2, 1]

    def test_every_kind_has_its_steps_and_says_why_it_lacks_one(self) -> None:
        for kind in inbox.KINDS:
            for step in (inbox.TAKE, inbox.DO, inbox.SNOOZE, inbox.DISMISS):
                assert bool(inbox.refusal(kind, step)) == (step not in inbox.STEPS[kind])
            assert not inbox.refusal(kind, inbox.BACK)


class TestMentions:
    def test_people_are_named_by_their_address_or_its_first_part(self) -> None:
        ann, bob, other = uuid4(), uuid4(), uuid4()
        called = mentions.handles({ann: "ann@v.example", bob: "Bob.B@v.example", other: "ann@w.example"})
        text = "@bob.b, see (@ann@v.example). Write to x@bob.b or @ann, @BOB.B! At @3pm."
        assert mentions.named(text, called) == [bob, ann]  # two are called ann: nobody is meant by it alone

    def test_blanks_are_filled_once_and_nothing_is_evaluated(self) -> None:
        values = {"contact.name": "{{ me.name }}", "me.name": "Ann"}
        assert mail_merge.filled("{{contact.name}} {{ me.name }} {{ x }}", values) == "{{ me.name }} Ann {{ x }}"
        assert mail_merge.unknown("{{ contact.name }} {{ contact.__class__ }}") == ["contact.__class__"]

    def test_a_large_renewal_has_a_checklist(self) -> None:
        found = [plays.checklist_of_renewal(arr, threshold=5_000_000) for arr in (None, 4_999_999, 5_000_000)]
        assert [bool(text) for text in found] == [False, False, True]

    @pytest.mark.parametrize(
        ("days", "stage"), [(91, None), (90, 90), (61, 90), (60, 60), (30, 30), (0, 30), (-1, None)]
    )
    def test_a_renewal_is_near_by_stages(self, days: int, stage: int | None) -> None:
        assert plays.stage_of_renewal(days) == stage


def message(text: str = "Hello", **headers: str) -> Message:
    built = Message()
    said = {"From": "Cora <Cora@Acme.com>", "To": "ann@vendor.example", "Message-ID": "<1@acme.com>"}
    for name, value in (said | {name.replace("_", "-"): value for name, value in headers.items()}).items():
        built[name] = value
    built.set_content(text)
    return built


class TestLetters:
    def test_a_letter_says_who_what_and_when(self) -> None:
        built = message("Hallo,\n\n\n\nwir   kaufen.", Subject="Grüße", Date="Wed, 18 Nov 2026 12:00:00 +0100")
        built["References"], built["In-Reply-To"] = "<a@x> <b@x>", "<b@x>"
        built.add_attachment(b"x" * 1000, maintype="application", subtype="pdf", filename="a.pdf")
        read = letters.read(built.as_bytes())
        assert (read.sender, read.recipients, read.subject) == ("cora@acme.com", ("ann@vendor.example",), "Grüße")
        assert (read.text, read.message_id, read.in_reply_to) == ("Hallo,\n\nwir kaufen.", "1@acme.com", "b@x")
        assert (read.attachment_count, read.attachment_bytes) == (1, 1000)
        assert read.sent_at == datetime(2026, 11, 18, 11, tzinfo=UTC)

    def test_html_becomes_text(self) -> None:
        built = Message()
        built["From"], built["Message-ID"] = "c@acme.com", "<1@x>"
        html = "<style>p{}</style><p>Yes &amp; <b>no</b></p><script>alert(1)</script>a<br>b<title>t</title>"
        built.set_content(html, subtype="html")
        assert letters.read(built.as_bytes()).text == "Yes & no\na\nb"

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"nonsense",
            b"From: a@b.com\r\n\r\nno id",
            b"X: " + b"y" * 200_000 + b"\r\n\r\n",
            b"\r\n".join([b"X: y"] * 2000) + b"\r\nFrom: a@b.com\r\nMessage-ID: <1@x>\r\n\r\n",
            b"From: a@b.com\r\nMessage-ID: <1@x>\r\n\r\n" + b"Content-Type: multipart/mixed; boundary=x\r\n" * 200,
            b"x" * (letters.MAX_BYTES + 1),
            b"From: a@b.com\nMessage-ID: <1@x>\nTo: " + b"(" * 16_000 + b"\n\nx",
        ],
    )
    def test_bombs_are_refused(self, raw: bytes) -> None:
        with pytest.raises(letters.Unreadable, match=r"[A-Z].*\."):
            letters.read(raw)

    def test_what_would_take_long_does_not(self) -> None:
        long = ", ".join(f"x{n}@acme.com" for n in range(1000))
        raw = message(To=long, Subject="=?utf-8?q?" + "=C3" * 2000 + "?=").as_bytes()
        started = perf_counter()
        read = letters.read(raw)
        assert len(read.recipients) <= letters.MAX_ADDRESSES
        head = b"From: a@b.com\nMessage-ID: <1@x>\n"
        letters.read(head + b"To: " + b'a"' * 8000 + b"\n\nx")
        letters.read(head + b"Subject: " + b"=?utf-8?q?" * 1600 + b"\n\nx")
        letters.read(head + b"Content-Type: text/plain; " + b"a*0=b;" * 2600 + b"\n\nx")
        for html in ("<script" * 70_000, "<" * 400_000, "</script" * 60_000, "&" * 400_000, "<br" * 130_000):
            letters.stripped(html)
        assert perf_counter() - started < 3

    def test_lies_about_charsets_and_controls_are_harmless(self) -> None:
        raw = (
            b"From: =?x-none?q?a?= <a@b.com>\nMessage-ID: <1@x>\nSubject: a\x00b\nContent-Type: text/plain; "
            b'charset="nope\x00"\nDate: Fri, 99 Foo 20266\n\nA\x00\xff\x1b[31mB'
        )
        read = letters.read(raw)
        assert "\0" not in read.text + read.subject + read.sender
        assert read.sent_at is None

    def test_out_of_office_waits_for_no_answer(self) -> None:
        assert letters.read(message(Auto_Submitted="auto-replied").as_bytes()).is_automatic
        assert not letters.read(message().as_bytes()).is_automatic

    @settings(max_examples=50, deadline=None)
    @given(st.binary(max_size=400), st.sampled_from(["text/html", "multipart/mixed; boundary=b", "message/rfc822"]))
    def test_whatever_comes_is_read_or_refused(self, body: bytes, kind: str) -> None:
        raw = f"From: a@b.com\nMessage-ID: <1@x>\nContent-Type: {kind}\nContent-Transfer-Encoding: base64\n\n".encode()
        for content in (body, base64.b64encode(body), b"--b\n" + body + b"\n--b--"):
            with suppress(letters.Unreadable):
                assert letters.read(raw + content).sender == "a@b.com"
