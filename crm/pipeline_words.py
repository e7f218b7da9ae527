"""What the pipeline's findings, gaps and warnings are called, for staff."""

from django.utils.translation import gettext_lazy as _

from crm.deals import Gap
from crm.models.pipelines import Category, Stage
from crm.stages import Finding

FINDINGS = {
    "one_won": _("A pipeline has exactly one stage that is won."),
    "no_lost": _("A pipeline has at least one stage that is lost."),
    "phase_out_of_order": _("“%(subject)s” stands after a stage of a later phase."),
    "too_few_stages": _("“%(subject)s” has fewer than two stages, so that nothing is seen to move in it."),
    "no_redlining": _("No stage of “Vendor of choice” is the redlining one, so that commit risk can't be told."),
    "redlining_too_early": _("“%(subject)s” is marked as redlining before the buyer has chosen."),
    "first_is_not_sal": _("“%(subject)s” comes first: that is where an accepted lead starts, a conversation."),
    "first_is_skipped": _("“%(subject)s” comes first; no segment may leave it out."),
    "phase_skipped": _("Segment %(detail)s leaves out all of “%(subject)s”."),
    "seller_verb": _("“%(subject)s” tells what the seller does (“%(detail)s”); name what the buyer does."),
    "unusual_category": _("“%(subject)s” counts as %(detail)s, which is unusual in its phase."),
    "near_duplicate": _("This is nearly the same as “%(subject)s”: let segments leave stages out instead."),
}
FIELDS = {
    "amount": _("How much is it worth?"),
    "close_date": _("When will it close? The day mustn't be over."),
    "close_date_basis": _("What in the buyer's world does the close date rest on?"),
    "compelling_event": _("Which event does the close date rest on?"),
    "next_step": _("What is the next step?"),
    "next_step_at": _("When is the next step due?"),
    "competitor": _("Who won it?"),
    "lost_reason": _("Why was it lost?"),
    "reason": _("Why does it go back?"),
}
CRITERIA = {
    "our_action": _("To be done first: %(text)s."),
    "buyer_confirmation": _("The buyer has to confirm: %(text)s."),
}
WARNINGS = {
    "commit_risk": _("Commit at risk: it should close within a week and nobody redlines yet"),
    "close_date_passed": _("The close date is over"),
    "close_date_too_soon": _("Too early for its stage: an enterprise deal in Pipeline won't close within 90 days"),
    "close_date_without_basis": _("The close date rests on nothing"),
    "next_step_overdue": _("The next step is overdue"),
    "unresponsive": _("The buyer doesn't answer"),
    "pushed_often": _("Pushed three times or more"),
    "stuck": _("Stands here more than one and a half times as long as expected"),
}
DIAGNOSES = {
    "persuasion": _("Deals that stay long in conversations lack persuasion: bring value and return on investment."),
    "differentiation": _("Deals that stay long in an evaluation lack difference: bring proof and references."),
    "papers": _("Deals that stay long with a vendor of choice wait for papers: look at MSA, SLA and services."),
}
AGES = {"fresh": _("on time"), "old": _("slow"), "very_old": _("stuck")}
TONES = {"fresh": "neutral", "old": "caution", "very_old": "negative"}


def said(finding: Finding) -> str:
    phases, categories = dict(Stage.Phase.choices), dict(Category.choices)
    subject = phases.get(finding.subject, finding.subject)  # type: ignore[call-overload]  # by code, which is a str
    detail = categories.get(finding.detail, finding.detail)  # type: ignore[call-overload]
    return str(FINDINGS[finding.code]) % {"subject": subject, "detail": detail}


def lacking(gap: Gap) -> str:
    """What to give or to confirm, as a sentence."""
    if gap.criterion:
        return str(CRITERIA[gap.criterion.kind]) % {"text": gap.criterion.text}
    return str(FIELDS[gap.attr])
