"""Lists: filters in the address, views, pages, cells edited in place, bulk edits, exports; and to whom."""

import base64
import csv
import io
import json
from typing import Any

import pytest
from django.http import QueryDict
from django.test import Client
from django.urls import reverse

from crm import accounts, bulk_edits
from crm.lists import cells, paging, reading
from crm.lists.listings import LISTINGS
from crm.models import Account, BulkJob, BulkRow, Contact, Lead, SavedView, Stage
from gtm.shared import db, ids
from gtm.shared.models import Event, User
from tests import world
from tests.crm import makers

HTMX = {"HX-Request": "true"}
LIST = "/crm/accounts/"


@pytest.fixture
def ann(client: Client) -> User:
    """Ann, in the team and the pool of sales with Bob, signed in."""
    ann = world.ann()
    makers.sales(ann, world.bob(), manager=world.max_manager())
    client.force_login(ann)
    return ann


def owned(owner: User, *names: str, **fields: Any) -> list[Account]:
    """Accounts without more ado, as an import could leave them."""
    return [
        Account.objects.create(name=name, name_key=accounts.fold(name), owner=owner, segment="smb", **fields)
        for name in names
    ]


def names(answer: Any) -> list[str]:
    return [row["object"].name for row in answer.context["rows"]]


def text(answer: Any) -> str:
    return str(answer.content.decode())


class TestCells:
    @pytest.mark.parametrize(
        ("cell", "plain"),
        [
            (cells.text("=SUM(A1)"), "'=SUM(A1)"),
            (cells.text("+49"), "'+49"),
            (cells.text("-x"), "'-x"),
            (cells.text("@me"), "'@me"),
            (cells.text("\tx"), "'\tx"),
            (cells.text("Acme, Inc."), "Acme, Inc."),
            (cells.number(-5), "-5"),
            (cells.money(123456, "USD"), "1234.56"),
            (cells.money(1000, "JPY"), "1000"),
            (cells.NOTHING, ""),
        ],
    )
    def test_an_export_holds_figures_as_figures_and_no_formula(self, cell: cells.Cell, plain: str) -> None:
        assert cell.plain == plain

    def test_one_query_is_the_same_however_it_is_written(self) -> None:
        assert reading.canonical("a=1&b=2&at=x") == reading.canonical("b=2&a=1")
        assert reading.canonical("a=1") != reading.canonical("a=2")


@pytest.mark.django_db
class TestPages:
    def test_every_row_stands_on_one_page_forth_and_back(self, ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
        owned(ann, *(f"Company {n:02}" for n in range(7)), score=5)
        owned(ann, "Bare", "Zero")
        listing = LISTINGS["account"]

        def walk(sort: str) -> list[str]:
            read = reading.read(listing, ann, QueryDict(f"sort={sort}"), db.now())
            at, forth, back = None, [], []
            while True:
                page = paging.page(read.rows, read.sort, descending=read.descending, at=at, size=2)
                assert page.position == len(forth)
                forth += [row.name for row in page.rows]
                if page.next is None:
                    break
                at = paging.place(str(page.next), read.sort)
            while page.previous:
                at = paging.place(str(page.previous), read.sort)
                page = paging.page(read.rows, read.sort, descending=read.descending, at=at, size=2)
                back = [row.name for row in page.rows] + back
            assert [*back, *forth[len(back) :]] == forth
            return forth

        for sort in ("name", "score", "employee_count", "created"):
            forth = walk(sort)
            assert len(set(forth)) == len(forth) == 9
            assert walk(f"-{sort}") == forth[::-1]

    def test_rows_are_counted_up_to_a_point(self, ann: User, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        owned(ann, "A", "B", "C")
        assert "1 to 3 of 3" in text(client.get(LIST))
        monkeypatch.setattr(paging, "MOST", 2)
        assert "1 to 3 of more than 2" in text(client.get(LIST))

    def test_nonsense_in_the_address_is_passed_over(self, ann: User, client: Client) -> None:
        owned(ann, "A")
        for query in (
            "at=junk",
            "at=WzEsMl0",
            "score_min=x",
            "owner=usr_x",
            "column=x",
            "view=x",
            "q=%00%27%5C",
            "sort=-",
            *(f"sort=name&at={self.place(key)}" for key in ("a\0b", "\ud800")),
            f"at={self.place(position=float('inf'))}",
        ):
            assert client.get(f"{LIST}?{query}").status_code == 200, query
        url = f"{LIST}{Account.objects.get().public_id}/domains/%00/"
        assert client.post(url, {"step": "verify"}).status_code == 404

    def place(self, key: str = "a", position: float = 0) -> str:
        said = json.dumps([key, str(ids.uuid7()), position, 0])
        return base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")

    def test_the_pages_of_a_long_list_read_a_range_of_an_index(self, ann: User) -> None:
        sort = LISTINGS["account"].sorts["score"]
        at = paging.Place("5", ids.uuid7())
        rows = paging.ordered(Account.objects.all(), sort, descending=True).filter(
            paging._beyond(sort, at, descending=True)
        )
        with db.connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        plan = rows[:50].explain()
        assert "crm_account_by_score" in plan
        assert "Index Cond: (ROW(" in plan


@pytest.mark.django_db
class TestFilters:
    def test_each_filter_is_a_chip_that_can_be_taken_away(self, ann: User, client: Client) -> None:
        owned(ann, "Big", employee_count=500, score=80)
        owned(ann, "Small", employee_count=5, score=20)
        page = client.get(f"{LIST}?score_min=70&employees_min=100&owner=me&sort=-score")
        assert names(page) == ["Big"]
        chips = {str(chip.label): (chip.value, chip.without) for chip in page.context["chips"]}
        assert chips["Score from"] == ("70", "employees_min=100&owner=me&sort=-score")
        assert chips["Owner"][0] == "Me"

    def test_the_default_views_find_what_they_name(self, ann: User, client: Client) -> None:
        hot, _cold = owned(ann, "Hot", score=85), owned(ann, "Cold", score=10)
        makers.alert(account=hot[0], rule_code="usage_over_80")
        tabs = {tab.label: tab.query for tab in client.get(LIST).context["tabs"]}
        assert list(tabs) == [
            "", "My accounts", "Hot PQLs", "Over 80 %", "No next step", "Renewal ≤ 90 d", "Dead zone", "Unowned",
        ]  # fmt: skip
        assert names(client.get(f"{LIST}?{tabs['Hot PQLs']}")) == ["Hot"]
        assert names(client.get(f"{LIST}?{tabs['Over 80 %']}")) == ["Hot"]
        assert names(client.get(f"{LIST}?{tabs['No next step']}")) == ["Cold", "Hot"]
        for label in ("Renewal ≤ 90 d", "Dead zone", "Unowned"):
            assert names(client.get(f"{LIST}?{tabs[label]}")) == [], label

    def test_words_are_found_at_the_beginning_of_words(self, ann: User, client: Client) -> None:
        owned(ann, "Café Müller GmbH", "Mills & Sons")
        for query, found in {"muller caf": 1, "mil": 1, "ller": 0, "gmbh mill": 0, "'&!": 2}.items():
            assert len(names(client.get(LIST, {"q": query}))) == found, query


@pytest.mark.django_db
class TestViews:
    def test_a_view_is_kept_shared_pinned_and_deleted(self, ann: User, client: Client) -> None:
        said = {"name": "Big ones", "query": "employees_min=100&column=owner", "audience": "team", "pinned": "on"}
        answer = client.post("/crm/lists/account/views/", said)
        assert answer["Location"] == f"{LIST}?employees_min=100&column=owner"
        view = SavedView.objects.get()
        assert [tab.label for tab in client.get(answer["Location"]).context["tabs"] if tab.is_current] == ["Big ones"]

        client.force_login(User.objects.get(name="Bob"))
        assert "Big ones" in text(client.get(LIST))
        assert client.post(f"/crm/views/{view.public_id}/", {"do": "delete"}).status_code == 404
        client.force_login(world.otto())
        assert "Big ones" not in text(client.get(LIST))
        assert client.post("/crm/lists/account/views/", said, follow=True).status_code == 200
        assert SavedView.objects.count() == 1  # Otto is in no team

        client.force_login(ann)
        client.post(f"/crm/views/{view.public_id}/", {"do": "unpin"})
        page = client.get(LIST)
        assert [tab.label for tab in page.context["more_views"]] == ["Big ones"]
        client.post(f"/crm/views/{view.public_id}/", {"do": "delete"})
        assert not SavedView.objects.exists()


@pytest.mark.django_db
class TestEdits:
    def test_a_cell_is_changed_in_place_by_one_operation(self, ann: User, client: Client) -> None:
        (account,) = owned(ann, "Acme")
        url = f"/crm/lists/account/{account.public_id}/country/"
        form = text(client.get(url, headers=HTMX))
        assert 'name="version" value="1"' in form
        answer = client.post(url, {"value": "DE", "version": "1"}, headers=HTMX)
        assert "DE" in text(answer)
        assert "<form" not in text(answer)
        assert Event.objects.filter(type="crm.account.changed", data__country="DE").count() == 1

        stale = client.post(url, {"value": "FR", "version": "1"}, headers=HTMX)
        account.refresh_from_db()
        assert (stale.status_code, account.country) == (422, "DE")
        assert "changed meanwhile" in text(stale)
        assert f'name="version" value="{account.version}"' in text(stale)
        refused = client.post(url, {"value": "XX", "version": str(account.version)}, headers=HTMX)
        assert (refused.status_code, 'role="alert"' in text(refused)) == (422, True)
        assert client.post(url, {"value": "FR", "version": str(account.version)}).status_code == 302  # without scripts
        assert "<h1>Acme</h1>" in text(client.get(url))

    def test_the_owner_is_given_by_its_operation(self, ann: User, client: Client) -> None:
        (account,) = owned(ann, "Acme")
        url = f"/crm/lists/account/{account.public_id}/owner/"
        bob = User.objects.get(name="Bob")
        assert "Bob" in text(client.get(url, headers=HTMX))
        client.post(url, {"value": bob.public_id, "version": "1"}, headers=HTMX)
        account.refresh_from_db()
        assert account.owner == bob


@pytest.mark.django_db
class TestBulk:
    def edit(self, client: Client, rows: list[Account], action: str, **params: str) -> BulkJob:
        said = {"row": [row.public_id for row in rows], "action": action}
        url = client.post("/crm/lists/account/bulk/", said)["Location"]
        assert client.get(url).status_code == 200
        client.post(url, params)
        return BulkJob.objects.get(pk=ids.decode(url.split("/")[-2], prefix="bulk"))

    def test_many_are_given_to_somebody_and_back(self, ann: User, client: Client) -> None:
        rows, bob = owned(ann, "A", "B", "C"), User.objects.get(name="Bob")
        owned(ann, "Not meant")
        client.force_login(User.objects.get(name="Max"))
        job = self.edit(client, rows, "assign", owner=bob.public_id)
        assert (job.state, job.total, job.refused) == ("done", 3, 0)
        assert Account.objects.filter(owner=bob).count() == 3
        accounts.give(account=rows[0], owner=User.objects.get(name="Max"), at=db.now())
        client.post(f"/crm/bulk/{job.public_id}/undo/")
        page = text(client.get(f"/crm/bulk/{job.public_id}/"))
        assert "Somebody else was given it since." in page
        assert sorted(str(row.owner) for row in Account.objects.filter(name__in="ABC")) == ["Ann", "Ann", "Max"]
        assert Event.objects.filter(type__startswith="crm.bulk_edit.").count() == 2

    def test_what_refuses_says_so_and_keeps_nobody_else(self, ann: User, client: Client) -> None:
        rows = [*owned(ann, "A", "B"), *owned(User.objects.get(name="Bob"), "His")]
        job = bulk_edits.draft(
            listing=LISTINGS["account"], user=ann, keys=[row.pk for row in rows], code="set_employee_count"
        )
        assert bulk_edits.preview(job) == bulk_edits.Preview(may=2, may_not=1)
        bulk_edits.start(job=job, params={"value": "70"}, at=db.now())
        assert bulk_edits.work(job=job, limit=1) == 1  # and there its worker was killed
        bulk_edits.work(job=job)
        job.refresh_from_db()
        assert (job.state, job.position, job.refused) == ("done", 3, 1)
        assert list(Account.objects.order_by("name").values_list("employee_count", flat=True)) == [70, 70, None]
        assert job.rows.get(state=BulkRow.State.REFUSED).error == "You may not change this one."

    def test_deals_are_lost_together_with_their_reason(self, ann: User, client: Client) -> None:
        (account,) = owned(ann, "Acme")
        deal = makers.opportunity(account=account, owner=ann, at=db.now())
        client.force_login(ann)
        said = {"row": [deal.public_id], "action": "move"}
        url = client.post("/crm/lists/opportunity/bulk/", said)["Location"]
        lost = Stage.objects.get(pipeline=deal.pipeline, type="lost").public_id
        assert client.post(url, {"stage": lost}).status_code == 422
        client.post(url, {"stage": lost, "lost_reason": "competitor_won", "competitor": "Rival"})
        deal.refresh_from_db()
        assert (deal.state, deal.competitor) == ("lost", "Rival")

    def test_all_of_the_list_are_those_that_its_address_finds(self, ann: User, client: Client) -> None:
        owned(ann, *(f"C{n}" for n in range(30)), employee_count=5)
        owned(ann, "Big", employee_count=500)
        said = {"all": "1", "query": "employees_max=100", "action": "set_industry"}
        url = client.post("/crm/lists/account/bulk/", said)["Location"]
        client.post(url, {"value": "Mining"})
        job = BulkJob.objects.get()
        assert (job.total, job.state) == (30, "queued")  # the workers' work
        from crm import tasks

        tasks.work_on_bulk_edits()
        assert Account.objects.filter(industry="Mining").count() == 30
        assert "30 of 30 rows" in text(client.get(url, headers=HTMX))

    def test_rows_are_put_into_a_view_and_alerts_snoozed(self, ann: User, client: Client) -> None:
        rows = owned(ann, "A", "B", "C")
        self.edit(client, rows[:2], "add_to_view", name="Picked")
        view = SavedView.objects.get()
        assert names(client.get(f"{LIST}?{view.query}")) == ["A", "B"]
        alert = makers.alert(account=rows[0], at=db.now())
        job = self.edit(client, rows, "snooze", days="3")
        alert.refresh_from_db()
        assert (alert.state, job.rows.filter(state="same").count()) == ("snoozed", 2)
        assert client.post("/crm/lists/account/bulk/", {"action": "assign"}, follow=True).status_code == 200


@pytest.mark.django_db
class TestExports:
    def test_an_export_holds_what_the_list_shows(
        self, ann: User, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(paging, "CHUNK", 2)
        owned(ann, "=HYPERLINK(1)", "Acme, Inc.", "B", "C", "D", employee_count=7)
        owned(User.objects.get(name="Bob"), "His")
        answer: Any = client.get("/crm/lists/account/export/?column=employee_count&column=owner&employees_min=1")
        assert answer.streaming
        lines = list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode("utf-8-sig"))))
        assert lines[0] == ["Account", "Owner", "Employees"]
        assert lines[1:] == [[name, "Ann", "7"] for name in ("'=HYPERLINK(1)", "Acme, Inc.", "B", "C", "D")]


@pytest.mark.django_db
class TestAccess:
    def test_others_rows_are_nowhere(self, ann: User, client: Client) -> None:
        (account,) = owned(ann, "Acme")
        view = SavedView.objects.create(entity="account", name="Mine", owner=ann)
        job = bulk_edits.draft(listing=LISTINGS["account"], user=ann, keys=[account.pk], code="assign")
        bulk_edits.start(job=job, params={"owner": ann.public_id}, at=db.now())
        for user in (world.otto(), User.objects.get(name="Bob")):
            client.force_login(user)
            for url in (
                f"/crm/lists/account/{account.public_id}/country/",
                f"/crm/bulk/{job.public_id}/",
                "/crm/lists/nothing/export/",
            ):
                assert client.get(url).status_code == 404, url
            for url in (
                f"/crm/lists/account/{account.public_id}/country/",
                f"/crm/bulk/{job.public_id}/undo/",
                f"/crm/views/{view.public_id}/",
                "/crm/lists/nothing/bulk/",
            ):
                assert client.post(url, {"value": "DE", "version": "1"}).status_code == 404, url
            exported: Any = client.get("/crm/lists/account/export/")
            assert b"Acme" not in b"".join(exported.streaming_content)
            client.post("/crm/lists/account/bulk/", {"row": account.public_id, "action": "assign"})
            assert not BulkJob.objects.filter(user=user).exists()
            assert names(client.get(f"{LIST}?view={view.public_id}")) == []
        client.logout()
        assert "/account/login/" in client.get("/crm/lists/account/export/")["Location"]


@pytest.mark.django_db
class TestEveryList:
    def test_each_shows_sorts_filters_edits_and_exports(self, ann: User, client: Client) -> None:
        """One journey through all of them; what is said of accounts above holds for each by the same code."""
        account = makers.account()
        accounts.give(account=account, owner=ann, at=makers.NOON)
        contact = Contact.objects.get()
        deal = makers.opportunity(account=account, owner=ann, at=db.now())
        for entity, row in (("contact", contact), ("lead", Lead.objects.get()), ("opportunity", deal)):
            listing = LISTINGS[entity]
            url = reverse(listing.page)
            for view in listing.views:
                assert client.get(f"{url}?{view.query}").status_code == 200, (entity, view.code)
            for sort in listing.sorts:
                assert str(row) in text(client.get(f"{url}?sort=-{sort}")), (entity, sort)
            every = "&".join(f"column={column.code}" for column in listing.columns)
            exported: Any = client.get(f"/crm/lists/{entity}/export/?{every}")
            assert len(b"".join(exported.streaming_content).splitlines()) == 2
            for column in listing.columns:
                cell = client.get(f"/crm/lists/{entity}/{row.public_id}/{column.code}/", headers=HTMX)
                assert cell.status_code == (200 if column.edit else 404), (entity, column.code)
            client.force_login(User.objects.get(name="Bob"))
            assert names_of(client.get(url)) == []
            client.force_login(ann)

    def test_cells_of_deals_and_people_are_written_by_their_operations(self, ann: User, client: Client) -> None:
        account = accounts.give(account=makers.account(), owner=ann, at=makers.NOON)
        contact, deal = Contact.objects.get(), makers.opportunity(account=account, owner=ann, at=db.now())

        def write(entity: str, row: Any, column: str, value: str) -> int:
            row.refresh_from_db()
            said = {"value": value, "version": str(row.version)}
            answer = client.post(f"/crm/lists/{entity}/{row.public_id}/{column}/", said, headers=HTMX)
            row.refresh_from_db()
            return answer.status_code

        assert write("opportunity", deal, "amount", "1250.50") == 200
        assert write("opportunity", deal, "amount", "1.005") == 422
        assert write("opportunity", deal, "next_step_at", "2027-01-05") == 200
        assert write("opportunity", deal, "next_step", "") == 422
        assert (deal.amount, deal.next_step_at.date().isoformat()) == (125050, "2027-01-05")
        assert write("contact", contact, "phone", "+49 30 1") == 200
        assert write("contact", contact, "email", "not one") == 422
        assert contact.phone == "+49 30 1"


def names_of(answer: Any) -> list[str]:
    return [str(row["object"]) for row in answer.context["rows"]]
