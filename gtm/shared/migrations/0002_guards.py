"""Facts are never changed; only those of a test clock can be deleted (with it)."""

from django.db import migrations

SQL = """
CREATE FUNCTION shared_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND to_jsonb(OLD) ->> 'test_clock_id' IS NOT NULL THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION '% rows are never changed or deleted', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER shared_event_is_final BEFORE UPDATE OR DELETE ON shared_event
    FOR EACH ROW EXECUTE FUNCTION shared_refuse_change();
"""

REVERSE = "DROP TRIGGER shared_event_is_final ON shared_event; DROP FUNCTION shared_refuse_change();"


class Migration(migrations.Migration):
    dependencies = [("shared", "0001_initial")]
    operations = [migrations.RunSQL(SQL, REVERSE)]
