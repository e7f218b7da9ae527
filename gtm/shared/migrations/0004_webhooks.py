"""Webhooks out; and a trigger that lists each fact, in its own transaction, while anybody listens."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
import gtm.shared.ids
from django.db import migrations, models

SQL = """
CREATE FUNCTION shared_list_unsent_facts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM shared_webhookendpoint WHERE enabled) THEN
        INSERT INTO shared_unsentfact (position)
        SELECT position FROM written WHERE object_type <> 'webhookendpoint';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER shared_event_is_listed AFTER INSERT ON shared_event
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION shared_list_unsent_facts();
"""

REVERSE = "DROP TRIGGER shared_event_is_listed ON shared_event; DROP FUNCTION shared_list_unsent_facts();"


class Migration(migrations.Migration):

    dependencies = [
        ('shared', '0003_zero_invoices'),
    ]

    operations = [
        migrations.CreateModel(
            name='UnsentFact',
            fields=[
                ('position', models.BigIntegerField(primary_key=True, serialize=False)),
            ],
        ),
        migrations.CreateModel(
            name='WebhookEndpoint',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('external_id', models.CharField(blank=True, max_length=200, null=True)),
                ('metadata', models.JSONField(blank=True, default=dict)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('url', models.CharField(max_length=2000, verbose_name='URL')),
                ('event_types', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=80), blank=True, default=list, size=None)),
                ('description', models.CharField(blank=True, max_length=500)),
                ('enabled', models.BooleanField(default=True)),
                ('api_version', models.CharField(choices=[('v1', 'v1')], default='v1', max_length=10, verbose_name='API version')),
                ('sealed_secret', models.TextField(editable=False)),
                ('sealed_previous', models.TextField(blank=True, editable=False)),
                ('previous_valid_until', models.DateTimeField(editable=False, null=True)),
                ('disabled_at', models.DateTimeField(editable=False, null=True)),
                ('disabled_reason', models.CharField(blank=True, choices=[('manual', 'Switched off by hand'), ('failing', 'Switched off after failing for days')], editable=False, max_length=10)),
                ('failing_since', models.DateTimeField(editable=False, null=True)),
                ('warned_at', models.DateTimeField(editable=False, null=True)),
                ('test_clock', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='shared.testclock')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='WebhookDelivery',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('succeeded', 'Succeeded'), ('failed', 'Failed')], default='pending', max_length=10)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('failures', models.PositiveSmallIntegerField(default=0)),
                ('next_attempt_at', models.DateTimeField(null=True)),
                ('response_status', models.PositiveSmallIntegerField(null=True)),
                ('last_error', models.CharField(blank=True, max_length=300)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('queued_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField(null=True)),
                ('event', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='webhook_deliveries', to='shared.event')),
                ('endpoint', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='shared.webhookendpoint')),
            ],
            options={
                'verbose_name_plural': 'webhook deliveries',
            },
        ),
        migrations.CreateModel(
            name='WebhookAttempt',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('number', models.PositiveIntegerField()),
                ('started_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField(null=True)),
                ('duration_ms', models.PositiveIntegerField(null=True)),
                ('response_status', models.PositiveSmallIntegerField(null=True)),
                ('response_excerpt', models.CharField(blank=True, max_length=1000)),
                ('error', models.CharField(blank=True, max_length=300)),
                ('delivery', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='log', to='shared.webhookdelivery')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('finished_at', None)), fields=['started_at'], name='shared_webhookattempt_open')],
            },
        ),
        migrations.AddConstraint(
            model_name='webhookendpoint',
            constraint=models.UniqueConstraint(fields=('external_id',), name='shared_webhookendpoint_external_id_once'),
        ),
        migrations.AddConstraint(
            model_name='webhookendpoint',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('disabled_at', None), ('disabled_reason', ''), ('enabled', True)), models.Q(('disabled_at__isnull', False), ('enabled', False), models.Q(('disabled_reason', ''), _negated=True)), _connector='OR'), name='shared_webhookendpoint_disabled_says_why'),
        ),
        migrations.AddConstraint(
            model_name='webhookendpoint',
            constraint=models.CheckConstraint(condition=models.Q(('warned_at', None), ('failing_since__isnull', False), _connector='OR'), name='shared_webhookendpoint_warned_while_failing'),
        ),
        migrations.AddIndex(
            model_name='webhookdelivery',
            index=models.Index(condition=models.Q(('status', 'pending')), fields=['endpoint', 'next_attempt_at', 'id'], name='shared_webhookdelivery_due'),
        ),
        migrations.AddIndex(
            model_name='webhookdelivery',
            index=models.Index(fields=['endpoint', '-id'], name='shared_webhookdelivery_newest'),
        ),
        migrations.AddIndex(
            model_name='webhookdelivery',
            index=models.Index(condition=models.Q(('status', 'failed')), fields=['-id'], name='shared_webhookdelivery_failed'),
        ),
        migrations.AddIndex(
            model_name='webhookdelivery',
            index=models.Index(fields=['queued_at'], name='shared_webhookdelivery_age'),
        ),
        migrations.AddConstraint(
            model_name='webhookdelivery',
            constraint=models.UniqueConstraint(fields=('endpoint', 'event'), name='shared_webhookdelivery_once'),
        ),
        migrations.AddConstraint(
            model_name='webhookdelivery',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('finished_at', None), ('next_attempt_at__isnull', False), ('status', 'pending')), models.Q(models.Q(('status', 'pending'), _negated=True), ('finished_at__isnull', False), ('next_attempt_at', None)), _connector='OR'), name='shared_webhookdelivery_pending_is_due_sometime'),
        ),
        migrations.RunSQL(SQL, REVERSE),
    ]
