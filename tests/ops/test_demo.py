"""The demonstration: made once, by the real engine, where nobody else can sign in."""

import io
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.db.models import Sum
from django.test import Client
from django.urls import reverse

from billing import cancellation_offers, consistency
from billing.models import Customer, Grant, Invoice, Prompt, Subscription
from crm.models import Account, Alert, Lead, Motion, Opportunity, Stage
from gtm import demo
from gtm.demo import deals
from gtm.demo.company import PORTAL_EMAIL
from gtm.shared import db, outbox, pulse
from gtm.shared.models import Mail, PendingFact, Pulse, User
from tests import world


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestTheCompany:
    def test_it_is_what_the_engine_itself_would_have_made(self) -> None:
        said = run_demo()
        assert "25 customers" in said
        assert "again" not in run_demo("--if-empty")
        self._bills_are_whole()
        self._everybody_is_placed_and_told()
        self._everybody_can_sign_in()
        self._who_cancels_is_offered_something()
        self._the_relay_finds_nothing_more_to_tell()

    def _bills_are_whole(self) -> None:
        numbers = sorted(Invoice.objects.exclude(number=None).values_list("number", flat=True))
        assert len(numbers) > 40
        assert [int(number.rpartition("-")[2]) for number in numbers] == list(range(1, len(numbers) + 1))
        assert not Customer.objects.filter(parked_at__isnull=False).exists()
        assert Invoice.objects.filter(tax_total__gt=0).exists()
        paid = Invoice.objects.filter(status="paid").aggregate(total=Sum("total"), paid=Sum("amount_paid"))
        assert paid["total"] == paid["paid"]
        assert {"active", "trialing", "past_due", "canceled"} == set(
            Subscription.objects.values_list("status", flat=True)
        )
        assert not Subscription.objects.filter(next_bill_at__lte=db.now()).exists()
        assert [one for one in consistency.check(at=db.now()) if not one.is_fine] == []

    def _everybody_is_placed_and_told(self) -> None:
        assert not Account.objects.filter(owner=None, queue=None).exists()
        assert set(Account.objects.values_list("motion", flat=True)) == set(Motion.values)
        assert Alert.objects.filter(state="open").count() >= 3
        assert not Alert.objects.filter(account__motion=Motion.SELF_SERVE).exists()
        assert Prompt.objects.filter(expires_at__gt=db.now()).count() >= 3
        assert Lead.objects.filter(lifecycle="lead").count() >= 2
        assert Opportunity.objects.count() >= len(deals.DEALS)
        assert Stage.objects.exclude(opportunities=None).count() >= 8
        assert set(Lead.objects.values_list("lifecycle", flat=True)) == set(Lead.Lifecycle.values)
        assert Grant.objects.filter(limit=None, feature__code="api_calls").exists()
        assert set(Mail.objects.values_list("status", flat=True)) == {Mail.Status.KEPT}

    def _everybody_can_sign_in(self) -> None:
        for _role, email, password in demo.SIGN_INS:
            assert authenticate(None, email=email, password=password) is not None, email

    def _who_cancels_is_offered_something(self) -> None:
        client = Client()
        client.force_login(User.objects.get(email=PORTAL_EMAIL))
        one = Subscription.objects.live().get(customer__members__user__email=PORTAL_EMAIL)
        page = client.get(reverse("portal_cancel", args=[one.customer.public_id, one.public_id]))
        assert page.context["offer"]
        offered = {one.plan_version.plan.code for one in Subscription.objects.live() if offer_of(one) is not None}
        assert offered == {"starter", "pro"}

    def _the_relay_finds_nothing_more_to_tell(self) -> None:
        before = (Alert.objects.count(), Prompt.objects.count(), Account.objects.count())
        while outbox.relay():
            pass
        assert not PendingFact.objects.exists()
        assert (Alert.objects.count(), Prompt.objects.count(), Account.objects.count()) == before


def offer_of(subscription: Subscription) -> cancellation_offers.Offer | None:
    return cancellation_offers.of(subscription, at=db.now())


@pytest.mark.django_db
class TestWhereItIsNotLoaded:
    def test_where_others_could_sign_in(self, settings: LazySettings) -> None:
        settings.BASE_URL = "https://billing.vendor.example"
        with pytest.raises(CommandError, match="sign-ins are public"):
            run_demo()

    def test_where_a_live_gateway_key_is_set(self, settings: LazySettings) -> None:
        settings.STRIPE_SECRET_KEY = "sk_live_123"
        with pytest.raises(CommandError, match="live gateway key"):
            run_demo()

    def test_where_somebody_is_at_work(self) -> None:
        world.fay()
        with pytest.raises(CommandError, match="in use"):
            run_demo()
        assert run_demo("--if-empty") == ""


@pytest.mark.django_db
class TestOneThatWasKilled:
    def test_it_counts_as_empty_and_is_begun_anew(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pulse.beat(demo.MARK, finished=False)
        world.fay()
        assert demo.is_empty()
        flushed: list[Any] = []
        monkeypatch.setattr(demo, "call_command", lambda *names, **options: flushed.append(names))
        monkeypatch.setattr(demo, "tell", lambda *, now: demo.Summary(0, 0, 0, 0))
        run_demo("--if-empty")
        assert flushed == [("flush",)]
        assert Pulse.objects.get(name=demo.MARK).detail == {"finished": True}
        assert not demo.is_empty()


class TestBill:
    @pytest.mark.django_db
    def test_it_says_what_it_billed(self) -> None:
        out = io.StringIO()
        call_command("bill", stdout=out)
        assert out.getvalue() == "0 subscriptions, 0 invoices, 0 parked.\n"

    @pytest.mark.django_db
    @pytest.mark.parametrize("at", ["2099-01-01T00:00:00Z", "2026-01-01T00:00:00", "tomorrow"])
    def test_it_is_never_dated_ahead_or_vaguely(self, at: str) -> None:
        with pytest.raises(CommandError):
            call_command("bill", at=at)


def run_demo(*options: str) -> str:
    out = io.StringIO()
    call_command("demo", *options, stdout=out)
    return out.getvalue()
