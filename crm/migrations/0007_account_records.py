"""Fields of accounts and contacts, their history, the founders' own fields, suggestions, merges and the target list.

Addresses of contacts become lower-case and one person's each: where two contacts had the same one, the older keeps it
and the others keep it in their metadata (`duplicate_email`).
"""

import unicodedata

import crm.models.words
import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.functions.datetime
import django.db.models.functions.text
import gtm.shared.ids
from gtm.shared.domains import business_domain
from django.conf import settings
from django.db import migrations, models


LOWER_ADDRESSES = """
UPDATE crm_contact SET email = lower(email) WHERE email <> lower(email) AND NOT EXISTS (
    SELECT 1 FROM crm_contact other WHERE other.account_id = crm_contact.account_id AND other.id <> crm_contact.id
    AND lower(other.email) = lower(crm_contact.email));
UPDATE crm_contact SET metadata = metadata || jsonb_build_object('duplicate_email', email), email = ''
WHERE email <> '' AND EXISTS (
    SELECT 1 FROM crm_contact older WHERE older.id < crm_contact.id AND lower(older.email) = lower(crm_contact.email)
    AND older.test_clock_id IS NOT DISTINCT FROM crm_contact.test_clock_id);
UPDATE crm_contact SET email = lower(email) WHERE email <> lower(email);
"""
FIRST_TOUCH = "UPDATE crm_account SET first_touch_at = created_at WHERE first_touch_at IS NULL;"
GUARDS = """
CREATE FUNCTION crm_keep_first() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY TG_ARGV LOOP
        IF coalesce(to_jsonb(OLD) ->> name, '') <> '' AND to_jsonb(NEW) ->> name IS DISTINCT FROM to_jsonb(OLD) ->> name
        THEN
            RAISE EXCEPTION '% of % never changes', name, TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    END LOOP;
    RETURN NEW;
END $$;
CREATE TRIGGER crm_account_keeps_first BEFORE UPDATE ON crm_account
    FOR EACH ROW EXECUTE FUNCTION crm_keep_first('first_source', 'first_touch_at');
CREATE TRIGGER crm_contact_keeps_first BEFORE UPDATE ON crm_contact
    FOR EACH ROW EXECUTE FUNCTION crm_keep_first('source');
CREATE FUNCTION crm_refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND EXISTS (
        SELECT 1 FROM crm_account WHERE id = OLD.account_id AND test_clock_id IS NOT NULL)
    THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND coalesce(NEW.old, OLD.old) IS NOT DISTINCT FROM OLD.old
        AND coalesce(NEW.new, OLD.new) IS NOT DISTINCT FROM OLD.new
        AND to_jsonb(NEW) - '{account_id,old,new}'::text[] = to_jsonb(OLD) - '{account_id,old,new}'::text[]
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% rows are never changed or deleted', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER crm_fieldchange_is_final BEFORE UPDATE OR DELETE ON crm_fieldchange
    FOR EACH ROW EXECUTE FUNCTION crm_refuse_rewriting();
"""
UNGUARDED = """
DROP TRIGGER crm_fieldchange_is_final ON crm_fieldchange; DROP FUNCTION crm_refuse_rewriting();
DROP TRIGGER crm_contact_keeps_first ON crm_contact; DROP TRIGGER crm_account_keeps_first ON crm_account;
DROP FUNCTION crm_keep_first();
"""
BATCH = 1000


def _folded(text):
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(c for c in decomposed if not unicodedata.combining(c)).split())


def fill(apps, schema_editor):
    """What is derived from names and addresses by Python."""
    Contact, Link = apps.get_model("crm", "Contact"), apps.get_model("crm", "AccountCustomer")
    contacts = []
    for contact in Contact.objects.only("name", "email").iterator(chunk_size=BATCH):
        contact.name_key = _folded(f"{contact.name} {contact.email}")[:460]
        contact.email_domain = business_domain(contact.email) or ""
        contacts.append(contact)
    Contact.objects.bulk_update(contacts, ["name_key", "email_domain"], batch_size=BATCH)
    links = []
    for link in Link.objects.select_related("customer").iterator(chunk_size=BATCH):
        link.email_domain = business_domain(link.customer.email) or ""
        links.append(link)
    Link.objects.bulk_update(links, ["email_domain"], batch_size=BATCH)


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0021_deferred_payments'),
        ('crm', '0006_scopes'),
        ('shared', '0007_terms_and_returns'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL(LOWER_ADDRESSES, migrations.RunSQL.noop),
        migrations.CreateModel(
            name='CustomField',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('entity', models.CharField(choices=[('account', 'Account'), ('contact', 'Contact'), ('lead', 'Lead'), ('opportunity', 'Opportunity')], max_length=20)),
                ('code', models.SlugField(max_length=40)),
                ('label', models.CharField(max_length=100)),
                ('kind', models.CharField(choices=[('text', 'Text'), ('number', 'Number'), ('yes_no', 'Yes or no'), ('date', 'Date'), ('choice', 'One of a list'), ('link', 'Link')], default='text', max_length=10)),
                ('choices', models.JSONField(blank=True, default=list, help_text='What one may choose from, one a line.')),
                ('is_required', models.BooleanField(default=False)),
                ('position', models.PositiveIntegerField(default=0)),
                ('is_active', models.BooleanField(default=True)),
            ],
        ),
        migrations.CreateModel(
            name='FieldChange',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('object_type', models.CharField(max_length=40)),
                ('object_id', models.UUIDField()),
                ('field', models.CharField(max_length=80)),
                ('old', models.JSONField(null=True)),
                ('new', models.JSONField(null=True)),
                ('source', models.CharField(max_length=60)),
                ('actor', models.CharField(max_length=60)),
                ('at', models.DateTimeField()),
                ('recorded_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name='MergeLog',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('before', models.JSONField(help_text='The fields of both, as they were.')),
                ('moved', models.JSONField(help_text='Keys of the rows that went over, by table and column.')),
                ('actor', models.CharField(max_length=60)),
                ('merged_at', models.DateTimeField()),
                ('undo_until', models.DateTimeField()),
                ('undone_at', models.DateTimeField(null=True)),
                ('undone_by', models.CharField(blank=True, max_length=60)),
            ],
        ),
        migrations.CreateModel(
            name='Suggestion',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('external_id', models.CharField(blank=True, max_length=200, null=True)),
                ('metadata', models.JSONField(blank=True, default=dict)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('domain', models.CharField(max_length=253)),
                ('state', models.CharField(choices=[('open', 'Open'), ('dismissed', 'Dismissed'), ('merged', 'Merged')], default='open', max_length=10)),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('closed_at', models.DateTimeField(null=True)),
                ('closed_by', models.CharField(blank=True, max_length=60)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='TargetDomain',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('domain', models.CharField(max_length=253, unique=True)),
                ('added_at', models.DateTimeField()),
                ('added_by', models.CharField(max_length=60)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.RemoveConstraint(
            model_name='contact',
            name='crm_contact_email_once',
        ),
        migrations.AddField(
            model_name='account',
            name='blockers',
            field=models.JSONField(blank=True, default=list, help_text='What keeps the company from buying.'),
        ),
        migrations.AddField(
            model_name='account',
            name='custom',
            field=models.JSONField(blank=True, default=dict, help_text="Values of the founders' own fields, by code."),
        ),
        migrations.AddField(
            model_name='account',
            name='feedback_url',
            field=models.URLField(blank=True, help_text='Where its feedback on the product is kept.', max_length=500),
        ),
        migrations.AddField(
            model_name='account',
            name='first_touch_at',
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name='account',
            name='is_referenceable',
            field=models.BooleanField(default=False, help_text='Agreed to be named to other customers.'),
        ),
        migrations.AddField(
            model_name='account',
            name='merged_into',
            field=models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='merged', to='crm.account'),
        ),
        migrations.AddField(
            model_name='account',
            name='parent',
            field=models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='children', to='crm.account'),
        ),
        migrations.AddField(
            model_name='accountcustomer',
            name='email_domain',
            field=models.CharField(blank=True, max_length=253),
        ),
        migrations.AddField(
            model_name='contact',
            name='buying_role',
            field=models.CharField(blank=True, choices=[('champion', 'Champion'), ('economic_buyer', 'Economic buyer'), ('technical_buyer', 'Technical buyer'), ('influencer', 'Influencer'), ('user', 'User'), ('procurement', 'Procurement'), ('legal', 'Legal'), ('blocker', 'Against it')], max_length=20),
        ),
        migrations.AddField(
            model_name='contact',
            name='custom',
            field=models.JSONField(blank=True, default=dict, help_text="Values of the founders' own fields, by code."),
        ),
        migrations.AddField(
            model_name='contact',
            name='email_domain',
            field=models.CharField(blank=True, editable=False, max_length=253),
        ),
        migrations.AddField(
            model_name='contact',
            name='name_key',
            field=models.CharField(blank=True, editable=False, help_text='Name and address, folded.', max_length=460),
        ),
        migrations.AddField(
            model_name='contact',
            name='phone',
            field=models.CharField(blank=True, max_length=40),
        ),
        migrations.AddField(
            model_name='contact',
            name='source',
            field=models.CharField(blank=True, editable=False, max_length=60),
        ),
        migrations.AddField(
            model_name='contact',
            name='unsubscribed',
            field=models.BooleanField(default=False, help_text='Wants no mail from sales.'),
        ),
        migrations.AddIndex(
            model_name='accountcustomer',
            index=models.Index(condition=models.Q(('email_domain', ''), _negated=True), fields=['email_domain'], name='crm_accountcustomer_by_domain'),
        ),
        migrations.AddIndex(
            model_name='contact',
            index=models.Index(fields=['account', 'name_key', 'id'], name='crm_contact_of_account'),
        ),
        migrations.AddIndex(
            model_name='contact',
            index=models.Index(fields=['name_key', 'id'], name='crm_contact_by_name'),
        ),
        migrations.AddIndex(
            model_name='contact',
            index=models.Index(fields=['created_at', 'id'], name='crm_contact_listed'),
        ),
        migrations.AddIndex(
            model_name='contact',
            index=models.Index(condition=models.Q(('email_domain', ''), _negated=True), fields=['email_domain'], name='crm_contact_by_domain'),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.CheckConstraint(condition=models.Q(('parent', None), models.Q(('parent', models.F('id')), _negated=True), _connector='OR'), name='crm_account_not_its_own_parent'),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.CheckConstraint(condition=models.Q(('merged_into', None), models.Q(('merged_into', models.F('id')), _negated=True), _connector='OR'), name='crm_account_not_merged_into_itself'),
        ),
        migrations.AddConstraint(
            model_name='contact',
            constraint=models.UniqueConstraint(condition=models.Q(('email', ''), _negated=True), fields=('email', 'test_clock'), name='crm_contact_email_once', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='contact',
            constraint=models.CheckConstraint(condition=models.Q(('email', django.db.models.functions.text.Lower('email'))), name='crm_contact_email_in_lower_case'),
        ),
        migrations.AddConstraint(
            model_name='customfield',
            constraint=models.UniqueConstraint(fields=('entity', 'code'), name='crm_customfield_code_once'),
        ),
        migrations.AddConstraint(
            model_name='customfield',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'choice'), _negated=True), models.Q(('choices', []), _negated=True), _connector='OR'), name='crm_customfield_has_choices'),
        ),
        migrations.AddField(
            model_name='fieldchange',
            name='account',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='field_changes', to='crm.account'),
        ),
        migrations.AddField(
            model_name='mergelog',
            name='merged',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='merged_by', to='crm.account'),
        ),
        migrations.AddField(
            model_name='mergelog',
            name='survivor',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='merges', to='crm.account'),
        ),
        migrations.AddField(
            model_name='suggestion',
            name='first',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='suggestions', to='crm.account'),
        ),
        migrations.AddField(
            model_name='suggestion',
            name='second',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='suggestions_as_second', to='crm.account'),
        ),
        migrations.AddField(
            model_name='suggestion',
            name='test_clock',
            field=models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='shared.testclock'),
        ),
        migrations.AddIndex(
            model_name='fieldchange',
            index=models.Index(fields=['object_id', 'field', '-at', '-id'], name='crm_fieldchange_of_field'),
        ),
        migrations.AddIndex(
            model_name='fieldchange',
            index=models.Index(fields=['object_id', '-at', '-id'], name='crm_fieldchange_of_object'),
        ),
        migrations.AddIndex(
            model_name='fieldchange',
            index=models.Index(fields=['account'], name='crm_fieldchange_of_account'),
        ),
        migrations.AddIndex(
            model_name='mergelog',
            index=models.Index(fields=['survivor', '-merged_at'], name='crm_mergelog_of_survivor'),
        ),
        migrations.AddConstraint(
            model_name='mergelog',
            constraint=models.UniqueConstraint(condition=models.Q(('undone_at', None)), fields=('merged',), name='crm_mergelog_one_at_a_time'),
        ),
        migrations.AddConstraint(
            model_name='mergelog',
            constraint=models.CheckConstraint(condition=models.Q(('survivor', models.F('merged')), _negated=True), name='crm_mergelog_of_two'),
        ),
        migrations.AddConstraint(
            model_name='mergelog',
            constraint=models.CheckConstraint(condition=models.Q(('undo_until__gt', models.F('merged_at'))), name='crm_mergelog_can_be_undone'),
        ),
        migrations.AddIndex(
            model_name='suggestion',
            index=models.Index(fields=['second'], name='crm_suggestion_of_second'),
        ),
        migrations.AddIndex(
            model_name='suggestion',
            index=models.Index(fields=['state', 'created_at', 'id'], name='crm_suggestion_listed'),
        ),
        migrations.AddConstraint(
            model_name='suggestion',
            constraint=models.UniqueConstraint(fields=('external_id',), name='crm_suggestion_external_id_once'),
        ),
        migrations.AddConstraint(
            model_name='suggestion',
            constraint=models.UniqueConstraint(fields=('first', 'second'), name='crm_suggestion_pair_once'),
        ),
        migrations.AddConstraint(
            model_name='suggestion',
            constraint=models.CheckConstraint(condition=models.Q(('first__lt', models.F('second'))), name='crm_suggestion_in_order'),
        ),
        migrations.AddConstraint(
            model_name='suggestion',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('closed_at', None), ('state', 'open')), models.Q(models.Q(('state', 'open'), _negated=True), ('closed_at__isnull', False)), _connector='OR'), name='crm_suggestion_closed_when'),
        ),
        migrations.AddIndex(
            model_name='contact',
            index=django.contrib.postgres.indexes.GinIndex(crm.models.words.Words('name_key'), name='crm_contact_words'),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.RunSQL(FIRST_TOUCH, migrations.RunSQL.noop),
        migrations.RunSQL(GUARDS, UNGUARDED),
    ]
