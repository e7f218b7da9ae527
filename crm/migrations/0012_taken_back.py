"""The history of what an import made goes with it when the import is taken back, and at no other time."""

from django.db import migrations

REFUSAL = """
CREATE OR REPLACE FUNCTION crm_refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND ({leave}EXISTS (
        SELECT 1 FROM crm_account WHERE id = OLD.account_id AND test_clock_id IS NOT NULL))
    THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND coalesce(NEW.old, OLD.old) IS NOT DISTINCT FROM OLD.old
        AND coalesce(NEW.new, OLD.new) IS NOT DISTINCT FROM OLD.new
        AND to_jsonb(NEW) - '{{account_id,old,new}}'::text[] = to_jsonb(OLD) - '{{account_id,old,new}}'::text[]
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% rows are never changed or deleted', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
"""
TAKEN_BACK = "current_setting('tandem.takes_back', true) = 'on' OR "


class Migration(migrations.Migration):
    dependencies = [("crm", "0011_search")]
    operations = [
        migrations.RunSQL(
            sql=REFUSAL.format(leave=TAKEN_BACK),
            reverse_sql=REFUSAL.format(leave=""),
        )
    ]
