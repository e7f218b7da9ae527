"""One account: from all sides, its facts and its owner."""

from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from crm import accounts, wording
from crm.forms import AccountForm
from crm.models import Account
from crm.queries import account as queries
from crm.queries import pipeline
from crm.views import desk
from gtm.shared import db
from gtm.shared.guards import desk_only


@require_safe
@desk_only
def show(request: HttpRequest, account: str) -> HttpResponse:
    found = desk.find(Account, desk.of(request), account)
    return desk.page(request, "crm/account.html", _context(request, found), active="crm_accounts")


def _context(request: HttpRequest, account: Account) -> dict[str, Any]:
    around = queries.around(account, at=db.time_of(account))
    motion, ownership = around.motion, around.ownership
    policy = motion.policy if motion else None
    currency = policy.currency if policy else ""
    return {
        "around": around,
        "account": account,
        "opportunities": pipeline.of_account(account, desk.of(request)),
        "segment_label": wording.segment_label(policy.segments if policy else [], account.segment),
        "policy": policy,
        "motion_reasons": wording.sentences(motion.reasons, currency=currency) if motion else [],
        "owner_reasons": wording.sentences(ownership.reasons, currency=currency) if ownership else [],
        "needs": [wording.need_label(need) for need in account.needs],
        "may_take": account.owner_id is None and desk.of(request).sells,
        "lead_url": reverse("crm_leads"),
    }


@desk_only
def edit(request: HttpRequest, account: str) -> HttpResponse:
    """The facts that decide segment, motion and owner, set by hand."""
    found = desk.find_to_work(Account, desk.of(request), account)
    form = AccountForm(request.POST or None, instance=found)
    url = reverse("crm_account", args=[account])
    if request.method == "POST" and form.is_valid():
        unchanged = desk.find_to_work(Account, desk.of(request), account)
        if desk.told(request, partial(accounts.change, account=unchanged, at=db.now_for(found), **form.cleaned_data)):
            return redirect(url)
    context = {"form": form, "account": found, "url": url}
    status = 422 if form.errors else 200
    return desk.page(request, "crm/account_edit.html", context, active="crm_accounts", status=status)


@require_POST
@desk_only
def take(request: HttpRequest, account: str) -> HttpResponse:
    """Take an account that waits in a queue, as its owner."""
    user = desk.of(request)
    found = desk.find_to_work(Account, user, account)
    reason = _("taken from the queue")
    desk.told(request, partial(accounts.take, account=found, owner=user, at=db.now_for(found), reason=reason))
    return redirect("crm_account", account)
