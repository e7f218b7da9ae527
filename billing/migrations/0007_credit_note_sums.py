"""Compare the sums of a credit note with those of its lines one by one: a row against a subquery was no valid SQL."""

from django.db import migrations

SQL = """
CREATE OR REPLACE FUNCTION billing_creditnote_adds_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    note uuid := (CASE WHEN TG_TABLE_NAME = 'billing_creditnote' THEN to_jsonb(NEW) ->> 'id'
                  ELSE to_jsonb(NEW) ->> 'credit_note_id' END)::uuid;
BEGIN
    IF EXISTS (
        SELECT FROM billing_creditnote n
        WHERE n.id = note
          AND (n.subtotal <> (SELECT COALESCE(sum(l.amount), 0) FROM billing_creditnoteline l WHERE l.credit_note_id = note)
               OR n.tax_total <> (SELECT COALESCE(sum(l.tax_amount), 0) FROM billing_creditnoteline l
                                  WHERE l.credit_note_id = note))
    ) THEN
        RAISE EXCEPTION 'the lines of a credit note do not sum to it' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_discount_ends")]
    operations = [migrations.RunSQL(SQL, migrations.RunSQL.noop)]
