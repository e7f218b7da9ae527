"""Signed links: one purpose, one subject, one end; keys may be rotated."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import LazySettings
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from gtm.shared import links

AT = datetime(2026, 3, 1, 12, 30, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


@examples(max_examples=50, deadline=None)
@given(subject=st.uuids(), seconds=st.integers(1, 10**8))
def test_a_link_names_its_subject_until_it_ends(subject: uuid.UUID, seconds: int) -> None:
    lasts = timedelta(seconds=seconds)
    token = links.make("invoice", subject, at=AT, lasts=lasts)
    assert links.read("invoice", token, at=AT) == links.read("invoice", token, at=AT + lasts - HOUR / 3600) == subject
    with pytest.raises(links.LinkExpired) as expired:
        links.read("invoice", token, at=AT + lasts + timedelta(days=1))
    assert expired.value.subject_id == subject


def test_it_ends_at_its_end_and_what_lasts_days_with_a_day() -> None:
    short = links.make("card", uuid.uuid4(), at=AT, lasts=HOUR)
    with pytest.raises(links.LinkExpired):
        links.read("card", short, at=AT + HOUR)
    subject, days = uuid.uuid4(), timedelta(days=30)
    assert links.make("card", subject, at=AT, lasts=days) == links.make("card", subject, at=AT + HOUR, lasts=days)
    assert links.read("card", links.make("card", subject, at=AT, lasts=days), at=AT + days) == subject


@pytest.mark.parametrize(
    "spoil", [lambda t: t[:-1], lambda t: "A" + t, lambda t: t.swapcase(), lambda t: "", lambda t: "é.ü"]
)
def test_whatever_is_not_ours_is_invalid(spoil) -> None:  # type: ignore[no-untyped-def]
    token = links.make("invoice", uuid.uuid4(), at=AT, lasts=HOUR)
    for purpose, text in (("invoice", spoil(token)), ("card", token)):
        with pytest.raises(links.LinkInvalid):
            links.read(purpose, text, at=AT)


def test_a_rotated_key_still_opens_its_links(settings: LazySettings) -> None:
    subject, old = uuid.uuid4(), settings.SECRET_KEY
    token = links.make("invoice", subject, at=AT, lasts=HOUR)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [old]
    assert links.read("invoice", token, at=AT) == subject
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(links.LinkInvalid):
        links.read("invoice", token, at=AT)
