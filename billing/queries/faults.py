"""What can be wrong with the books: for each a name, the sentence that tells it, and the query that finds it.

A query takes ``since`` (a key; it looks at what was made after it; ``week``: a week ago), ``at`` (the instant that was
billed up to), ``clock`` (that of the rows, or none), ``limit``, and how many ``numbers`` of a series and ``charges``
for usage it looks at, the newest. It reads ranges of keys and of indexes, never a whole table.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from billing.models import Charge, Customer, Discount, Invoice, InvoiceLine, Subscription, SubscriptionItem


class _Named(Protocol):
    PREFIX: ClassVar[str]


@dataclass(frozen=True, slots=True)
class Fault:
    """``rows`` says what the query's keys are keys of; without it, it finds texts."""

    name: str
    sentence: str
    sql: str
    rows: type[_Named] | None = None


_INVOICE_SUMS = """
    SELECT i.id FROM billing_invoice i
    CROSS JOIN LATERAL (
        SELECT COALESCE(sum(l.amount), 0), COALESCE(sum(l.discount_amount), 0), COALESCE(sum(l.tax_amount), 0)
        FROM billing_invoiceline l WHERE l.invoice_id = i.id
    ) AS line (amount, discount, tax)
    CROSS JOIN LATERAL (
        SELECT COALESCE(sum(t.amount), 0) FROM billing_invoicetax t WHERE t.invoice_id = i.id
    ) AS tax (amount)
    WHERE {which} AND i.test_clock_id IS NOT DISTINCT FROM %(clock)s::uuid
        AND (i.subtotal, i.discount_total, i.tax_total, i.tax_total)
            IS DISTINCT FROM (line.amount, line.discount, line.tax, tax.amount)
    LIMIT %(limit)s"""

WRONG_DRAFTS = Fault(
    "draft_adds_up",
    "Drafts that were to be issued and whose lines or taxes don't sum to them.",
    _INVOICE_SUMS.format(which="i.status = 'draft' AND i.finalize_at <= %(at)s"),
    Invoice,
)

FAULTS = (
    Fault(
        "billed_when_due",
        "Subscriptions that should have been billed more than a day ago.",
        """
    SELECT s.id FROM billing_subscription s JOIN billing_customer p ON p.id = s.payer_id
    WHERE s.next_bill_at < %(at)s - interval '1 day' AND p.parked_at IS NULL
        AND s.test_clock_id IS NOT DISTINCT FROM %(clock)s::uuid
    LIMIT %(limit)s""",
        Subscription,
    ),
    Fault(
        "billed_up_to_its_period",
        "Items that stand in a period although the one before is not charged for.",
        """
    SELECT i.id FROM billing_subscriptionitem i JOIN billing_subscription s ON s.id = i.subscription_id
    WHERE i.id IN (SELECT c.item_id FROM billing_charge c WHERE c.id >= %(since)s)
        AND i.ended_at IS NULL AND i.billed_until < i.current_period_start
        AND s.status IN ('active', 'past_due') AND i.test_clock_id IS NOT DISTINCT FROM %(clock)s::uuid
    LIMIT %(limit)s""",
        SubscriptionItem,
    ),
    Fault(
        "billed_charge_has_line",
        "Charges that count as billed although no line of an invoice is for them.",
        """
    SELECT c.id FROM billing_charge c LEFT JOIN billing_invoiceline l ON l.id = c.invoice_line_id
    WHERE c.id >= %(since)s AND c.status = 'billed' AND l.id IS NULL
        AND c.test_clock_id IS NOT DISTINCT FROM %(clock)s::uuid
    LIMIT %(limit)s""",
        Charge,
    ),
    Fault(
        "line_has_its_charge",
        "Lines of invoices with no charge behind them, or with one over something else.",
        """
    SELECT l.id FROM billing_invoice i JOIN billing_invoiceline l ON l.invoice_id = i.id
    LEFT JOIN billing_charge c ON c.invoice_line_id = l.id
    WHERE i.id >= %(since)s AND i.status <> 'void' AND i.test_clock_id IS NOT DISTINCT FROM %(clock)s::uuid
        AND (c.amount, c.quantity, c.currency, c.payer_id)
            IS DISTINCT FROM (l.amount, l.quantity, i.currency, i.customer_id)
    LIMIT %(limit)s""",
        InvoiceLine,
    ),
    Fault(
        "invoice_adds_up",
        "Invoices whose lines or taxes don't sum to them.",
        _INVOICE_SUMS.format(which="i.id >= %(since)s"),
        Invoice,
    ),
    Fault(
        "discount_of_line",
        "Lines whose discount is not what was noted of each coupon.",
        """
    SELECT l.id FROM billing_invoice i JOIN billing_invoiceline l ON l.invoice_id = i.id
    CROSS JOIN LATERAL (
        SELECT COALESCE(sum(u.amount) FILTER (WHERE u.amount > 0), 0)
        FROM billing_discountuse u WHERE u.invoice_line_id = l.id
    ) AS noted (amount)
    WHERE i.id >= %(since)s AND l.discount_amount <> noted.amount
        AND i.test_clock_id IS NOT DISTINCT FROM %(clock)s::uuid
    LIMIT %(limit)s""",
        InvoiceLine,
    ),
    Fault(
        "discount_within_coupon",
        "Discounts that took more off than their coupon's amount.",
        """
    SELECT u.discount_id FROM billing_discountuse u
    JOIN billing_discount d ON d.id = u.discount_id
    JOIN billing_coupon c ON c.id = d.coupon_id AND c.amount_off IS NOT NULL
    JOIN billing_invoiceline l ON l.id = u.invoice_line_id
    JOIN billing_invoice i ON i.id = l.invoice_id AND i.status <> 'void'
    WHERE u.discount_id IN (SELECT n.discount_id FROM billing_discountuse n WHERE n.id >= %(since)s)
        AND d.test_clock_id IS NOT DISTINCT FROM %(clock)s::uuid
    GROUP BY u.discount_id, c.amount_off, CASE WHEN c.duration <> 'once' THEN u.period_start END
    HAVING sum(u.amount) > c.amount_off
    LIMIT %(limit)s""",
        Discount,
    ),
    Fault(
        "settled_by_allocations",
        "Invoices that count more or less as paid, credited or taken from the balance than their allocations say.",
        """
    SELECT i.id FROM billing_invoice i
    CROSS JOIN LATERAL (
        SELECT COALESCE(sum(a.amount) FILTER (WHERE COALESCE(r.kind, a.kind) IN ('payment', 'withheld_tax')), 0),
            COALESCE(sum(a.amount) FILTER (WHERE COALESCE(r.kind, a.kind) IN ('credit_note', 'write_off')), 0),
            COALESCE(sum(a.amount) FILTER (WHERE COALESCE(r.kind, a.kind) = 'balance'), 0)
        FROM billing_allocation a LEFT JOIN billing_allocation r ON r.id = a.reverses_id
        WHERE a.invoice_id = i.id
    ) AS allocated (paid, credited, balance)
    WHERE i.id IN (
            SELECT id FROM billing_invoice WHERE id >= %(since)s
            UNION SELECT invoice_id FROM billing_allocation WHERE id >= %(since)s)
        AND (i.amount_paid, i.amount_credited, i.balance_applied)
            IS DISTINCT FROM (allocated.paid, allocated.credited, allocated.balance)
        AND i.test_clock_id IS NOT DISTINCT FROM %(clock)s::uuid
    LIMIT %(limit)s""",
        Invoice,
    ),
    Fault(
        "credited_within_invoice",
        "Invoices whose credit notes don't sum to what they count as credited, or come to more than the invoice.",
        """
    SELECT i.id FROM billing_invoice i JOIN billing_creditnote n ON n.invoice_id = i.id
    WHERE i.id IN (SELECT invoice_id FROM billing_creditnote WHERE id >= %(since)s)
        AND i.test_clock_id IS NOT DISTINCT FROM %(clock)s::uuid
    GROUP BY i.id
    HAVING sum(n.total) <> i.credit_note_total OR sum(n.total) > i.total
    LIMIT %(limit)s""",
        Invoice,
    ),
    Fault(
        "balance_is_its_entries",
        "Customers whose balance is not the sum of its entries.",
        """
    SELECT b.customer_id FROM billing_customerbalance b JOIN billing_customer c ON c.id = b.customer_id
    WHERE b.customer_id IN (
            SELECT customer_id FROM billing_balanceentry WHERE id >= %(since)s
            UNION SELECT customer_id FROM billing_customerbalance WHERE id >= %(since)s)
        AND b.amount <> (SELECT COALESCE(sum(e.amount), 0) FROM billing_balanceentry e
                         WHERE e.customer_id = b.customer_id AND e.currency = b.currency)
        AND c.test_clock_id IS NOT DISTINCT FROM %(clock)s::uuid
    LIMIT %(limit)s""",
        Customer,
    ),
    Fault(
        "numbers_have_no_gap",
        "Numbers of documents that follow on a gap, or go beyond what was counted.",
        """
    WITH series AS (
        SELECT s.entity_id, s.kind, s.test_clock_id, s.last_number,
            CASE WHEN s.test_clock_id IS NOT NULL THEN 'TEST-' ELSE '' END
            || CASE s.kind WHEN 'invoice' THEN e.invoice_prefix ELSE e.credit_note_prefix END
            || '-' || s.year || '-' AS prefix
        FROM billing_numberseries s JOIN billing_legalentity e ON e.id = s.entity_id
        WHERE s.test_clock_id IS NOT DISTINCT FROM %(clock)s::uuid
    ), numbered AS (
        SELECT s.prefix, s.last_number, n.number, substr(n.number, length(s.prefix) + 1)::bigint AS counted
        FROM series s CROSS JOIN LATERAL (
            (SELECT i.number FROM billing_invoice i
             WHERE s.kind = 'invoice' AND i.legal_entity_id = s.entity_id
                 AND i.test_clock_id IS NOT DISTINCT FROM %(clock)s::uuid
                AND i.number >= s.prefix || '0' AND i.number < s.prefix || ':'
             ORDER BY i.number DESC LIMIT %(numbers)s)
            UNION ALL
            (SELECT c.number FROM billing_creditnote c
             WHERE s.kind = 'credit_note' AND c.legal_entity_id = s.entity_id
                 AND c.test_clock_id IS NOT DISTINCT FROM %(clock)s::uuid
                AND c.number >= s.prefix || '0' AND c.number < s.prefix || ':'
             ORDER BY c.number DESC LIMIT %(numbers)s)
        ) AS n
    )
    SELECT number FROM (
        SELECT number, counted, last_number, lag(counted) OVER each AS before,
            max(counted) OVER (PARTITION BY prefix) AS top
        FROM numbered WINDOW each AS (PARTITION BY prefix ORDER BY counted)
    ) AS known
    WHERE counted <> before + 1 OR (counted = top AND top <> last_number)
    LIMIT %(limit)s""",
    ),
    Fault(
        "periods_tile",
        "Items with periods that were charged for and overlap, or leave time between them.",
        """
    SELECT DISTINCT c.item_id FROM billing_charge c
    JOIN billing_charge o ON o.item_id = c.item_id AND o.id <> c.id AND o.status IN ('pending', 'billed')
        AND o.kind IN ('recurring', 'usage', 'proration_charge') AND o.reason <> 'late_usage'
        AND (o.period_index = c.period_index
            OR (o.period_index = c.period_index - 1 AND o.period_end <> c.period_start))
    WHERE c.id >= %(since)s AND c.status IN ('pending', 'billed')
        AND c.kind IN ('recurring', 'usage', 'proration_charge') AND c.reason <> 'late_usage'
            AND c.test_clock_id IS NOT DISTINCT FROM %(clock)s::uuid
    LIMIT %(limit)s""",
        SubscriptionItem,
    ),
    Fault(
        "meter_counts_once",
        "Customers whose usage is billed by two items on one meter.",
        """
    SELECT s.customer_id FROM billing_subscriptionitem i
    JOIN billing_subscription s ON s.id = i.subscription_id AND s.status IN ('trialing', 'active', 'past_due')
    JOIN billing_price p ON p.id = i.price_id AND p.meter_id IS NOT NULL
    WHERE i.ended_at IS NULL AND s.test_clock_id IS NOT DISTINCT FROM %(clock)s::uuid AND s.customer_id IN (
        SELECT n.customer_id FROM billing_subscriptionitem m JOIN billing_subscription n ON n.id = m.subscription_id
        WHERE m.id >= %(since)s)
    GROUP BY s.customer_id, p.meter_id
    HAVING count(*) > 1
    LIMIT %(limit)s""",
        Customer,
    ),
    Fault(
        "revenue_is_its_changes",
        "Subscriptions whose monthly revenue is not what their changes add up to.",
        """
    SELECT s.id FROM billing_subscription s
    WHERE s.id IN (SELECT c.subscription_id FROM billing_subscriptionchange c WHERE c.id >= %(since)s)
        AND s.test_clock_id IS NOT DISTINCT FROM %(clock)s::uuid AND (
            (s.mrr <> 0 AND s.status NOT IN ('active', 'past_due'))
            OR s.mrr <> (SELECT COALESCE(sum(c.mrr_after - c.mrr_before), 0)
                         FROM billing_subscriptionchange c WHERE c.subscription_id = s.id))
    LIMIT %(limit)s""",
        Subscription,
    ),
    Fault(
        "usage_was_billed",
        "Charges for usage of a closed period whose quantity is not what the meter counted.",
        """
    WITH charged AS (
        SELECT c.*, m.aggregation FROM billing_charge c
        JOIN billing_meter m ON m.id = c.meter_id AND m.aggregation IN ('count', 'sum')
        JOIN billing_invoiceline l ON l.id = c.invoice_line_id
        JOIN billing_invoice i ON i.id = l.invoice_id AND i.status <> 'draft'
        WHERE c.id >= %(since)s AND c.kind = 'usage' AND c.reason <> 'late_usage'
            AND c.test_clock_id IS NOT DISTINCT FROM %(clock)s::uuid
            AND c.period_start = date_trunc('hour', c.period_start, 'UTC')
            AND c.period_end = date_trunc('hour', c.period_end, 'UTC')
        ORDER BY c.id DESC LIMIT %(charges)s
    )
    SELECT c.id FROM charged c
    CROSS JOIN LATERAL (
        SELECT COALESCE(sum(CASE c.aggregation WHEN 'count' THEN r.count ELSE r.sum END), 0)
        FROM billing_usagerollup r
        WHERE r.customer_id = c.customer_id AND r.meter_id = c.meter_id
            AND r.hour >= c.period_start AND r.hour < c.period_end
            AND r.subscription_id IN (c.subscription_id, '00000000-0000-0000-0000-000000000000')
    ) AS used (quantity)
    WHERE used.quantity <> (
            SELECT sum(o.quantity) FROM billing_charge o
            WHERE o.item_id = c.item_id AND o.kind = 'usage' AND o.period_index = c.period_index
                AND o.status <> 'replaced')
        AND NOT EXISTS (
            SELECT FROM billing_lateusage n
            WHERE n.customer_id = c.customer_id AND n.meter_id = c.meter_id
                AND n.hour >= c.period_start AND n.hour < c.period_end)
    LIMIT %(limit)s""",
        Charge,
    ),
    Fault(
        "drafts_are_issued",
        "Drafts that should have been issued more than an hour ago.",
        """
    SELECT i.id FROM billing_invoice i JOIN billing_customer p ON p.id = i.customer_id
    WHERE i.status = 'draft' AND i.finalize_at < %(at)s - interval '1 hour' AND p.parked_at IS NULL
        AND i.test_clock_id IS NOT DISTINCT FROM %(clock)s::uuid
    LIMIT %(limit)s""",
        Invoice,
    ),
    Fault(
        "first_payment_is_awaited_a_day",
        "Subscriptions that have waited for their first payment for more than a day.",
        """
    SELECT DISTINCT s.id FROM billing_subscription s
    JOIN billing_invoiceline l ON l.subscription_id = s.id
    JOIN billing_invoice i ON i.id = l.invoice_id
    WHERE s.id >= %(week)s AND s.status = 'incomplete' AND s.test_clock_id IS NOT DISTINCT FROM %(clock)s::uuid
        AND i.status = 'open' AND i.payment_status <> 'pending' AND i.amount_paid = 0
        AND i.finalized_at < %(at)s - interval '25 hours'
    LIMIT %(limit)s""",
        Subscription,
    ),
    Fault(
        "payments_are_answered",
        "Invoices with an attempt to charge a card that has had no answer for more than an hour.",
        """
    SELECT i.id FROM billing_paymentattempt a JOIN billing_payment p ON p.id = a.payment_id
    JOIN billing_attemptshare s ON s.attempt_id = a.id JOIN billing_invoice i ON i.id = s.invoice_id
    WHERE a.status = 'live' AND a.created_at < now() - interval '1 hour' AND p.status <> 'processing'
        AND i.test_clock_id IS NOT DISTINCT FROM %(clock)s::uuid
    LIMIT %(limit)s""",
        Invoice,
    ),
)

SENTENCES = {fault.name: fault.sentence for fault in (*FAULTS, WRONG_DRAFTS)}
