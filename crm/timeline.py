"""An account's story: facts of crm, billing and signals in one list, newest first, with names joined when shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from billing import cancellation_reasons
from crm import timeline_words
from crm.models import RejectReason
from gtm.shared import ids
from gtm.shared.models import ApiKey, Event, User
from gtm.shared.statuses import describe
from gtm.shared.templatetags.tandem import money

TEXTS = {
    "billing.customer.created": _("Became a customer"),
    "billing.customer.changed": _("Customer details changed"),
    "billing.member.added": _("A member was added to the portal"),
    "billing.member.changed": _("A member's role changed"),
    "billing.member.removed": _("A member was removed from the portal"),
    "billing.invitation.created": _("Somebody was invited to the portal"),
    "billing.invitation.resent": _("An invitation to the portal was sent again"),
    "billing.invitation.revoked": _("An invitation to the portal was taken back"),
    "billing.invitation.accepted": _("An invitation to the portal was accepted"),
    "billing.payment_method.attached": _("A payment method was added"),
    "billing.subscription.created": _("Subscription created"),
    "billing.subscription.activated": _("Subscription active"),
    "billing.subscription.renewed": _("Subscription renewed"),
    "billing.subscription.changed": _("Subscription changed"),
    "billing.subscription.change_scheduled": _("Change of the subscription scheduled"),
    "billing.subscription.change_undone": _("Scheduled change taken back"),
    "billing.subscription.canceled": _("Subscription canceled"),
    "billing.subscription.expired": _("Subscription never started"),
    "billing.subscription.past_due": _("Subscription past due"),
    "billing.subscription.cancellation_scheduled": _("Cancellation scheduled"),
    "billing.subscription.cancellation_undone": _("Cancellation taken back"),
    "billing.subscription.upgraded_large": _("Large upgrade by the customer itself"),
    "billing.subscription.offer_taken": _("Took the offer and stays"),
    "billing.subscription.paused": _("Subscription paused"),
    "billing.subscription.pause_scheduled": _("Pause scheduled"),
    "billing.subscription.pause_undone": _("Scheduled pause taken back"),
    "billing.subscription.resumed": _("Subscription resumed"),
    "billing.customer.collection_changed": _("Way of payment changed"),
    "billing.customer.collection_allowed": _("Ways of payment allowed"),
    "billing.quote.requested": _("Quote requested"),
    "billing.invoice.finalized": _("Invoice issued"),
    "billing.invoice.paid": _("Invoice paid"),
    "billing.invoice.voided": _("Invoice voided"),
    "billing.payment.succeeded": _("Payment succeeded"),
    "billing.payment.failed": _("Payment failed"),
    "billing.payment.requires_action": _("Payment waits for the customer's confirmation"),
    "billing.payment.deferred": _("Payment comes with the next charge"),
    "billing.payment.superseded": _("Payment given up unconfirmed"),
    "billing.payment.disputed": _("Payment disputed"),
    "billing.payment.returned": _("Payment came back"),
    "billing.payment.reinstated": _("Disputed payment given back"),
    "billing.dispute.opened": _("Dispute opened"),
    "billing.dispute.won": _("Dispute won"),
    "billing.dispute.lost": _("Dispute lost"),
    "billing.invoice.reopened": _("Invoice open again"),
    "billing.prompt.shown": _("Prompt shown in the portal"),
    "billing.subscription.renewal_upcoming": _("Renewal announced"),
    "billing.subscription.trial_ending": _("End of the trial announced"),
    "billing.invoice.link_requested": _("A new link to an invoice was asked for"),
    "billing.mail_preference.changed": _("Mail preferences changed"),
    "mail.queued": _("Mail"),
    "mail.resent": _("Mail sent again"),
    "crm.account.created": _("Account created"),
    "crm.account.changed": _("Account facts changed"),
    "crm.account.motion_decided": _("Motion decided"),
    "crm.account.owner_assigned": _("Owner assigned"),
    "crm.account.domain_added": _("Domain added"),
    "crm.account.domain_verified": _("Domain verified"),
    "crm.account.primary_domain_changed": _("Another domain is the primary one"),
    "crm.account.domain_removed": _("Domain removed"),
    "crm.account.consolidation_suggested": _("May be one company with another account"),
    "crm.account.consolidation_dismissed": _("Not one company with the other account"),
    "crm.account.merged": _("Accounts merged"),
    "crm.account.unmerged": _("Merge undone"),
    "crm.account.motion_overridden": _("Motion set by hand"),
    "crm.account.override_ended": _("Motion decided by the rules again"),
    "crm.account.segment_locked": _("Segment kept as it is, or no longer"),
    "crm.contact.created": _("Contact added"),
    "crm.contact.changed": _("Contact changed"),
    "crm.contact.removed": _("Imported contact removed again"),
    "crm.lead.removed": _("Imported lead removed again"),
    "crm.account.removed": _("Imported account removed again"),
    "crm.lead.created": _("Contact request"),
    "crm.lead.transitioned": _("Lead moved"),
    "crm.lead.moved": _("Lead moved to this account"),
    "crm.lead.answered": _("Lead answered"),
    "crm.lead.disqualified": _("Accepted lead was not qualified"),
    "crm.lead.requalified": _("Accepted lead is qualified after all"),
    "crm.held_lead.released": _("Held message let through"),
    "crm.contact.moved": _("Contact moved to this account"),
    "crm.opportunity.created": _("Opportunity created"),
    "crm.opportunity.changed": _("Opportunity changed"),
    "crm.opportunity.moved": _("Opportunity moved"),
    "crm.opportunity.won": _("Opportunity won"),
    "crm.opportunity.lost": _("Opportunity lost"),
    "crm.opportunity.reopened": _("Opportunity taken up again"),
    "crm.opportunity.confirmed": _("Exit criterion met"),
    "crm.opportunity.confirmation_withdrawn": _("Exit criterion taken back"),
    "crm.opportunity.stakeholder_set": _("Stakeholder named"),
    "crm.opportunity.stakeholder_removed": _("Stakeholder taken out"),
    "crm.opportunity.risk_raised": _("Risk raised"),
    "crm.opportunity.risk_resolved": _("Risk resolved"),
    "crm.note.written": _("Note"),
    "crm.note.changed": _("Note changed"),
    "crm.call.logged": _("Call"),
    "crm.email.sent": _("Mail sent"),
    "crm.email.received": _("Mail received"),
    "crm.email.closed": _("Mail needs no answer"),
    "crm.email.reopened": _("Mail waits for an answer"),
    "crm.email.snoozed": _("Mail put off"),
    "crm.task.created": _("Task"),
    "crm.task.changed": _("Task changed"),
    "crm.task.done": _("Task done"),
    "crm.task.canceled": _("Task canceled"),
    "crm.task.reopened": _("Task taken up again"),
    "crm.task.reminded": _("Reminded of a task"),
    "crm.alert.handed_over": _("Alert handed over"),
    "crm.lead.handed_over": _("Lead handed over"),
    "crm.task.handed_over": _("Task handed over"),
    "crm.alert.raised": _("Alert raised"),
    "crm.alert.changed": _("Alert changed"),
    "crm.sla.started": _("Waits for an answer"),
    "crm.sla.warned": _("Owner reminded that an answer is due"),
    "crm.sla.breached": _("Nobody answered in time"),
    "crm.sla.rerouted": _("Given to somebody else, as nobody answered"),
    "crm.sla.met": _("Answered in time"),
    "crm.sla.answered_late": _("Answered late"),
    "crm.sla.canceled": _("Waits for no answer any more"),
    "billing.subscription.resume_refused": _("The subscription could not be resumed"),
    "billing.subscription.unpaid": _("Subscription unpaid"),
    "billing.invoice.written_off": _("Invoice written off"),
    "billing.credit_note.issued": _("Credit note issued"),
    "billing.balance.changed": _("Credit balance changed"),
    "billing.discount.applied": _("Discount given"),
    "billing.discount.ended": _("Discount ended"),
    "billing.refund.created": _("Refund asked for"),
    "billing.refund.succeeded": _("Refunded"),
    "billing.refund.failed": _("Refund failed"),
    "billing.dispute.changed": _("Dispute goes on"),
    "billing.dunning.opened": _("Money is missing"),
    "billing.dunning.reminded": _("Reminded of what is owed"),
    "billing.dunning.overdue": _("Still not paid"),
    "billing.dunning.final_action_due": _("The last step of dunning is due"),
    "billing.dunning.access_ended": _("Access ended because nothing was paid"),
    "billing.dunning.exhausted": _("Dunning is at its end, unpaid"),
    "billing.dunning.recovered": _("What was owed was paid"),
    "billing.dunning.closed": _("Dunning ended"),
    "billing.payment_method.changed": _("Payment method changed"),
    "billing.payment_method.detached": _("A payment method was removed"),
    "billing.payment_method.expiring": _("A card runs out soon"),
    "billing.portal_session.created": _("A way into the portal was handed out"),
    "billing.portal_session.opened": _("The portal was opened by it"),
    "billing.terms.agreed": _("Agreed to the terms"),
    "billing.usage.corrected": _("Usage corrected"),
    "billing.usage.rated_again": _("Usage charged anew after a correction"),
    "crm.email.discarded": _("Mail put aside"),
    "crm.held_lead.received": _("Message held, it looks like spam"),
    "crm.held_lead.discarded": _("Held message thrown away"),
    "signals.signal.raised": _("Signal noticed"),
}
TONES = {
    "billing.subscription.activated": "positive",
    "billing.invoice.paid": "positive",
    "billing.payment.failed": "negative",
    "billing.payment.returned": "negative",
    "billing.dispute.opened": "negative",
    "billing.subscription.cancellation_scheduled": "caution",
    "billing.subscription.canceled": "negative",
    "billing.subscription.past_due": "negative",
    "crm.opportunity.won": "positive",
    "crm.opportunity.lost": "negative",
    "crm.opportunity.risk_raised": "caution",
    "crm.alert.raised": "caution",
    "signals.signal.raised": "caution",
    "crm.lead.created": "accent",
}


@dataclass(frozen=True, slots=True)
class Entry:
    at: datetime
    text: str
    detail: str = ""
    actor: str = ""
    tone: str = ""
    type: str = ""
    id: str = ""


def entries(events: list[Event]) -> list[Entry]:
    known = names({event.actor for event in events} | {str(event.data.get("owner") or "") for event in events})
    words = timeline_words.of(events)
    reasons = _reasons(events)
    return [
        Entry(
            at=event.occurred_at,
            text=str(TEXTS.get(event.type, event.type)),
            detail=_joined(words.get(event.object_id, ""), _detail(event.data, known, reasons)),
            actor=known.get(event.actor, ""),
            tone=TONES.get(event.type, ""),
            type=event.type,
            id=event.public_id,
        )
        for event in events
    ]


def _joined(words: str, detail: str) -> str:
    return f"{words} ({detail})" if words and detail else words or detail


def _reasons(events: list[Event]) -> dict[str, str]:
    """Why customers canceled and leads were rejected, by code. Founders keep the words of the latter."""
    known = {code: cancellation_reasons.name(code) for code in cancellation_reasons.CODES}
    codes = {str(event.data["reason_code"]) for event in events if event.data.get("reason_code")} - known.keys()
    return known | dict(RejectReason.objects.filter(code__in=codes).values_list("code", "label") if codes else ())


def _detail(data: Mapping[str, Any], known: Mapping[str, str], reasons: Mapping[str, str]) -> str:
    """What is worth saying of a fact's ids, codes and amounts."""
    parts = [str(data[name]) for name in ("number", "plan", "rule") if data.get(name)]
    if isinstance(data.get("total"), int) and data.get("currency"):
        parts.append(str(money(data["total"], data["currency"])))
    if code := data.get("reason_code"):
        parts.append(reasons.get(str(code), str(code).replace("_", " ")))
    parts += [describe(str(data[name]))[0] for name in ("lifecycle", "state", "motion") if data.get(name)]
    parts += [str(data["stage"]).replace("_", " ")] if data.get("stage") else []
    if owner := data.get("owner"):
        parts.append(known.get(str(owner), ""))
    elif queue := data.get("queue"):
        parts.append(str(queue))
    parts += [str(field).replace("_", " ") for field in data.get("changed", ())]
    return ", ".join(part for part in parts if part)


def names(references: set[str]) -> dict[str, str]:
    """Whoever acted or owns, by the id that a fact names them by: ``user:usr_…``, ``usr_…``, ``key:key_…``."""
    users = _keys(references, User.PREFIX)
    keys = _keys(references, ApiKey.PREFIX)
    found = {user.public_id: str(user) for user in User.objects.filter(pk__in=users)} if users else {}
    found |= {key.public_id: key.name for key in ApiKey.objects.filter(pk__in=keys)} if keys else {}
    return {reference: found.get(reference.rpartition(":")[2], "") for reference in references}


def _keys(references: set[str], prefix: str) -> set[UUID]:
    found = set()
    for reference in references:
        try:
            found.add(ids.decode(reference.rpartition(":")[2], prefix=prefix))
        except ValueError:
            continue
    return found
