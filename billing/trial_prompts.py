"""Prompts before a trial ends: three days before, one day before, and on the day.

Each is shown once. Like the end of the trial itself they come from the beat, and from a test clock that is advanced.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from billing import payment_methods, prompts
from billing.models import PlanVersion, Prompt, Subscription
from gtm.shared import periods
from gtm.shared.models import TestClock
from gtm.shared.templatetags.tandem import day_text

DAYS = (3, 1, 0)
CODES = {days: f"trial_ends_in_{days}" for days in DAYS}
_AHEAD = timedelta(days=DAYS[0] + 1)  # a local day may begin up to a day before


def show_due(*, at: datetime, test_clock: TestClock | None = None) -> int:
    """Show those whose day has come, of each trial only the latest; return how many were new."""
    trials = list(_ending(test_clock).filter(trial_end__lte=at + _AHEAD, trial_end__gt=at))
    coming = _coming(trials)
    due = {one: min(days for days, day in coming[one] if day <= at) for one in trials if _has_come(coming[one], at)}
    return sum(_show(subscription, days, at) for subscription, days in due.items())


def next_due(*, test_clock: TestClock) -> datetime | None:
    """When the next one of the clock's customers comes; None for never."""
    trials = list(_ending(test_clock).filter(trial_end__gt=test_clock.frozen_time))
    times = (day for found in _coming(trials).values() for _days, day in found)
    return min(times, default=None)


def _has_come(coming: list[tuple[int, datetime]], at: datetime) -> bool:
    return any(day <= at for _days, day in coming)


def _coming(trials: Sequence[Subscription]) -> dict[Subscription, list[tuple[int, datetime]]]:
    """What is still to be said of each: what comes before something that was said is left out."""
    shown = Prompt.objects.filter(customer__in=[one.customer_id for one in trials], code__in=CODES.values())
    known = set(shown.values_list("code", "period"))
    said = {
        one: min((days for days in DAYS if (CODES[days], one.public_id) in known), default=DAYS[0] + 1)
        for one in trials
    }
    return {one: [(days, day) for days, day in _days(one) if days < said[one]] for one in trials}


def _ending(test_clock: TestClock | None) -> QuerySet[Subscription]:
    """Trials that go on, and aren't canceled: who has said no is left in peace."""
    trials = Subscription.objects.filter(
        status=Subscription.Status.TRIALING, trial_end__isnull=False, cancel_at=None, test_clock=test_clock
    )
    return trials.select_related("customer", "plan_version__plan").order_by("trial_end", "pk")


def _days(subscription: Subscription) -> Iterator[tuple[int, datetime]]:
    """When each is due: at the trial's own hour some days before, and with the morning of its last day."""
    end, timezone = subscription.trial_end, subscription.customer.timezone
    assert end is not None, "only trials that end are looked at"
    for days in DAYS:
        morning = periods.start_of_day(periods.local_date(end, timezone), timezone)
        due = periods.add_days(end, -days, timezone) if days else morning
        if subscription.start_at <= due < end:
            yield days, due


def _show(subscription: Subscription, days: int, at: datetime) -> bool:
    customer = subscription.customer
    with translation.override(customer.preferred_locale):
        text = _text(subscription, days)
    page = "portal_plan" if _has_card(subscription) else "portal_card"
    made = prompts.show(
        customer_id=customer.pk,
        code=CODES[days],
        period=subscription.public_id,
        text=text,
        link=reverse(page, args=[customer.public_id]),
        at=at,
        expires_at=subscription.trial_end,
    )
    if made is not None:  # one at a time: the earlier one has been said
        earlier = [CODES[later] for later in DAYS if later > days]
        Prompt.objects.filter(
            customer=customer, code__in=earlier, period=subscription.public_id, dismissed_at=None
        ).update(dismissed_at=at)
    return made is not None


def _text(subscription: Subscription, days: int) -> str:
    values = {
        "plan": subscription.plan_version.plan.name,
        "day": day_text(subscription.trial_end, subscription.customer.timezone),
    }
    when = {
        3: _("Your trial of %(plan)s ends in 3 days, on %(day)s."),
        1: _("Your trial of %(plan)s ends tomorrow, on %(day)s."),
        0: _("Your trial of %(plan)s ends today."),
    }[days]
    return f"{when % values} {_then(subscription)}"


def _then(subscription: Subscription) -> str:
    """What comes after, so that nobody is surprised."""
    end = subscription.plan_version.trial_end
    if end == PlanVersion.TrialEnd.CANCEL:
        return _("Your access ends with it unless you choose a plan.")
    if end == PlanVersion.TrialEnd.PAUSE:
        return _("It is paused then, and nothing is charged.")
    if not _has_card(subscription):
        return _("Add a card so that it goes on.")
    return _("Billing starts then; there is nothing that you need to do.")


def _has_card(subscription: Subscription) -> bool:
    own = subscription.payment_method_id is not None or subscription.collection_method != "charge_automatically"
    return own or payment_methods.usable_by(subscription.payer).filter(is_default=True).exists()
