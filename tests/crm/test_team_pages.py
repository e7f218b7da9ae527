"""The team's page and the hand-over's: who leads sees loads, sets days away, and hands over; others do neither."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from crm import leads, owners
from crm.models import Account, HandOver, Leave, Team, TeamMembership
from crm.tasks import work_hand_overs
from gtm.shared import db
from gtm.shared.models import Event, User
from tests import world
from tests.backoffice import signed_in
from tests.crm import makers

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann() -> User:
    return world.ann()


@pytest.fixture
def manager(ann: User) -> Client:
    """Max, who leads Ann and Bob; Otto is nobody's. Ann has two accounts."""
    max_ = world.max_manager()
    makers.sales(ann, world.bob(), manager=max_)
    world.otto()
    for number in range(2):
        account = makers.account(domain=f"a{number}.com")
        owners.give(account=account, owner=ann, at=makers.NOON)
    return signed_in(max_)


def days(user: User, **fields: object) -> dict[str, object]:
    today = db.now().date()
    return {"user": user.pk, "first_day": today, "last_day": today + timedelta(days=2)} | fields


class TestTeam:
    def test_a_manager_sees_loads_and_sends_a_member_away(self, manager: Client, ann: User) -> None:
        page = manager.get("/crm/team/").content.decode()
        assert "Ann" in page
        assert "Otto" not in page.split("Members and what", 1)[1].split("</table>", 1)[0]
        bob = User.objects.get(name="Bob")
        assert manager.post("/crm/team/", days(ann, cover=bob.pk)).status_code == 302
        assert "You stand in for Ann" in signed_in(bob).get("/today/").content.decode()
        lead = leads.submit(at=db.now(), kind="demo", name="Zed", email="z@zed.com", employee_count=500)
        assert lead.owner == bob
        leave = Leave.objects.get()
        assert manager.post(f"/crm/team/leave/{leave.public_id}/end/").status_code == 302
        leave.refresh_from_db()
        assert leave.ends_at <= db.now()
        assert "You stand in" not in signed_in(bob).get("/today/").content.decode()

    def test_everybody_sets_their_own_days_and_nobody_elses(self, manager: Client, ann: User) -> None:
        bob, client = User.objects.get(name="Bob"), signed_in(ann)
        assert client.post("/crm/team/", days(bob)).status_code == 422
        assert client.post("/crm/team/", days(ann, last_day="2026-01-01")).status_code == 422
        assert client.post("/crm/team/", days(ann)).status_code == 302
        leave = Leave.objects.get()
        assert signed_in(bob).post(f"/crm/team/leave/{leave.public_id}/end/").status_code == 404
        assert Leave.objects.filter(ends_at__gt=db.now() + timedelta(days=1)).count() == 1

    def test_it_asks_no_more_often_for_more_people(
        self, manager: Client, django_assert_max_num_queries: Callable[[int], AbstractContextManager[Any]]
    ) -> None:
        with CaptureQueriesContext(connection) as few:
            manager.get("/crm/team/")
        team = Team.objects.get(code="sales")
        for number in range(5):
            rep = world.user(email=f"r{number}@vendor.example", roles=("ae",))
            TeamMembership.objects.create(team=team, user=rep)
            Leave.objects.create(user=rep, starts_at=db.now(), ends_at=db.now() + timedelta(days=1))
        with django_assert_max_num_queries(len(few)):
            manager.get("/crm/team/")


class TestHandOver:
    def test_a_manager_hands_over_a_members_book_and_takes_it_back(self, manager: Client, ann: User) -> None:
        bob = User.objects.get(name="Bob")
        url = f"/crm/hand-overs/of/{ann.public_id}/"
        assert ann.public_id in manager.get("/crm/hand-overs/").content.decode()
        page = manager.get(url).content.decode()
        assert "2 accounts" in page
        assert "a0.com" in page
        assert manager.post(url, {}).status_code == 422
        answer = manager.post(url, {"receiver": bob.pk, "reason": "Ann leaves"})
        assert answer.status_code == 302
        assert "of" in manager.get(answer["Location"], headers={"HX-Request": "true"}).content.decode()
        work_hand_overs()
        assert set(Account.objects.values_list("owner__name", flat=True)) == {"Bob"}
        assert "Undo" in manager.get(answer["Location"]).content.decode()
        assert manager.post(f"{answer['Location']}undo/").status_code == 302
        work_hand_overs()
        assert set(Account.objects.values_list("owner__name", flat=True)) == {"Ann"}
        assert not Event.objects.filter(data__icontains="Ann leaves").exists()

    def test_it_is_not_there_for_others(self, manager: Client, ann: User) -> None:
        max_, bob = User.objects.get(name="Max"), User.objects.get(name="Bob")
        otto = User.objects.get(name="Otto")
        TeamMembership.objects.create(team=ann.teams.get(), user=otto)
        TeamMembership.objects.filter(user=otto).delete()
        assert manager.get(f"/crm/hand-overs/of/{otto.public_id}/").status_code == 404
        assert manager.get(f"/crm/hand-overs/of/{max_.public_id}/").status_code == 404
        manager.post(f"/crm/hand-overs/of/{ann.public_id}/", {"receiver": bob.pk})
        hand_over = HandOver.objects.get()
        for client in (signed_in(ann), signed_in(otto)):
            for url in ("/crm/hand-overs/", f"/crm/hand-overs/of/{ann.public_id}/"):
                assert client.get(url).status_code == 404
            assert client.get(f"/crm/hand-overs/{hand_over.public_id}/").status_code == 404
            assert client.post(f"/crm/hand-overs/{hand_over.public_id}/undo/").status_code == 404
