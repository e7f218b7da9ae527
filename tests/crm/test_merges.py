"""Suggestions that two accounts are one company, merging them, and taking that back."""

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, transaction
from django.db.utils import IntegrityError
from django.test.utils import CaptureQueriesContext

from billing.models import Customer, Invoice, Subscription
from crm import account_domains, accounts, contacts, hierarchy, merges, merging, stragglers, suggestions, target_list
from crm.clock import delete_all
from crm.models import Account, AccountCustomer, AccountDomain, Contact, FieldChange, Lead, Suggestion, TargetDomain
from crm.queries import account as account_queries
from crm.queries import story
from gtm.shared import outbox
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event, TestClock
from tests import world
from tests.billing import makers as billing_makers
from tests.crm import makers

AT = makers.NOON
LATER = AT + timedelta(days=29)
ours: dict[str, Any] = {"name": "Acme", "employee_count": 250, "industry": ""} | {
    "custom": {"tier": "A"},
    "needs": ["sso"],
}
theirs: dict[str, Any] = {
    "name": "ACME Ltd",
    "employee_count": None,
    "industry": "bank",
    "custom": {"tier": "B", "region": "EU"},
    "needs": ["msa", "sso"],
}


class TestFields:
    @pytest.mark.parametrize(
        ("picks", "field", "value"),
        [
            ({}, "name", "Acme"),
            ({"name": "merged"}, "name", "ACME Ltd"),
            ({}, "industry", "bank"),
            ({"industry": "survivor"}, "industry", "bank"),  # empty never overwrites filled
            ({"employee_count": "merged"}, "employee_count", 250),
            ({}, "needs", ["sso", "msa"]),
            ({"custom.tier": "merged"}, "custom", {"tier": "B", "region": "EU"}),
            ({}, "custom", {"tier": "A", "region": "EU"}),
        ],
    )
    def test_what_is_empty_never_overwrites_what_is_filled(self, picks: dict[str, str], field: str, value: Any) -> None:
        found = merging.lines(ours, theirs, picks)
        assert merging.values(found, ours_personal=False, theirs_personal=True)[field] == value

    @pytest.mark.parametrize(
        ("currency", "picks", "expected", "dropped"),
        [
            ("EUR", {}, (100, 7, "EUR"), []),
            ("EUR", {"value_currency": "merged"}, (100, 7, "EUR"), []),
            ("USD", {}, (100, None, "EUR"), ["company_revenue"]),
            ("USD", {"value_currency": "merged"}, (None, 7, "USD"), ["expected_value"]),
        ],
    )
    def test_amounts_fill_each_other_in_one_currency(
        self, currency: str, picks: dict[str, str], expected: tuple[Any, ...], dropped: list[str]
    ) -> None:
        mine = {"expected_value": 100, "company_revenue": None, "value_currency": "EUR"}
        other = {"expected_value": None, "company_revenue": 7, "value_currency": currency}
        found = merging.lines(mine, other, picks)
        written = merging.values(found, ours_personal=False, theirs_personal=False)
        assert tuple(written[name] for name in mine) == expected
        assert [line.field for line in found if line.is_dropped] == dropped

    def test_only_what_differs_is_there_to_pick(self) -> None:
        assert [line.field for line in merging.lines(ours, theirs, {}) if line.is_open] == ["name", "custom.tier"]

    @pytest.mark.parametrize("picks", [{"owner": "merged"}, {"name": "both"}])
    def test_a_bad_pick_is_named(self, picks: dict[str, str]) -> None:
        with pytest.raises(Invalid) as refused:
            merging.lines(ours, theirs, picks)
        assert refused.value.attr == f"fields.{next(iter(picks))}"


@pytest.fixture
def pair(db: None) -> tuple[Account, Account]:
    """Two accounts, one of a domain, and somebody of that domain at the other."""
    ann = world.ann()
    makers.sales(ann)
    acme = makers.account(domain="acme.com")
    labs = makers.account(domain="acme-labs.com")
    contacts.create(account=labs, at=AT, name="Dora", email="Dora@mail.ACME.com")
    return acme, labs


def suggested() -> list[tuple[str, str]]:
    return list(Suggestion.objects.order_by("pk").values_list("domain", "state"))


class TestSuggestions:
    def test_two_people_of_one_company_on_two_accounts_make_one(self, pair: tuple[Account, Account]) -> None:
        """A27."""
        acme, labs = pair
        assert suggested() == [("acme.com", "open")]
        contacts.create(account=labs, at=AT, name="Emil", email="emil@acme.com")
        assert suggestions.look(at=AT) == 0
        told = Event.objects.filter(type="crm.account.consolidation_suggested")
        assert set(told.values_list("account_id", flat=True)) == {acme.pk, labs.pk}

    def test_two_of_a_free_mail_provider_make_none(self, db: None) -> None:
        """A27, the other half; a throw-away address says nothing either."""
        makers.sales(world.ann())
        one, other = makers.account(domain="one.com"), makers.account(domain="two.com")
        for account, name in ((one, "a"), (other, "b")):
            contacts.create(account=account, at=AT, name=name, email=f"{name}@gmail.com")
            contacts.create(account=account, at=AT, name=name, email=f"{name}@mailinator.com")
        assert (suggested(), suggestions.look(at=AT)) == ([], 0)

    def test_the_registrable_domain_counts(self, db: None) -> None:
        """A28."""
        makers.sales(world.ann())
        one, other = makers.account(domain="one.com"), makers.account(domain="two.com")
        contacts.create(account=one, at=AT, name="a", email="a@eu.acme.co.uk")
        contacts.create(account=other, at=AT, name="b", email="b@acme.co.uk")
        assert suggested() == [("acme.co.uk", "open")]

    def test_customers_count_and_three_accounts_make_two(self, pair: tuple[Account, Account]) -> None:
        customer = makers.customer(email="fin@acme.com", traits={"domain": "acme-fr.com"})
        third = accounts.for_customer(customer=customer, at=AT)
        assert suggested() == [("acme.com", "open")] * 2
        assert {pair[0].pk} == {a for a, _ in Suggestion.objects.values_list("first", "second")}
        assert third.pk in set(Suggestion.objects.values_list("second", flat=True))

    def test_who_signs_in_to_a_portal_is_a_person_there(self, pair: tuple[Account, Account]) -> None:
        """Two users of one company at the customers of two accounts: people to talk to, and a suggestion."""
        suggestions.dismiss(suggestion=Suggestion.objects.get(), at=AT, reason="To begin anew")
        customer = makers.customer(email="x@elsewhere.com")
        billing_makers.member(customer, "fred@acme.com")
        outbox.relay()
        fred = Contact.objects.get(email="fred@acme.com")
        assert (fred.account.domains.get().domain, fred.source) == ("elsewhere.com", "portal")
        assert suggested() == [("acme.com", "dismissed"), ("acme.com", "open")]

    def test_a_dismissal_is_for_good(self, pair: tuple[Account, Account]) -> None:
        row = Suggestion.objects.get()
        with pytest.raises(Invalid):
            suggestions.dismiss(suggestion=row, at=AT, reason=" ")
        suggestions.dismiss(suggestion=row, at=AT, reason="A reseller")
        with pytest.raises(Conflict):
            suggestions.dismiss(suggestion=row, at=AT, reason="again")
        contacts.create(account=pair[1], at=AT, name="Emil", email="emil@acme.com")
        assert (suggestions.look(at=AT), suggested()) == (0, [("acme.com", "dismissed")])

    def test_test_clocks_are_sealed(self, pair: tuple[Account, Account]) -> None:
        clock = TestClock.objects.create(frozen_time=AT)
        clocked = accounts.create(name="Clocked", at=AT, test_clock_id=clock.pk)
        contacts.create(account=clocked, at=AT, name="Zed", email="dora@mail.acme.com")
        assert len(suggested()) == 1
        with pytest.raises(Invalid) as refused:
            merges.merge(survivor=pair[0], merged=clocked, at=AT)
        assert refused.value.code == "other_clock"
        delete_all(clock=clock)
        connection.check_constraints()


def books() -> list[Any]:
    """What billing knows of its customers, but for the account that each belongs to."""
    return [
        list(Subscription.objects.order_by("pk").values()),
        list(Invoice.objects.order_by("pk").values()),
        list(Customer.objects.order_by("pk").values("pk", "name", "currency", "version", "net_terms_days")),
    ]


class TestMerging:
    def test_everything_goes_over_and_comes_back(self, pair: tuple[Account, Account]) -> None:
        acme, labs = pair
        customer = makers.customer(email="x@acme-labs.com")
        accounts.for_customer(customer=customer, at=AT)
        accounts.change(account=labs, at=AT, industry="bank", external_id="labs-1", name="Acme Labs")
        below = accounts.create(name="Below", at=AT)
        hierarchy.place(account=below, parent=labs, at=AT)
        alert = makers.alert(account=labs)
        shown = merges.preview(survivor=acme, merged=labs)
        assert (shown.moving["contacts"], shown.moving["customers"], shown.moving["leads"]) == (2, 1, 1)
        before = books()

        log = merges.merge(survivor=acme, merged=labs, at=AT, fields={"name": "merged"})
        acme.refresh_from_db()
        assert (acme.name, acme.industry, acme.external_id) == ("Acme Labs", "bank", "labs-1")
        assert not Account.objects.filter(pk=labs.pk).exists()
        assert Account.everything.get(pk=labs.pk).merged_into == acme
        assert set(acme.contacts.values_list("email", flat=True)) >= {"dora@mail.acme.com", "cora@acme-labs.com"}
        assert dict(acme.domains.values_list("domain", "is_primary")) == {"acme.com": True, "acme-labs.com": False}
        customer.refresh_from_db()
        assert customer.account_id == acme.pk
        assert books()[:2] == before[:2]
        below.refresh_from_db()
        alert.refresh_from_db()
        assert (below.parent, alert.account) == (acme, acme)
        assert suggested() == [("acme.com", "merged")]
        assert accounts.for_domain(domain="acme-labs.com", at=AT) == acme
        with pytest.raises(Conflict):
            merges.merge(survivor=acme, merged=labs, at=AT)

        accounts.change(account=acme, at=LATER, name="Acme Group")
        merges.undo(log=log, at=LATER)
        acme, labs = (Account.objects.get(pk=row.pk) for row in (acme, labs))
        assert (acme.name, acme.industry, acme.external_id) == ("Acme Group", "", None)  # the name was changed since
        assert (labs.name, labs.external_id, labs.merged_into) == ("Acme Labs", "labs-1", None)
        assert list(labs.domains.values_list("domain", "is_primary")) == [("acme-labs.com", True)]
        assert Contact.objects.get(email="dora@mail.acme.com").account == labs
        assert AccountCustomer.objects.get(customer=customer).account == labs
        customer.refresh_from_db()
        below.refresh_from_db()
        assert (customer.account_id, below.parent) == (labs.pk, labs)
        assert suggested() == [("acme.com", "open")]
        assert books()[:2] == before[:2]
        with pytest.raises(Conflict):
            merges.undo(log=log, at=LATER)

    def test_it_comes_back_after_another_domain_became_the_primary_one(self, pair: tuple[Account, Account]) -> None:
        acme, labs = pair
        second = account_domains.add(account=labs, domain="labs.dev", at=AT)
        log = merges.merge(survivor=acme, merged=labs, at=AT)
        account_domains.make_primary(domain=AccountDomain.objects.get(pk=second.pk), at=AT)
        merges.undo(log=log, at=AT)
        assert dict(labs.domains.values_list("domain", "is_primary")) == {"acme-labs.com": True, "labs.dev": False}
        assert acme.domains.get().is_primary

    def test_what_is_gathered_later_has_the_owner_and_comes_back_too(self, pair: tuple[Account, Account]) -> None:
        """A person and a request that somebody wrote for the merged account at that very moment, merged on since."""
        acme, labs = pair
        log = merges.merge(survivor=acme, merged=labs, at=AT)
        last = makers.account(domain="last.com")
        last = accounts.give(account=last, owner=world.bob(), at=AT)
        next_log = merges.merge(survivor=last, merged=Account.objects.get(pk=acme.pk), at=AT)
        late = Contact.objects.create(account=labs, name="Late", name_key="late")
        lead = Lead.objects.create(account=labs, name="Late", email="l@x.com", owner=labs.owner)
        assert (stragglers.gather(), stragglers.gather()) == (2, 0)
        late.refresh_from_db()
        lead.refresh_from_db()
        assert (late.account, lead.account, lead.owner) == (last, last, last.owner)
        for each in (next_log, log):
            merges.undo(log=each, at=AT)
        assert (Contact.objects.get(pk=late.pk).account, Lead.objects.get(pk=lead.pk).account) == (labs, labs)

    def test_one_merged_between_reading_and_locking_is_gone(self, pair: tuple[Account, Account]) -> None:
        acme, labs = pair
        merges.merge(survivor=acme, merged=labs, at=AT)
        for act in (
            lambda: contacts.create(account=labs, at=AT, name="Emil"),
            lambda: accounts.change(account=labs, at=AT, industry="bank"),
            lambda: hierarchy.place(account=labs, parent=None, at=AT),
            lambda: account_domains.add(account=labs, domain="labs.dev", at=AT),
        ):
            with pytest.raises(Conflict) as refused:
                act()
            assert refused.value.code == "gone"

    def test_it_can_be_undone_for_30_days(self, pair: tuple[Account, Account]) -> None:
        log = merges.merge(survivor=pair[0], merged=pair[1], at=AT)
        with pytest.raises(Conflict) as refused:
            merges.undo(log=log, at=AT + timedelta(days=30, seconds=1))
        assert refused.value.code == "too_late"

    def test_merges_are_undone_in_turn(self, pair: tuple[Account, Account]) -> None:
        acme, labs = pair
        last = accounts.create(name="Last", at=AT, domain="last.com")
        first_log = merges.merge(survivor=acme, merged=labs, at=AT)
        second_log = merges.merge(survivor=last, merged=acme, at=AT)
        assert Account.everything.get(pk=labs.pk).merged_into == last
        with pytest.raises(Conflict):
            merges.undo(log=first_log, at=AT)
        merges.undo(log=second_log, at=AT)
        merges.undo(log=first_log, at=AT)
        assert Account.objects.filter(pk__in=[acme.pk, labs.pk, last.pk]).count() == 3

    def test_two_who_pay_are_merged_only_on_a_persons_word(self, pair: tuple[Account, Account]) -> None:
        acme, labs = pair
        billing_makers.legal_entity()
        plan = billing_makers.published_plan()
        for email in ("pay@acme.com", "pay@acme-labs.com"):
            customer = billing_makers.customer(email=email, name=email)
            billing_makers.card(customer)
            accounts.for_customer(customer=customer, at=world.JAN_1)
            billing_makers.subscribed(customer, plan=plan, at=world.JAN_1)
        assert merges.preview(survivor=acme, merged=labs).both_pay
        with pytest.raises(Conflict) as refused:
            merges.merge(survivor=acme, merged=labs, at=AT)
        assert refused.value.code == "both_pay"
        before = books()
        log = merges.merge(survivor=acme, merged=labs, at=AT, keep_customers_apart=True)
        assert books() == before
        merges.undo(log=log, at=AT)
        assert books() == before

    def test_a_parent_is_merged_into_its_child_without_a_circle(self, pair: tuple[Account, Account]) -> None:
        acme, labs = pair
        between = accounts.create(name="Between", at=AT)
        hierarchy.place(account=between, parent=acme, at=AT)
        hierarchy.place(account=labs, parent=between, at=AT)
        log = merges.merge(survivor=labs, merged=acme, at=AT)
        between.refresh_from_db()
        labs.refresh_from_db()
        assert (labs.parent, between.parent) == (None, labs)
        merges.undo(log=log, at=AT)
        between.refresh_from_db()
        labs.refresh_from_db()
        assert (labs.parent, between.parent) == (between, acme)

    def test_every_table_with_an_account_is_named(self) -> None:
        assert set(merges.relations()) == {*merges.GOES_OVER, *merges.STAYS}


class TestHandoff:
    def test_an_owner_change_touches_no_billing_and_no_gateway(self, pair: tuple[Account, Account]) -> None:
        """A46, crm's half: the new owner sees invoices, usage and what happened; nothing of billing changes."""
        acme, _labs = pair
        billing_makers.legal_entity()
        customer = billing_makers.customer(email="pay@acme.com", name="Acme")
        billing_makers.card(customer)
        accounts.for_customer(customer=customer, at=AT)
        subscription = billing_makers.subscribed(customer, plan=billing_makers.published_plan(), at=AT)
        ann, bob = acme.owner, world.bob()
        before = all_of_billing()
        accounts.give(account=acme, owner=bob, at=AT, reason="handoff")
        accounts.change(account=acme, at=AT, employee_count=5000)
        assert all_of_billing() == before
        assert Subscription.objects.get(customer=customer).pk == subscription.pk
        shown = account_queries.around(acme, user=bob, at=AT)
        assert [invoice.customer_id for invoice in shown.invoices] == [customer.pk]
        assert "billing.subscription.activated" in {entry.type for entry in shown.entries}
        assert ann is not None
        assert not Account.objects.visible_to(ann).filter(pk=acme.pk).exists()


def all_of_billing() -> dict[str, list[Any]]:
    """Every row of every table of billing: attempts and refunds, which stand before each gateway call, among them."""
    models = apps.get_app_config("billing").get_models()
    return {model._meta.label: sorted(map(repr, model._base_manager.values_list())) for model in models}


class TestTimeline:
    def test_what_happened_last_stands_first(self, pair: tuple[Account, Account]) -> None:
        """Though it was told before: mail that came late, say."""
        acme, _labs = pair
        for days in (2, 3, 1):
            outbox.publish("crm.email.received", acme, at=AT + timedelta(days=days), account_id=acme.pk)
        shown = story.page(account_id=acme.pk, customer_ids=[], limit=50).events
        assert [fact.occurred_at for fact in shown] == sorted((fact.occurred_at for fact in shown), reverse=True)
        assert shown[0].occurred_at == AT + timedelta(days=3)

    def test_a_page_goes_by_the_indexes_whatever_stands_behind_it(
        self, pair: tuple[Account, Account], django_assert_num_queries: Any
    ) -> None:
        acme, _labs = pair
        sql = """INSERT INTO shared_event (id, type, object_type, object_id, object_version, account_id, actor,
            on_behalf_of, request_id, reason, data, previous, occurred_at)
            SELECT gen_random_uuid(), 'crm.account.changed', 'account', %s, 1, CASE WHEN n %% 2 = 0 THEN %s::uuid END,
            'system', '', '', '', '{}', '{}', now() FROM generate_series(1, 20000) n"""
        with connection.cursor() as cursor:
            cursor.execute(sql, [acme.pk, acme.pk])
            cursor.execute("ANALYZE shared_event")
        with django_assert_num_queries(1), CaptureQueriesContext(connection) as asked:
            page = story.page(account_id=acme.pk, customer_ids=[acme.pk], limit=50)
        assert (len(page.events), page.older) == (50, page.events[-1].position)
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {asked.captured_queries[0]['sql']}")
            plan = "\n".join(row[0] for row in cursor.fetchall())
        assert "shared_event_of_account" in plan
        assert "shared_event_of_customer" in plan
        assert "Seq Scan on shared_event" not in plan


class TestDomains:
    def test_they_are_added_verified_made_primary_and_removed(self, pair: tuple[Account, Account]) -> None:
        acme, _labs = pair
        row = account_domains.add(account=acme, domain="https://www.acme.de/x", at=AT)
        account_domains.make_primary(domain=account_domains.verify(domain=row, at=AT), at=AT)
        assert [(d.domain, d.is_primary) for d in acme.domains.order_by("-is_primary")] == [
            ("acme.de", True),
            ("acme.com", False),
        ]
        account_domains.remove(domain=AccountDomain.objects.get(domain="acme.de"), at=AT)
        assert acme.domains.get().is_primary
        for domain, code in (("acme-labs.com", "domain_taken"), ("gmail.com", "invalid"), ("co.uk", "invalid")):
            with pytest.raises((Invalid, Conflict)) as refused:
                account_domains.add(account=acme, domain=domain, at=AT)
            assert refused.value.code == code

    def test_domains_that_many_share_are_warned_of(self) -> None:
        found = {name: account_domains.caution(name) for name in ("mit.edu", "ox.ac.uk", "comcast.net", "acme.com")}
        assert found == {
            "mit.edu": "education",
            "ox.ac.uk": "education",
            "comcast.net": "access_provider",
            "acme.com": "",
        }

    def test_the_target_list_marks_whoever_comes_first(self, pair: tuple[Account, Account]) -> None:
        _acme, labs = pair
        accounts.change(account=labs, at=AT, target_list=True)
        done = target_list.upload(lines=["www.acme.com", "acme.com", "acme-labs.com", "gmail.com", "new.io", ""], at=AT)
        assert (done.added, done.refused, done.marked) == (3, ("gmail.com",), 1)
        newcomer = accounts.create(name="New", domain="new.io", at=AT)
        assert newcomer.target_list
        target_list.remove(targets=TargetDomain.objects.all(), at=AT)
        marks = dict(Account.objects.values_list("name", "target_list"))
        assert marks == {"acme.com": False, "acme-labs.com": True, "New": False}  # by hand stays

    def test_nobody_is_above_itself(self, pair: tuple[Account, Account]) -> None:
        acme, labs = pair
        hierarchy.place(account=labs, parent=acme, at=AT)
        for parent in (labs, acme):
            with pytest.raises((Invalid, Conflict)):
                hierarchy.place(account=acme, parent=parent, at=AT)


class TestHistory:
    def test_it_says_what_was_who_and_where_from(self, pair: tuple[Account, Account]) -> None:
        acme, _labs = pair
        accounts.change(account=acme, at=AT, industry="bank", name="Acme Inc")
        rows = FieldChange.objects.filter(object_id=acme.pk).values_list("field", "old", "new", "source", "actor")
        assert set(rows) >= {
            ("industry", "", "bank", "hand", "system"),
            ("name", "acme.com", "Acme Inc", "hand", "system"),
            ("employee_count", None, 250, "contact_sales", "system"),
        }
        fact = Event.objects.filter(type="crm.account.changed").latest("position")
        assert "Acme" not in str(fact.data) + str(fact.previous)

    def test_it_is_never_rewritten_and_neither_is_the_first_touch(self, pair: tuple[Account, Account]) -> None:
        acme, _labs = pair
        assert (acme.first_source, acme.first_touch_at) == ("contact_sales", AT)
        for change in (
            lambda: FieldChange.objects.filter(object_id=acme.pk, field="name").update(new="forged"),
            lambda: FieldChange.objects.filter(object_id=acme.pk).delete(),
            lambda: Account.objects.filter(pk=acme.pk).update(first_source="ads"),
            lambda: Account.objects.filter(pk=acme.pk).update(first_touch_at=LATER),
            lambda: Contact.objects.filter(account=acme).update(source="ads"),
        ):
            with pytest.raises(IntegrityError), transaction.atomic():
                change()
        assert FieldChange.objects.filter(object_id=acme.pk, field="name").update(old=None, new=None)  # erased
