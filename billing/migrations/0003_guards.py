"""The last word on money: a finalized invoice is frozen, allocations and subscription changes are only ever added."""

from django.db import migrations

SQL = """
CREATE FUNCTION billing_invoice_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'draft' THEN
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    IF TG_OP = 'DELETE' THEN
        IF OLD.test_clock_id IS NOT NULL THEN RETURN OLD; END IF;
        RAISE EXCEPTION 'invoice % is finalized and cannot be deleted', OLD.number USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF (NEW.number, NEW.legal_entity_id, NEW.customer_id, NEW.currency, NEW.collection_method, NEW.net_terms_days, NEW.po_number,
        NEW.tax_treatment, NEW.subtotal, NEW.discount_total, NEW.tax_total, NEW.total, NEW.issue_date, NEW.due_date,
        NEW.finalized_at, NEW.seller, NEW.buyer, NEW.test_clock_id)
       IS DISTINCT FROM
       (OLD.number, OLD.legal_entity_id, OLD.customer_id, OLD.currency, OLD.collection_method, OLD.net_terms_days, OLD.po_number,
        OLD.tax_treatment, OLD.subtotal, OLD.discount_total, OLD.tax_total, OLD.total, OLD.issue_date, OLD.due_date,
        OLD.finalized_at, OLD.seller, OLD.buyer, OLD.test_clock_id)
       OR NEW.status = 'draft' THEN
        RAISE EXCEPTION 'invoice % is finalized and cannot be changed', OLD.number USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER billing_invoice_is_frozen BEFORE UPDATE OR DELETE ON billing_invoice
    FOR EACH ROW EXECUTE FUNCTION billing_invoice_guard();

CREATE FUNCTION billing_invoicepart_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM billing_invoice i WHERE i.id = OLD.invoice_id AND i.status <> 'draft'
               AND NOT (TG_OP = 'DELETE' AND i.test_clock_id IS NOT NULL)) THEN
        RAISE EXCEPTION 'a part of a finalized invoice cannot be changed' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.invoice_id IS DISTINCT FROM OLD.invoice_id
       AND EXISTS (SELECT FROM billing_invoice i WHERE i.id = NEW.invoice_id AND i.status <> 'draft') THEN
        RAISE EXCEPTION 'nothing can be added to a finalized invoice' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER billing_invoiceline_is_frozen BEFORE UPDATE OR DELETE ON billing_invoiceline
    FOR EACH ROW EXECUTE FUNCTION billing_invoicepart_guard();
CREATE TRIGGER billing_invoicetax_is_frozen BEFORE UPDATE OR DELETE ON billing_invoicetax
    FOR EACH ROW EXECUTE FUNCTION billing_invoicepart_guard();

CREATE FUNCTION billing_invoicepart_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM added a JOIN billing_invoice i ON i.id = a.invoice_id WHERE i.status <> 'draft') THEN
        RAISE EXCEPTION 'nothing can be added to a finalized invoice' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER billing_invoiceline_is_complete AFTER INSERT ON billing_invoiceline
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION billing_invoicepart_added();
CREATE TRIGGER billing_invoicetax_is_complete AFTER INSERT ON billing_invoicetax
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION billing_invoicepart_added();

CREATE FUNCTION billing_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    clock uuid;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF TG_TABLE_NAME = 'billing_allocation' THEN
            SELECT test_clock_id INTO clock FROM billing_invoice WHERE id = (to_jsonb(OLD) ->> 'invoice_id')::uuid;
        ELSE
            SELECT test_clock_id INTO clock FROM billing_subscription WHERE id = (to_jsonb(OLD) ->> 'subscription_id')::uuid;
        END IF;
        IF clock IS NOT NULL THEN RETURN OLD; END IF;
    END IF;
    RAISE EXCEPTION '% rows are only ever added', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER billing_allocation_is_final BEFORE UPDATE OR DELETE ON billing_allocation
    FOR EACH ROW EXECUTE FUNCTION billing_append_only();
CREATE TRIGGER billing_subscriptionchange_is_final BEFORE UPDATE OR DELETE ON billing_subscriptionchange
    FOR EACH ROW EXECUTE FUNCTION billing_append_only();
"""

REVERSE = """
DROP TRIGGER billing_invoice_is_frozen ON billing_invoice;
DROP TRIGGER billing_invoiceline_is_frozen ON billing_invoiceline;
DROP TRIGGER billing_invoicetax_is_frozen ON billing_invoicetax;
DROP TRIGGER billing_invoiceline_is_complete ON billing_invoiceline;
DROP TRIGGER billing_invoicetax_is_complete ON billing_invoicetax;
DROP TRIGGER billing_allocation_is_final ON billing_allocation;
DROP TRIGGER billing_subscriptionchange_is_final ON billing_subscriptionchange;
DROP FUNCTION billing_invoice_guard, billing_invoicepart_guard, billing_invoicepart_added, billing_append_only;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0002_usage_partitions")]
    operations = [migrations.RunSQL(SQL, REVERSE)]
