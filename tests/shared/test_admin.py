"""Settings, people, keys and records in the back office."""

from datetime import timedelta

import pytest
from django.test import Client

from billing.models import Customer, Invoice
from gtm import clocks
from gtm.shared import keys, mail, users, vendors
from gtm.shared.models import ApiKey, Event, Mail, PendingFact, TestClock, User
from tests import world
from tests.backoffice import address, errors, facts, signed_in, submit
from tests.billing import makers
from tests.world import JAN_1

pytestmark = pytest.mark.django_db


@pytest.fixture
def founder() -> Client:
    return signed_in(world.fay())


class TestSettings:
    def test_general_and_payments_are_two_pages_of_one_thing(self, founder: Client) -> None:
        submit(founder, address("shared_vendor_change", 1), name="Acme", base_currency="EUR", fiscal_year_start="4")
        submit(founder, address("shared_vendor_change", 1), large_upgrade="7500.50")
        answer = submit(founder, address("shared_vendor_payments"), proration_unit="second", draft_grace_minutes="5")
        assert answer.status_code == 302, errors(answer)
        assert answer["Location"] == address("shared_vendor_payments")
        vendor = vendors.current()
        assert (vendor.name, vendor.base_currency, vendor.fiscal_year_start) == ("Acme", "EUR", 4)
        assert (vendor.proration_unit, vendor.draft_grace_minutes) == ("second", 5)
        assert vendor.large_upgrade_delta_arr == 750_050

    def test_payments_say_where_money_goes(self, founder: Client) -> None:
        assert b"The sandbox: test cards, no real money." in founder.get(address("shared_vendor_payments")).content

    def test_a_colour_that_is_none_is_refused(self, founder: Client) -> None:
        page = submit(founder, address("shared_vendor_change", 1), accent="blue")
        assert errors(page)["accent"] == ["Use six hex digits, such as #2456c4."]


class TestKeys:
    def test_a_key_is_shown_once_and_works(self, founder: Client) -> None:
        page = submit(founder, address("shared_apikey_add"), name="Production")
        plaintext = page.context["plaintext"]
        key = keys.find(plaintext)
        assert key == ApiKey.objects.get()
        assert "no-store" in page["Cache-Control"]
        shown = founder.get(address("shared_apikey_change", key.pk)).content.decode()
        assert key.hint in shown
        assert plaintext not in shown
        assert key.digest not in shown

    def test_a_revoked_key_works_no_more(self, founder: Client) -> None:
        key, plaintext = keys.issue(name="Old", scope="read")
        submit(founder, address("shared_apikey_revoke", key.pk))
        assert keys.find(plaintext) is None
        assert facts("api_key.revoked") == ["api_key.revoked"]

    def test_only_colleagues_can_have_one(self, founder: Client) -> None:
        cora = world.user(email="cora@acme.example")
        page = submit(founder, address("shared_apikey_add"), name="Cora's", user=cora.pk)
        assert "user" in errors(page)


class TestPeople:
    def test_the_last_founder_is_told_why_not(self, founder: Client) -> None:
        fay = User.objects.get()
        page = submit(founder, address("shared_user_change", fay.pk), roles=["ae"])
        assert errors(page)["roles"] == ["One active founder must remain."]

    def test_a_colleague_gets_roles_and_is_let_go(self, founder: Client) -> None:
        ann = world.ann()
        submit(founder, address("shared_user_change", ann.pk), roles=["csm", "finance"], is_active=None)
        ann.refresh_from_db()
        assert (ann.roles, ann.is_active) == (["finance", "csm"], False)

    def test_a_new_link_can_be_mailed(self, founder: Client) -> None:
        submit(founder, address("shared_user_invite", world.ann().pk))
        assert Mail.objects.get().recipient == "ann@vendor.example"

    def test_a_password_is_never_on_the_page(self, founder: Client) -> None:
        ann = world.ann()
        assert ann.password not in founder.get(address("shared_user_change", ann.pk)).content.decode()

    def test_the_list_tells_staff_and_customers_apart(self, founder: Client) -> None:
        world.ann()
        world.user(email="cora@acme.example")
        for kind, expected in (("staff", 2), ("customers", 1), ("founder", 1), ("inactive", 0)):
            shown = founder.get(address("shared_user_changelist"), {"kind": kind})
            assert shown.context["cl"].result_count == expected, kind


class TestRecords:
    def test_mail_is_read_without_being_run(self, founder: Client) -> None:
        users.create_staff(at=JAN_1, email="nina@vendor.example", roles=["ae"], name="<script>alert(1)</script>")
        content = founder.get(address("shared_mail_change", Mail.objects.get().pk)).content.decode()
        assert 'sandbox="" srcdoc=' in content
        assert "<script>alert(1)" not in content

    def test_mail_that_may_be_lost_is_sent_again(self, founder: Client) -> None:
        users.create_staff(at=JAN_1, email="nina@vendor.example", roles=["ae"])
        Mail.objects.update(status=Mail.Status.UNKNOWN)
        submit(founder, address("shared_mail_resend", Mail.objects.get().pk))
        assert Mail.objects.get().status == Mail.Status.QUEUED
        assert facts("mail.resent") == ["mail.resent"]

    def test_mail_that_was_sent_is_not_offered_again(self, founder: Client) -> None:
        users.create_staff(at=JAN_1, email="nina@vendor.example", roles=["ae"])
        Mail.objects.update(status=Mail.Status.SENT)
        assert Mail.Status.SENT not in mail.RESENDABLE
        page = submit(founder, address("shared_mail_resend", Mail.objects.get().pk))
        assert "can't be sent again" in errors(page)["__all__"][0]

    def test_a_waiting_fact_says_why_and_is_tried_again(self, founder: Client) -> None:
        users.create_staff(at=JAN_1, email="nina@vendor.example", roles=["ae"])
        event = Event.objects.latest("position")
        later = JAN_1 + timedelta(days=4000)
        pending = PendingFact.objects.create(event=event, attempts=2, next_attempt_at=later, last_error="It broke.")
        assert b"It broke." in founder.get(address("shared_pendingfact_changelist")).content
        submit(founder, address("shared_pendingfact_retry", pending.pk))
        pending.refresh_from_db()
        assert pending.next_attempt_at < later

    @pytest.mark.parametrize("term", ["public_id", "pk", "user.cre"])
    def test_facts_are_found_by_what_they_are_about(self, founder: Client, term: str) -> None:
        nina = users.create_staff(at=JAN_1, email="nina@vendor.example", roles=["ae"])
        users.change(user=world.ann(), at=JAN_1, name="Anna")
        shown = founder.get(address("shared_event_changelist"), {"q": str(getattr(nina, term, term))})
        assert [event.type for event in shown.context["cl"].result_list] == ["user.created"]

    def test_history_is_the_facts_of_an_object(self, founder: Client) -> None:
        nina = users.create_staff(at=JAN_1, email="nina@vendor.example", roles=["ae"])
        shown = founder.get(address("shared_user_history", nina.pk), follow=True)
        assert [event.type for event in shown.context["cl"].result_list] == ["user.created"]


class TestClocks:
    def test_a_clock_is_made_advanced_and_deleted(self, founder: Client) -> None:
        submit(
            founder, address("shared_testclock_add"), name="A year", frozen_time_0="2026-01-31", frozen_time_1="12:00"
        )
        clock = TestClock.objects.get()
        submit(founder, address("shared_testclock_advance", clock.pk), to_0="2026-02-28")
        clock.refresh_from_db()
        assert (clock.status, clock.frozen_time.isoformat()) == ("ready", "2026-02-28T12:00:00+00:00")
        answer = submit(founder, address("shared_testclock_delete", clock.pk))
        assert answer["Location"] == address("shared_testclock_changelist")
        assert not TestClock.objects.exists()

    def test_its_page_says_what_stands_on_it_and_what_comes_next(self, founder: Client) -> None:
        makers.legal_entity()
        plan = makers.published_plan()
        clock = clocks.create(name="A year", frozen_time=JAN_1)
        asked = {"plan": plan.pk, "interval": "month", "currency": "USD", "country": "US"}
        answer = submit(founder, address("shared_testclock_add_customer", clock.pk), **asked)
        assert answer.status_code == 302, errors(answer)
        (customer,) = Customer.objects.filter(test_clock=clock)
        assert answer["Location"] == address("billing_customer_change", customer.pk)
        page = founder.get(address("shared_testclock_change", clock.pk))
        listed = {one.name: (one.count, one.address) for one in page.context["contents"]}
        assert listed["invoice"][0] == listed["customer"][0] == listed["payment"][0] == 1
        assert [one.pk for one in founder.get(listed["invoice"][1]).context["cl"].result_list] == [
            Invoice.objects.get().pk
        ]
        assert page.context["next_due"].date().isoformat() == "2026-02-01"
        asks = founder.get(address("shared_testclock_delete", clock.pk)).content.decode()
        assert "1 invoice," in asks

    def test_its_page_shows_how_far_time_has_come(self, founder: Client) -> None:
        clock = TestClock.objects.create(
            frozen_time=JAN_1, target_time=JAN_1 + timedelta(days=31), status=TestClock.Status.ADVANCING
        )
        page = founder.get(address("shared_testclock_change", clock.pk)).content.decode()
        assert "it has come to 01 January 2026, 00:00 UTC on its way to 01 February 2026" in page
        assert 'http-equiv="refresh"' in page
        TestClock.objects.update(status=TestClock.Status.READY)
        assert 'http-equiv="refresh"' not in founder.get(address("shared_testclock_change", clock.pk)).content.decode()

    def test_it_never_goes_back(self, founder: Client) -> None:
        clock = TestClock.objects.create(frozen_time=JAN_1)
        page = submit(founder, address("shared_testclock_advance", clock.pk), to_0="2025-01-01")
        assert errors(page)["__all__"] == ["A test clock never goes back."]
