"""What people decide by hand about an account's motion and segment, and who should have no owner."""

from datetime import datetime, time
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from crm import overrides, wording
from crm.models import Account, Motion, MotionOverride, SlaClock
from crm.queries import dead_zones
from crm.queries.routing import clocks_of
from crm.views import desk
from gtm.shared import db
from gtm.shared.guards import desk_only


class OverrideForm(forms.Form):
    motion = forms.ChoiceField(choices=Motion.choices, required=False)
    until = forms.DateField(required=False)
    reason = forms.CharField(required=False, max_length=500)


class LockForm(forms.Form):
    until = forms.DateField(required=False)


def panel(account: Account) -> dict[str, Any]:
    """What the panel of decisions shows beside the reasons."""
    return {
        "override": MotionOverride.objects.filter(account=account, ended_at=None).first(),
        "clocks": [_shown(clock) for clock in clocks_of(account)],
        "motions": Motion.choices,
    }


def _shown(clock: SlaClock) -> dict[str, Any]:
    names = ("lead", "alert", "state", "due_at", "policy", "reroutes")
    return {name: getattr(clock, name) for name in names} | {"why": wording.sentences(clock.reasons, currency="")}


@require_POST
@desk_only
def override(request: HttpRequest, account: str) -> HttpResponse:
    """Set the motion by hand until the end of a day; without a motion, take that back."""
    user = desk.of(request)
    found, form = desk.find_to_work(Account, user, account), OverrideForm(request.POST)
    at = db.now_for(found)
    if form.is_valid() and form.cleaned_data["motion"]:
        day = form.cleaned_data["until"]
        ends_at = datetime.combine(day, time(23, 59, 59), ZoneInfo(user.timezone)) if day else at
        said = {"motion": form.cleaned_data["motion"], "reason": form.cleaned_data["reason"]}
        desk.told(request, partial(overrides.override, account=found, ends_at=ends_at, at=at, **said))
    elif form.is_valid():
        desk.told(request, partial(overrides.take_back, account=found, at=at))
    else:
        desk.refuse(request, desk.first_error(form))
    return redirect("crm_account", account)


@require_POST
@desk_only
def lock(request: HttpRequest, account: str) -> HttpResponse:
    """Keep the segment until a day, or, without one, no longer."""
    found, form = desk.find_to_work(Account, desk.of(request), account), LockForm(request.POST)
    if form.is_valid():
        until, at = form.cleaned_data["until"], db.now_for(found)
        desk.told(request, partial(overrides.lock_segment, account=found, until=until, at=at))
    else:
        desk.refuse(request, desk.first_error(form))
    return redirect("crm_account", account)


@require_safe
@desk_only
def in_dead_zones(request: HttpRequest) -> HttpResponse:
    """Accounts in a dead zone that have an owner all the same, and why."""
    user = desk.of(request)
    context = {"rows": dead_zones.owned(user), "zones": dead_zones.counts(user)}
    return desk.page(request, "crm/dead_zones.html", context, active="crm_accounts")
