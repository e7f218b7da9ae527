"""A founder makes, previews, publishes and changes plans without a shell."""

from decimal import Decimal

import pytest
from django.test import Client

from billing import catalog
from billing.models import Feature, Plan, Price
from gtm.shared.models import Event, User
from tests.backoffice import address, errors, facts, signed_in, submit
from tests.billing import makers
from tests.world import JAN_1, fay, user

pytestmark = pytest.mark.django_db
ADD = "/admin/billing/plan/add/"


@pytest.fixture
def founder() -> Client:
    return signed_in(fay())


@pytest.fixture
def api_calls() -> Feature:
    return makers.feature(meter=makers.meter())


def change_page(plan: Plan) -> str:
    return address("billing_plan_change", plan.pk)


class TestCreate:
    def test_it_makes_the_plan_with_prices_and_a_limit(self, founder: Client, api_calls: Feature) -> None:
        changes = {
            "name": "Pro",
            "code": "pro",
            "prices-0-unit_amount": "49.00",
            "prices-1-unit_amount": "490",
            "entitlements-0-feature": api_calls.pk,
            "entitlements-0-limit": "1000",
        }
        answer = submit(founder, ADD, **changes)
        plan = Plan.objects.get()
        assert answer["Location"] == change_page(plan)
        version = plan.current_version
        prices = version.prices.order_by("unit_amount").values_list("code", "interval", "currency", "unit_amount")
        assert list(prices) == [
            ("pro-month", "month", "USD", Decimal(4900)),
            ("pro-year", "year", "USD", Decimal(49000)),
        ]
        assert version.entitlements.get().limit == 1000
        assert facts("billing.plan.created", "billing.price.created") == [
            "billing.plan.created",
            "billing.price.created",
            "billing.price.created",
        ]
        assert Event.objects.latest("position").actor == f"user:{User.objects.get().public_id}"

    def test_rows_left_empty_are_no_prices(self, founder: Client) -> None:
        submit(founder, ADD, name="Free", code="free")
        assert not Price.objects.exists()

    def test_it_refuses_a_required_demo_for_self_serve_at_the_field(self, founder: Client) -> None:
        page = submit(founder, ADD, name="Pro", code="pro", demo_policy="required")
        assert "can be optional, not required" in errors(page)["demo_policy"][0]
        assert not Plan.objects.exists()

    def test_it_names_the_price_that_is_refused_and_makes_nothing(self, founder: Client) -> None:
        changes = {"prices-0-unit_amount": "49", "prices-1-model": "per_unit", "prices-1-flat_amount": "3"}
        page = submit(founder, ADD, name="Pro", code="pro", **changes)
        assert errors(page) == {"prices-1-unit_amount": ["A per_unit price needs unit_amount."]}
        assert not Plan.objects.exists()

    def test_it_refuses_a_code_that_is_taken(self, founder: Client) -> None:
        makers.plan(code="pro")
        page = submit(founder, ADD, name="Pro", code="pro")
        assert "code" in errors(page)

    def test_it_takes_tiers_as_lines(self, founder: Client) -> None:
        changes = {"prices-0-model": "graduated", "prices-0-tiers": "1000, 0.10\n*, 0.002, 5"}
        submit(founder, ADD, name="Pro", code="pro", **changes)
        assert Price.objects.get().tiers == [
            {"up_to": 1000, "unit_amount": "10", "flat_amount": "0"},
            {"up_to": None, "unit_amount": "0.2", "flat_amount": "500"},
        ]

    def test_it_says_which_line_is_no_tier(self, founder: Client) -> None:
        changes = {"prices-0-model": "graduated", "prices-0-tiers": "1000, 0.10\nmany, 5"}
        page = submit(founder, ADD, name="Pro", code="pro", **changes)
        assert errors(page)["prices-0-tiers"][0].startswith("Line 2 is no tier.")


class TestChange:
    def test_it_changes_the_plan(self, founder: Client) -> None:
        plan = makers.published_plan()
        submit(founder, change_page(plan), name="Professional", trial_days="14")
        plan.refresh_from_db()
        assert (plan.name, plan.current_version.trial_days) == ("Professional", 14)
        changed = Event.objects.filter(type="billing.plan.changed").latest("position")
        assert changed.data["changed"] == ["name", "trial_days"]

    def test_it_says_what_is_offered_to_who_cancels(self, founder: Client) -> None:
        plan = makers.published_plan()
        assert "Say which coupon is offered." in str(errors(submit(founder, change_page(plan), cancel_offer="coupon")))
        coupon = makers.coupon("STAY")
        submit(founder, change_page(plan), cancel_offer="coupon", cancel_coupon=str(coupon.pk))
        plan.refresh_from_db()
        assert (plan.cancel_offer, plan.cancel_coupon) == ("coupon", coupon)

    def test_nothing_changed_is_no_fact(self, founder: Client) -> None:
        plan = makers.published_plan()
        before = facts()
        assert submit(founder, change_page(plan)).status_code == 302
        assert facts() == before

    def test_it_corrects_and_deletes_a_price_that_nobody_bought(self, founder: Client) -> None:
        plan = makers.published_plan()
        submit(founder, change_page(plan), **{"prices-0-unit_amount": "59", "prices-1-DELETE": "on"})
        assert [(price.code, price.unit_amount) for price in Price.objects.all()] == [("pro-month", 5900)]
        assert facts("billing.price.changed", "billing.price.deleted") == [
            "billing.price.changed",
            "billing.price.deleted",
        ]

    def test_a_used_price_says_why_it_stays(self, founder: Client) -> None:
        plan = makers.published_plan()
        catalog.seal(plan_version=plan.current_version, at=JAN_1)
        page = founder.get(change_page(plan))
        form = page.context["inline_admin_formsets"][0].formset.forms[0]
        assert {name for name, field in form.fields.items() if not field.disabled} == {"published", "id", "DELETE"}
        assert b"is part of version 1 of Pro, which has been sold since 1 January 2026" in page.content
        assert b"make version 2; whoever bought keeps what they bought" in page.content

    def test_a_used_price_can_not_be_changed_by_a_forged_form(self, founder: Client) -> None:
        plan = makers.published_plan()
        catalog.seal(plan_version=plan.current_version, at=JAN_1)
        submit(founder, change_page(plan), **{"prices-0-unit_amount": "1"})
        assert Price.objects.get(code="pro-month").unit_amount == 4900

    def test_a_used_price_can_not_be_deleted(self, founder: Client) -> None:
        plan = makers.published_plan()
        catalog.seal(plan_version=plan.current_version, at=JAN_1)
        page = submit(founder, change_page(plan), **{"prices-0-DELETE": "on"})
        assert "Make a new price and withdraw this one" in errors(page)["__all__"][0]

    def test_a_used_price_can_be_withdrawn(self, founder: Client) -> None:
        plan = makers.published_plan()
        catalog.seal(plan_version=plan.current_version, at=JAN_1)
        submit(founder, change_page(plan), **{"prices-0-published": None})
        assert not Price.objects.get(code="pro-month").published

    def test_a_sold_plan_gets_a_new_version(self, founder: Client) -> None:
        plan = makers.published_plan()
        catalog.seal(plan_version=plan.current_version, at=JAN_1)
        submit(founder, change_page(plan), **{"entitlements-0-limit": "2000"})
        limits = plan.versions.order_by("number").values_list("number", "entitlements__limit")
        assert list(limits) == [(1, 1000), (2, 2000)]

    def test_the_second_of_two_founders_is_told(self, founder: Client) -> None:
        plan = makers.published_plan()
        seen = founder.get(change_page(plan)).context["seen"]
        submit(founder, change_page(plan), name="Mine")
        page = submit(founder, change_page(plan), name="Yours", _seen=seen)
        assert errors(page)["__all__"][0].startswith("Somebody else changed this")
        plan.refresh_from_db()
        assert plan.name == "Mine"

    def test_it_warns_of_a_required_demo(self, founder: Client) -> None:
        plan = makers.plan(purchase_mode="sales_assisted", demo_policy="required")
        page = founder.get(change_page(plan))
        assert b"takes the buy button away" in page.content

    def test_an_archived_plan_can_only_be_read(self, founder: Client) -> None:
        plan = catalog.archive(plan=makers.published_plan(), at=JAN_1)
        assert founder.post(change_page(plan), {"name": "New"}).status_code == 403
        assert b"Archived on 1 January 2026" in founder.get(change_page(plan)).content


class TestSteps:
    def test_it_publishes_withdraws_and_archives(self, founder: Client) -> None:
        plan = catalog.withdraw(plan=makers.published_plan(), at=JAN_1)
        for step in ("publish", "withdraw", "archive"):
            answer = submit(founder, address(f"billing_plan_{step}", plan.pk))
            assert answer["Location"] == change_page(plan)
        plan.refresh_from_db()
        assert plan.archived_at is not None
        assert facts("billing.plan.published", "billing.plan.archived") == [
            "billing.plan.published",
            "billing.plan.published",
            "billing.plan.archived",
        ]

    def test_it_asks_before_anything_happens(self, founder: Client) -> None:
        plan = makers.published_plan()
        page = founder.get(address("billing_plan_archive", plan.pk))
        assert b"this can&#x27;t be undone" in page.content
        plan.refresh_from_db()
        assert plan.archived_at is None

    def test_it_says_why_a_plan_without_prices_is_not_published(self, founder: Client) -> None:
        plan = makers.plan()
        page = submit(founder, address("billing_plan_publish", plan.pk))
        assert "has no published price yet" in errors(page)["__all__"][0]

    def test_it_offers_what_makes_sense(self, founder: Client) -> None:
        page = founder.get(change_page(makers.published_plan()))
        offered = [action["title"] for action in page.context["actions_detail"]]
        assert offered == ["Preview as the customer sees it", "Simulate", "Withdraw", "Archive"]

    def test_the_preview_is_the_card_of_the_price_page(self, founder: Client) -> None:
        plan = makers.plan(name="Pro")
        makers.price(plan=plan)
        page = founder.get(address("billing_plan_preview", plan.pk))
        assert b"Preview of Pro" in page.content
        assert b"$49" in page.content
        assert b"Buy Pro" in page.content


class TestFinance:
    @pytest.fixture
    def finance(self) -> Client:
        return signed_in(user(email="fin@vendor.example", roles=("finance",)))

    def test_it_reads_plans(self, finance: Client) -> None:
        page = finance.get(change_page(makers.published_plan()))
        assert b"$49.00 per month" in page.content
        assert b'name="_save"' not in page.content

    def test_it_changes_none(self, finance: Client) -> None:
        plan = makers.published_plan()
        assert finance.get(ADD).status_code == 403
        assert finance.post(change_page(plan), {"name": "New"}).status_code == 403
        assert finance.post(address("billing_plan_archive", plan.pk)).status_code == 403
