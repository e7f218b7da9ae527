"""Mail about answers that are due: to the owner or the team of the queue, and to managers when it is late."""

from collections.abc import Iterable

from django.conf import settings
from django.urls import reverse

from crm.models import SlaClock, TeamMembership
from gtm.shared import mail
from gtm.shared.models import SALES_ROLES, Event, User


def tell(*, event: Event) -> None:
    """Queue the mail that a step of the ladder leads to, unless somebody answered meanwhile."""
    found = SlaClock.objects.select_related("lead__account", "alert__account", "owner", "queue")
    clock = found.filter(pk=event.object_id, answered_at=None).exclude(state=SlaClock.State.CANCELED).first()
    if clock is None:
        return
    subject = clock.lead or clock.alert
    account = subject.account if subject else None
    if account is None:
        return
    step = event.type.rpartition(".")[2]
    page = reverse("crm_lead", args=[clock.lead.public_id]) if clock.lead else reverse("today")
    for user in _recipients(clock, step):
        mail.queue(
            event=event,
            recipient=user.email,
            template="answer_due",
            context={
                "account": account,
                "clock": clock,
                "step": step,
                "reader": user,
                "address": settings.BASE_URL + page,
            },
            locale=user.locale,
            account_id=account.pk,
            test_clock_id=clock.test_clock_id,
        )


def _recipients(clock: SlaClock, step: str) -> Iterable[User]:
    selling = User.objects.filter(is_active=True, roles__overlap=list(SALES_ROLES)).order_by("pk")
    if clock.owner is None:
        team = TeamMembership.objects.filter(team__queues=clock.queue)
        if step == "breached":
            team = team.filter(is_manager=True)
        return selling.filter(pk__in=team.values("user"))
    if step != "breached":
        return [clock.owner]
    teams = TeamMembership.objects.filter(team__memberships__user=clock.owner, is_manager=True)
    return selling.filter(pk__in=teams.values("user")).exclude(pk=clock.owner.pk)
