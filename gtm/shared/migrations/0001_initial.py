import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
import django.db.models.functions.text
import gtm.shared.ids
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.RunSQL(
            sql='CREATE SEQUENCE shared_event_position',
            reverse_sql='DROP SEQUENCE shared_event_position',
        ),
        migrations.CreateModel(
            name='Event',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('position', models.BigIntegerField(db_default=django.db.models.expressions.RawSQL("nextval('shared_event_position')", []), editable=False, unique=True)),
                ('type', models.CharField(max_length=80)),
                ('object_type', models.CharField(max_length=40)),
                ('object_id', models.UUIDField()),
                ('object_version', models.PositiveIntegerField(default=1)),
                ('customer_id', models.UUIDField(null=True)),
                ('account_id', models.UUIDField(null=True)),
                ('actor', models.CharField(max_length=60)),
                ('on_behalf_of', models.CharField(blank=True, max_length=60)),
                ('request_id', models.CharField(blank=True, max_length=64)),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('data', models.JSONField(default=dict)),
                ('previous', models.JSONField(default=dict)),
                ('occurred_at', models.DateTimeField()),
                ('recorded_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'indexes': [models.Index(fields=['customer_id', '-position'], name='shared_event_of_customer'), models.Index(fields=['account_id', '-position'], name='shared_event_of_account'), models.Index(fields=['type', '-position'], name='shared_event_of_type'), models.Index(fields=['object_id', '-position'], name='shared_event_of_object')],
            },
        ),
        migrations.CreateModel(
            name='Pulse',
            fields=[
                ('name', models.CharField(max_length=120, primary_key=True, serialize=False)),
                ('beat_at', models.DateTimeField(null=True)),
                ('last_succeeded_at', models.DateTimeField(null=True)),
                ('last_failed_at', models.DateTimeField(null=True)),
                ('last_error', models.TextField(blank=True)),
                ('detail', models.JSONField(default=dict)),
            ],
        ),
        migrations.CreateModel(
            name='TestClock',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(blank=True, max_length=200)),
                ('frozen_time', models.DateTimeField()),
                ('target_time', models.DateTimeField(blank=True, null=True)),
                ('status', models.CharField(choices=[('ready', 'Ready'), ('advancing', 'Advancing'), ('failed', 'Failed')], default='ready', max_length=10)),
                ('last_error', models.TextField(blank=True)),
                ('external_id', models.CharField(blank=True, max_length=200, null=True, unique=True)),
                ('metadata', models.JSONField(blank=True, default=dict)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='User',
            fields=[
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                ('is_superuser', models.BooleanField(default=False, help_text='Designates that this user has all permissions without explicitly assigning them.', verbose_name='superuser status')),
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('email', models.EmailField(max_length=254, unique=True)),
                ('name', models.CharField(blank=True, max_length=200)),
                ('roles', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('founder', 'Founder'), ('finance', 'Finance'), ('sales_manager', 'Sales manager'), ('ae', 'Account executive'), ('csm', 'Customer success manager'), ('sdr', 'Sales development rep')], max_length=20), blank=True, default=list, size=None)),
                ('timezone', models.CharField(default='UTC', max_length=64)),
                ('locale', models.CharField(default='en', max_length=10)),
                ('is_active', models.BooleanField(default=True, help_text="An inactive user can't sign in and gets no new leads.")),
                ('is_staff', models.BooleanField(default=False, editable=False)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('groups', models.ManyToManyField(blank=True, help_text='The groups this user belongs to. A user will get all permissions granted to each of their groups.', related_name='user_set', related_query_name='user', to='auth.group', verbose_name='groups')),
                ('user_permissions', models.ManyToManyField(blank=True, help_text='Specific permissions for this user.', related_name='user_set', related_query_name='user', to='auth.permission', verbose_name='user permissions')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('email', django.db.models.functions.text.Lower('email'))), name='shared_user_email_is_lower_case'), models.CheckConstraint(condition=models.Q(('roles__contained_by', ['founder', 'finance', 'sales_manager', 'ae', 'csm', 'sdr'])), name='shared_user_roles_are_known')],
            },
        ),
        migrations.CreateModel(
            name='ApiKey',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=200)),
                ('hint', models.CharField(editable=False, max_length=16)),
                ('digest', models.CharField(editable=False, max_length=64, unique=True)),
                ('scope', models.CharField(choices=[('read', 'Read'), ('write', 'Read and write'), ('usage', 'Send usage and ask for entitlements')], default='write', max_length=10)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('last_used_at', models.DateTimeField(editable=False, null=True)),
                ('revoked_at', models.DateTimeField(editable=False, null=True)),
                ('user', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='api_keys', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'API key',
            },
        ),
        migrations.CreateModel(
            name='PendingFact',
            fields=[
                ('event', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='pending', serialize=False, to='shared.event')),
                ('test_clock_id', models.UUIDField(null=True)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('next_attempt_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('last_error', models.TextField(blank=True)),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('test_clock_id', None)), fields=['next_attempt_at'], name='shared_pendingfact_due')],
            },
        ),
        migrations.CreateModel(
            name='ExchangeRate',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('date', models.DateField()),
                ('currency', models.CharField(max_length=3)),
                ('rate', models.DecimalField(decimal_places=10, max_digits=20)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('currency', 'date'), name='shared_exchangerate_once_a_day'), models.CheckConstraint(condition=models.Q(('rate__gt', 0)), name='shared_exchangerate_is_positive')],
            },
        ),
        migrations.CreateModel(
            name='HandledFact',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('handler', models.CharField(max_length=120)),
                ('handled_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('event', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='handled', to='shared.event')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('event', 'handler'), name='shared_handledfact_once')],
            },
        ),
        migrations.CreateModel(
            name='IdempotencyRecord',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('owner', models.CharField(max_length=60)),
                ('key', models.CharField(max_length=255)),
                ('method', models.CharField(max_length=8)),
                ('path', models.CharField(max_length=300)),
                ('body_digest', models.CharField(max_length=64)),
                ('status', models.PositiveSmallIntegerField(null=True)),
                ('body', models.JSONField(null=True)),
                ('started_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'indexes': [models.Index(fields=['created_at'], name='shared_idempotency_age')],
                'constraints': [models.UniqueConstraint(fields=('owner', 'key'), name='shared_idempotencyrecord_once')],
            },
        ),
        migrations.CreateModel(
            name='Mail',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('recipient', models.EmailField(max_length=254)),
                ('template', models.CharField(max_length=80)),
                ('locale', models.CharField(default='en', max_length=10)),
                ('subject', models.CharField(max_length=250)),
                ('text', models.TextField()),
                ('html', models.TextField(blank=True)),
                ('attachments', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), blank=True, default=list, size=None)),
                ('message_id', models.CharField(max_length=200, unique=True)),
                ('status', models.CharField(choices=[('queued', 'Queued'), ('sending', 'Sending'), ('sent', 'Sent'), ('unknown', 'Unknown'), ('failed', 'Failed'), ('kept', 'Kept, not sent')], default='queued', max_length=10)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('next_attempt_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('last_error', models.TextField(blank=True)),
                ('customer_id', models.UUIDField(null=True)),
                ('account_id', models.UUIDField(null=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('sent_at', models.DateTimeField(null=True)),
                ('event', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='mails', to='shared.event')),
                ('test_clock', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='shared.testclock')),
            ],
            options={
                'verbose_name_plural': 'mail',
                'indexes': [models.Index(condition=models.Q(('status', 'queued')), fields=['next_attempt_at'], name='shared_mail_queued'), models.Index(condition=models.Q(('status', 'sending')), fields=['status'], name='shared_mail_sending'), models.Index(fields=['customer_id', '-created_at'], name='shared_mail_of_customer'), models.Index(fields=['-created_at'], name='shared_mail_newest')],
                'constraints': [models.UniqueConstraint(fields=('event', 'recipient', 'template'), name='shared_mail_once_per_fact')],
            },
        ),
        migrations.AddField(
            model_name='event',
            name='test_clock',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='shared.testclock'),
        ),
        migrations.CreateModel(
            name='Vendor',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(default='Tandem', max_length=200)),
                ('base_currency', models.CharField(default='USD', max_length=3)),
                ('fiscal_year_start', models.PositiveSmallIntegerField(default=1, help_text='Month in which the fiscal year starts, 1 to 12.')),
                ('reporting_zone', models.CharField(default='UTC', max_length=64)),
                ('proration_unit', models.CharField(choices=[('day', 'By day'), ('second', 'By second')], default='day', max_length=10)),
                ('tax_rounding', models.CharField(choices=[('document', 'Per rate on the document'), ('line', 'Per line')], default='document', max_length=10)),
                ('draft_grace_minutes', models.PositiveIntegerField(default=60, help_text='How long an invoice with metered lines waits as a draft for stragglers.')),
                ('logo', models.TextField(blank=True, help_text='SVG or a data: address, shown on pages and documents.')),
                ('accent', models.CharField(default='#2456c4', max_length=7, validators=[django.core.validators.RegexValidator('^#[0-9a-fA-F]{6}$', 'Use six hex digits, such as #2456c4.')])),
                ('support_email', models.EmailField(blank=True, max_length=254)),
                ('website', models.URLField(blank=True)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
            ],
            options={
                'verbose_name_plural': 'vendor',
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='shared_vendor_is_one'), models.CheckConstraint(condition=models.Q(('fiscal_year_start__gte', 1), ('fiscal_year_start__lte', 12)), name='shared_vendor_fiscal_year_starts_in_a_month')],
            },
        ),
    ]
