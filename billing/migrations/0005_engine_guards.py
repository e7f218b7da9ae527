"""Credit notes are frozen as they were issued, the balance ledger is only added to, and revenue is carried over."""

from django.db import migrations

SQL = """
CREATE FUNCTION billing_creditnote_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.test_clock_id IS NOT NULL THEN RETURN OLD; END IF;
        RAISE EXCEPTION 'credit note % cannot be deleted', OLD.number USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF to_jsonb(NEW) - '{metadata,external_id,version,updated_at}'::text[]
       IS DISTINCT FROM to_jsonb(OLD) - '{metadata,external_id,version,updated_at}'::text[] THEN
        RAISE EXCEPTION 'credit note % cannot be changed', OLD.number USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER billing_creditnote_is_frozen BEFORE UPDATE OR DELETE ON billing_creditnote
    FOR EACH ROW EXECUTE FUNCTION billing_creditnote_guard();

CREATE FUNCTION billing_creditnotepart_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND NOT EXISTS (
        SELECT FROM billing_creditnote n WHERE n.id = OLD.credit_note_id AND n.test_clock_id IS NULL
    ) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'a part of a credit note cannot be changed' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER billing_creditnoteline_is_frozen BEFORE UPDATE OR DELETE ON billing_creditnoteline
    FOR EACH ROW EXECUTE FUNCTION billing_creditnotepart_guard();
CREATE TRIGGER billing_creditnotetax_is_frozen BEFORE UPDATE OR DELETE ON billing_creditnotetax
    FOR EACH ROW EXECUTE FUNCTION billing_creditnotepart_guard();

CREATE FUNCTION billing_creditnote_adds_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM billing_creditnote n
        WHERE n.id = (CASE WHEN TG_TABLE_NAME = 'billing_creditnote' THEN to_jsonb(NEW) ->> 'id'
                      ELSE to_jsonb(NEW) ->> 'credit_note_id' END)::uuid
          AND (n.subtotal, n.tax_total) IS DISTINCT FROM (
              SELECT COALESCE(sum(l.amount), 0)::bigint, COALESCE(sum(l.tax_amount), 0)::bigint
              FROM billing_creditnoteline l WHERE l.credit_note_id = n.id)
    ) THEN
        RAISE EXCEPTION 'the lines of a credit note do not sum to it' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER billing_creditnote_sums AFTER INSERT ON billing_creditnote
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_creditnote_adds_up();
CREATE CONSTRAINT TRIGGER billing_creditnoteline_sums AFTER INSERT ON billing_creditnoteline
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_creditnote_adds_up();

CREATE FUNCTION billing_balanceentry_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.test_clock_id IS NOT NULL THEN RETURN OLD; END IF;
    RAISE EXCEPTION '% rows are only ever added', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER billing_balanceentry_is_final BEFORE UPDATE OR DELETE ON billing_balanceentry
    FOR EACH ROW EXECUTE FUNCTION billing_balanceentry_guard();
CREATE TRIGGER billing_usagecorrection_is_final BEFORE UPDATE OR DELETE ON billing_usagecorrection
    FOR EACH ROW EXECUTE FUNCTION billing_balanceentry_guard();

UPDATE billing_subscription s SET mrr = c.mrr_after
FROM (SELECT DISTINCT ON (subscription_id) subscription_id, mrr_after
      FROM billing_subscriptionchange ORDER BY subscription_id, recorded_at DESC, id DESC) c
WHERE c.subscription_id = s.id AND c.mrr_after <> 0;
"""

REVERSE = """
DROP TRIGGER billing_creditnote_is_frozen ON billing_creditnote;
DROP TRIGGER billing_creditnoteline_is_frozen ON billing_creditnoteline;
DROP TRIGGER billing_creditnotetax_is_frozen ON billing_creditnotetax;
DROP TRIGGER billing_creditnote_sums ON billing_creditnote;
DROP TRIGGER billing_creditnoteline_sums ON billing_creditnoteline;
DROP TRIGGER billing_balanceentry_is_final ON billing_balanceentry;
DROP TRIGGER billing_usagecorrection_is_final ON billing_usagecorrection;
DROP FUNCTION billing_creditnote_guard, billing_creditnotepart_guard, billing_creditnote_adds_up, billing_balanceentry_guard;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0004_engine")]
    operations = [migrations.RunSQL(SQL, REVERSE)]
