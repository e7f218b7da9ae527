import django.db.models.deletion
import django.db.models.functions.datetime
import gtm.shared.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('billing', '0001_initial'),
        ('crm', '0001_initial'),
        ('shared', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='TriggerRule',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('external_id', models.CharField(blank=True, max_length=200, null=True)),
                ('metadata', models.JSONField(blank=True, default=dict)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('code', models.SlugField(max_length=60, unique=True)),
                ('name', models.CharField(max_length=200)),
                ('kind', models.CharField(choices=[('usage_ratio', 'Usage above a share of the limit')], max_length=20)),
                ('active', models.BooleanField(default=True)),
                ('test_clock', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='shared.testclock')),
            ],
            options={
                'abstract': False,
                'constraints': [models.UniqueConstraint(fields=('external_id',), name='signals_triggerrule_external_id_once')],
            },
        ),
        migrations.CreateModel(
            name='TriggerRuleVersion',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('number', models.PositiveIntegerField()),
                ('threshold', models.DecimalField(decimal_places=4, max_digits=8)),
                ('severity', models.CharField(default='high', max_length=10)),
                ('play', models.CharField(blank=True, max_length=500)),
                ('published_at', models.DateTimeField(null=True)),
                ('rule', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='versions', to='signals.triggerrule')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('rule', 'number'), name='signals_ruleversion_number_once'), models.CheckConstraint(condition=models.Q(('threshold__gt', 0)), name='signals_ruleversion_threshold_positive')],
            },
        ),
        migrations.CreateModel(
            name='Signal',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('external_id', models.CharField(blank=True, max_length=200, null=True)),
                ('metadata', models.JSONField(blank=True, default=dict)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('dedup_key', models.CharField(max_length=300, unique=True)),
                ('subscription_id', models.UUIDField(null=True)),
                ('meter_id', models.UUIDField(null=True)),
                ('period_start', models.DateTimeField(null=True)),
                ('period_end', models.DateTimeField(null=True)),
                ('limit_value', models.DecimalField(decimal_places=6, max_digits=30, null=True)),
                ('value', models.DecimalField(decimal_places=6, max_digits=38, null=True)),
                ('evidence', models.CharField(max_length=500)),
                ('motion', models.CharField(max_length=20)),
                ('outcome', models.CharField(choices=[('alert', 'Alert'), ('prompt', 'Prompt in the portal')], max_length=10)),
                ('occurred_at', models.DateTimeField()),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='signals', to='crm.account')),
                ('customer', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.customer')),
                ('test_clock', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='shared.testclock')),
                ('rule_version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='signals', to='signals.triggerruleversion')),
            ],
            options={
                'abstract': False,
                'indexes': [models.Index(fields=['account', '-occurred_at'], name='signals_signal_of_account')],
                'constraints': [models.UniqueConstraint(fields=('external_id',), name='signals_signal_external_id_once')],
            },
        ),
    ]
