import django.db.models.deletion
import django.db.models.functions.datetime
import gtm.shared.ids
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('billing', '0001_initial'),
        ('shared', '0001_initial'),
        ('shared', '__first__'),
    ]

    operations = [
        migrations.CreateModel(
            name='Queue',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('code', models.SlugField(max_length=60, unique=True)),
                ('name', models.CharField(max_length=200)),
                ('is_catch_all', models.BooleanField(default=False)),
            ],
            options={
                'constraints': [models.UniqueConstraint(condition=models.Q(('is_catch_all', True)), fields=('is_catch_all',), name='crm_queue_one_catch_all')],
            },
        ),
        migrations.CreateModel(
            name='Ruleset',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('number', models.PositiveIntegerField(unique=True)),
                ('name', models.CharField(max_length=200)),
                ('published_at', models.DateTimeField(null=True)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='SegmentPolicy',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('number', models.PositiveIntegerField(unique=True)),
                ('name', models.CharField(max_length=200)),
                ('currency', models.CharField(default='USD', max_length=3)),
                ('basis', models.CharField(default='arr', max_length=20)),
                ('employee_bounds', models.JSONField(default=list, help_text='Lower bounds of the segments above the first: [100, 1000].')),
                ('value_bounds', models.JSONField(default=list, help_text='Lower bounds in minor units: [1000000, 5000000].')),
                ('segments', models.JSONField(help_text='In order: code, label, motion, engagement, collection methods, net terms.')),
                ('combine', models.CharField(choices=[('max', 'The larger wins'), ('min', 'The smaller wins'), ('employees_first', 'Employees first'), ('value_first', 'Value first')], default='max', max_length=20)),
                ('sales_led_needs', models.JSONField(default=list)),
                ('published_at', models.DateTimeField(null=True)),
            ],
            options={
                'verbose_name_plural': 'segment policies',
            },
        ),
        migrations.CreateModel(
            name='Account',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('external_id', models.CharField(blank=True, max_length=200, null=True)),
                ('metadata', models.JSONField(blank=True, default=dict)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('name', models.CharField(max_length=200)),
                ('name_key', models.CharField(editable=False, help_text='The name folded for sorting and search.', max_length=200)),
                ('employee_count', models.PositiveIntegerField(blank=True, null=True)),
                ('industry', models.CharField(blank=True, max_length=100)),
                ('country', models.CharField(blank=True, max_length=2)),
                ('needs', models.JSONField(blank=True, default=list)),
                ('target_list', models.BooleanField(default=False)),
                ('personal', models.BooleanField(default=False, help_text='Of one person with a free-mail address; no company behind it.')),
                ('segment', models.CharField(blank=True, editable=False, max_length=40)),
                ('motion', models.CharField(choices=[('self_serve', 'Self-serve'), ('sales_assisted', 'Sales-assisted'), ('sales_led', 'Sales-led')], default='self_serve', editable=False, max_length=20)),
                ('engagement_policy', models.CharField(choices=[('none', 'None'), ('on_trigger', 'On trigger'), ('day_one', 'From day one')], default='none', editable=False, max_length=12)),
                ('first_source', models.CharField(blank=True, editable=False, max_length=60)),
                ('score', models.DecimalField(blank=True, decimal_places=1, editable=False, max_digits=5, null=True)),
                ('owner', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='accounts', to=settings.AUTH_USER_MODEL)),
                ('test_clock', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='shared.testclock')),
                ('queue', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='accounts', to='crm.queue')),
            ],
            options={
                'abstract': False,
                'indexes': [models.Index(fields=['owner', 'name_key', 'id'], name='crm_account_of_owner'), models.Index(fields=['queue', 'name_key', 'id'], name='crm_account_of_queue'), models.Index(fields=['name_key', 'id'], name='crm_account_by_name'), models.Index(fields=['created_at', 'id'], name='crm_account_listed')],
                'constraints': [models.UniqueConstraint(fields=('external_id',), name='crm_account_external_id_once'), models.CheckConstraint(condition=models.Q(('owner', None), ('queue', None), _connector='OR'), name='crm_account_owner_or_queue')],
            },
        ),
        migrations.CreateModel(
            name='Contact',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('external_id', models.CharField(blank=True, max_length=200, null=True)),
                ('metadata', models.JSONField(blank=True, default=dict)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('name', models.CharField(max_length=200)),
                ('email', models.EmailField(blank=True, max_length=254)),
                ('title', models.CharField(blank=True, max_length=200)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='contacts', to='crm.account')),
                ('test_clock', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='shared.testclock')),
            ],
            options={
                'abstract': False,
                'constraints': [models.UniqueConstraint(fields=('external_id',), name='crm_contact_external_id_once'), models.UniqueConstraint(condition=models.Q(('email', ''), _negated=True), fields=('account', 'email'), name='crm_contact_email_once')],
            },
        ),
        migrations.CreateModel(
            name='Lead',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('external_id', models.CharField(blank=True, max_length=200, null=True)),
                ('metadata', models.JSONField(blank=True, default=dict)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('kind', models.CharField(choices=[('contact_sales', 'Contact sales'), ('demo', 'Demo'), ('trial', 'Trial'), ('inbound', 'Inbound')], max_length=20)),
                ('lifecycle', models.CharField(choices=[('lead', 'Lead'), ('mql', 'MQL'), ('sql', 'SQL'), ('sal', 'SAL'), ('rejected', 'Rejected')], default='lead', editable=False, max_length=10)),
                ('name', models.CharField(max_length=200)),
                ('email', models.EmailField(max_length=254)),
                ('company', models.CharField(blank=True, max_length=200)),
                ('employee_count', models.PositiveIntegerField(blank=True, null=True)),
                ('country', models.CharField(blank=True, max_length=2)),
                ('needs', models.JSONField(blank=True, default=list)),
                ('message', models.TextField(blank=True)),
                ('source', models.CharField(blank=True, max_length=60)),
                ('routing', models.JSONField(default=dict, editable=False)),
                ('sla_due_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('account', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='leads', to='crm.account')),
                ('contact', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='leads', to='crm.contact')),
                ('owner', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='leads', to=settings.AUTH_USER_MODEL)),
                ('test_clock', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='shared.testclock')),
                ('queue', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='leads', to='crm.queue')),
            ],
            options={
                'abstract': False,
                'indexes': [models.Index(fields=['owner', 'lifecycle', '-created_at'], name='crm_lead_of_owner'), models.Index(fields=['queue', 'lifecycle', '-created_at'], name='crm_lead_of_queue'), models.Index(fields=['account'], name='crm_lead_of_account'), models.Index(fields=['created_at', 'id'], name='crm_lead_listed')],
                'constraints': [models.UniqueConstraint(fields=('external_id',), name='crm_lead_external_id_once'), models.CheckConstraint(condition=models.Q(('owner', None), ('queue', None), _connector='OR'), name='crm_lead_owner_or_queue')],
            },
        ),
        migrations.CreateModel(
            name='LeadTransition',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('from_lifecycle', models.CharField(max_length=10)),
                ('to_lifecycle', models.CharField(max_length=10)),
                ('actor', models.CharField(max_length=60)),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('at', models.DateTimeField()),
                ('recorded_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('lead', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='transitions', to='crm.lead')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='Leave',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('starts_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField()),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='leaves', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'indexes': [models.Index(fields=['user', 'ends_at'], name='crm_leave_of_user')],
                'constraints': [models.CheckConstraint(condition=models.Q(('ends_at__gt', models.F('starts_at'))), name='crm_leave_has_length')],
            },
        ),
        migrations.CreateModel(
            name='Pool',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('code', models.SlugField(max_length=60, unique=True)),
                ('name', models.CharField(max_length=200)),
                ('last_assigned_user', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='PoolMember',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('position', models.PositiveIntegerField(default=0)),
                ('weight', models.PositiveSmallIntegerField(default=1)),
                ('current_weight', models.IntegerField(default=0, editable=False)),
                ('capacity', models.PositiveIntegerField(blank=True, help_text='New leads in a rolling 30 days; empty means no limit.', null=True)),
                ('pool', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='members', to='crm.pool')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='pool_memberships', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('pool', 'user'), name='crm_poolmember_once'), models.CheckConstraint(condition=models.Q(('weight__gte', 1)), name='crm_poolmember_has_weight')],
            },
        ),
        migrations.CreateModel(
            name='Alert',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('external_id', models.CharField(blank=True, max_length=200, null=True)),
                ('metadata', models.JSONField(blank=True, default=dict)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('rule_code', models.CharField(max_length=60)),
                ('rule_name', models.CharField(max_length=200)),
                ('rule_version', models.PositiveIntegerField()),
                ('signal_id', models.UUIDField(unique=True)),
                ('severity', models.CharField(choices=[('low', 'Low'), ('medium', 'Medium'), ('high', 'High'), ('critical', 'Critical')], max_length=10)),
                ('evidence', models.CharField(max_length=500)),
                ('value_at_stake', models.BigIntegerField(null=True)),
                ('currency', models.CharField(blank=True, max_length=3)),
                ('play', models.CharField(blank=True, max_length=500)),
                ('state', models.CharField(choices=[('open', 'Open'), ('acknowledged', 'Acknowledged'), ('snoozed', 'Snoozed'), ('done', 'Done'), ('dismissed', 'Dismissed')], default='open', max_length=14)),
                ('snoozed_until', models.DateTimeField(null=True)),
                ('feedback', models.CharField(blank=True, choices=[('useful', 'Useful'), ('not_useful', 'Not useful')], max_length=12)),
                ('feedback_reason', models.CharField(blank=True, max_length=500)),
                ('raised_at', models.DateTimeField()),
                ('closed_at', models.DateTimeField(null=True)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='alerts', to='crm.account')),
                ('customer', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='billing.customer')),
                ('owner', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='alerts', to=settings.AUTH_USER_MODEL)),
                ('test_clock', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='shared.testclock')),
                ('queue', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='alerts', to='crm.queue')),
            ],
            options={
                'abstract': False,
                'indexes': [models.Index(fields=['owner', 'state', '-raised_at'], name='crm_alert_of_owner'), models.Index(fields=['queue', 'state', '-raised_at'], name='crm_alert_of_queue'), models.Index(fields=['account', '-raised_at'], name='crm_alert_of_account'), models.Index(condition=models.Q(('state', 'snoozed')), fields=['snoozed_until'], name='crm_alert_snoozed'), models.Index(fields=['created_at', 'id'], name='crm_alert_listed')],
                'constraints': [models.UniqueConstraint(fields=('external_id',), name='crm_alert_external_id_once'), models.CheckConstraint(condition=models.Q(('owner', None), ('queue', None), _connector='OR'), name='crm_alert_owner_or_queue'), models.CheckConstraint(condition=models.Q(models.Q(('state', 'snoozed'), _negated=True), ('snoozed_until__isnull', False), _connector='OR'), name='crm_alert_snoozed_until_when')],
            },
        ),
        migrations.CreateModel(
            name='Rule',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('position', models.PositiveIntegerField()),
                ('name', models.CharField(max_length=200)),
                ('condition', models.JSONField(help_text='A tree of all, any, not and {"field", "op", "value"}.')),
                ('strategy', models.CharField(choices=[('named', 'A named rep'), ('round_robin', 'Round robin'), ('queue', 'A queue')], max_length=20)),
                ('pool', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='rules', to='crm.pool')),
                ('queue', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='crm.queue')),
                ('user', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('ruleset', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='rules', to='crm.ruleset')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('ruleset', 'position'), name='crm_rule_position_once'), models.CheckConstraint(condition=models.Q(models.Q(('strategy', 'named'), ('user__isnull', False)), models.Q(('pool__isnull', False), ('strategy', 'round_robin')), models.Q(('queue__isnull', False), ('strategy', 'queue')), _connector='OR'), name='crm_rule_has_its_target')],
            },
        ),
        migrations.CreateModel(
            name='OwnerDecision',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('reasons', models.JSONField(default=list)),
                ('valid_from', models.DateTimeField()),
                ('valid_to', models.DateTimeField(null=True)),
                ('recorded_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='owner_decisions', to='crm.account')),
                ('owner', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('queue', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='crm.queue')),
                ('ruleset', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='crm.ruleset')),
            ],
            options={
                'indexes': [models.Index(fields=['owner', '-valid_from'], name='crm_ownerdecision_of_owner')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('valid_to', None)), fields=('account',), name='crm_ownerdecision_one_open'), models.CheckConstraint(condition=models.Q(models.Q(('owner__isnull', False), ('queue', None)), models.Q(('owner', None), ('queue__isnull', False)), _connector='OR'), name='crm_ownerdecision_owner_or_queue')],
            },
        ),
        migrations.CreateModel(
            name='MotionDecision',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('segment', models.CharField(max_length=40)),
                ('motion', models.CharField(choices=[('self_serve', 'Self-serve'), ('sales_assisted', 'Sales-assisted'), ('sales_led', 'Sales-led')], max_length=20)),
                ('engagement_policy', models.CharField(choices=[('none', 'None'), ('on_trigger', 'On trigger'), ('day_one', 'From day one')], max_length=12)),
                ('reasons', models.JSONField(default=list)),
                ('valid_from', models.DateTimeField()),
                ('valid_to', models.DateTimeField(null=True)),
                ('recorded_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='motion_decisions', to='crm.account')),
                ('policy', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='crm.segmentpolicy')),
            ],
            options={
                'constraints': [models.UniqueConstraint(condition=models.Q(('valid_to', None)), fields=('account',), name='crm_motiondecision_one_open'), models.CheckConstraint(condition=models.Q(('valid_to', None), ('valid_to__gte', models.F('valid_from')), _connector='OR'), name='crm_motiondecision_ends_after_start')],
            },
        ),
        migrations.CreateModel(
            name='Team',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('external_id', models.CharField(blank=True, max_length=200, null=True)),
                ('metadata', models.JSONField(blank=True, default=dict)),
                ('version', models.PositiveIntegerField(default=1, editable=False)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('code', models.SlugField(max_length=60, unique=True)),
                ('name', models.CharField(max_length=200)),
                ('parent', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='children', to='crm.team')),
                ('test_clock', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='shared.testclock')),
            ],
            options={
                'abstract': False,
                'constraints': [models.UniqueConstraint(fields=('external_id',), name='crm_team_external_id_once')],
            },
        ),
        migrations.AddField(
            model_name='queue',
            name='team',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='queues', to='crm.team'),
        ),
        migrations.CreateModel(
            name='TeamMembership',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('is_manager', models.BooleanField(default=False, help_text='Sees and may work everything of this team and the teams below it.')),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to='crm.team')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='team_memberships', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('team', 'user'), name='crm_teammembership_once')],
            },
        ),
        migrations.AddField(
            model_name='team',
            name='members',
            field=models.ManyToManyField(related_name='teams', through='crm.TeamMembership', to=settings.AUTH_USER_MODEL),
        ),
        migrations.CreateModel(
            name='AccountCustomer',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('valid_from', models.DateTimeField()),
                ('valid_to', models.DateTimeField(null=True)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='customer_links', to='crm.account')),
                ('customer', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='account_links', to='billing.customer')),
            ],
            options={
                'constraints': [models.UniqueConstraint(condition=models.Q(('valid_to', None)), fields=('customer',), name='crm_accountcustomer_one_account_at_a_time'), models.CheckConstraint(condition=models.Q(('valid_to', None), ('valid_to__gte', models.F('valid_from')), _connector='OR'), name='crm_accountcustomer_ends_after_start')],
            },
        ),
        migrations.CreateModel(
            name='AccountDomain',
            fields=[
                ('id', models.UUIDField(default=gtm.shared.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('domain', models.CharField(max_length=253)),
                ('is_primary', models.BooleanField(default=True)),
                ('verified_at', models.DateTimeField(blank=True, null=True)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='domains', to='crm.account')),
                ('test_clock', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='shared.testclock')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('domain', 'test_clock'), name='crm_accountdomain_once', nulls_distinct=False), models.UniqueConstraint(condition=models.Q(('is_primary', True)), fields=('account',), name='crm_accountdomain_one_primary')],
            },
        ),
    ]
