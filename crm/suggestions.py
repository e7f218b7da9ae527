"""Suggestions that two accounts are one company: people of one registrable domain are at both.

A pair is suggested once; who dismisses it is not asked again. They are looked for when people and customers are added,
and every night over all, each time by one statement.
"""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction

from crm.models import Account, Suggestion
from gtm.shared import bulk, context, db, outbox
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import write

# Each domain has an anchor: the account whose domain it is, else the oldest one with somebody of it. The others are
# paired with it, so that n accounts of one company make n - 1 suggestions.
PAIRS = """
WITH seen AS (
    SELECT contact.email_domain AS domain, contact.account_id, 1 AS rank FROM crm_contact contact
    WHERE contact.email_domain <> '' AND {contact}
    UNION ALL
    SELECT link.email_domain, link.account_id, 1 FROM crm_accountcustomer link
    WHERE link.email_domain <> '' AND link.valid_to IS NULL AND {link}
    UNION ALL
    SELECT owned.domain, owned.account_id, 0 FROM crm_accountdomain owned WHERE {owned}
), standing AS (
    SELECT seen.domain, account.id, account.test_clock_id, min(seen.rank) AS rank
    FROM seen JOIN crm_account account ON account.id = seen.account_id AND account.merged_into_id IS NULL
    GROUP BY seen.domain, account.id, account.test_clock_id
), anchored AS (
    SELECT domain, id, test_clock_id, first_value(id) OVER (
        PARTITION BY domain, test_clock_id ORDER BY rank, id) AS anchor
    FROM standing
)
SELECT DISTINCT ON (least(anchored.id, anchored.anchor), greatest(anchored.id, anchored.anchor))
    least(anchored.id, anchored.anchor), greatest(anchored.id, anchored.anchor), anchored.domain,
    anchored.test_clock_id
FROM anchored
WHERE anchored.id <> anchored.anchor AND NOT EXISTS (
    SELECT 1 FROM crm_suggestion known
    WHERE known.first_id = least(anchored.id, anchored.anchor)
    AND known.second_id = greatest(anchored.id, anchored.anchor))
ORDER BY 1, 2, 3
LIMIT %(limit)s
"""
DOMAINS_OF = """
    {column} IN (
        SELECT email_domain FROM crm_contact WHERE account_id = ANY(%(accounts)s) AND email_domain <> ''
        UNION SELECT email_domain FROM crm_accountcustomer WHERE account_id = ANY(%(accounts)s) AND valid_to IS NULL
        UNION SELECT domain FROM crm_accountdomain WHERE account_id = ANY(%(accounts)s))
"""
COLUMNS = {"contact": "contact.email_domain", "link": "link.email_domain", "owned": "owned.domain"}
AT_A_TIME = 1000


@transaction.atomic
def look(*, at: datetime, accounts: Collection[Account] | None = None) -> int:
    """Suggest what is to be suggested for these accounts, or for all; how many. A full 1,000 may have more behind it.

    Publishes ``crm.account.consolidation_suggested`` for both accounts.
    """
    if accounts is None:
        where, params = dict.fromkeys(COLUMNS, "TRUE"), {}
    else:
        where = {name: DOMAINS_OF.format(column=column) for name, column in COLUMNS.items()}
        params = {"accounts": [account.pk for account in accounts]}
    with connection.cursor() as cursor:
        cursor.execute(PAIRS.format(**where), {**params, "limit": AT_A_TIME})
        pairs = cursor.fetchall()
    rows = [
        bulk.new(Suggestion, first_id=first, second_id=second, domain=domain, test_clock_id=clock)
        for first, second, domain, clock in pairs
    ]
    made = {row.pk for row in Suggestion.objects.bulk_create(rows, ignore_conflicts=True)}
    kept = list(Suggestion.objects.filter(pk__in=made)) if made else []
    _tell(kept, at)
    return len(kept)


def _tell(rows: list[Suggestion], at: datetime) -> None:
    facts = [
        outbox.fact("crm.account.consolidation_suggested", row, at=at, account_id=account_id)
        for row in rows
        for account_id in (row.first_id, row.second_id)
    ]
    if facts:
        outbox.publish_many(facts)


@transaction.atomic
def dismiss(*, suggestion: Suggestion, at: datetime, reason: str) -> Suggestion:
    """They are two companies, and nobody is asked again; publishes ``crm.account.consolidation_dismissed`` for both.

    Raises Invalid without a reason, Conflict for one that was answered already.
    """
    if not reason.strip():
        raise Invalid("Say why these are two companies.", code="required", attr="reason")
    suggestion = db.lock_one(suggestion)
    if suggestion.state != Suggestion.State.OPEN:
        raise Conflict("This suggestion was answered already.", code="wrong_state")
    write(
        suggestion,
        state=Suggestion.State.DISMISSED,
        reason=reason.strip()[:500],
        closed_at=at,
        closed_by=context.actor(),
    )
    for account_id in (suggestion.first_id, suggestion.second_id):
        outbox.publish("crm.account.consolidation_dismissed", suggestion, at=at, account_id=account_id)
    return suggestion


def pairs_of(account_id: UUID) -> list[Suggestion]:
    """All of an account, whatever became of them."""
    found = Suggestion.objects.filter(first=account_id) | Suggestion.objects.filter(second=account_id)
    return list(found.order_by("pk"))
