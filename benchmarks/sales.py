"""What the benchmark of the desk's pages looks at: a company's accounts with all that hangs on them, written by SQL.

Half of the accounts are owned, 500 by each rep; ten reps are a team with a queue, where a twentieth waits; the others
buy alone and are nobody's. So there are ten times the reps where there are ten times the accounts, and a rep's own book
is of the same size: what grows is what lies around it. Keys are made of the row's number, so that rows find each other.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, models, transaction
from django.db.models.fields import NOT_PROVIDED
from psycopg import sql

from billing import entities
from billing.models import Customer
from crm import policies
from crm.models import (
    Account,
    AccountCustomer,
    AccountDomain,
    Alert,
    Contact,
    Lead,
    MotionDecision,
    Opportunity,
    OpportunityEvent,
    OwnerDecision,
    Pipeline,
    Queue,
    Stage,
    Task,
    Team,
    TeamMembership,
)
from gtm.shared import db, vendors
from gtm.shared.models import Event, Role, User

BOOK = 500
TEAM = 10
CONTACTS, FACTS = 3, 10
VACUUM = "VACUUM (FREEZE, ANALYZE)"
FOUNDER, REP = "founder@vendor.example", "rep0@vendor.example"


def seed(accounts: int) -> None:
    """So many accounts, with three contacts and ten facts each, and half as many opportunities."""
    at = db.now()
    with transaction.atomic():
        _company(at, reps=max(1, accounts // 2 // BOOK))
        _accounts(accounts, at)
        _deals(accounts // 2, at)
        _work(accounts, at)
        _facts(accounts * FACTS, at)
    with connection.cursor() as cursor:
        cursor.execute(VACUUM)


def _company(at: datetime, *, reps: int) -> None:
    vendors.change(name="Vendor")
    entities.create(
        at=at,
        code="main",
        name="Vendor GmbH",
        country="DE",
        timezone="Europe/Berlin",
        address={"line1": "Hauptstr. 1", "postal_code": "10115", "city": "Berlin", "country": "DE"},
        tax_ids=["DE136695976"],
    )
    policies.install_defaults(at=at)
    User.objects.create_user(FOUNDER, name="Founder", roles=[Role.FOUNDER], is_staff=True)
    _insert(
        User,
        reps,
        id=_key("usr"),
        email="'rep' || n || '@vendor.example'",
        name="'Rep ' || n",
        roles="ARRAY['ae']",
        is_staff="true",
        password="'!'",
    )
    teams = -(-reps // TEAM)
    _insert(Team, teams, id=_key("team"), code="'team-' || n", name="'Team ' || n")
    _insert(Queue, teams, id=_key("queue"), code="'queue-' || n", name="'Queue ' || n", team_id=_key("team"))
    _insert(TeamMembership, reps, id=_key("member"), team_id=_key("team", f"n / {TEAM}"), user_id=_key("usr"))


# Every second account has an owner; of the others every tenth waits in a queue.
_OWNED, _WAITS = "n % 2 = 0", "n % 20 = 1"


def _accounts(count: int, at: datetime) -> None:
    reps, teams = (
        User.objects.filter(roles__contains=["ae"]).count(),
        Team.objects.filter(code__startswith="team-").count(),
    )
    owner = f"CASE WHEN {_OWNED} THEN {_key('usr', f'n / 2 % {reps}')} END"
    queue = f"CASE WHEN {_WAITS} THEN {_key('queue', f'n / 20 % {teams}')} END"
    motion = (
        f"CASE WHEN {_OWNED} THEN CASE WHEN n % 8 = 0 THEN 'sales_led' ELSE 'sales_assisted' END ELSE 'self_serve' END"
    )
    segment = "CASE n % 8 WHEN 0 THEN 'enterprise' WHEN 2 THEN 'mid_market' ELSE 'smb' END"
    created = f"'{at.isoformat()}'::timestamptz - (n % 700) * interval '1 day'"
    trades = "(ARRAY['Analytics','Software','Systems','Labs','Robotics','Bank'])[1 + n % 6]"
    name = f"initcap(substr(md5(n::text), 1, 7)) || ' ' || {trades}"
    _insert(
        Account,
        count,
        id=_key("acct"),
        name=name,
        name_key=f"lower({name})",
        employee_count="(n * 7919 % 2000) + 1",
        industry="(ARRAY['software','finance','retail','health'])[1 + n % 4]",
        country="(ARRAY['DE','FR','US','ID'])[1 + n % 4]",
        segment=segment,
        motion=motion,
        owner_id=owner,
        queue_id=queue,
        score="(n * 31 % 1000) / 10.0",
        created_at=created,
        updated_at=created,
    )
    _insert(AccountDomain, count, id=_key("dom"), account_id=_key("acct"), domain="'c' || n || '.example'")
    _insert(
        Contact,
        count * CONTACTS,
        id=_key("ctc"),
        account_id=_key("acct", f"n / {CONTACTS}"),
        name="initcap(substr(md5('p' || n), 1, 6)) || ' ' || initcap(substr(md5('q' || n), 1, 8))",
        name_key="substr(md5('p' || n), 1, 6) || ' ' || substr(md5('q' || n), 1, 8)",
        email=f"'p' || n || '@c' || n / {CONTACTS} || '.example'",
        title="'Head of something'",
    )
    since = {"valid_from": created, "recorded_at": created}
    by_hand = """'[{"code": "by_hand", "decision": "owner", "field": "", "value": null, "threshold": null}]'::jsonb"""
    _insert(
        MotionDecision,
        count,
        account_id=_key("acct"),
        segment=segment,
        motion=motion,
        engagement_policy="'none'",
        **since,
    )
    placed = {"owner_id": owner, "queue_id": queue, "reasons": by_hand, "where": f"{_OWNED} OR {_WAITS}"}
    _insert(OwnerDecision, count, account_id=_key("acct"), **placed, **since)
    customers = count // 10
    _insert(
        Customer,
        customers,
        id=_key("cus"),
        name="'Customer ' || n",
        email="'billing' || n || '@c' || n * 10 || '.example'",
        currency="'EUR'",
        account_id=_key("acct", "n * 10"),
    )
    _insert(AccountCustomer, customers, customer_id=_key("cus"), account_id=_key("acct", "n * 10"), valid_from=created)


def _deals(count: int, at: datetime) -> None:
    """One for each owned account: two of five open, one of five won, the others lost."""
    pipeline, stages = _pipeline()
    day = f"'{at.date().isoformat()}'::date"
    reps = User.objects.filter(roles__contains=["ae"]).count()
    opens = [stage for stage in stages if stage.type == Stage.Type.OPEN]
    won, lost = (next(stage for stage in stages if stage.type == kind) for kind in (Stage.Type.WON, Stage.Type.LOST))
    keys = ",".join(f"'{stage.pk}'" for stage in opens)
    place = f"CASE WHEN n % 5 < 2 THEN (ARRAY[{keys}]::uuid[])[1 + n % {len(opens)}]"
    place += f" WHEN n % 5 = 2 THEN '{won.pk}'::uuid ELSE '{lost.pk}'::uuid END"
    _insert(
        Opportunity,
        count,
        id=_key("opp"),
        account_id=_key("acct", "n * 2"),
        owner_id=_key("usr", f"n % {reps}"),
        name="'Deal ' || n || ' ' || substr(md5('d' || n), 1, 6)",
        name_key="'deal ' || n || ' ' || substr(md5('d' || n), 1, 6)",
        pipeline_id=f"'{pipeline.pk}'::uuid",
        stage_id=place,
        state="CASE WHEN n % 5 < 2 THEN 'open' WHEN n % 5 = 2 THEN 'won' ELSE 'lost' END",
        category="CASE WHEN n % 5 < 2 THEN 'pipeline' WHEN n % 5 = 2 THEN 'closed' ELSE 'omitted' END",
        amount="(n % 200 + 1) * 100000",
        currency="'EUR'",
        close_date=f"{day} + ((n * 13) % 180)::int - 90",
        closed_on=f"CASE WHEN n % 5 >= 2 THEN {day} - ((n * 13) % 700)::int END",
        next_step="'Call'",
        next_step_at=f"CASE WHEN n % 5 < 2 THEN {_instant(at)} + (n % 60 - 20) * interval '1 day' END",
        lost_reason_id=f"CASE WHEN n % 5 > 2 THEN '{_loss_reason()}'::uuid END",
        lost_category="CASE WHEN n % 5 > 2 THEN 'competition' ELSE '' END",
        stage_entered_at=f"{_instant(at)} - (n % 90) * interval '1 day'",
    )
    _insert(
        OpportunityEvent,
        count * 2,
        opportunity_id=_key("opp", "n / 2"),
        what="CASE WHEN n % 2 = 0 THEN 'created' ELSE 'stage' END",
        actor="'system'",
        at=f"{_instant(at)} - (n % 90) * interval '1 day'",
    )


def _pipeline() -> tuple[Pipeline, list[Stage]]:
    """The installed pipeline, or one as plain as can be."""
    pipeline = Pipeline.objects.filter(is_default=True).first() or Pipeline.objects.create(
        code="sales", name="Sales", is_default=True
    )
    if not pipeline.stages.exists():
        for position, kind in enumerate(["open"] * 6 + ["won", "lost"]):
            phase = (
                "closed" if kind != "open" else ("conversation", "funded_project", "vendor_of_choice")[position // 2]
            )
            category = {"open": "pipeline", "won": "closed", "lost": "omitted"}[kind]
            Stage.objects.create(
                pipeline=pipeline,
                code=f"s{position}",
                label=f"Stage {position}",
                phase=phase,
                category=category,
                type=kind,
                position=position,
                is_redlining=position == 5,
            )
    return pipeline, list(pipeline.stages.order_by("position"))


def _loss_reason() -> str:
    from crm.models import LossReason

    found, _made = LossReason.objects.get_or_create(
        code="rival", defaults={"label": "A rival", "category": "competition"}
    )
    return str(found.pk)


def _work(accounts: int, at: datetime) -> None:
    """A lead for every tenth account, an alert for every twentieth, a task for every fifth; a third of them open."""
    reps = User.objects.filter(roles__contains=["ae"]).count()
    _insert(
        Lead,
        accounts // 10,
        id=_key("lead"),
        kind="'contact_sales'",
        lifecycle="(ARRAY['lead','mql','sql'])[CASE WHEN n % 30 = 0 THEN 1 ELSE 2 + n % 2 END]",
        name="'Lead ' || n",
        email="'lead' || n || '@c' || n * 10 || '.example'",
        company="'Company ' || n",
        account_id=_key("acct", "n * 10"),
        owner_id=_key("usr", f"n * 5 % {reps}"),
        sla_due_at=f"{_instant(at)} + (n % 48) * interval '1 hour'",
        created_at=f"{_instant(at)} - (n % 300) * interval '1 day'",
    )
    _insert(
        Alert,
        accounts // 20,
        id=_key("alrt"),
        account_id=_key("acct", "n * 20"),
        owner_id=_key("usr", f"n * 10 % {reps}"),
        rule_code="'usage_80'",
        rule_name="'Usage above 80 %'",
        rule_version="1",
        signal_id="gen_random_uuid()",
        severity="(ARRAY['high','medium','critical'])[1 + n % 3]",
        evidence="'used 842 of 1,000 API calls (84.2 %), 9 days left in the period'",
        value_at_stake="(n % 100) * 10000",
        currency="'EUR'",
        state="CASE WHEN n % 3 = 0 THEN 'open' ELSE 'done' END",
        raised_at=f"{_instant(at)} - (n % 60) * interval '1 day'",
        updated_at=f"{_instant(at)} - (n % 60 + 1) * interval '1 day'",
    )
    _insert(
        Task,
        accounts // 5,
        id=_key("task"),
        account_id=_key("acct", "n * 2"),
        assignee_id=_key("usr", f"n % {reps}"),
        title="'Call them ' || n",
        state="CASE WHEN n % 3 = 0 THEN 'open' ELSE 'done' END",
        done_at=f"CASE WHEN n % 3 > 0 THEN {_instant(at)} - (n % 60 + 1) * interval '1 day' END",
        due_at=f"{_instant(at)} + (n % 30 - 15) * interval '1 day'",
    )


def _facts(count: int, at: datetime) -> None:
    _insert(
        Event,
        count,
        type="'crm.' || (ARRAY['account.changed','account.owner_assigned','lead.created','alert.raised'])[1 + n % 4]",
        object_type="'account'",
        object_id=_key("acct", f"n % {count // FACTS}"),
        account_id=_key("acct", f"n % {count // FACTS}"),
        actor="'system'",
        data="""'{"changed": ["employee_count"]}'::jsonb""",
        occurred_at=f"{_instant(at - timedelta(days=700))} + n * interval '1 minute' * {1_000_000 // max(count, 1)}",
    )


# --- rows by number ------------------------------------------------------------------------------
_KINDS = ("usr", "team", "queue", "member", "acct", "dom", "ctc", "cus", "opp", "lead", "alrt", "task")


def _key(kind: str, number: str = "n") -> str:
    """SQL for the key of the row of that kind and number."""
    return f"('0190{_KINDS.index(kind):04x}-0000-7000-8000-' || lpad(to_hex(({number})::bigint), 12, '0'))::uuid"


def key(kind: str, number: int) -> str:
    return f"0190{_KINDS.index(kind):04x}-0000-7000-8000-{number:012x}"


def _instant(at: datetime) -> str:
    return f"'{at.astimezone(UTC).isoformat()}'::timestamptz"


def _insert(model: type[models.Model], count: int, *, where: str = "true", **columns: str) -> None:
    """Rows 0 to ``count`` - 1, the column named by an expression in ``n``, all others as their defaults say."""
    for field in model._meta.concrete_fields:
        if field.attname in columns or field.db_default is not NOT_PROVIDED:
            continue
        if field.primary_key:
            columns[field.attname] = "uuidv7()"
        elif not field.null:
            columns[field.attname] = _literal(field)
    numbers = f"generate_series(0, {count - 1}) AS n WHERE {where}"
    with connection.cursor() as cursor:
        values = ", ".join(columns.values())
        cursor.execute(f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) SELECT {values} FROM {numbers}")


def _literal(field: "models.Field[Any, Any]") -> str:
    """The field's default as SQL; nothing stands as an empty text."""
    value = field.get_db_prep_save(field.get_default(), connection) if field.has_default() else ""
    connection.ensure_connection()
    return sql.Literal(value).as_string(connection.connection)
