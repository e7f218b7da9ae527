"""The background work: who does it, when it was last done, and what is stuck."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import Count, Max, Min

from billing import gateways
from billing.models import BillingRun, Customer, GatewayEvent, PaymentAttempt, PaymentMethod
from gtm.health.findings import Finding, error, ok, warning
from gtm.shared.models import Event, PendingFact, Pulse, TestClock, UnsentFact, WebhookDelivery, WebhookEndpoint

WORKER, BEAT, FACTS, WEBHOOKS, EVENTS, JOBS, RUNS, PARKED, CLOCKS, KEPT = (
    "Worker",
    "Beat",
    "Facts",
    "Webhooks",
    "Gateway events",
    "Jobs",
    "Bill runs",
    "Parked customers",
    "Test clocks",
    "Payment methods",
)
SILENT_WARNING, SILENT_ERROR = timedelta(seconds=45), timedelta(minutes=3)
STUCK = timedelta(minutes=1)
LATE, UNWELL = timedelta(minutes=5), timedelta(hours=1)  # of a delivery, and of an endpoint that fails
FAILS_FOR_GOOD = 3  # attempts, some twenty seconds after the first
START_THEM = "Start web, worker and beat with make run, or the worker alone with celery --app gtm worker."


def worker(at: datetime) -> Finding:
    """The freshest of all workers counts: those that were stopped keep their last sign for a day."""
    last = Pulse.objects.filter(name__startswith="worker:").aggregate(last=Max("beat_at"))["last"]
    return _sign_of_life(WORKER, "No worker has ever", "The last sign of a worker was", last, at, START_THEM)


def beat(at: datetime) -> Finding:
    last = Pulse.objects.filter(name="beat").values_list("beat_at", flat=True).first()
    remedy = "Start beat with celery --app gtm beat, once in all; it needs a worker too."
    return _sign_of_life(BEAT, "Beat has never", "Beat's last tick was", last, at, remedy)


def _sign_of_life(name: str, never: str, since: str, last: datetime | None, at: datetime, remedy: str) -> Finding:
    if last is None:
        return error(name, f"{never} given a sign of life.", remedy)
    silence = at - last
    sentence = f"{since} {ago(silence)} ago."
    if silence >= SILENT_ERROR:
        return error(name, sentence, remedy)
    return warning(name, sentence, remedy) if silence >= SILENT_WARNING else ok(name, sentence)


def facts(at: datetime) -> Finding:
    """Facts that no handler has dealt with for a minute, or whose handlers fail."""
    pending = PendingFact.objects.filter(test_clock_id=None)
    failing = pending.filter(attempts__gt=0)
    if worst := failing.order_by("-attempts").first():
        sentence = f"Facts waiting because a handler fails: {failing.count()}. {worst.last_error.splitlines()[0]}."
        tell = error if worst.attempts >= FAILS_FOR_GOOD else warning
        return tell(FACTS, sentence, "Correct what the error says; they are offered again by themselves.")
    oldest = pending.aggregate(oldest=Min("next_attempt_at"))["oldest"]
    if oldest is not None and at - oldest >= STUCK:
        sentence = f"Facts waiting: {pending.count()}, the oldest for {ago(at - oldest)}."
        return warning(FACTS, sentence, "Start a worker for the queue signals, or more of them.")
    return ok(FACTS, f"Facts waiting for their handlers: {pending.count()}.")


def webhooks(at: datetime) -> Finding:
    """Endpoints that were given up or fail, then deliveries that should have left by now."""
    given_up = WebhookEndpoint.objects.filter(disabled_reason=WebhookEndpoint.DisabledReason.FAILING)
    if off := list(given_up.order_by("pk")[:3]):
        sentence = f"Switched off after failing for days: {_hosts(off)}."
        return warning(WEBHOOKS, sentence, "Correct the receiver; then switch the endpoint on in the admin and replay.")
    failing = list(
        WebhookEndpoint.objects.filter(enabled=True, failing_since__lte=at - UNWELL).order_by("failing_since")
    )
    if failing and (since := failing[0].failing_since):
        sentence = f"Failing for {ago(at - since)}: {_hosts(failing[:3])}."
        return warning(
            WEBHOOKS, sentence, "See the last answers under Webhooks in the admin, and correct the receiver."
        )
    late = _listed_late(at) or _due_late(at)
    if late:
        sentence = f"Deliveries that should have left by now: {late}."
        return warning(WEBHOOKS, sentence, "Start a worker for the queue delivery, or more of them.")
    return ok(WEBHOOKS, f"Deliveries waiting for their next attempt: {undelivered()}.")


def undelivered() -> int:
    return WebhookDelivery.objects.filter(status=WebhookDelivery.Status.PENDING, endpoint__enabled=True).count()


def _listed_late(at: datetime) -> int:
    first = UnsentFact.objects.order_by("position").values("position")[:1]
    oldest = Event.objects.filter(position__in=first).values_list("recorded_at", flat=True).first()
    return UnsentFact.objects.count() if oldest is not None and at - oldest >= STUCK else 0


def _due_late(at: datetime) -> int:
    listening = WebhookEndpoint.objects.filter(enabled=True, failing_since=None)
    due = WebhookDelivery.objects.filter(status=WebhookDelivery.Status.PENDING, next_attempt_at__lte=at - LATE)
    return due.filter(endpoint__in=listening).count()


def _hosts(endpoints: list[WebhookEndpoint]) -> str:
    """Without the rest of their addresses, which may hold a token."""
    return ", ".join(str(urlsplit(endpoint.url).hostname) for endpoint in endpoints)


def gateway_events(at: datetime) -> Finding:
    """What payment gateways told and nobody could deal with; and when the last of it came."""
    failed = GatewayEvent.objects.filter(status=GatewayEvent.Status.FAILED)
    if worst := failed.order_by("-received_at").first():
        sentence = (
            f"Events of payment gateways that failed: {failed.count()}, the last one {worst.type}: {worst.error}."
        )
        return warning(EVENTS, sentence, "See them under Gateway events in the admin, and try them again.")
    if late := GatewayEvent.objects.filter(due_at__lte=at - LATE).count():
        return warning(EVENTS, f"Events waiting to be dealt with: {late}.", START_THEM)
    last = GatewayEvent.objects.aggregate(last=Max("received_at"))["last"]
    return ok(EVENTS, f"The last event came {ago(at - last)} ago." if last else "No event has come yet.")


def jobs(at: datetime) -> Finding:
    """The periodic jobs: failing ones first, then those that should have run by now."""
    pulses = list(Pulse.objects.filter(name__startswith="job:"))
    if failing := [pulse for pulse in pulses if is_failing(pulse)]:
        first = failing[0]
        sentence = f"{_names(failing)} failed: {first.last_error.splitlines()[0]}."
        return error(JOBS, sentence, "Correct what the error says; the job runs again by itself.")
    if late := [pulse for pulse in pulses if _is_late(pulse, at)]:
        sentence = f"{_names(late)} should have run again by now."
        return warning(JOBS, sentence, "See that worker and beat run and that no queue is full.")
    return ok(JOBS, f"Periodic jobs that succeeded when they last ran: {len(pulses)}.")


def is_failing(pulse: Pulse) -> bool:
    failed, succeeded = pulse.last_failed_at, pulse.last_succeeded_at
    return failed is not None and (succeeded is None or failed > succeeded)


def _is_late(pulse: Pulse, at: datetime) -> bool:
    schedules: Mapping[str, Mapping[str, Any]] = settings.CELERY_BEAT_SCHEDULE
    schedule = schedules.get(pulse.name.removeprefix("job:"))
    if schedule is None or pulse.last_succeeded_at is None:
        return False
    return at - pulse.last_succeeded_at > timedelta(seconds=3 * schedule["schedule"]) + STUCK


def _names(pulses: list[Pulse]) -> str:
    names = ", ".join(f"“{pulse.name.removeprefix('job:')}”" for pulse in pulses)
    return f"The job {names}" if len(pulses) == 1 else f"The jobs {names}"


def runs(at: datetime) -> Finding:
    last = BillingRun.objects.filter(test_clock=None).order_by("-started_at").first()
    if last is not None and last.status == BillingRun.Status.FAILED:
        sentence = f"The last bill run failed: {(last.last_error or 'it says nothing').splitlines()[0]}."
        return error(RUNS, sentence, "Correct what the error says; the next run goes on where it stopped.")
    if last is not None and last.status == BillingRun.Status.RUNNING and at - last.seen_at > SILENT_ERROR:
        sentence = f"The bill run that is under way has given no sign of life for {ago(at - last.seen_at)}."
        return warning(RUNS, sentence, "See whether the worker of the queue billing still runs.")
    if last is None:
        return ok(RUNS, "Nothing has been billed yet.")
    return ok(RUNS, f"The last bill run began {ago(at - last.started_at)} ago.")


def parked() -> Finding:
    """Customers that a run could not bill."""
    customers = Customer.objects.filter(parked_at__isnull=False, test_clock=None)
    reasons = customers.values("parked_reason").annotate(number=Count("pk")).order_by("-number")
    number = sum(row["number"] for row in reasons)
    if not number:
        return ok(PARKED, "No customer is parked.")
    who = "1 customer is" if number == 1 else f"{number} customers are"
    sentence = f"{who} not billed: {reasons[0]['parked_reason'].rstrip('.')}."
    return warning(PARKED, sentence, "Correct what the reason says, and press Retry on the customer in the admin.")


def kept_elsewhere() -> Finding:
    """Cards and payments under way of a gateway that has no key here any more."""
    names = gateways.answering()
    cards = PaymentMethod.objects.filter(is_default=True, customer__test_clock=None).exclude(gateway__in=names)
    going = PaymentAttempt.objects.filter(
        status__in=[PaymentAttempt.Status.LIVE, PaymentAttempt.Status.REQUIRES_ACTION], payment__test_clock=None
    ).exclude(payment_method__gateway__in=names)
    where = {*cards.values_list("gateway", flat=True), *going.values_list("payment_method__gateway", flat=True)}
    if not where:
        return ok(KEPT, "Every customer's card can be charged with the keys that are set.")
    sentence = f"No key for {', '.join(sorted(where))}. Cards: {cards.count()}; payments under way: {going.count()}."
    remedy = "Put its key back within a day, or let those customers give their card again: they are asked by mail."
    return warning(KEPT, sentence, remedy)


def clocks() -> Finding:
    failed = TestClock.objects.filter(status=TestClock.Status.FAILED).order_by("-updated_at").first()
    if failed is None:
        return ok(CLOCKS, "No test clock has failed.")
    sentence = f"The test clock “{failed}” failed: {(failed.last_error or 'it says nothing').splitlines()[0]}."
    return warning(CLOCKS, sentence, "Correct what the error says and advance the clock again, or delete it.")


def ago(duration: timedelta) -> str:
    """A length of time in its largest whole unit: 90 s is "1 minute"."""
    seconds = max(int(duration.total_seconds()), 0)
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            number = seconds // size
            return f"{number} {unit}" + ("s" if number > 1 else "")
    return f"{seconds} s"
