"""The style page holds every component: rendering it renders them all, and none may need an inline style."""

import re

import pytest
from django.contrib.messages.storage.fallback import FallbackStorage
from django.http import HttpRequest
from django.template.loader import get_template, render_to_string
from django.test import RequestFactory

from gtm.shared import statuses
from gtm.shared.models import User
from gtm.shared.styleguide import styleguide

ERROR_PAGES = ["400", "403", "403_csrf", "404", "429", "500"]


def request_for(address: str) -> HttpRequest:
    request = RequestFactory().get(address)
    request.user = User(email="rep@example.com", name="Rep")
    request.session = {}  # type: ignore[assignment]
    request._messages = FallbackStorage(request)  # type: ignore[attr-defined]
    return request


@pytest.mark.django_db
class TestStyleguide:
    @pytest.mark.parametrize("density", ["roomy", "dense"])
    def test_it_renders_every_component_without_inline_styles_or_handlers(self, density: str) -> None:
        html = styleguide(request_for(f"/styleguide/?density={density}")).content.decode()
        assert f'data-density="{density}"' in html
        assert not re.search(r"\sstyle=|\son[a-z]+=|<style", html)
        assert "{%" not in html
        assert "{#" not in html

    def test_it_shows_every_status_word(self) -> None:
        html = styleguide(request_for("/styleguide/")).content.decode()
        assert all(f">{word}</span>" in html for word, _tone in statuses.STATUSES.values())

    def test_it_has_one_heading_of_the_first_rank_for_readers(self) -> None:
        html = styleguide(request_for("/styleguide/")).content.decode()
        assert len(re.findall(r"<h1(?! aria-hidden)", html)) == 1

    def test_toasts_are_announced(self) -> None:
        html = styleguide(request_for("/styleguide/?toasts=1")).content.decode()
        assert 'aria-live="polite"' in html
        assert 'data-tone="error"' in html


@pytest.mark.parametrize("page", ERROR_PAGES)
def test_error_pages_render_when_nothing_is_known_of_the_request(page: str) -> None:
    html = render_to_string(f"{page}.html")
    assert "<h1>" in html
    assert "{%" not in html


@pytest.mark.parametrize("name", ["public.html", "portal.html", "desk.html", "allauth/layouts/manage.html"])
def test_the_frames_compile(name: str) -> None:
    assert get_template(name)
