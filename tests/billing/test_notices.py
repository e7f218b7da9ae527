"""Mail to customers: who gets which and when, in each language, and never what they needn't have."""

import re
from pathlib import Path

import pytest
from django.conf import LazySettings, settings
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from billing import announcements, handlers, notices, subscriptions
from billing.models import Announcement, Customer, Invoice, MailPreference
from crm import timeline
from gtm import clocks, wiring
from gtm.shared import outbox, vendors
from gtm.shared.models import Event, Mail, TestClock
from tests.billing import letters, makers
from tests.billing.letters import DAY, letter
from tests.world import JAN_1

EMAILS = Path(settings.BASE_DIR) / "templates" / "emails"
MISSING = "MISSING"


@pytest.fixture
def clock() -> TestClock:
    makers.legal_entity()
    return makers.clock()


def test_every_template_has_subject_text_and_html() -> None:
    for template in notices.KINDS:
        for kind in ("subject", "txt", "html"):
            words = (EMAILS / f"{template}.{kind}").read_text()
            assert re.search(r"{% (block)?translate ", words), f"{template}.{kind} says nothing that is translated"


@pytest.mark.django_db
def test_every_mail_in_every_language(settings: LazySettings, clock: TestClock) -> None:
    """One life brings them all; then each is written again in the other languages, from the same facts."""
    engine = settings.TEMPLATES[0]
    settings.TEMPLATES = [engine | {"OPTIONS": engine["OPTIONS"] | {"string_if_invalid": f"{MISSING} %s"}}]
    acme = letters.lived(clock)
    assert set(Mail.objects.values_list("template", flat=True)) == set(notices.KINDS)
    english = dict(Mail.objects.values_list("template", "subject"))
    for locale in ("en", "de", "fr", "id"):
        if locale != "en":
            _written_again(acme, locale)
        for mail in Mail.objects.filter(locale=locale):
            assert MISSING not in mail.subject + mail.text + mail.html, mail.template
            assert "&" not in mail.subject
            assert mail.text.count("http://") >= 1
            assert "None" not in re.sub(r"https?://\S+|None yet", "", mail.text), mail.text
            if locale != "en" and mail.template not in letters.BY_HAND:
                assert mail.subject != english[mail.template]


def _written_again(acme: Customer, locale: str) -> None:
    Customer.objects.filter(pk=acme.pk).update(preferred_locale=locale)
    Mail.objects.exclude(template__in=letters.BY_HAND).delete()
    for event in Event.objects.filter(customer_id=acme.pk).order_by("position"):
        for path in wiring.HANDLERS.get(event.type, ()):
            if path.startswith("billing.handlers."):
                with transaction.atomic():
                    getattr(handlers, path.rpartition(".")[2])(event)


@pytest.mark.django_db
class TestWhoGetsIt:
    def test_what_is_about_money_goes_to_the_accountants(self) -> None:
        acme = letters.customer()
        assert notices.recipients("invoice", acme) == ["books@acme.example"]
        assert notices.recipients("welcome", acme) == ["cora@acme.example"]

    def test_without_an_address_it_goes_to_who_may_buy(self) -> None:
        acme = makers.customer()
        assert notices.recipients("invoice", acme) == []
        makers.member(acme, "vic@acme.example", role="viewer")
        makers.member(acme, "olga@acme.example")
        assert notices.recipients("invoice", acme) == notices.recipients("welcome", acme) == ["olga@acme.example"]

    def test_only_hints_can_be_stopped(self) -> None:
        acme = letters.customer(billing_emails=[])
        for topic in MailPreference.Topic:
            MailPreference.objects.create(
                customer=acme, email="cora@acme.example", topic=topic, wanted=False, changed_at=JAN_1
            )
        assert {template for template in notices.KINDS if not notices.recipients(template, acme)} == {
            "usage_hint",
            "product_hint",
        }

    def test_each_recipient_gets_it_once_however_often_the_fact_is_told(self) -> None:
        makers.legal_entity()
        acme = letters.customer(collection_method="send_invoice", billing_emails=["a@acme.example", "B@acme.example"])
        makers.invoiced(acme, 5000)
        outbox.relay()
        event = Event.objects.get(type="billing.invoice.finalized")
        with transaction.atomic():
            handlers.invoice_finalized(event)
        assert sorted(Mail.objects.values_list("recipient", "template")) == [
            ("a@acme.example", "invoice"),
            ("b@acme.example", "invoice"),
        ]

    def test_it_stands_on_the_timeline_without_a_word_of_personal_data(self) -> None:
        makers.legal_entity()
        acme = letters.customer(collection_method="send_invoice")
        makers.invoiced(acme, 5000)
        outbox.relay()
        told, written = Event.objects.get(type="mail.queued"), Mail.objects.get()
        assert (told.object_id, told.customer_id) == (written.pk, acme.pk)
        assert told.data == {"template": "invoice", "locale": "en", "attachments": 1}
        (entry,) = timeline.entries([told])
        assert (entry.text, entry.detail) == ("Mail", f"{written.subject} → books@acme.example (queued)")


@pytest.mark.django_db
class TestWhatIsSent:
    def test_an_invoice_is_sent_where_it_is_to_be_paid_by_hand(self, clock: TestClock) -> None:
        acme = letters.customer(clock, collection_method="send_invoice")
        sent = makers.invoiced(acme, 5000)
        outbox.drain(clock.pk)
        mail = letter(acme, "invoice")
        assert mail.attachments == [sent.pk]
        assert f"Your invoice {sent.number} is attached. Please pay $50.00 by Jan 31, 2026." in mail.text
        assert f"Reference: {sent.number}" in mail.text

    def test_a_card_brings_a_receipt_with_the_invoice_instead(self, clock: TestClock) -> None:
        acme = letters.customer(clock)
        makers.subscribed(acme, plan=makers.published_plan())
        outbox.drain(clock.pk)
        paid = Invoice.objects.get()
        assert not Mail.objects.filter(template="invoice").exists()
        assert letter(acme, "receipt").attachments[1:] == [paid.pk]
        assert "Paid: Jan 1, 2026" in letter(acme, "receipt").text

    def test_whoever_sees_it_fail_on_the_page_gets_no_mail_of_it(self, clock: TestClock) -> None:
        from gtm.shared import context

        acme = letters.customer(clock)
        olga = makers.member(acme, "olga@acme.example")
        for actor, mails in ((f"user:{olga.public_id}", 0), ("visitor", 0), ("system", 1)):
            with context.acting(actor):
                makers.card(acme, "pm_card_chargeDeclined")
                from billing import payments

                payments.collect(invoice=makers.invoiced(acme, 100), at=JAN_1)
            outbox.drain(clock.pk)
            assert Mail.objects.filter(template="payment_failed").count() == mails

    def test_seats_that_the_product_counts_are_not_announced(self, clock: TestClock) -> None:
        from billing import changes
        from billing.selection import ItemTerms

        acme, plan = letters.customer(clock), makers.plan()
        seat = makers.price(plan=plan, model="per_unit")
        from billing import catalog

        catalog.publish(plan=plan, at=JAN_1)
        one = makers.subscribed(acme, plan=plan)
        for origin, mails in (("api", 0), ("portal", 1)):
            quantity = {"api": 2, "portal": 3}[origin]
            changes.change(
                subscription=one, items=[ItemTerms(seat, quantity)], effective="now", origin=origin, at=JAN_1
            )  # type: ignore[arg-type]
            outbox.drain(clock.pk)
            assert Mail.objects.filter(template="plan_changed").count() == mails


@pytest.mark.django_db
class TestAnnouncements:
    def test_a_yearly_plan_is_announced_once_a_month_before(self, clock: TestClock) -> None:
        acme = letters.customer(clock)
        one = makers.subscribed(acme, plan=makers.published_plan(), interval="year")
        renews = one.current_period_end
        assert renews is not None
        clocks.advance(clock=clock, to=renews - 31 * DAY)
        assert not Mail.objects.filter(template="renewal_notice").exists()
        clocks.advance(clock=clock, to=renews - 29 * DAY)
        told = Event.objects.get(type="billing.subscription.renewal_upcoming")
        assert told.occurred_at == renews - 30 * DAY
        clocks.advance(clock=clock, to=renews + DAY)
        assert Mail.objects.filter(template="renewal_notice").count() == 1
        assert Announcement.objects.get().about_at == renews

    def test_all_are_announced_by_a_constant_number_of_queries_for_each_batch(
        self, clock: TestClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plan, at, counts = makers.published_plan(), JAN_1 + 345 * DAY, []
        monkeypatch.setattr(announcements, "BATCH", 2)
        for number in (3, 4):
            for _one in range(number):
                makers.subscribed(letters.customer(clock), plan=plan, interval="year")
            with CaptureQueriesContext(connection) as queries:
                assert announcements.announce_due(at=at, test_clock=clock) == number
            assert announcements.announce_due(at=at, test_clock=clock) == 0
            counts.append(len(queries))
        assert counts[0] == counts[1]
        assert Event.objects.filter(type="billing.subscription.renewal_upcoming").count() == 7

    def test_the_days_are_the_vendors_setting_and_zero_is_never(self, clock: TestClock) -> None:
        letters.customer(clock)
        acme = Customer.objects.get()
        one = makers.subscribed(acme, plan=makers.published_plan(), interval="year")
        vendors.change(renewal_notice_days=0)
        assert announcements.next_due(test_clock=clock) is None
        vendors.change(renewal_notice_days=60)
        assert announcements.next_due(test_clock=clock) == one.current_period_end - 60 * DAY  # type: ignore[operator]

    def test_what_ends_anyway_is_not_announced(self, clock: TestClock) -> None:
        acme = letters.customer(clock)
        one = makers.subscribed(acme, plan=makers.published_plan(), interval="year")
        subscriptions.cancel(subscription=one, at=JAN_1)
        assert announcements.next_due(test_clock=clock) is None

    def test_a_monthly_plan_is_not_announced(self, clock: TestClock) -> None:
        makers.subscribed(letters.customer(clock), plan=makers.published_plan())
        assert announcements.next_due(test_clock=clock) is None

    def test_the_end_of_a_trial_is_announced_three_days_before(self, clock: TestClock) -> None:
        acme = letters.customer(clock)
        plan = makers.published_plan(trial_days=14, trial_requires_payment_method=False)
        one = subscriptions.create(customer=acme, plan=plan, at=JAN_1)
        clocks.advance(clock=clock, to=JAN_1 + 12 * DAY)
        mail = letter(acme, "trial_ending")
        assert one.trial_end is not None
        assert mail.event is not None
        assert mail.event.occurred_at == one.trial_end - 3 * DAY
        for words in ("ends on Jan 15, 2026", "Add a payment method", "cancel before then", "$49 per month"):
            assert words in mail.text

    def test_a_trial_of_three_days_is_told_by_its_welcome(self, clock: TestClock) -> None:
        plan = makers.published_plan(trial_days=3, trial_requires_payment_method=False)
        acme = letters.customer(clock)
        subscriptions.create(customer=acme, plan=plan, at=JAN_1)
        outbox.drain(clock.pk)
        assert "runs until Jan 4, 2026" in letter(acme, "welcome").text
        assert announcements.next_due(test_clock=clock) is None
