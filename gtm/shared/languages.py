"""In which language a page is written: the reader's for customers' pages, English for staff's and for the API.

A reader's language is the one chosen by the switch (a cookie), else the customer's on its own pages, else what the
browser asks for.
"""

from django.conf import settings
from django.http import HttpRequest
from django.middleware.locale import LocaleMiddleware
from django.utils import translation

ENGLISH = "en"


class LanguageMiddleware(LocaleMiddleware):
    """Django's own, for customers' pages alone: whatever a browser asks for, the desk and the API speak English."""

    def process_request(self, request: HttpRequest) -> None:
        if not request.path.startswith(settings.ENGLISH_PAGES):
            super().process_request(request)
            return
        translation.activate(ENGLISH)
        request.LANGUAGE_CODE = ENGLISH  # type: ignore[attr-defined]  # as Django's own does


def supported(locale: str | None) -> str:
    """The language of a locale where there is a catalogue for it, else English: de for de-AT."""
    wanted = str(locale or ENGLISH).replace("_", "-").partition("-")[0].lower()
    return wanted if wanted in dict(settings.LANGUAGES) else ENGLISH


def prefer(request: HttpRequest, locale: str) -> None:
    """Write this page in ``locale``, unless its reader chose another language by the switch."""
    if settings.LANGUAGE_COOKIE_NAME in request.COOKIES:
        return
    translation.activate(supported(locale))
    request.LANGUAGE_CODE = translation.get_language()  # type: ignore[attr-defined]  # as Django's own does
