"""Who reads and who works what: by role, by team at any depth, and for a colleague who is away."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from crm import owners
from crm.models import Account, Alert, Contact, Lead, Leave, Queue, RoleScope, Team, TeamMembership
from gtm.shared import db
from gtm.shared.models import Role, User
from tests import world
from tests.api.test_walk import caller
from tests.crm import makers

pytestmark = pytest.mark.django_db


@pytest.fixture
def people() -> dict[str, User]:
    """EMEA above DACH above Berlin, whose reps are Ann and Bob; Max manages EMEA, Otto is elsewhere."""
    found = {"fay": world.fay(), "ann": world.ann(), "bob": world.bob(), "max": world.max_manager()}
    found |= {"otto": world.otto(), "fin": world.user(email="fin@vendor.example", roles=(Role.FINANCE,))}
    makers.sales(found["otto"])
    above = None
    for code in ("emea", "dach", "berlin"):
        above = Team.objects.create(code=code, name=code, parent=above)
    assert above is not None
    Queue.objects.create(code="berlin", name="Berlin", team=above)
    for name in ("ann", "bob"):
        TeamMembership.objects.create(team=above, user=found[name])
    TeamMembership.objects.create(team=Team.objects.get(code="emea"), user=found["max"], is_manager=True)
    return found


@pytest.fixture
def accounts(people: dict[str, User]) -> dict[str, Account]:
    """One of Ann's, one of Bob's, one in Berlin's queue, each with a lead, a contact and an alert."""
    found = {name: makers.account(domain=f"{name}.com") for name in ("ann", "bob", "queue")}
    for name in ("ann", "bob"):
        owners.give(account=found[name], owner=people[name], at=makers.NOON)
    for model, key in ((Account, "pk"), (Lead, "account")):
        model.objects.filter(**{key: found["queue"].pk}).update(owner=None, queue=Queue.objects.get(code="berlin"))
    for account in found.values():
        makers.alert(account=account)
    return found


def seen(user: User | None, *, verb: str = "visible_to", model: Any = Account) -> set[str]:
    path = "name" if model is Account else "account__name"
    return {name.removesuffix(".com") for name in getattr(model.objects, verb)(user).values_list(path, flat=True)}


EVERYTHING = {"ann", "bob", "queue"}


@pytest.mark.parametrize("model", [Account, Alert, Contact, Lead])
def test_defaults_are_own_team_and_all(people: dict[str, User], accounts: dict[str, Account], model: Any) -> None:
    expected = {
        "ann": {"ann", "queue"},
        "bob": {"bob", "queue"},
        "max": EVERYTHING,
        "otto": set(),
        "fay": EVERYTHING,
        "fin": EVERYTHING,
    }
    assert {name: seen(user, model=model) for name, user in people.items()} == expected
    works = {name: seen(user, verb="workable_by", model=model) for name, user in people.items()}
    assert works == expected | {"fin": set()}
    assert seen(None, model=model) == seen(None, verb="workable_by", model=model) == EVERYTHING


@pytest.mark.parametrize(
    ("reads", "writes", "sees", "works"),
    [
        ("none", "none", set(), set()),
        ("own", "none", {"ann", "queue"}, set()),
        ("team", "own", EVERYTHING, {"ann", "queue"}),
        ("all", "team", EVERYTHING, EVERYTHING),
    ],
)
def test_founders_say_how_far_a_role_goes(
    people: dict[str, User], accounts: dict[str, Account], reads: str, writes: str, sees: set[str], works: set[str]
) -> None:
    RoleScope.objects.create(role=Role.AE, reads=reads, writes=writes)
    assert (seen(people["ann"]), seen(people["ann"], verb="workable_by")) == (sees, works)
    assert seen(people["otto"]) == (EVERYTHING if reads == "all" else set())


def test_the_widest_of_several_roles_counts_and_the_inactive_reach_nothing(
    people: dict[str, User], accounts: dict[str, Account]
) -> None:
    ann = people["ann"]
    ann.roles = [Role.AE, Role.FINANCE]
    assert (seen(ann), seen(ann, verb="workable_by")) == (EVERYTHING, {"ann", "queue"})
    ann.is_active = False
    assert seen(ann) == seen(ann, verb="workable_by") == set()


def test_a_stand_in_works_the_book_for_those_days(people: dict[str, User], accounts: dict[str, Account]) -> None:
    ann, otto, now = people["ann"], people["otto"], db.now()
    leave = Leave.objects.create(
        user=ann, cover=otto, starts_at=now - timedelta(days=1), ends_at=now + timedelta(days=1)
    )
    assert seen(otto) == seen(otto, verb="workable_by") == {"ann"}
    leave.ends_at = now - timedelta(hours=1)
    leave.save()
    assert seen(otto) == set()


class TestRefused:
    """What one may read and not work is refused with a word; nothing is written."""

    @pytest.fixture
    def _reads_all(self) -> None:
        RoleScope.objects.create(role=Role.AE, reads="all", writes="own")

    @pytest.mark.usefixtures("_reads_all")
    def test_by_pages_and_by_the_api(
        self, client: Client, people: dict[str, User], accounts: dict[str, Account]
    ) -> None:
        account, alert = accounts["ann"], Alert.objects.get(account=accounts["ann"])
        lead = Lead.objects.get(account=account)
        client.force_login(people["otto"])
        assert client.get(f"/crm/accounts/{account.public_id}/").status_code == 200
        for url, body in (
            (f"/crm/accounts/{account.public_id}/edit/", {"name": "Mine"}),
            (f"/crm/accounts/{account.public_id}/take/", {}),
            (f"/crm/leads/{lead.public_id}/transition/", {"to": "mql"}),
            ("/today/step/", {"row": f"lead:{lead.public_id}", "step": "done"}),
            ("/today/step/", {"row": f"alert:{alert.public_id}", "step": "done"}),
        ):
            assert client.post(url, body).status_code == 403, url
        api = caller(people["otto"])
        for method, url, body in (
            ("patch", f"accounts/{account.public_id}", {"name": "Mine"}),
            ("post", f"alerts/{alert.public_id}/transition", {"to": "done"}),
        ):
            answer = getattr(api, method)(f"/api/v1/{url}", body)
            assert answer.status_code == 403, url
        answer = api.post("/api/v1/opportunities", {"account": account.public_id, "name": "Mine"})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "not_yours"), answer.json()
        account.refresh_from_db()
        alert.refresh_from_db()
        lead.refresh_from_db()
        assert (account.name, alert.state, lead.lifecycle) == ("ann.com", "open", "lead")

    def test_finance_reads_all_and_writes_none(
        self, client: Client, people: dict[str, User], accounts: dict[str, Account]
    ) -> None:
        client.force_login(people["fin"])
        url = f"/crm/accounts/{accounts['ann'].public_id}/"
        assert client.get(url).status_code == 200
        assert client.get(f"{url}edit/").status_code == 403


class TestLeadsOfOthers:
    """Whose company it is stays unsaid to who sends a request of it, and to an SDR to whom one came back."""

    def test_a_lead_of_another_reps_company_tells_its_sender_nothing(
        self, people: dict[str, User], accounts: dict[str, Account]
    ) -> None:
        sent = {"kind": "demo", "name": "Eve", "email": "eve@ann.com"}
        answer = caller(people["otto"]).post("/api/v1/leads", sent, format="json")
        told = answer.json()
        assert answer.status_code == 201, told
        assert Lead.objects.get(email="eve@ann.com").account == accounts["ann"]
        unsaid = (
            "account",
            "owner",
            "queue",
            "routing",
            "sla_due_at",
            "opportunity",
            "first_touch_at",
            "credited_team",
        )
        assert ({told[name] for name in unsaid}, told["first_source"]) == ({None}, "")
        assert people["ann"].public_id not in answer.content.decode()
        assert caller(people["ann"]).get(f"/api/v1/leads/{told['id']}").json()["account"] == accounts["ann"].public_id

    def test_a_lead_that_came_back_is_no_way_to_the_account(
        self, people: dict[str, User], accounts: dict[str, Account]
    ) -> None:
        lead, otto = Lead.objects.get(account=accounts["ann"]), caller(people["otto"])
        Lead.objects.filter(pk=lead.pk).update(owner=people["otto"])
        url, said = f"/api/v1/leads/{lead.public_id}", {"qualification": makers.QUALIFIED}
        assert otto.post(f"{url}/acceptance", said, format="json").status_code == 403
        assert otto.post(f"{url}/transition", said | {"to": "sal"}, format="json").status_code == 403
        assert otto.post(f"{url}/transition", {"to": "mql"}, format="json").status_code == 200
        handed = otto.post(f"{url}/transition", {"to": "sql"}, format="json")
        lead.refresh_from_db()
        assert (handed.status_code, handed.json()["account"]) == (200, None)
        assert (lead.lifecycle, lead.owner) == ("sql", people["ann"])
