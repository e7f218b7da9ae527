"""Imports: what rows come to, in batches, once, with reasons by line; and taken back."""

import csv
import io
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from crm import accounts, contacts, imports, tasks
from crm.models import Account, AccountDomain, Contact, FieldChange, ImportJob, ImportRow, Lead
from gtm.shared import db
from gtm.shared.models import Event, User
from tests import world
from tests.crm import makers

HEADER = "Company,Website,Employees,Country\n"


@pytest.fixture
def ann(client: Client) -> User:
    ann = world.ann()
    makers.sales(ann, world.bob())
    client.force_login(ann)
    return ann


def taken_in(user: User, rows: str, header: str = HEADER) -> ImportJob:
    job = imports.upload(user=user, entity="account", filename="a.csv", content=(header + rows).encode())
    imports.start(job=job, at=db.now())
    imports.work(job=job)
    return ImportJob.objects.get(pk=job.pk)


def counts(job: ImportJob) -> tuple[int, int, int, int]:
    return (job.created, job.updated, job.skipped, job.refused)


def reasons(job: ImportJob) -> dict[int, str]:
    rows = job.rows.filter(state="refused").order_by("position")
    return {row.line: " ".join(error["text"] for error in row.errors) for row in rows}


@pytest.mark.django_db
class TestAccounts:
    def test_rows_make_change_and_leave_accounts(self, ann: User) -> None:
        known = accounts.give(account=makers.account(), owner=ann, at=makers.NOON)
        Account.objects.filter(pk=known.pk).update(name="Acme", name_key="acme", employee_count=250)
        job = taken_in(
            ann, "Acme,acme.com,,DE\nNew,new.example,70,\nBad,,x,Nowhere\nTwin,https://www.new.example/,1,\n"
        )
        assert (job.state, counts(job)) == ("done", (1, 1, 0, 2))
        known.refresh_from_db()
        assert (known.name, known.employee_count, known.country) == ("Acme", 250, "DE")  # empty overwrites nothing
        assert reasons(job) == {
            4: "Employees: “x” is no number of employees Country: “Nowhere” is no country: "
            "give its name or its code, such as DE",
            5: "Domain: new.example stands in line 3 already",
        }
        new = Account.objects.get(name="New")
        assert (new.first_source, new.segment, new.domains.get().domain) == ("import", "smb", "new.example")
        assert new.queue is not None or new.owner is not None
        assert {"crm.account.created", "crm.account.motion_decided", "crm.account.owner_assigned"} <= set(
            Event.objects.filter(account_id=new.pk).values_list("type", flat=True)
        )
        assert FieldChange.objects.get(object_id=known.pk, field="country", source="import").new == "DE"
        again = taken_in(ann, "Acme,acme.com,,DE\n")
        assert counts(again) == (0, 0, 1, 0)

    def test_new_accounts_are_spread_evenly_by_the_rules(self, ann: User) -> None:
        taken_in(ann, "".join(f"C{n},c{n}.example,300,\n" for n in range(6)))
        owners = Account.objects.filter(name__startswith="C").values_list("owner__name", flat=True)
        assert sorted(owners) == ["Ann"] * 3 + ["Bob"] * 3

    def test_what_is_somebody_elses_discloses_nothing(self, ann: User) -> None:
        his = accounts.give(account=makers.account(), owner=User.objects.get(name="Bob"), at=makers.NOON)
        accounts.change(account=his, at=makers.NOON, external_id="crm-1")
        job = taken_in(ann, "X,acme.com,1,\n")
        other = taken_in(ann, "X,x.example,crm-1\n", header="name,domain,id\n")
        assert set(reasons(job).values()) == set(reasons(other).values()) == {imports.account_intake.REFUSED}
        his.refresh_from_db()
        assert his.name == "acme.com"
        assert not Account.objects.filter(name="X").exists()

    def test_a_killed_worker_goes_on_where_it_was(self, ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(imports.account_intake, "BATCH", 2)
        content = (HEADER + "".join(f"C{n},c{n}.example,,\n" for n in range(5))).encode()
        job = imports.upload(user=ann, entity="account", filename="a.csv", content=content)
        imports.start(job=job, at=db.now())
        assert imports.work(job=job, batches=1) == 1
        job.refresh_from_db()
        assert (job.state, job.position) == ("running", 2)
        tasks.work_on_imports()
        job.refresh_from_db()
        assert (job.state, job.position, job.created) == ("done", 5, 5)
        assert list(job.rows.order_by("position").values_list("line", flat=True)) == [2, 3, 4, 5, 6]
        assert AccountDomain.objects.filter(domain__endswith=".example").count() == 5

    def test_an_import_is_taken_back_row_by_row(self, ann: User) -> None:
        known = accounts.give(account=makers.account(), owner=ann, at=makers.NOON)
        other = accounts.give(account=makers.account(domain="other.com"), owner=ann, at=makers.NOON)
        rows = "Acme,acme.com,9,\nOther,other.com,9,\nA,a.example,300,\nB,b.example,,\nC,c.example,,\n"
        job = taken_in(ann, rows)
        accounts.change(account=Account.objects.get(pk=other.pk), at=db.now(), name="Renamed")
        accounts.change(account=Account.objects.get(name="B"), at=db.now(), employee_count=5)
        makers.lead(email="x@c.example", employee_count=None, at=db.now())
        imports.undo(job=job, at=db.now())
        imports.work(job=job)
        job.refresh_from_db()
        assert (job.state, job.undone, job.kept) == ("undone", 5, 3)
        notes = dict(job.rows.filter(state="kept").values_list("line", "note"))
        assert notes == {3: imports.CHANGED_SINCE, 5: "It was changed since.", 6: imports.HANGS_ON}
        known.refresh_from_db()
        assert (known.name, known.employee_count) == ("acme.com", 250)
        assert not Account.objects.filter(name="A").exists()
        assert Lead.objects.filter(account__name="C").exists()
        assert ImportRow.objects.filter(job=job, state="removed").count() == 1
        assert Event.objects.filter(type__in=["crm.import.undone", "crm.account.removed"]).count() == 2

    def test_no_row_is_a_query_of_its_own(self, ann: User, django_assert_max_num_queries: Any) -> None:
        content = (HEADER + "".join(f"C{n},c{n}.example,7,DE\n" for n in range(40))).encode()
        job = imports.upload(user=ann, entity="account", filename="a.csv", content=content)
        imports.start(job=job, at=db.now())
        with django_assert_max_num_queries(75):
            imports.work(job=job)
        imports.undo(job=job, at=db.now())
        with django_assert_max_num_queries(75):
            imports.work(job=job)


@pytest.mark.django_db
class TestContacts:
    def test_people_come_to_the_accounts_that_their_rows_name(
        self, ann: User, django_assert_max_num_queries: Any
    ) -> None:
        acme = accounts.give(account=makers.account(), owner=ann, at=makers.NOON)
        accounts.change(account=acme, at=makers.NOON, name="Acme")
        his = makers.account(domain="his.com")
        accounts.give(account=his, owner=User.objects.get(name="Bob"), at=makers.NOON)
        rows = [
            "cora@acme.com,Cora Öz,CFO,,",
            "new@acme.com,Neo,,champion,",
            "free@gmail.com,Fred,,,Acme",
            "cora@his.com,Cora,,,",
            "x@his.com,Xenia,,,",
            "x@unknown.example,Nobody,,,",
            "y@acme.com,,,Emperor,",
        ]
        header = "E-mail,Name,Job title,Buying role,Company\n"
        content = (header + "\n".join(rows)).encode()
        job = imports.upload(user=ann, entity="contact", filename="p.csv", content=content)
        imports.start(job=job, at=db.now())
        with django_assert_max_num_queries(45):
            imports.work(job=job)
        job.refresh_from_db()
        assert counts(job) == (2, 1, 0, 4)
        assert {line: why.partition(":")[0] for line, why in reasons(job).items()} == {
            5: imports.account_intake.REFUSED,
            6: "No account of that company is known. Import the company first.",
            7: "No account of that company is known. Import the company first.",
            8: "Buying role",
        }
        people = {contact.email: contact for contact in Contact.objects.filter(account=acme)}
        assert sorted(people) == ["cora@acme.com", "free@gmail.com", "new@acme.com"]
        assert (people["cora@acme.com"].title, people["new@acme.com"].buying_role) == ("CFO", "champion")
        assert people["cora@acme.com"].name_key == "cora oz cora@acme.com"

        contacts.change(contact=people["new@acme.com"], at=db.now(), phone="1")
        imports.undo(job=job, at=db.now())
        imports.work(job=job)
        job.refresh_from_db()
        assert (job.state, job.kept) == ("undone", 1)
        left = dict(Contact.objects.filter(account=acme).values_list("email", "title"))
        assert left == {"cora@acme.com": "", "new@acme.com": ""}


@pytest.mark.django_db
class TestLeads:
    def test_each_new_person_is_a_lead_that_is_routed(self, ann: User) -> None:
        makers.lead(email="known@acme.com")
        rows = "known@acme.com,Known,,\nnew@big.example,Nia,Big,300\nbad,Bad,,\n@,,,"
        content = ("Email,Name,Company,Employees\n" + rows).encode()
        job = imports.upload(user=world.max_manager(), entity="lead", filename="l.csv", content=content)
        imports.start(job=job, at=db.now())
        imports.work(job=job)
        job.refresh_from_db()
        assert (job.created, job.refused) == (1, 3)
        lead = Lead.objects.get(email="new@big.example")
        assert (lead.source, lead.company, lead.owner is not None) == ("import", "Big", True)
        imports.undo(job=job, at=db.now())
        imports.work(job=job)
        assert not Lead.objects.filter(email="new@big.example").exists()
        job.refresh_from_db()
        assert (job.state, job.kept) == ("undone", 0)


@pytest.mark.django_db
class TestPages:
    def test_a_file_is_looked_at_mapped_and_imported(self, ann: User, client: Client) -> None:
        file = SimpleUploadedFile("list.csv", "Firma;Netz;Zahl\nMüller;m.example;7\n;;x\n".encode("cp1252"))
        url = client.post("/crm/imports/", {"entity": "account", "file": file})["Location"]
        page = client.get(url).content.decode()
        assert "2 rows. Read as Latin-1 (Windows-1252), with a semicolon between the cells." in page
        assert "Say which column holds what the rows are known by" in page
        assert client.post(f"{url}start/", follow=True).status_code == 200
        assert ImportJob.objects.get().state == "draft"
        said = {"column-0": "name", "column-1": "domain", "column-2": "employee_count", "key": "domain"}
        assert client.post(url, {**said, "column-2": "name"}).status_code == 422
        client.post(url, said)
        page = client.get(url).content.decode()
        for words in ("Müller", "m.example", ">new<", "refused", "is no number of employees"):
            assert words in page, words
        client.post(f"{url}start/")
        tasks.work_on_imports()
        page = client.get(url).content.decode()
        assert "Line 3" in page
        refused: Any = client.get(f"{url}refused/")
        lines = list(csv.reader(io.StringIO(b"".join(refused.streaming_content).decode("utf-8-sig"))))
        assert lines[0] == ["Firma", "Netz", "Zahl", "Line", "Why"]
        assert lines[1][:4] == ["", "", "x", "3"]
        client.post(f"{url}undo/")
        tasks.work_on_imports()
        assert not Account.objects.filter(name="Müller").exists()
        again = SimpleUploadedFile("list.csv", b"Netz,Zahl\na.example,1\n")
        url = client.post("/crm/imports/", {"entity": "account", "file": again})["Location"]
        assert ImportJob.objects.order_by("-pk")[0].mapping == {"0": "domain", "1": "employee_count"}  # remembered
        client.post(f"{url}discard/")
        assert ImportJob.objects.count() == 1

    def test_what_is_no_table_is_told(self, ann: User, client: Client) -> None:
        for content, words in ((b"", "empty"), (b"a,b\n", "no row below"), (b'a\n"x', "quotation mark")):
            answer = client.post("/crm/imports/", {"entity": "account", "file": SimpleUploadedFile("x.csv", content)})
            assert (answer.status_code, words in answer.content.decode()) == (422, True)

    def test_an_import_is_its_users_alone(self, ann: User, client: Client) -> None:
        job = taken_in(ann, "A,a.example,,\n")
        for user in (world.otto(), world.fay()):
            client.force_login(user)
            assert "a.csv" not in client.get("/crm/imports/").content.decode()
            assert client.get(f"/crm/imports/{job.public_id}/").status_code == 404
            assert client.get(f"/crm/imports/{job.public_id}/refused/").status_code == 404
            for step in ("start", "undo", "discard"):
                assert client.post(f"/crm/imports/{job.public_id}/{step}/").status_code == 404
