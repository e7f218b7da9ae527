"""The facts of an account's timeline, newest first, page by page.

Each account and each customer gives its newest rows by its own index, (account, position) or (customer, position), and
those few are merged: a page costs the same whatever stands behind it. Facts name the account of their time, so that
those of the accounts merged into this one are told here, too. A page is what was told last; within it stands first what
happened last, as some facts are told later than they happened.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from gtm.shared.models import Event

KINDS: dict[str, tuple[Promise, tuple[str, ...]]] = {  # by their names in the address
    "money": (
        _("Money"),
        (
            *("billing.invoice.", "billing.payment.", "billing.dispute.", "billing.credit_note.", "billing.refund."),
            *("billing.dunning.", "billing.balance.", "billing.payment_method."),
        ),
    ),
    "subscriptions": (
        _("Subscriptions"),
        ("billing.subscription.", "billing.checkout.", "billing.prompt.", "billing.quote.", "billing.entitlement."),
    ),
    "messages": (_("Messages and notes"), ("mail.", "crm.email.", "crm.note.", "crm.call.")),
    "deals": (_("Leads and deals"), ("crm.lead.", "crm.opportunity.", "crm.quote.", "crm.task.")),
    "signals": (_("Alerts and signals"), ("crm.alert.", "signals.", "crm.sla.")),
    "company": (
        _("Company and people"),
        ("crm.account.", "crm.contact.", "billing.customer.", "billing.member.", "billing.invitation."),
    ),
}
LEFT_OUT = (  # told by others
    *("billing.checkout.created", "billing.checkout.completed"),
    *("billing.invoice.created", "billing.invoice.changed", "billing.invoice.dropped"),  # drafts
    "billing.payment.succeeded",
    "billing.usage.recorded",
)
_NEWEST = """
    SELECT told.* FROM {places} CROSS JOIN LATERAL (
        SELECT * FROM shared_event WHERE {column} = place.id AND position < %(before)s
        AND type <> ALL(%(left_out)s) {kinds}
        ORDER BY position DESC LIMIT %(limit)s) told
"""
_PLACES = {
    "account_id": """(
        SELECT %(account)s::uuid AS id UNION ALL
        SELECT id FROM crm_account WHERE merged_into_id = %(account)s) place""",
    "customer_id": "unnest(%(customers)s::uuid[]) AS place(id)",
}
_MERGED = "SELECT DISTINCT ON (position) * FROM ({branches}) newest ORDER BY position DESC LIMIT %(limit)s"
_END = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Page:
    """``older``: the position below which the next page begins; None where there is none."""

    events: list[Event]
    older: int | None


def page(
    *,
    account_id: UUID,
    customer_ids: Collection[UUID],
    limit: int,
    kinds: Sequence[str] = (),
    before: int | None = None,
) -> Page:
    """One query. Unknown ``kinds`` are ignored, none means all."""
    prefixes = [f"{prefix}%" for kind in kinds if kind in KINDS for prefix in KINDS[kind][1]]
    narrowed = "AND type LIKE ANY(%(prefixes)s)" if prefixes else ""
    branches = " UNION ALL ".join(
        _NEWEST.format(places=places, column=column, kinds=narrowed) for column, places in _PLACES.items()
    )
    params = {
        "account": account_id,
        "customers": list(customer_ids),
        "before": _END if before is None else min(before, _END),
        "left_out": list(LEFT_OUT),
        "prefixes": prefixes,
        "limit": limit + 1,
    }
    sql = _MERGED.format(branches=branches)
    found = list(Event.objects.raw(sql, params))
    shown, older = found[:limit], found[limit - 1].position if len(found) > limit else None
    return Page(sorted(shown, key=lambda fact: (fact.occurred_at, fact.position), reverse=True), older)
