"""What companies ask for before they can buy, by code."""

import re
from collections.abc import Iterable

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from gtm.shared.errors import Invalid

LABELS: dict[str, Promise] = {
    "sso": _("Single sign-on (SAML)"),
    "security_review": _("A security review or questionnaire"),
    "msa": _("Our own contract terms (MSA)"),
    "custom_dpa": _("Our own data processing agreement"),
    "po": _("Purchase orders and payment by invoice"),
    "sla": _("A service level agreement"),
    "on_premises": _("Our own infrastructure"),
    "volume_pricing": _("Prices for a large volume"),
}
OTHER_NAMES = {
    "saml": "sso",
    "single_sign_on": "sso",
    "dpa": "custom_dpa",
    "purchase_order": "po",
    "purchase_orders": "po",
    "security": "security_review",
    "custom_msa": "msa",
}
MAX_NEEDS, MAX_LENGTH = 20, 60
_NOT_IN_A_CODE = re.compile(r"[^a-z0-9]+")


def normalised(needs: Iterable[str]) -> list[str]:
    """Codes in the order given, each once: "Custom DPA" and "dpa" are ``custom_dpa``. Unknown needs are kept.

    Raises Invalid (``needs``) for more than 20, or for one of more than 60 characters.
    """
    codes = [code for need in needs if (code := _NOT_IN_A_CODE.sub("_", need.lower()).strip("_"))]
    found = list(dict.fromkeys(OTHER_NAMES.get(code, code) for code in codes))
    if len(found) > MAX_NEEDS or any(len(code) > MAX_LENGTH for code in found):
        raise Invalid(f"At most {MAX_NEEDS} needs of at most {MAX_LENGTH} characters.", attr="needs")
    return found
