"""The team's page: who is there, what each has on the desk, who is away and who stands in."""

from functools import partial

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from crm import leaves
from crm.models import Leave
from crm.models.scoping import led_by, reach_of
from crm.queries import books, people
from crm.team_forms import LeaveForm
from crm.views import desk
from gtm.shared import db
from gtm.shared.guards import desk_only

LISTED = 100


@desk_only
def show(request: HttpRequest) -> HttpResponse:
    """Members with their loads for who leads some; everybody's own days away."""
    user, at = desk.works(request) if request.method == "POST" else desk.of(request), db.now()
    form = LeaveForm(user, request.POST if request.method == "POST" else None)
    sent = request.method == "POST" and form.is_valid()
    if sent and desk.told(request, partial(leaves.create, at=at, **form.terms())):
        return redirect("crm_team")
    seen = Leave.objects.visible_to(user).filter(ends_at__gt=at).select_related("user", "cover")
    context = {
        "form": form,
        "may_set": reach_of(user).writes.works,
        "leaves": [{"leave": one, "begun": one.starts_at <= at} for one in seen.order_by("starts_at", "pk")[:LISTED]],
        "members": people.members(user, at=at),
        "kinds": [(kind.value, many) for kind, (_one, many) in books.NOUNS.items()],
        "leads": led_by(user).exists(),
    }
    return desk.page(request, "crm/team/team.html", context, active="crm_team", status=422 if form.errors else 200)


@require_POST
@desk_only
def end_leave(request: HttpRequest, leave: str) -> HttpResponse:
    """Back again, or not gone at all."""
    found = desk.find(Leave, desk.works(request), leave)
    desk.told(request, partial(leaves.end, leave=found, at=db.now()))
    return redirect("crm_team")
