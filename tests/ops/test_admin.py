"""Every page of the back office: who may open it, and that nothing is written but by an operation."""

import importlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.core import checks
from django.db import connection
from django.db.models import Model, QuerySet
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from billing.models import Coupon, Customer, DunningPolicy, Feature, Invoice, LegalEntity, Meter, Plan, TaxRate
from crm.models import (
    AcceptanceTerms,
    CustomField,
    HolidayCalendar,
    LeadForm,
    Leave,
    LossReason,
    MailTemplate,
    Pipeline,
    Pool,
    Queue,
    RejectReason,
    RoleScope,
    RoutingRun,
    Ruleset,
    SegmentPolicy,
    SlaPolicy,
    Stage,
    TargetDomain,
    Team,
    WorkingHours,
)
from gtm.shared.admin_base import OperationAdmin
from gtm.shared.models import ApiKey, Event, ExchangeRate, Mail, TestClock, User, Vendor, WebhookEndpoint
from signals.models import TriggerRule
from tests import world
from tests.backoffice import address, errors, facts, signed_in, status_of, submit
from tests.ops import backoffice_world

pytestmark = pytest.mark.django_db
importlib.import_module("gtm.urls")  # which reads the back office
MODELS: list[type[Model]] = sorted(admin.site._registry, key=lambda model: model._meta.label)
CHANGES: dict[type[Model], tuple[dict[str, Any], str]] = {
    Coupon: ({"name": "New"}, "billing.coupon.changed"),
    Customer: ({"name": "New"}, "billing.customer.changed"),
    DunningPolicy: ({"name": "New"}, "billing.dunning_policy.changed"),
    ExchangeRate: ({"rate": "1.5"}, "exchange_rate.changed"),
    Feature: ({"name": "New"}, "billing.feature.changed"),
    Leave: ({"ends_at_0": "2026-02-01"}, "crm.leave.changed"),
    RoleScope: ({"reads": "all"}, "crm.role_scope.changed"),
    CustomField: ({"label": "New"}, "crm.custom_field.changed"),
    AcceptanceTerms: ({"segment": "new"}, "crm.acceptance_terms.changed"),
    LeadForm: ({"title": "New"}, "crm.lead_form.changed"),
    LegalEntity: ({"city": "Potsdam"}, "billing.legal_entity.changed"),
    MailTemplate: ({"subject": "New"}, "crm.mail_template.changed"),
    Meter: ({"unit": "calls"}, "billing.meter.changed"),
    LossReason: ({"label": "New"}, "crm.loss_reason.changed"),
    Pipeline: ({"name": "New"}, "crm.pipeline.changed"),
    Plan: ({"position": "7"}, "billing.plan.changed"),
    Pool: ({"name": "New"}, "crm.pool.changed"),
    Queue: ({"name": "New"}, "crm.queue.changed"),
    RejectReason: ({"label": "New"}, "crm.reject_reason.changed"),
    HolidayCalendar: ({"name": "New"}, "crm.holiday_calendar.changed"),
    WorkingHours: ({"zone": "Europe/Rome"}, "crm.working_hours.changed"),
    Ruleset: ({"name": "New"}, "crm.ruleset.changed"),
    SegmentPolicy: ({"name": "New"}, "crm.policy.changed"),
    Stage: ({"label": "New"}, "crm.stage.changed"),
    TaxRate: ({"name": "New"}, "billing.tax_rate.changed"),
    Team: ({"name": "New"}, "crm.team.changed"),
    TriggerRule: ({"threshold": "85"}, "signals.rule.changed"),
    User: ({"name": "New"}, "user.changed"),
    Vendor: ({"name": "New"}, "vendor.changed"),
    WebhookEndpoint: ({"description": "New"}, "webhook_endpoint.changed"),
}
ADDITIONS: dict[type[Model], tuple[dict[str, Any], str]] = {
    AcceptanceTerms: ({"segment": "enterprise"}, "crm.acceptance_terms.created"),
    ApiKey: ({"name": "New"}, "api_key.issued"),
    CustomField: ({"label": "New", "code": "new", "entity": "account"}, "crm.custom_field.created"),
    TargetDomain: ({"domains": "new.com"}, "crm.target_list.changed"),
    Coupon: ({"code": "NEW", "amount_off": "5.00", "currency": "EUR"}, "billing.coupon.created"),
    Customer: ({"name": "New"}, "billing.customer.created"),
    DunningPolicy: ({"name": "New", "code": "new"}, "billing.dunning_policy.created"),
    ExchangeRate: ({"date": "2026-03-01", "currency": "GBP", "rate": "0.8"}, "exchange_rate.created"),
    Feature: ({"name": "New", "code": "new", "type": "boolean"}, "billing.feature.created"),
    LeadForm: ({"title": "New", "code": "new"}, "crm.lead_form.created"),
    LegalEntity: ({"name": "New", "code": "new", "country": "DE"}, "billing.legal_entity.created"),
    MailTemplate: (
        {"name": "New", "code": "new", "subject": "Hi", "body": "Dear {{ contact.name }}"},
        "crm.mail_template.created",
    ),
    Meter: ({"name": "New", "code": "new", "event_name": "new.event"}, "billing.meter.created"),
    LossReason: ({"label": "New", "code": "new", "category": "competition"}, "crm.loss_reason.created"),
    Pipeline: ({"name": "New", "code": "new"}, "crm.pipeline.created"),
    Plan: ({"name": "New", "code": "new"}, "billing.plan.created"),
    Pool: ({"name": "New", "code": "new"}, "crm.pool.created"),
    RejectReason: ({"label": "New", "code": "new"}, "crm.reject_reason.created"),
    HolidayCalendar: ({"name": "New", "code": "new", "country": "IT"}, "crm.holiday_calendar.created"),
    WorkingHours: ({"zone": "Europe/Oslo"}, "crm.working_hours.created"),
    SlaPolicy: ({"name": "New"}, "crm.sla_policy.published"),
    RoutingRun: ({}, "crm.routing_run.asked"),
    Ruleset: ({"name": "New"}, "crm.ruleset.drafted"),
    SegmentPolicy: ({"name": "New"}, "crm.policy.drafted"),
    TaxRate: (
        {"name": "New", "code": "new", "percentage": "7", "country": "DE", "valid_from": "2026-01-01"},
        "billing.tax_rate.created",
    ),
    Team: ({"name": "New", "code": "new"}, "crm.team.created"),
    TriggerRule: ({"name": "New", "code": "new", "kind": "usage_ratio"}, "signals.rule.created"),
    User: ({"email": "new@vendor.example", "roles": ["ae"]}, "user.created"),
    WebhookEndpoint: ({"url": "https://new.example.com/"}, "webhook_endpoint.created"),
}
REMOVALS: dict[type[Model], str] = {
    AcceptanceTerms: "crm.acceptance_terms.removed",
    TargetDomain: "crm.target_list.changed",
    LeadForm: "crm.lead_form.removed",
    LossReason: "crm.loss_reason.removed",
    Pipeline: "crm.pipeline.removed",
    RejectReason: "crm.reject_reason.removed",
    ExchangeRate: "exchange_rate.removed",
    Leave: "crm.leave.removed",
    RoleScope: "crm.role_scope.changed",
    Ruleset: "crm.ruleset.discarded",
    WorkingHours: "crm.working_hours.removed",
    SegmentPolicy: "crm.policy.discarded",
    WebhookEndpoint: "webhook_endpoint.removed",
}
WITHOUT_FACT = {TestClock}  # a clock is where facts stand: it has none itself
ONCE = {Vendor}


@pytest.fixture
def founder() -> Client:
    """A founder's browser, over one of everything."""
    backoffice_world.install()
    backoffice_world.one_more(1)
    return signed_in(world.fay())


def test_django_finds_nothing_wrong_with_it() -> None:
    """Its checks know what is registered once the addresses are read, as they are here."""
    assert checks.run_checks(tags=[checks.Tags.admin]) == []


def page(model: type[Model], name: str, *args: Any) -> str:
    return address(f"{model._meta.app_label}_{model._meta.model_name}_{name}", *args)


def pages() -> Iterator[str]:
    """The list, the object's page and the page that makes one, of every model."""
    yield address("index")
    yield address("shared_vendor_payments")
    yield address("billing_subscriptionchange_movements")
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
        found.setdefault(status_of(client, path), []).append(path)
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

    def test_others_find_nothing(self, founder: Client) -> None:
        for number, roles in enumerate([(), ("sales_manager", "ae", "csm", "sdr")]):
            client = signed_in(world.user(email=f"other{number}@example.com", roles=roles))
            assert set(statuses(client)) == {404}, roles

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


def _changeable(model: type[Model]) -> QuerySet[Any]:
    """Those of its objects that may be changed: of versions, the drafts."""
    found = model._default_manager.all()
    return found.filter(number=None) if model in {Ruleset, SegmentPolicy} else found


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
            RoleScope,
        }
        assert {model for model in MODELS if _offers(model, "remove")} == REMOVALS.keys()

    def test_no_list_offers_to_change_or_delete_many(self, rf: RequestFactory) -> None:
        request = rf.get("/")
        request.user = world.fay()
        for found in admin.site._registry.values():
            assert not found.list_editable
            assert not found.get_actions(request)

    def test_a_change_is_a_fact_and_no_change_is_none(self, founder: Client) -> None:
        for model, (changes, fact) in CHANGES.items():
            path = page(model, "change", _changeable(model).earliest("pk").pk)
            before = facts(fact)
            answer = submit(founder, path, **changes)
            assert answer.status_code == 302, (model, errors(answer))
            assert len(facts(fact)) == len(before) + 1, model
            assert submit(founder, path).status_code == 302, model
            assert len(facts(fact)) == len(before) + 1, model

    def test_an_addition_is_a_fact(self, founder: Client) -> None:
        for model, (values, fact) in ADDITIONS.items():
            before = facts(fact)
            if model is RoutingRun:
                values = {"of_owner": User.objects.get(email="ann@vendor.example").pk}
            answer = submit(founder, page(model, "add"), **values)
            assert answer.status_code == 302 or {"plaintext", "result"} & answer.context.keys(), (
                model,
                errors(answer),
            )
            assert len(facts(fact)) == len(before) + 1, model

    def test_a_queue_and_a_leave_are_facts(self, founder: Client) -> None:
        team, rep = Team.objects.get(code="team1"), User.objects.get(email="rep1@vendor.example")
        submit(founder, page(Queue, "add"), name="New", code="new", team=team.pk)
        times = {"starts_at_0": "2026-03-01", "starts_at_1": "00:00", "ends_at_0": "2026-03-02", "ends_at_1": "00:00"}
        submit(founder, page(Leave, "add"), user=rep.pk, **times)
        assert facts()[-2:] == ["crm.queue.created", "crm.leave.created"]

    def test_a_removal_is_a_fact(self, founder: Client) -> None:
        for model, fact in REMOVALS.items():
            found = _changeable(model).earliest("pk")
            founder.post(page(model, "delete", found.pk), {"post": "yes"})
            assert facts()[-1] == fact
            assert not model._default_manager.filter(pk=found.pk).exists()

    def test_nothing_else_is_deleted(self, founder: Client) -> None:
        for model in set(MODELS) - REMOVALS.keys() - {TestClock}:  # a clock goes with all that stands on it, by a step
            found = model._default_manager.first()
            path = f"{page(model, 'changelist')}{found.pk}/delete/"
            assert founder.post(path, {"post": "yes"}).status_code == 403, model
            assert model._default_manager.filter(pk=found.pk).exists()

    def test_what_a_founder_does_bears_the_founders_name(self, founder: Client) -> None:
        submit(founder, page(Vendor, "change", 1), name="New")
        assert (
            Event.objects.latest("position").actor == f"user:{User.objects.get(email='fay@vendor.example').public_id}"
        )


class TestTwoAtOnce:
    def test_the_second_is_told(self, founder: Client) -> None:
        for model, (changes, fact) in CHANGES.items():
            path = page(model, "change", _changeable(model).earliest("pk").pk)
            before, seen = facts(fact), founder.get(path).context["seen"]
            submit(founder, path, **changes)
            refused = submit(founder, path, **_other(changes), _seen=seen)
            assert errors(refused)["__all__"][0].startswith("Somebody else changed this"), model
            assert len(facts(fact)) == len(before) + 1, model


def _other(changes: dict[str, str]) -> dict[str, str]:
    ((name, value),) = changes.items()
    others = {"ends_at_0": "2026-02-02", "rate": "1.6", "position": "8", "threshold": "86"}
    others |= {"reads": "own", "zone": "Europe/Paris"}
    return {name: others.get(name, f"{value}er")}


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
        assert status_of(client, page(model, "changelist")) == 200
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
        Invoice.objects.filter(status="open").update(payment_status="deferred")
        shown = founder.get(address("index")).context
        assert [task.title for task in shown["tasks"] if not task.done] == ["Mail", "Real payments"]
        assert [(concern.words, concern.count) for concern in shown["concerns"]] == [
            ("Customers whose billing is held up", 2),
            ("Disputes to answer", 1),
            ("Invoices that the card's next charge pays", 1),
            ("Events of payment gateways that failed", 1),
        ]
