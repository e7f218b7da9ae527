"""Background work of billing. Every task may run twice or be killed at any line."""

from typing import Any

from celery import shared_task

from billing import (
    announcements,
    documents,
    dunning_runs,
    expiring_cards,
    first_payments,
    gateway_events,
    lost_answers,
    partitions,
    portal_sessions,
    refunds,
    runs,
    sandbox_disputes,
    trial_prompts,
)
from gtm.shared import db, nudges, pulse


@shared_task
def bill_due(**kwargs: Any) -> None:
    """Bill what is due, and leave the charging of cards to a task of its own."""
    with pulse.job("bill what is due"):
        runs.bill_due(at=db.now(), collect=False)
    nudges.send("billing.tasks.collect_due")


@shared_task
def collect_due(**kwargs: Any) -> None:
    """Charge cards that have not been tried. Two at once share the work: an invoice has one live attempt."""
    with pulse.job("charge cards"):
        runs.collect_waiting(at=db.now())
    nudges.send("billing.tasks.render_missing_documents")


@shared_task
def settle_attempts(**kwargs: Any) -> None:
    """Find out what became of charges whose answer never came."""
    with pulse.job("settle attempts"):
        lost_answers.settle_stale(at=db.now())


@shared_task
def send_refunds(**kwargs: Any) -> None:
    """Send refunds that were decided on, and find out what became of those whose answer never came."""
    with pulse.job("send refunds"):
        refunds.send_pending()


@shared_task
def expire_incomplete(**kwargs: Any) -> None:
    """Give up subscriptions whose first payment did not come."""
    with pulse.job("expire unfinished subscriptions"):
        first_payments.expire_incomplete(at=db.now())


@shared_task
def run_dunning(**kwargs: Any) -> None:
    """Try cards again, remind of bills and of cards that expire, and do what follows where no money comes."""
    with pulse.job("run dunning"):
        dunning_runs.run_due(at=db.now())
        expiring_cards.tell_due(at=db.now())


@shared_task
def render_missing_documents(**kwargs: Any) -> None:
    """Render the PDF of every finalized invoice that has none."""
    with pulse.job("render documents"):
        documents.render_missing(at=db.now())


@shared_task
def announce_due(**kwargs: Any) -> None:
    """Tell payers of yearly renewals and ends of trials ahead."""
    with pulse.job("announce what is to come"):
        announcements.announce_due(at=db.now())


@shared_task
def show_trial_prompts(**kwargs: Any) -> None:
    """Say in the portal that a trial is about to end."""
    with pulse.job("tell of trials that end"):
        trial_prompts.show_due(at=db.now())


@shared_task
def make_partitions(**kwargs: Any) -> None:
    """Keep partitions of the usage stream ready for the months to come."""
    with pulse.job("make partitions"):
        partitions.make_partitions(at=db.now())


@shared_task
def process_gateway_events(**kwargs: Any) -> None:
    """Deal with what payment gateways have told; the sandbox tells of its disputes in its own way."""
    with pulse.job("process gateway events"):
        gateway_events.process_waiting(at=db.now())
        sandbox_disputes.open_due(at=db.now())


@shared_task
def sweep_gateway_events(**kwargs: Any) -> None:
    """Forget what gateways told long ago."""
    with pulse.job("sweep gateway events"):
        gateway_events.sweep(at=db.now())


@shared_task
def sweep_portal_sessions(**kwargs: Any) -> None:
    """Forget portal sessions that are over."""
    with pulse.job("sweep portal sessions"):
        portal_sessions.forget(at=db.now())
