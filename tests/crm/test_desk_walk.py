"""The walk of the desk: every address of it, from the resolver, asked about another rep's account.

Ann's account and all that hangs on it has "Geheim" in its names. Otto is a rep of another team: what names Ann's things
is not there for him, and no list, search, export or board of his shows one. Vera reads everything and works nothing:
she is refused every write. Whatever they send, Ann's rows stay as they are. A new address fails here until it is said
below what its names stand for.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models import Model
from django.test import Client

from crm import bulk_edits, hand_overs, imports, leaves, owners, risks, scopes, stakeholders
from crm.lists.listings import LISTINGS
from crm.models import (
    Account,
    Call,
    EmailMessage,
    HeldLead,
    MergeLog,
    Note,
    Notification,
    SavedView,
    StageRequirement,
    Suggestion,
    Task,
    Team,
    TeamMembership,
)
from gtm.shared import db
from gtm.shared.models import User
from tests import world
from tests.api.test_walk import caller, place, routes
from tests.backoffice import signed_in
from tests.billing import makers as billing_makers
from tests.crm import makers

pytestmark = pytest.mark.django_db

MARK = "Geheim"
ADDRESSES = sorted({route for route in routes() if place(route) in {"crm", "today"}})
LISTS = {"entity", "column", "decision"}  # what these stand for is nobody's
NAME = re.compile(r"([\w-]*)/<\w+:(\w+)>")
FOR_LEADERS = ("/crm/hand-overs/", "/crm/leads/held/")
MONTH = timedelta(days=30)
FILE = b"name,domain,employee_count\nMine,geheim.com,7\n"


@pytest.fixture
def ann() -> User:
    return world.ann()


@pytest.fixture
def secret(ann: User) -> Account:
    makers.sales(ann)
    account = makers.account(domain="geheim.com", name=f"{MARK} person")
    account = owners.give(account=account, owner=ann, at=makers.NOON)
    Account.objects.filter(pk=account.pk).update(name=f"{MARK} Inc", name_key="geheim inc")
    billing_makers.legal_entity()
    customer = makers.customer(name=f"{MARK} Pay", email="pay@geheim.com")
    assert customer.account_id in (None, account.pk)
    return Account.objects.get(pk=account.pk)


@pytest.fixture
def named(secret: Account, ann: User) -> dict[str, str]:
    """What each name in an address stands for: something of Ann's."""
    at = db.now()
    contact, lead = secret.contacts.get(), secret.leads.get()
    deal = makers.opportunity(account=secret, owner=ann, name=f"{MARK} deal")
    risk = risks.raise_risk(opportunity=deal, at=at, text=f"{MARK} risk")
    stake = stakeholders.put(opportunity=deal, contact=contact, role="champion", at=at)
    hung = {"account": secret, "contact": contact}
    task = Task.objects.create(**hung, title=f"{MARK} task", assignee=ann, due_at=at)
    note = Note.objects.create(**hung, text=f"{MARK} note", author=ann, written_at=at)
    call = Call.objects.create(**hung, outcome="reached", summary=f"{MARK} call", caller=ann, called_at=at)
    told = Notification.objects.create(user=ann, kind="mention", account=secret, note=note, told_at=at)
    email = EmailMessage.objects.create(
        **hung,
        direction="in",
        user=ann,
        message_id="<geheim@x>",
        thread_id=note.pk,
        sender="a@geheim.com",
        subject=MARK,
        sent_at=at,
        received_at=at,
    )
    job = bulk_edits.draft(listing=LISTINGS["account"], user=ann, keys=[secret.pk], code="add_to_view")
    view = SavedView.objects.create(entity="account", name=f"{MARK} view", owner=ann)
    leave = leaves.create(at=at, user=ann, starts_at=at.replace(year=at.year + 1), ends_at=at.replace(year=at.year + 2))
    held = HeldLead.objects.create(said={"name": MARK, "email": "x@y.com"}, because=["links"], received_at=at)
    also = owners.give(account=makers.account(domain="also.com"), owner=ann, at=makers.NOON)
    merge = MergeLog.objects.create(
        survivor=secret, merged=also, before={}, moved={}, actor="system", merged_at=at, undo_until=at + MONTH
    )
    first, second = sorted((secret, also), key=lambda account: account.pk)
    suggestion = Suggestion.objects.create(first=first, second=second, domain="geheim.com")
    boss = world.fay()
    hand_over = hand_overs.start(leaver=ann, receiver=world.bob(), user=boss, at=at)
    return {
        "account": secret.public_id,
        "alert": makers.alert(account=secret, evidence=f"{MARK} evidence").public_id,
        "call": call.public_id,
        "contact": contact.public_id,
        "domain": "geheim.com",
        "email": email.public_id,
        "hand_over": hand_over.public_id,
        "held": held.public_id,
        "imports job": imports.upload(user=ann, entity="account", filename="a.csv", content=FILE).public_id,
        "job": job.public_id,
        "lead": lead.public_id,
        "leave": leave.public_id,
        "leaver": ann.public_id,
        "merge": merge.public_id,
        "note": note.public_id,
        "notification": told.public_id,
        "opportunity": deal.public_id,
        "requirement": StageRequirement.objects.order_by("pk")[0].public_id,
        "risk": risk.public_id,
        "row": secret.public_id,
        "stakeholder": stake.public_id,
        "suggestion": suggestion.public_id,
        "task": task.public_id,
        "view": view.public_id,
    }


def kept(account: Account) -> list[Any]:
    """All rows that hang on the account, and on its deals: what a walk must leave as it is."""
    found: list[Any] = [Account.everything.filter(pk=account.pk).values().get()]
    for relation in Account._meta.related_objects:
        model: type[Model] = relation.related_model  # type: ignore[assignment]
        rows = model._default_manager.filter(**{relation.field.name: account}).order_by("pk")
        found.append((relation.name, list(rows.values())))
    for deal in account.opportunities.order_by("pk"):
        found += [list(rows.order_by("pk").values()) for rows in (deal.events, deal.risks, deal.stakeholders)]
    return found


def addresses(named: dict[str, str]) -> Iterator[tuple[str, bool]]:
    """Every address, and whether it names something of somebody's; for lists one of each kind."""
    for route in ADDRESSES:
        wanted = re.findall(r"<\w+:(\w+)>", route)
        unknown = set(wanted) - named.keys() - LISTS
        assert not unknown, f"say in tests/crm/test_desk_walk.py what {unknown} of {route} stand for"
        for entity in LISTINGS if "entity" in wanted else [""]:
            editable = [one.code for one in LISTINGS[entity].columns if one.edit] if entity else []
            if "column" in wanted and not editable:
                continue
            column = next(iter(editable), "")
            names = named | {"entity": entity, "column": column, "decision": "release"}
            names["row"] = named.get(entity, named["row"])
            yield "/" + _filled(route, names), bool(set(wanted) - LISTS)


def _filled(route: str, names: dict[str, str]) -> str:
    """Where two kinds go by one name, the word before it tells them apart: "imports job", else "job"."""
    while found := NAME.search(route):
        value = names.get(f"{found[1]} {found[2]}", names[found[2]])
        route = f"{route[: found.start()]}{found[1]}/{value}{route[found.end() :]}"
    return route


def content(answer: Any) -> str:
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return str(body.decode())


def said(named: dict[str, str]) -> dict[str, Any]:
    """A body that names Ann's things wherever one of them might be taken, and new values for what might be changed."""
    ours = {name: named[name] for name in ("account", "contact", "lead", "opportunity", "task", "row")}
    rows = [named[kind] for kind in ("account", "contact", "opportunity", "lead")]
    return ours | {
        "row": [*rows, *(f"{kind}:{named[kind]}" for kind in ("alert", "lead", "task", "opportunity"))],
        "step": "done",
        "into": named["account"],
        "other": named["account"],
        "survivor": named["account"],
        "merged": named["account"],
        "action": "add_to_view",
        "all": "",
        "email": named["email"],
        "keys": [named["task"], named["alert"], named["lead"], named["opportunity"]],
        "notification": named["notification"],
        "query": "q=geheim",
        "name": "Mine",
        "to": "done",
        "value": "Mine",
        "text": "Mine",
        "title": "Mine",
        "outcome": "reached",
    }


class TestOutsider:
    def test_what_names_anothers_rows_is_not_there(self, secret: Account, named: dict[str, str], ann: User) -> None:
        owner, otto, before, asked = signed_in(ann), signed_in(world.otto()), kept(secret), 0
        for url, names_something in addresses(named):
            if names_something:
                asked += 1
                assert url.startswith(FOR_LEADERS) or owner.get(url).status_code != 404, url
                assert otto.get(url).status_code in {404, 405}, url
                assert otto.post(url, said(named)).status_code in {404, 405}, url
        assert kept(secret) == before
        assert asked > 15

    def test_no_list_search_export_or_board_shows_one(self, secret: Account, named: dict[str, str]) -> None:
        otto, before = signed_in(world.otto()), kept(secret)
        queries = ("", "?q=geheim", "?tab=done", f"?owner={named['leaver']}", "?view=all")
        for url, names_something in addresses(named):
            if names_something:
                continue
            for query in queries:
                answer = otto.get(url + query)
                assert answer.status_code in {200, 302, 404, 405}, url + query
                assert not _shows(content(answer), named), url + query
            answer = otto.post(url, said(named), follow=True)
            assert not _shows(content(answer), named), url
        assert kept(secret) == before


def _shows(text: str, named: dict[str, str]) -> list[str]:
    hidden = [MARK, *(value for name, value in named.items() if name not in {"leaver", "requirement"})]
    return [word for word in hidden if word in text]


def test_an_import_leaves_anothers_account_alone(secret: Account, named: dict[str, str]) -> None:
    otto, before = world.otto(), kept(secret)
    job = imports.upload(user=otto, entity="account", filename="mine.csv", content=FILE)
    job = imports.understand(job=job, mapping={0: "name", 1: "domain", 2: "employee_count"}, key="domain")
    imports.work(job=imports.start(job=job, at=db.now()))
    assert kept(secret) == before
    row = job.rows.get()
    assert row.state == "refused"
    assert MARK not in str(row.errors)


def test_a_merge_finds_only_what_one_works(secret: Account, named: dict[str, str]) -> None:
    otto, before = world.otto(), kept(secret)
    mine = owners.give(account=makers.account(domain="mine.com"), owner=otto, at=makers.NOON)
    client, url = signed_in(otto), f"/crm/accounts/{mine.public_id}/merge/"
    for other in (named["account"], "geheim.com", f"{MARK} Inc"):
        shown = content(client.get(url, {"other": other})).replace(other, "")
        assert not [word for word in (MARK, named["account"]) if word in shown], other
        assert client.post(url, {"other": other}).status_code in {200, 404}, other
    assert kept(secret) == before
    for verb in ("merge", "parent"):
        body = {"account": named["account"], "parent": named["account"]}
        status = caller(otto).post(f"/api/v1/accounts/{mine.public_id}/{verb}", body).status_code
        assert status in {400, 404, 405}, verb
    assert kept(secret) == before


class TestReader:
    @pytest.fixture(params=["csm", "finance"])
    def vera(self, request: pytest.FixtureRequest) -> Client:
        if request.param == "csm":
            scopes.create(role="csm", reads="all", writes="none", at=makers.NOON)
        vera = world.user(email="vera@vendor.example", name="Vera", roles=(request.param,))
        TeamMembership.objects.create(team=Team.objects.create(code="all", name="All"), user=vera, is_manager=True)
        Team.objects.exclude(code="all").update(parent=Team.objects.get(code="all"))
        return signed_in(vera)

    def test_who_only_reads_is_refused_every_write(self, secret: Account, named: dict[str, str], vera: Client) -> None:
        before, count = kept(secret), Account.objects.count()
        for url, names_something in addresses(named):
            status = vera.post(url, said(named)).status_code
            assert status in ({403, 404, 405} if names_something else {200, 302, 403, 404, 405, 422}), (url, status)
        file = SimpleUploadedFile("mine.csv", FILE)
        assert vera.post("/crm/imports/", {"entity": "account", "file": file}).status_code == 403
        shown = vera.get(f"/crm/accounts/{secret.public_id}/")
        assert (shown.status_code, "opportunities/new" in content(shown)) == (200, False)
        assert (kept(secret), Account.objects.count()) == (before, count)
