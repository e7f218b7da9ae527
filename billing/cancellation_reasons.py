"""Why customers cancel: a short list, so that it can be counted, beside their own words."""

from django.utils.translation import gettext as _

CODES = ("too_expensive", "missing_feature", "not_used", "other_product", "hard_to_use", "closing", "other")


def name(code: str) -> str:
    """As the customer reads it."""
    return {
        "too_expensive": _("It costs too much"),
        "missing_feature": _("Something is missing"),
        "not_used": _("We don't use it enough"),
        "other_product": _("We use something else now"),
        "hard_to_use": _("It is too hard to use"),
        "closing": _("The project or company ends"),
        "other": _("Something else"),
    }[code]
