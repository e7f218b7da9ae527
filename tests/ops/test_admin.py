"""Every page of the back office: who may open it, and that nothing is written but by an operation."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.models import Customer, Feature, LegalEntity, Meter, Plan, TaxRate
from crm.models import Leave, Pool, Queue, Ruleset, SegmentPolicy, Team
from gtm.shared.admin_base import OperationAdmin
from gtm.shared.models import ApiKey, Event, ExchangeRate, Mail, TestClock, User, Vendor
from signals.models import TriggerRule
from tests import world
from tests.backoffice import address, errors, facts, signed_in, submit
from tests.ops import backoffice_world

pytestmark = pytest.mark.django_db
MODELS: list[type[Model]] = sorted(admin.site._registry, key=lambda model: model._meta.label)
CHANGES: dict[type[Model], tuple[dict[str, Any], str]] = {
    Customer: ({"name": "New"}, "billing.customer.changed"),
    ExchangeRate: ({"rate": "1.5"}, "exchange_rate.changed"),
    Feature: ({"name": "New"}, "billing.feature.changed"),
    Leave: ({"ends_at_0": "2026-02-01"}, "crm.leave.changed"),
    LegalEntity: ({"city": "Potsdam"}, "billing.legal_entity.changed"),
    Meter: ({"unit": "calls"}, "billing.meter.changed"),
    Plan: ({"position": "7"}, "billing.plan.changed"),
    Pool: ({"name": "New"}, "crm.pool.changed"),
    Queue: ({"name": "New"}, "crm.queue.changed"),
    TaxRate: ({"name": "New"}, "billing.tax_rate.changed"),
    Team: ({"name": "New"}, "crm.team.changed"),
    TriggerRule: ({"threshold": "85"}, "signals.rule.changed"),
    User: ({"name": "New"}, "user.changed"),
    Vendor: ({"name": "New"}, "vendor.changed"),
}
ADDITIONS: dict[type[Model], tuple[dict[str, Any], str]] = {
    ApiKey: ({"name": "New"}, "api_key.issued"),
    Customer: ({"name": "New"}, "billing.customer.created"),
    ExchangeRate: ({"date": "2026-03-01", "currency": "GBP", "rate": "0.8"}, "exchange_rate.created"),
    Feature: ({"name": "New", "code": "new", "type": "boolean"}, "billing.feature.created"),
    LegalEntity: ({"name": "New", "code": "new", "country": "DE"}, "billing.legal_entity.created"),
    Meter: ({"name": "New", "code": "new", "event_name": "new.event"}, "billing.meter.created"),
    Plan: ({"name": "New", "code": "new"}, "billing.plan.created"),
    Pool: ({"name": "New", "code": "new"}, "crm.pool.created"),
    Ruleset: ({"name": "New"}, "crm.ruleset.published"),
    SegmentPolicy: ({"name": "New"}, "crm.policy.published"),
    TaxRate: (
        {"name": "New", "code": "new", "percentage": "7", "country": "DE", "valid_from": "2026-01-01"},
        "billing.tax_rate.created",
    ),
    Team: ({"name": "New", "code": "new"}, "crm.team.created"),
    TriggerRule: ({"name": "New", "code": "new", "kind": "usage_ratio"}, "signals.rule.created"),
    User: ({"email": "new@vendor.example", "roles": ["ae"]}, "user.created"),
}
REMOVALS: dict[type[Model], str] = {ExchangeRate: "exchange_rate.removed", Leave: "crm.leave.removed"}
WITHOUT_FACT = {TestClock}  # a clock is where facts stand: it has none itself
ONCE = {Vendor}


@pytest.fixture
def founder() -> Client:
    """A founder's browser, over one of everything."""
    backoffice_world.install()
    backoffice_world.one_more(1)
    return signed_in(world.fay())


def page(model: type[Model], name: str, *args: Any) -> str:
    return address(f"{model._meta.app_label}_{model._meta.model_name}_{name}", *args)


def pages() -> Iterator[str]:
    """The list, the object's page and the page that makes one, of every model."""
    yield address("index")
    yield address("shared_vendor_payments")
    for model in MODELS:
        yield page(model, "changelist")
        yield page(model, "add")
        found = model._default_manager.first()
        assert found is not None, f"the world lacks a {model._meta.label}"
        yield page(model, "change", found.pk)
        for name in admin.site._registry[model].actions_detail:
            yield page(model, name, found.pk)


def statuses(client: Client) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for path in pages():
        found.setdefault(client.get(path).status_code, []).append(path)
    return found


class TestWho:
    def test_a_founder_opens_every_page(self, founder: Client) -> None:
        found = statuses(founder)
        closed = {page(model, "add") for model in MODELS if not _offers(model, "create")}
        assert set(found.pop(403)) == closed
        assert set(found.pop(302)) == {page(Vendor, "changelist")} | _elsewhere()
        assert set(found) == {200}, found

    def test_strangers_are_sent_to_sign_in(self, founder: Client) -> None:
        for path in pages():
            answer = Client().get(path)
            assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/account/login/"), path

    @pytest.mark.parametrize("roles", [(), ("ae",), ("sales_manager",), ("csm", "sdr")])
    def test_others_find_nothing(self, founder: Client, roles: tuple[str, ...]) -> None:
        client = signed_in(world.user(email="other@example.com", roles=roles))
        assert set(statuses(client)) == {404}

    def test_nobody_gets_in_who_may_not_sign_in(self, founder: Client) -> None:
        fin = world.user(email="fin@vendor.example", roles=("finance",))
        client = signed_in(fin)
        User.objects.filter(pk=fin.pk).update(is_active=False)
        assert client.get(address("index")).status_code == 302

    def test_finance_reads_all_but_mail(self, founder: Client) -> None:
        client = signed_in(world.user(email="fin@vendor.example", roles=("finance",)))
        found = statuses(client)
        assert page(Mail, "changelist") in found[403]
        assert {path for path in found[200] if path.endswith("/add/")} == set()
        lists = {page(model, "changelist") for model in MODELS if model not in {Mail, Vendor}}
        assert lists <= set(found[200])

    def test_finance_changes_nothing_but_money(self, founder: Client) -> None:
        client = signed_in(world.user(email="fin@vendor.example", roles=("finance",)))
        before = facts()
        for model in MODELS:
            found = model._default_manager.first()
            assert client.post(page(model, "add"), {}).status_code == 403, model
            assert client.post(page(model, "change", found.pk), {"name": "Mine"}).status_code == 403, model
        assert facts() == before

    def test_signing_in_is_left_to_the_page_that_asks_for_a_second_factor(self) -> None:
        answer = Client().get("/admin/login/?next=/admin/billing/plan/")
        assert answer["Location"] == "/account/login/?next=/admin/billing/plan/"


def _offers(model: type[Model], operation: str) -> bool:
    page_class = type(admin.site._registry[model])
    return getattr(page_class, operation) is not getattr(OperationAdmin, operation)


def _elsewhere() -> set[str]:
    """Steps that lead to the desk."""
    desk = [model for model in MODELS if "open_at_desk" in admin.site._registry[model].actions_detail]
    return {page(model, "open_at_desk", model._default_manager.first().pk) for model in desk}  # type: ignore[union-attr]


class TestFacts:
    def test_each_page_belongs_to_us(self) -> None:
        assert all(isinstance(found, OperationAdmin) for found in admin.site._registry.values())

    def test_every_operation_is_tried_here(self) -> None:
        assert {model for model in MODELS if _offers(model, "change")} == CHANGES.keys()
        assert {model for model in MODELS if _offers(model, "create")} == ADDITIONS.keys() | WITHOUT_FACT | {
            Queue,
            Leave,
        }
        assert {model for model in MODELS if _offers(model, "remove")} == REMOVALS.keys()

    def test_no_list_offers_to_change_or_delete_many(self, founder: Client) -> None:
        for model in MODELS:
            if model not in ONCE:
                shown = founder.get(page(model, "changelist")).context["cl"]
                assert not shown.list_editable, model
                assert not shown.model_admin.get_actions(founder.get("/admin/").wsgi_request), model

    @pytest.mark.parametrize("model", CHANGES, ids=lambda model: model.__name__)
    def test_a_change_is_a_fact(self, founder: Client, model: type[Model]) -> None:
        changes, fact = CHANGES[model]
        path = page(model, "change", model._default_manager.earliest("pk").pk)
        before = facts(fact)
        answer = submit(founder, path, **changes)
        assert answer.status_code == 302, errors(answer)
        assert len(facts(fact)) == len(before) + 1
        assert submit(founder, path).status_code == 302
        assert len(facts(fact)) == len(before) + 1

    @pytest.mark.parametrize("model", ADDITIONS, ids=lambda model: model.__name__)
    def test_an_addition_is_a_fact(self, founder: Client, model: type[Model]) -> None:
        values, fact = ADDITIONS[model]
        before = facts(fact)
        answer = submit(founder, page(model, "add"), **values)
        assert answer.status_code in {302} or "plaintext" in answer.context, errors(answer)
        assert len(facts(fact)) == len(before) + 1

    def test_a_queue_and_a_leave_are_facts(self, founder: Client) -> None:
        team, rep = Team.objects.get(code="team1"), User.objects.get(email="rep1@vendor.example")
        submit(founder, page(Queue, "add"), name="New", code="new", team=team.pk)
        times = {"starts_at_0": "2026-03-01", "starts_at_1": "00:00", "ends_at_0": "2026-03-02", "ends_at_1": "00:00"}
        submit(founder, page(Leave, "add"), user=rep.pk, **times)
        assert facts()[-2:] == ["crm.queue.created", "crm.leave.created"]

    @pytest.mark.parametrize("model", REMOVALS, ids=lambda model: model.__name__)
    def test_a_removal_is_a_fact(self, founder: Client, model: type[Model]) -> None:
        found = model._default_manager.earliest("pk")
        founder.post(page(model, "delete", found.pk), {"post": "yes"})
        assert facts()[-1] == REMOVALS[model]
        assert not model._default_manager.filter(pk=found.pk).exists()

    @pytest.mark.parametrize("model", [m for m in MODELS if m not in REMOVALS], ids=lambda model: model.__name__)
    def test_nothing_else_is_deleted(self, founder: Client, model: type[Model]) -> None:
        found = model._default_manager.first()
        path = f"{page(model, 'changelist')}{found.pk}/delete/"
        assert founder.post(path, {"post": "yes"}).status_code == (302 if model is TestClock else 403)

    def test_what_a_founder_does_bears_the_founders_name(self, founder: Client) -> None:
        submit(founder, page(Vendor, "change", 1), name="New")
        assert (
            Event.objects.latest("position").actor == f"user:{User.objects.get(email='fay@vendor.example').public_id}"
        )


class TestTwoAtOnce:
    @pytest.mark.parametrize("model", CHANGES, ids=lambda model: model.__name__)
    def test_the_second_is_told(self, founder: Client, model: type[Model]) -> None:
        changes, fact = CHANGES[model]
        path = page(model, "change", model._default_manager.earliest("pk").pk)
        before = facts(fact)
        seen = founder.get(path).context["seen"]
        submit(founder, path, **changes)
        refused = submit(founder, path, **_other(changes), _seen=seen)
        assert errors(refused)["__all__"][0].startswith("Somebody else changed this")
        assert len(facts(fact)) == len(before) + 1


def _other(changes: dict[str, str]) -> dict[str, str]:
    ((name, value),) = changes.items()
    return {
        name: {"ends_at_0": "2026-02-02", "rate": "1.6", "position": "8", "threshold": "86"}.get(name, f"{value}er")
    }


class TestLists:
    def test_their_queries_do_not_grow(self, founder: Client) -> None:
        before = {model: _queries(founder, model) for model in MODELS if model not in ONCE}
        for number in (2, 3):
            backoffice_world.one_more(number)
        after = {model: _queries(founder, model) for model in before}
        grown = {m.__name__: (before[m], after[m]) for m in before if after[m] > before[m]}
        assert not grown

    def test_the_front_page_asks_a_fixed_number_of_questions(self, founder: Client) -> None:
        with CaptureQueriesContext(connection) as asked:
            founder.get(address("index"))
        assert len(asked) <= 20


def _queries(client: Client, model: type[Model]) -> int:
    with CaptureQueriesContext(connection) as asked:
        assert client.get(page(model, "changelist")).status_code == 200
    return len(asked)


class TestMenu:
    def test_it_has_the_words_that_founders_look_for(self, founder: Client) -> None:
        menu = {group["title"]: [item["title"] for item in group["items"]] for group in _menu(founder)}
        assert "Create Plan" in menu["Plans"]
        assert "Payments" in menu["Settings"]

    def test_one_entry_is_open(self, founder: Client) -> None:
        for path, name in (
            (page(Plan, "changelist"), "Plans"),
            (page(Plan, "add"), "Create Plan"),
            (address("shared_vendor_payments"), "Payments"),
            (page(Vendor, "change", 1), "General"),
            (address("index"), "Overview"),
        ):
            groups = founder.get(path).context["sidebar_navigation"]
            assert [item["title"] for group in groups for item in group["items"] if item["active"]] == [name]

    def test_finance_is_not_offered_what_it_may_not_do(self, founder: Client) -> None:
        client = signed_in(world.user(email="fin@vendor.example", roles=("finance",)))
        offered = {item["title"] for group in _menu(client) for item in group["items"]}
        assert offered.isdisjoint({"Create Plan", "Mail"})


def _menu(client: Client) -> Any:
    return client.get(address("index")).context["sidebar_navigation"]


class TestFrontPage:
    def test_it_lists_what_is_left_to_set_up(self) -> None:
        shown = signed_in(world.fay()).get(address("index")).context
        assert not any(task.done for task in shown["tasks"])

    def test_it_ticks_off_what_is_done_and_says_what_waits(self, founder: Client) -> None:
        Customer.objects.update(parked_at=world.JAN_1 + timedelta(days=1), parked_reason="No tax rate.")
        shown = founder.get(address("index")).context
        assert [task.title for task in shown["tasks"] if not task.done] == ["Mail", "Real payments"]
        assert [(concern.words, concern.count) for concern in shown["concerns"]] == [
            ("Customers whose billing is held up", 1)
        ]
