"""Whether what somebody sent by a form looks like spam. Pure.

Nothing in it is a riddle to people: spam is told by what people do not do. Whatever looks like it is held for a person
to see and never dropped, and whoever sent it is thanked as everybody is.
"""

import re
from dataclasses import dataclass
from datetime import timedelta

TRAP, TOO_QUICK, TOO_OLD = "trap", "too_quick", "too_old"
NOT_OPENED, LINKS, MANY = "not_opened", "links", "many"
LABELS = {
    TRAP: "Filled the field that people do not see",
    TOO_QUICK: "Sent within two seconds",
    TOO_OLD: "Sent from a page that was opened more than two days before",
    NOT_OPENED: "Sent without opening the form, and not from an allowed page",
    LINKS: "Full of links",
    MANY: "One of very many from the same person",
}
PERSON_TAKES = timedelta(seconds=2)
PAGE_LASTS = timedelta(days=2)
LINKS_OF_A_PERSON = 2
_LINK = re.compile(r"https?://|www\.|\[url|<a\s", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sending:
    """What is known of a message: ``age`` of the page that it was sent from, None for one that was not ours.

    ``from_allowed_page``: the browser says that it comes from a page of one of the form's hosts. ``short`` are the
    answers of one line, such as name and company, ``long`` those where people write. ``one_of_many``: the same person
    has sent more than a person does. ``lenient``: when it was sent counts only against who sends links.
    """

    age: timedelta | None
    trap: str = ""
    from_allowed_page: bool = False
    one_of_many: bool = False
    lenient: bool = False
    short: str = ""
    long: str = ""


def suspicions(sending: Sending) -> list[str]:
    """Codes of ``LABELS`` for what is odd about it; none for what people send."""
    found = [TRAP] if sending.trap else []
    found += _of_age(sending) if not sending.lenient or links(sending.short + sending.long) else []
    found += [MANY] if sending.one_of_many else []
    if links(sending.short) or links(sending.long) > LINKS_OF_A_PERSON:
        found.append(LINKS)
    return found


def _of_age(sending: Sending) -> list[str]:
    if sending.age is None:
        return [] if sending.from_allowed_page else [NOT_OPENED]
    if sending.age < PERSON_TAKES:
        return [TOO_QUICK]
    return [TOO_OLD] if sending.age > PAGE_LASTS else []


def links(text: str) -> int:
    return len(_LINK.findall(text))
