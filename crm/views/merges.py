"""Two accounts that are one company: suggested, seen before it is done, merged, taken back, or told apart."""

from functools import partial
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from crm import merges, suggestions
from crm.forms import MergeForm
from crm.models import Account, MergeLog, Suggestion
from crm.views import desk
from crm.views.account import named
from gtm.shared import db, ids
from gtm.shared.errors import DomainError
from gtm.shared.guards import desk_only


@desk_only
def merge(request: HttpRequest, account: str) -> HttpResponse:
    """What the merge would do; POST does it. ``other`` names the account that goes."""
    user = desk.of(request)
    survivor = desk.find_to_work(Account, user, account)
    words = request.POST.get("other") or request.GET.get("other", "")
    other = named(user, words[:253].replace("\0", ""), survivor) if words else None
    if other is not None:
        other = desk.find_to_work(Account, user, other.public_id)
    if request.method == "POST" and other is not None:
        return _merge(request, survivor, other)
    context: dict[str, Any] = {"account": survivor, "other": other, "words": words}
    if other is not None:
        context["preview"] = merges.preview(survivor=survivor, merged=other)
    return desk.page(request, "crm/merge.html", context, active="crm_accounts")


def _merge(request: HttpRequest, survivor: Account, other: Account) -> HttpResponse:
    form = MergeForm(request.POST)
    form.is_valid()
    apart = form.cleaned_data["keep_customers_apart"]
    try:
        merges.merge(
            survivor=survivor, merged=other, at=db.now_for(survivor), fields=form.picks, keep_customers_apart=apart
        )
    except DomainError as refused:
        shown = {"account": survivor, "other": other, "refusal": refused.detail, "picks": form.picks}
        shown["preview"] = merges.preview(survivor=survivor, merged=other)
        return desk.page(request, "crm/merge.html", shown, active="crm_accounts", status=422)
    return redirect("crm_account", survivor.public_id)


@require_POST
@desk_only
def undo(request: HttpRequest, account: str, merge: str) -> HttpResponse:
    """Take a merge back."""
    found = desk.find_to_work(Account, desk.of(request), account)
    try:
        key = ids.decode(merge, prefix=MergeLog.PREFIX)
    except ValueError as error:
        raise Http404 from error
    log = MergeLog.objects.filter(pk=key, survivor=found).select_related("survivor", "merged").first()
    if log is None:
        raise Http404
    desk.told(request, partial(merges.undo, log=log, at=db.now_for(found)))
    return redirect("crm_account", account)


@require_POST
@desk_only
def dismiss(request: HttpRequest, suggestion: str) -> HttpResponse:
    """They are two companies."""
    found = desk.find_to_work(Suggestion, desk.of(request), suggestion)
    reason = request.POST.get("reason", "")[:500].replace("\0", "") or _("Two companies")
    desk.told(request, partial(suggestions.dismiss, suggestion=found, at=db.now_for(found), reason=reason))
    back = request.POST.get("account", "")
    shown = back if back in {found.first.public_id, found.second.public_id} else found.first.public_id
    return redirect(reverse("crm_account", args=[shown]))
