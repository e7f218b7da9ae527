"""Policies, rule sets, teams and queues in the back office."""

from itertools import chain

import pytest
from django.test import Client

from crm import pipelines, policies
from crm.models import Pipeline, Pool, Queue, Ruleset, SegmentPolicy, Team
from tests import world
from tests.backoffice import address, errors, signed_in, submit
from tests.crm import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db


@pytest.fixture
def founder() -> Client:
    policies.install_defaults(at=JAN_1)
    return signed_in(world.fay())


class TestSegmentPolicies:
    def test_the_next_version_begins_as_the_newest_and_is_a_draft(self, founder: Client) -> None:
        submit(founder, address("crm_segmentpolicy_add"), employee_bounds="50, 500")
        first, second = SegmentPolicy.objects.order_by("number")
        assert (second.number, second.employee_bounds) == (None, [50, 500])
        assert (second.segments, second.value_bounds) == (first.segments, first.value_bounds)
        assert second.sales_led_needs == first.sales_led_needs
        assert policies.current_policy(at=JAN_1) == first
        submit(founder, address("crm_segmentpolicy_change", second.pk), dead_zones="dz, Dead, 1000, 10000, , EUR")
        second.refresh_from_db()
        [zone] = second.dead_zones
        assert (zone["lower"], zone["upper"], zone["basis"], zone["currency"]) == (100_000, 1_000_000, "arr", "EUR")

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"employee_bounds": "500, 50"}, "employee_bounds"),
            ({"employee_bounds": "a few"}, "employee_bounds"),
            ({"segments": "smb, SMB"}, "segments"),
            ({"segments": "smb, SMB, magic, none, charge_automatically, -"}, "segments"),
        ],
    )
    def test_what_does_not_fit_together_is_said_at_its_field(
        self, founder: Client, changes: dict[str, str], field: str
    ) -> None:
        page = submit(founder, address("crm_segmentpolicy_add"), **changes)
        assert field in errors(page)
        assert SegmentPolicy.objects.count() == 1

    def test_a_published_one_is_read_only(self, founder: Client) -> None:
        path = address("crm_segmentpolicy_change", SegmentPolicy.objects.get().pk)
        assert founder.post(path, {"name": "New"}).status_code == 403


class TestRuleSets:
    def test_the_next_version_begins_with_the_rules_of_the_newest(self, founder: Client) -> None:
        submit(founder, address("crm_ruleset_add"), **{"rules-0-name": "Big ones"})
        newest = Ruleset.objects.get(number=None)
        assert newest.rules.get().name == "Big ones"
        assert newest.rules.get().condition == policies.OVER_100_OR_NEEDS

    def test_a_condition_that_says_nothing_is_refused(self, founder: Client) -> None:
        page = submit(founder, address("crm_ruleset_add"), **{"rules-0-condition": '{"field": "shoe_size"}'})
        assert errors(page)
        assert Ruleset.objects.count() == 1

    def test_a_rule_without_its_target_is_refused(self, founder: Client) -> None:
        page = submit(founder, address("crm_ruleset_add"), **{"rules-0-pool": ""})
        assert "lacks what its strategy assigns to" in errors(page)["__all__"][0]


class TestTeams:
    def test_members_stand_on_the_teams_page(self, founder: Client) -> None:
        ann, team = world.ann(), Team.objects.get()
        rows = {"memberships-TOTAL_FORMS": "1", "memberships-0-user": ann.pk, "memberships-0-is_manager": "on"}
        submit(founder, address("crm_team_change", team.pk), **rows)
        assert team.memberships.get().is_manager

    def test_members_of_a_pool_take_turns_in_order(self, founder: Client) -> None:
        pool = Pool.objects.get()
        rows = {"members-TOTAL_FORMS": "2"}
        for place, rep in enumerate((world.bob(), world.ann())):
            rows |= {f"members-{place}-user": rep.pk, f"members-{place}-position": place, f"members-{place}-weight": 1}
        submit(founder, address("crm_pool_change", pool.pk), **rows)
        assert [member.user.name for member in pool.members.order_by("position")] == ["Bob", "Ann"]

    def test_the_catch_all_says_why_it_stays(self, founder: Client) -> None:
        path = address("crm_queue_change", Queue.objects.get().pk)
        assert b"This is the catch-all" in founder.get(path).content
        page = submit(founder, path, is_catch_all=None)
        assert "Make another queue the catch-all" in errors(page)["is_catch_all"][0]


class TestDesk:
    def test_accounts_leads_and_alerts_lead_to_the_desk(self, founder: Client) -> None:
        account = makers.account(at=JAN_1)
        alert = makers.alert(account=account, at=JAN_1)
        lead = account.leads.get()
        for page, expected in (
            (address("crm_account_open_at_desk", account.pk), f"/crm/accounts/{account.public_id}/"),
            (address("crm_lead_open_at_desk", lead.pk), f"/crm/leads/{lead.public_id}/"),
            (address("crm_alert_open_at_desk", alert.pk), f"/crm/accounts/{account.public_id}/"),
        ):
            assert founder.get(page)["Location"] == expected

    def test_decisions_say_why(self, founder: Client) -> None:
        account = makers.account(at=JAN_1)
        assert b"employees" in founder.get(address("crm_account_change", account.pk)).content


class TestPipelines:
    @pytest.fixture
    def sales(self) -> Pipeline:
        return makers.opportunity(at=JAN_1).pipeline

    def test_stages_are_renamed_reordered_and_added_in_rows(self, founder: Client, sales: Pipeline) -> None:
        path = address("crm_pipeline_change", sales.pk)
        rows = {"stages-0-label": "They understand", "stages-5-position": "6", "stages-6-position": "5"}
        submit(founder, path, **rows)
        stages = list(sales.stages.order_by("position"))
        assert stages[0].label == "They understand"
        assert [stage.code for stage in stages[5:7]] == ["redlining", "deployment"]
        assert stages[0].advice, "what the rows don't show stays"
        assert stages[1].skip_segments == ["smb"]

    def test_what_would_make_a_pipeline_in_use_faulty_is_refused_with_all_findings(
        self, founder: Client, sales: Pipeline
    ) -> None:
        path = address("crm_pipeline_change", sales.pk)
        page = submit(founder, path, **{"stages-6-is_redlining": None, "stages-2-DELETE": "on"})
        said = " ".join(chain.from_iterable(errors(page).values()))
        assert "fewer than two stages" in said
        assert "redlining" in said
        page = submit(founder, path, **{"stages-0-DELETE": "on"})
        assert "Rename it instead" in " ".join(chain.from_iterable(errors(page).values()))
        assert sales.stages.count() == 9

    def test_doubtful_labels_and_twins_are_warned_of(self, founder: Client, sales: Pipeline) -> None:
        twin = pipelines.create(at=JAN_1, code="mid", name="Mid", stages=makers.installed_stages())
        stage = twin.stages.get(code="price")
        submit(founder, address("crm_stage_change", stage.pk), label="Quote sent")
        page = founder.get(address("crm_pipeline_change", twin.pk)).content.decode()
        assert "tells what the seller does" in page
        assert "nearly the same as" in page
        founder.post(address("crm_pipeline_delete", twin.pk), {"post": "yes"})
        assert not Pipeline.objects.filter(pk=twin.pk).exists()

    def test_criteria_stand_on_the_stages_page(self, founder: Client, sales: Pipeline) -> None:
        stage = sales.stages.get(code="understanding")
        rows = {"requirements-0-text": "Pain written down", "requirements-2-required": "on"}
        submit(founder, address("crm_stage_change", stage.pk), **rows)
        asked = stage.requirements.filter(active=True).order_by("position")
        assert asked[0].text == "Pain written down"
        assert asked[2].required
        assert stage.requirements.filter(active=False).count() == 1
