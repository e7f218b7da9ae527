"""Test clocks, whose time passes through all apps, with what stands on them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from unfold import widgets

from billing import customers, subscriptions
from billing.models import CollectionMethod, Customer, Plan, Price
from billing.selection import ItemTerms, default_items
from gtm import clocks
from gtm.clocks_api import leave_to_worker
from gtm.shared import admin_columns as columns
from gtm.shared import db, vendors
from gtm.shared.admin_base import OperationAdmin, page_of
from gtm.shared.admin_fields import Choice, CountryField, CurrencyField, Select
from gtm.shared.admin_steps import StepForm, step
from gtm.shared.errors import Conflict, DomainError
from gtm.shared.models import TestClock

log = structlog.get_logger(__name__)
PATIENCE = timedelta(seconds=5)  # afterwards a worker goes on, and the page shows how far it came
REFRESH_SECONDS = 2
TEST_CARD = "pm_card_visa"
_INTERVALS = [choice for choice in Price.Interval.choices if choice[0] != Price.Interval.ONE_TIME]


def _items(*, plan: Plan, interval: str, quantity: int, currency: str) -> list[ItemTerms]:
    return default_items(plan_version=plan.current_version, interval=interval, currency=currency, quantity=quantity)


@dataclass(frozen=True, slots=True)
class Content:
    """How many objects of a kind stand on a clock, and where they are listed."""

    name: str
    count: int
    address: str


def contents(clock: TestClock) -> list[Content]:
    """What stands on the clock, of each kind that has a list; a query for each kind."""
    found = []
    for model in admin.site._registry:
        if any(field.name == "test_clock" for field in model._meta.concrete_fields):
            count = model._default_manager.filter(test_clock=clock).count()
            listed = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
            address = f"{listed}?test_clock__id__exact={clock.pk}"
            name = model._meta.verbose_name if count == 1 else model._meta.verbose_name_plural
            found.append(Content(str(name), count, address))
    return [one for one in found if one.count]


def _counted(clock: TestClock) -> str:
    return ", ".join(f"{one.count} {one.name}" for one in contents(clock)) or "nothing"


class AdvanceForm(StepForm):
    to = forms.SplitDateTimeField(label="To", widget=widgets.UnfoldAdminSplitDateTimeWidget())

    def __init__(self, *args: Any, instance: TestClock, **kwargs: Any) -> None:
        super().__init__(*args, instance=instance, **kwargs)
        self.fields["to"].initial = instance.target_time or instance.frozen_time
        self.fields["to"].help_text = "In UTC."


class BuyerForm(StepForm):
    """A customer who buys a plan, as the price page would sell it."""

    name = forms.CharField(max_length=200, initial="Test customer", widget=widgets.UnfoldAdminTextInputWidget())
    plan = forms.ModelChoiceField(Plan.objects.none(), widget=Select())
    interval = Choice(label="Billed by the", choices=_INTERVALS, initial=Price.Interval.MONTH)
    quantity = forms.IntegerField(min_value=1, initial=1, widget=widgets.UnfoldAdminIntegerFieldWidget())
    currency = CurrencyField()
    country = CountryField(help_text="It decides the tax.")
    collection_method = Choice(
        label="Pays by",
        choices=CollectionMethod.choices,
        initial=CollectionMethod.CHARGE_AUTOMATICALLY,
        help_text="A card is a test card.",
    )

    def __init__(self, *args: Any, instance: TestClock, **kwargs: Any) -> None:
        super().__init__(*args, instance=instance, **kwargs)
        self.fields["plan"].queryset = Plan.objects.filter(archived_at=None, test_clock=None)  # type: ignore[attr-defined]
        self.fields["currency"].initial = vendors.current().base_currency


@admin.register(TestClock)
class TestClockAdmin(OperationAdmin):
    __test__ = False  # not a test class
    list_display = ("__str__", "frozen_time", "state", "created_at")
    ordering = ("-created_at",)
    fieldsets = ((None, {"fields": ("name", ("frozen_time", "target_time"), ("state", "last_error"))}),)
    add_fieldsets = ((None, {"fields": ("name", "frozen_time")}),)
    actions_detail = ("advance", "add_customer", "delete")
    state = columns.status("status")
    change_form_outer_after_template = "admin/_clock_contents.html"

    def extra_context(self, request: HttpRequest, instance: TestClock) -> dict[str, Any]:
        is_advancing = instance.status == TestClock.Status.ADVANCING
        refresh = {"refresh_seconds": REFRESH_SECONDS} if is_advancing else {}
        return {"contents": contents(instance), "next_due": clocks.next_due(clock=instance), **refresh}

    def notes(self, request: HttpRequest, instance: TestClock) -> list[str]:
        if instance.status != TestClock.Status.ADVANCING or instance.target_time is None:
            return []
        come, to = (f"{at:%d %B %Y, %H:%M}" for at in (instance.frozen_time, instance.target_time))
        return [
            f"Time is passing: it has come to {come} UTC on its way to {to} UTC. This page keeps itself up to date."
        ]

    def warnings(self, request: HttpRequest, instance: TestClock) -> list[str]:
        if instance.status != TestClock.Status.FAILED:
            return []
        return ["The clock stopped at an error, which is written below. Advance it again to go on from there."]

    def create(self, *, at: datetime, **values: Any) -> TestClock:
        return clocks.create(**{"name": ""} | values)

    @step(
        "Advance",
        explain=lambda clock: (
            f"Time passes from {clock.frozen_time:%d %B %Y, %H:%M} UTC on; all that falls due is done."
        ),
        done=lambda clock: f"The clock is {clock.status} at {clock.frozen_time:%d %B %Y, %H:%M} UTC.",
        form=AdvanceForm,
        main=True,
    )
    def advance(self, clock: TestClock, *, at: datetime, to: datetime) -> None:
        try:
            clocks.advance(clock=clock, to=to, patience=PATIENCE)
        except DomainError:
            raise
        except Exception as error:  # whatever an app raised on the way is noted on the clock: say it here too
            log.exception("clock_failed", clock=clock.public_id)
            raise Conflict(f"The clock stopped: {clock.last_error}", code="clock_failed") from error
        if clock.status == TestClock.Status.ADVANCING:
            leave_to_worker(clock)

    @step(
        "Add a customer",
        explain="A customer on this clock buys a plan now. Its usage is sent over the API, as that of others.",
        form=BuyerForm,
        applies=lambda clock: clock.status == TestClock.Status.READY,
    )
    def add_customer(
        self,
        clock: TestClock,
        *,
        at: datetime,
        name: str,
        currency: str,
        country: str,
        collection_method: str,
        **bought: Any,
    ) -> HttpResponseRedirect:
        now = db.now_for(Customer(test_clock=clock))
        terms = {"currency": currency, "country": country, "collection_method": collection_method}
        customer = customers.create(name=name, test_clock=clock, at=now, **terms)
        if collection_method == CollectionMethod.CHARGE_AUTOMATICALLY:
            customers.attach_payment_method(customer=customer, gateway_token=TEST_CARD, default=True, at=now)
        subscriptions.create(customer=customer, items=_items(currency=currency, **bought), at=now)
        return redirect(page_of(customer, customer.pk))

    @step(
        "Delete",
        explain=lambda clock: f"{clock} goes, with {_counted(clock)} on it. This can't be undone.",
        danger=True,
    )
    def delete(self, clock: TestClock, *, at: datetime) -> HttpResponseRedirect:
        clocks.delete(clock=clock)
        return redirect("admin:shared_testclock_changelist")
