"""What keeps a company from buying, by code."""

from collections.abc import Iterable

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from gtm.shared.errors import Invalid

LABELS: dict[str, Promise] = {
    "price": _("The price"),
    "budget": _("No budget this year"),
    "missing_feature": _("A feature is missing"),
    "security": _("Security or compliance"),
    "legal": _("Contract terms"),
    "procurement": _("Procurement takes long"),
    "integration": _("Does not fit their systems"),
    "timing": _("Not the time for it"),
    "competitor": _("Bound to a competitor"),
    "no_champion": _("Nobody there fights for it"),
}


def known(codes: Iterable[str]) -> list[str]:
    """The codes in the order given, each once. Raises Invalid (``blockers``) for an unknown one."""
    found = list(dict.fromkeys(codes))
    if unknown := [code for code in found if code not in LABELS]:
        raise Invalid(f"Not a blocker: {unknown[0][:50]}. One of {', '.join(LABELS)}.", attr="blockers")
    return found
