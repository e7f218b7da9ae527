"""Decisions and facts in words, for staff."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from crm import needs
from gtm.shared.templatetags.tandem import money, quantity

MEASURES = {
    "employee_count": gettext_lazy("employees"),
    "arr": gettext_lazy("annual recurring revenue"),
    "acv": gettext_lazy("annual contract value"),
    "expected_value": gettext_lazy("expected value"),
    "company_revenue": gettext_lazy("the company's own revenue"),
    "needs": gettext_lazy("stated needs"),
    "industry": gettext_lazy("industry"),
    "country": gettext_lazy("country"),
    "segment": gettext_lazy("segment"),
    "motion": gettext_lazy("motion"),
}
SENTENCES = {
    "at_least": gettext_lazy("%(field)s: %(value)s, which is at least %(threshold)s"),
    "below": gettext_lazy("%(field)s: %(value)s, which is below %(threshold)s"),
    "unknown": gettext_lazy("%(field)s: unknown"),
    "stated_need": gettext_lazy("Asked for: %(value)s"),
    "combine_max": gettext_lazy("The larger of the two counts"),
    "combine_min": gettext_lazy("The smaller of the two counts"),
    "combine_employees_first": gettext_lazy("The number of employees counts first"),
    "combine_value_first": gettext_lazy("The value counts first"),
    "override": gettext_lazy("Set by hand until %(threshold)s"),
    "dead_zone": gettext_lazy("%(field)s: %(value)s, in the dead zone %(threshold)s, which is left to self-serve"),
    "segment_locked": gettext_lazy("Its segment is kept by hand until %(threshold)s"),
    "segment_frozen": gettext_lazy("Its segment stays for the fiscal year, until %(threshold)s"),
    "within_margin": gettext_lazy("It stays in its segment: it is below it, but within the margin"),
    "falling": gettext_lazy("It moves down on %(threshold)s unless it recovers: it is well below its segment"),
    "fallen": gettext_lazy("It has been well below its segment since %(threshold)s"),
    "rate": gettext_lazy("Converted at %(value)s %(field)s for one %(threshold)s"),
    "rate_missing": gettext_lazy("No exchange rate for %(field)s, so its value is unknown"),
    "by_hand": gettext_lazy("Given by hand"),
    "existing_owner": gettext_lazy("Owned the account already"),
    "existing_owner_not_eligible": gettext_lazy("The owner before has left"),
    "dead_zone_no_owner": gettext_lazy("It lies in a dead zone, where the rules give it to nobody"),
    "parent_owner": gettext_lazy("Owns the account of the parent company"),
    "parent_owner_not_eligible": gettext_lazy("The owner of the parent company is not available"),
    "sla_breached": gettext_lazy("Taken from a rep who did not answer in time"),
    "rerouted": gettext_lazy("Routed anew with others"),
    "undone": gettext_lazy("Given back: a new routing was undone"),
    "sla_lead": gettext_lazy("A lead is answered within %(threshold)s working minutes"),
    "sla_target_list": gettext_lazy("It is on the target list: answered within %(threshold)s working minutes"),
    "sla_alert": gettext_lazy("An alert that is %(value)s is answered within %(threshold)s working minutes"),
    "weighted": gettext_lazy("Next in turn by weight in the pool “%(value)s”"),
    "least_loaded": gettext_lazy("Has the least open in the pool “%(value)s”"),
    "same_domain_owner": gettext_lazy("Owns the account of the same company"),
    "same_domain_owner_not_eligible": gettext_lazy("The owner of the same company is not available"),
    "last_owner": gettext_lazy("Owned the account within the last 120 days"),
    "last_owner_not_eligible": gettext_lazy("The last owner is not available"),
    "rule_matched": gettext_lazy("Rule “%(value)s” fits"),
    "not_matched": gettext_lazy("Rule “%(value)s” does not fit"),
    "condition_met": gettext_lazy("%(field)s: %(value)s"),
    "no_eligible_owner": gettext_lazy("Nobody whom rule “%(value)s” names is available"),
    "capacity": gettext_lazy("Everybody whom rule “%(value)s” names has had their share this month"),
    "round_robin": gettext_lazy("Next in turn in the pool “%(value)s”"),
    "named": gettext_lazy("Named by the rule"),
    "queue": gettext_lazy("Sent to a queue by the rule"),
    "catch_all": gettext_lazy("No rule gave it to anybody: it waits in the catch-all queue"),
}


def sentences(reasons: Iterable[Mapping[str, Any]], *, currency: str) -> list[str]:
    """Reasons as they are stored, in words; ``currency`` is that of the policy's amounts."""
    return [sentence(reason, currency=currency) for reason in reasons]


def sentence(reason: Mapping[str, Any], *, currency: str) -> str:
    code, field = str(reason["code"]), str(reason.get("field", ""))
    values = {
        "field": _measure(field),
        "value": _shown(field, code, reason.get("value"), currency),
        "threshold": _shown(field, code, reason.get("threshold"), currency),
    }
    template = SENTENCES.get(code)
    return str(template) % values if template else code.replace("_", " ")


def _measure(field: str) -> str:
    name = str(MEASURES.get(field, field))
    return name[:1].upper() + name[1:]


def _shown(field: str, code: str, value: Any, currency: str) -> str:
    if isinstance(value, int) and field in {"arr", "acv", "expected_value", "company_revenue"}:
        return str(money(value, currency))
    if isinstance(value, int):
        return str(quantity(value))
    if field == "needs" and value is not None:
        return ", ".join(need_label(need.strip()) for need in str(value).split(","))
    return str(value or "")


def need_label(code: str) -> str:
    """A need as people say it; one that nobody foresaw as it was written."""
    return str(needs.LABELS.get(code, code.replace("_", " ")))


def segment_label(segments: Iterable[Mapping[str, Any]], code: str) -> str:
    """The name that a policy gives a segment."""
    return next((str(s.get("label", code)) for s in segments if s["code"] == code), code or _("None yet"))
