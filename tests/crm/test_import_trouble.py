"""Imports and bulk edits that meet what is wrong: in a row, in a file, between two who write; and work of others."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from crm import (
    account_domains,
    accounts,
    bulk_edits,
    contacts,
    imports,
    lead_steps,
    owners,
    policies,
    policy_runs,
    tasks,
)
from crm.lists.listings import LISTINGS
from crm.models import Account, AccountDomain, Contact, FieldChange, ImportJob, Lead
from gtm.shared import db
from gtm.shared.models import Event, TestClock, User
from tests import world
from tests.crm import makers


@pytest.fixture
def ann(client: Client) -> User:
    ann = world.ann()
    makers.sales(ann, world.bob(), manager=world.max_manager())
    client.force_login(ann)
    return ann


def begun(user: User, content: str, entity: str = "account", key: str = "") -> ImportJob:
    job = imports.upload(user=user, entity=entity, filename="a.csv", content=content.encode())
    if key:
        mapping = {int(number): code for number, code in job.mapping.items()}
        imports.understand(job=job, mapping=mapping, key=key)
    return imports.start(job=job, at=db.now())


def done(user: User, content: str, entity: str = "account", key: str = "") -> ImportJob:
    job = begun(user, content, entity, key)
    imports.work(job=job)
    job.refresh_from_db()
    return job


def taken_back(job: ImportJob) -> dict[int, str]:
    """The rows that were kept, by their lines, and why."""
    imports.undo(job=job, at=db.now())
    imports.work(job=ImportJob.objects.get(pk=job.pk))
    job.refresh_from_db()
    assert job.state == "undone"
    return dict(job.rows.filter(state="kept").values_list("line", "note"))


def refused(job: ImportJob) -> dict[int, str]:
    rows = job.rows.filter(state="refused")
    return {row.line: " ".join(error["text"] for error in row.errors) for row in rows}


@pytest.mark.django_db
class TestRows:
    def test_what_only_one_may_have_stands_once_in_a_file(self, ann: User) -> None:
        accounts_job = done(ann, "id,name,domain\n1,A,acme.com\n2,B,acme.com\n3,C,c.example\n", key="external_id")
        assert refused(accounts_job) == {3: "Domain: acme.com stands in line 2 already"}
        assert (accounts_job.state, accounts_job.created) == ("done", 2)
        accounts.give(account=Account.objects.get(name="A"), owner=ann, at=db.now())
        people = done(ann, "email,name,id\na@acme.com,A,7\nb@acme.com,B,7\n", "contact")
        assert refused(people) == {3: "Your own id: 7 stands in line 2 already"}

    def test_one_that_the_database_refuses_keeps_no_other_out(self, ann: User) -> None:
        gone = makers.account()
        Account.everything.filter(pk=gone.pk).update(external_id="x1", merged_into=makers.account(domain="b.com"))
        job = done(ann, "name,domain,id\nA,a.example,x0\nB,b.example,x1\nC,c.example,x2\n")
        assert (job.state, job.created, job.position) == ("done", 2, 3)
        assert refused(job) == {3: imports.STANDS_ELSEWHERE}
        assert job.rows.count() == 3

    def test_one_that_cannot_be_put_back_keeps_no_other_from_it(self, ann: User) -> None:
        one, two = (
            accounts.give(account=makers.account(domain=name), owner=ann, at=makers.NOON)
            for name in ("one.com", "two.com")
        )
        Account.objects.filter(pk=one.pk).update(external_id="x1")
        job = done(ann, "domain,id,employees\none.com,x9,5\ntwo.com,,7\n")
        Account.objects.filter(pk=makers.account(domain="b.com").pk).update(external_id="x1")
        assert taken_back(job) == {2: imports.STANDS_ELSEWHERE}
        two.refresh_from_db()
        assert two.employee_count == 250

    def test_what_stands_on_a_test_clock_is_nothing_to_a_file(self, ann: User) -> None:
        clock = TestClock.objects.create(frozen_time=makers.NOON)
        clocked = makers.account(test_clock_id=clock.pk)
        Account.objects.filter(pk=clocked.pk).update(external_id="x1", owner=ann, queue=None)
        job = done(ann, "name,id\nRenamed,x1\n", key="external_id")
        people = done(ann, "email,name,account id\na@b.example,A,x1\n", "contact")
        assert refused(job) == {2: imports.account_intake.REFUSED}
        assert refused(people) == {2: imports.contact_intake.NO_ACCOUNT}

    def test_a_person_without_name_and_address_is_none(self, ann: User) -> None:
        accounts.give(account=makers.account(), owner=ann, at=makers.NOON)
        job = done(ann, "id,account domain,title\n7,acme.com,CFO\n", "contact", key="external_id")
        assert "a new person needs one" in refused(job)[2]


@pytest.mark.django_db
class TestJobs:
    def test_one_that_fails_says_so_and_keeps_no_other_waiting(self, ann: User, client: Client) -> None:
        broken = begun(ann, "name,domain\nA,a.example\n")
        ImportJob.objects.filter(pk=broken.pk).update(encoding="no-such-thing")
        sound = begun(ann, "name,domain\nB,b.example\n")
        with pytest.raises(LookupError):
            tasks.work_on_imports()
        broken.refresh_from_db()
        sound.refresh_from_db()
        assert (broken.state, sound.state) == ("failed", "done")
        page = client.get(f"/crm/imports/{broken.public_id}/").content.decode()
        assert "Something went wrong here." in page
        assert Event.objects.filter(type="crm.import.failed").count() == 1
        tasks.work_on_imports()  # and it is not tried again and again
        assert taken_back(broken) == {}

    def test_whoever_may_change_nothing_any_more_imports_nothing(self, ann: User) -> None:
        job = begun(ann, "name,domain\nA,a.example\n")
        User.objects.filter(pk=ann.pk).update(is_active=False)
        tasks.work_on_imports()
        job.refresh_from_db()
        assert (job.state, job.error, job.position) == ("failed", imports.MAY_NOT, 0)

    def test_a_bulk_edit_is_put_back_but_for_what_cannot_be(self, ann: User) -> None:
        made = done(ann, "name,domain\nA,a.example\nB,b.example\n")
        keys = list(made.rows.values_list("object_id", flat=True))
        Account.objects.filter(pk__in=keys).update(owner=ann, queue=None)
        job = bulk_edits.draft(listing=LISTINGS["account"], user=ann, keys=keys, code="set_industry")
        bulk_edits.start(job=job, params={"value": "Mining"}, at=db.now())
        bulk_edits.work(job=job)
        job.rows.filter(position=1).update(before={"nonsense": 1})
        bulk_edits.undo(job=job, at=db.now())
        tasks.work_on_bulk_edits()
        job.refresh_from_db()
        assert job.state == "undone"
        assert list(job.rows.order_by("position").values_list("state", flat=True)) == ["undone", "kept"]

    def test_the_file_is_read_when_it_is_worked_on_and_not_for_a_look(self, ann: User, client: Client) -> None:
        job = done(ann, "name,domain\nA,a.example\n")
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"/crm/imports/{job.public_id}/", headers={"HX-Request": "true"}).status_code == 200
        assert not [query for query in queries if '"content"' in query["sql"]]


@pytest.mark.django_db
class TestWorkOfOthers:
    def test_leads_that_were_worked_stay(self, ann: User) -> None:
        rows = "".join(f"x@c{n}.example,N{n}\n" for n in range(4))
        job = done(User.objects.get(name="Max"), f"email,name\n{rows}", "lead")
        called, again, taken, _left = Lead.objects.order_by("email")
        lead_steps.answer(lead=called, at=db.now())
        lead_steps.transition(lead=again, to="rejected", reason="No budget", at=db.now())
        lead_steps.transition(lead=again, to="lead", at=db.now())  # and waits for an answer again
        assert taken.account is not None
        owners.give(account=taken.account, owner=world.otto(), at=db.now())
        assert taken_back(job) == dict.fromkeys((2, 4), imports.CHANGED_SINCE) | {3: imports.HANGS_ON}
        assert Lead.objects.count() == 3

    def test_each_lead_is_a_transaction_of_its_own(self, ann: User) -> None:
        job = begun(User.objects.get(name="Max"), "email,name\na@z.example,A\nb@a.example,B\n", "lead")
        assert imports.work(job=job, batches=1) == 1
        assert Lead.objects.count() == 1

    def test_accounts_that_somebody_took_or_verified_stay(self, ann: User) -> None:
        job = done(ann, "name,domain\nA,a.example\nB,b.example\nC,c.example\n")
        owners.give(account=Account.objects.get(name="A"), owner=world.otto(), at=db.now())
        account_domains.verify(domain=AccountDomain.objects.get(domain="b.example"), at=db.now())
        assert taken_back(job) == {2: imports.CHANGED_SINCE, 3: imports.CHANGED_SINCE}

    def test_the_undoing_takes_the_pools_before_the_accounts(self, ann: User) -> None:
        job = done(ann, "name,domain\nA,a.example\n")
        imports.undo(job=job, at=db.now())
        with CaptureQueriesContext(connection) as queries:
            imports.work(job=job)
        locks = [query["sql"] for query in queries if "FOR NO KEY UPDATE" in query["sql"]]
        tables = [sql.split('FROM "')[1].split('"')[0] for sql in locks]
        assert tables.index("crm_pool") < tables.index("crm_account")

    def test_a_persons_history_goes_along_to_another_account(self, ann: User) -> None:
        lead, other = makers.lead(), makers.account(domain="other.com")
        assert lead.contact is not None
        contacts.change(contact=lead.contact, at=db.now(), title="CFO")
        lead_steps.accept(lead=lead, at=db.now(), qualification=makers.QUALIFIED, account=other)
        assert Contact.objects.get(pk=lead.contact.pk).account == other
        told = FieldChange.objects.filter(object_id=lead.contact.pk)
        assert set(told.values_list("account", flat=True)) == {other.pk}


@pytest.mark.django_db(transaction=True)
def test_what_waits_for_another_in_vain_is_tried_again() -> None:
    """A lock that is not to be had is an OperationalError, as a deadlock is."""
    ann = world.ann()
    makers.sales(ann, world.bob())
    job = begun(ann, "name,domain\nA,a.example\n")
    makers.account()
    at = db.now()
    bands: dict[str, Any] = {"segments": policies.INSTALLED_SEGMENTS, "employee_bounds": [10, 20]}
    run = policy_runs.apply(policy=policies.draft_policy(at=at, name="Next", **bands), at=at)
    other: Any = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT 1 FROM crm_pool FOR UPDATE")
            cursor.execute("SELECT 1 FROM crm_account FOR UPDATE")
            with connection.cursor() as mine:
                mine.execute("SET lock_timeout = '20ms'")
            with pytest.raises(Exception, match="lock timeout"):
                tasks.work_on_imports()
            tasks.work_off_runs()
            cursor.execute("ROLLBACK")
    finally:
        other.close()
        connection.close()
    job.refresh_from_db()
    run.refresh_from_db()
    assert (job.is_working, run.error) == (True, "")
    tasks.work_on_imports()
    tasks.work_off_runs()
    job.refresh_from_db()
    run.refresh_from_db()
    assert (job.state, job.created, run.state) == ("done", 1, "done")
