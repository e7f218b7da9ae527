"""The frame of the back office: its menu, its colours, and the front page with what is left to set up."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

from gtm.shared import vendors

# A shade of grey or of the accent: its lightness, the most colour it may have, and where neutral its hue.
_GREYS = {
    "50": "98% 0.003 95",
    "100": "95.5% 0.004 95",
    "200": "91% 0.004 95",
    "300": "83% 0.005 95",
    "400": "66% 0.008 265",
    "500": "53% 0.011 265",
    "600": "42% 0.014 265",
    "700": "34% 0.012 265",
    "800": "28% 0.009 265",
    "900": "18.5% 0.006 265",
    "950": "14% 0.006 265",
}
_ACCENTS = {
    "50": "97.5% min(c, 0.015)",
    "100": "95.5% min(c, 0.022)",
    "200": "90% min(c, 0.05)",
    "300": "84% min(c, 0.08)",
    "400": "78% min(c, 0.11)",
    "500": "76% min(c, 0.11)",
    "600": "46% min(c, 0.16)",
    "700": "38% min(c, 0.15)",
    "800": "32% min(c, 0.12)",
    "900": "27% min(c, 0.09)",
    "950": "20% min(c, 0.06)",
}


def site_title(request: HttpRequest) -> str:
    return vendors.current().name


def favicon(request: HttpRequest) -> str:
    return static("gtm/favicon.svg")


def stylesheet(request: HttpRequest) -> str:
    return static("gtm/css/admin.css")


def tokens(request: HttpRequest) -> str:
    return static("gtm/css/tokens.css")


def badges(request: HttpRequest) -> str:
    return static("gtm/css/badge.css")


def colors(request: HttpRequest) -> dict[str, dict[str, str]]:
    """Ink on paper, and the vendor's own accent held to lightnesses that stay readable."""
    return {
        "base": {shade: f"oklch({value})" for shade, value in _GREYS.items()},
        "primary": {shade: f"oklch(from var(--brand) {value} h)" for shade, value in _ACCENTS.items()},
        "font": {
            "subtle-light": "var(--color-base-500)",
            "subtle-dark": "var(--color-base-400)",
            "default-light": "var(--color-base-600)",
            "default-dark": "var(--color-base-300)",
            "important-light": "var(--color-base-900)",
            "important-dark": "var(--color-base-100)",
        },
    }


def account_links(request: HttpRequest) -> list[dict[str, str]]:
    return [
        {"title": "Change password", "link": reverse("account_change_password")},
        {"title": "Two-step sign-in", "link": reverse("mfa_index")},
    ]


# --- the menu ----------------------------------------------------------------------------------
MENU = (
    ("", (("Overview", "index"),)),
    ("Plans", (("Plans", "billing_plan_changelist"), ("Create Plan", "billing_plan_add"))),
)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    return [{"title": title, "items": [_item(*entry) for entry in entries]} for title, entries in MENU]


def _item(title: str, page: str) -> dict[str, Any]:
    address = reverse(f"admin:{page}")
    return {"title": title, "link": address, "active": _is_open(address)}


def _is_open(address: str) -> Callable[[HttpRequest], bool]:
    """Of two entries of which one's address begins with the other's, the longer one is open."""
    longer = [
        found
        for _title, entries in MENU
        for _name, page in entries
        if _within(found := reverse(f"admin:{page}"), address)
    ]

    def is_open(request: HttpRequest) -> bool:
        return request.path.startswith(address) and not any(request.path.startswith(other) for other in longer)

    return is_open


def _within(address: str, other: str) -> bool:
    return address != other and address.startswith(other)


# --- the front page ----------------------------------------------------------------------------
def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    return context
