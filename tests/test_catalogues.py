"""Customers read their own language: every string is translated, with its placeholders, and compiled."""

import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message

from gtm import catalogues

PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%%|\{\w+\}")
LOCALES = catalogues.locales()


@pytest.fixture(scope="module")
def extracted() -> Catalog:
    return catalogues.extracted()


def words(messages: list[Message] | Catalog) -> set[object]:
    return {tuple(one.id) if isinstance(one.id, list | tuple) else one.id for one in messages if one.id}


def test_there_are_the_languages_that_were_promised() -> None:
    assert LOCALES == ["de", "fr", "id"]


def test_what_only_staff_reads_is_left_in_english(extracted: Catalog) -> None:
    assert not words(extracted) & {"Snooze", "Pipeline", "Today"}
    assert "Sign in" in words(extracted)


NOT_WORDS = re.compile(
    r"{#.*?#}|{% block (?:width|main_class|density) %}.*?{% endblock %}"
    r"|{%\s*comment.*?endcomment\s*%}|{%\s*blocktranslate.*?endblocktranslate\s*%}|{%.*?%}|{{.*?}}"
    r"|<(script|style)\b.*?</\1>|<[^<>]*>|&\w+;",
    re.DOTALL,
)
ALLOWED = {"PDF", "Tandem"}


def test_no_template_of_customers_says_a_word_that_isnt_marked() -> None:
    bare = {
        str(path): words
        for method, path in catalogues.files()
        if path.suffix == ".html"
        and (words := set(re.findall(r"[A-Za-z]{2,}", NOT_WORDS.sub(" ", path.read_text()))) - ALLOWED)
    }
    assert bare == {}


@pytest.mark.parametrize("locale", LOCALES)
class TestCatalogue:
    def test_it_holds_what_the_code_marks_and_nothing_else(self, locale: str, extracted: Catalog) -> None:
        """If this fails, run `manage.py catalogues` and translate what it names."""
        catalog = catalogues.read(locale)
        assert words(extracted) - words(catalog) == set()
        assert words(catalog) - words(extracted) == set()
        assert not catalog.obsolete

    def test_everything_is_translated(self, locale: str) -> None:
        catalog = catalogues.read(locale)
        assert words(catalogues.untranslated(catalog)) == set()
        assert not [message.id for message in catalog if message.id and message.fuzzy]

    def test_placeholders_are_those_of_the_english(self, locale: str) -> None:
        for message in catalogues.read(locale):
            for form, english in pairs(message):
                assert sorted(PLACEHOLDER.findall(form)) == sorted(PLACEHOLDER.findall(english)), message.id

    def test_what_is_compiled_is_what_is_written(self, locale: str) -> None:
        compiled = Path(catalogues.path_of(locale)).with_suffix(".mo")
        assert compiled.read_bytes() == catalogues.compiled(catalogues.read(locale))


def pairs(message: Message) -> list[tuple[str, str]]:
    """Each translated form with the English one that it stands for."""
    if not isinstance(message.id, list | tuple):
        return [(str(message.string), str(message.id))]
    return [(form, message.id[min(number, 1)]) for number, form in enumerate(message.string)]
