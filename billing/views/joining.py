"""Accepting an invitation. Who has the link has the mailbox, so that the page may say what becomes of it."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from billing import members, wording
from billing.models import Invitation
from gtm.shared import accounts, db, languages, users
from gtm.shared.account_forms import NewUserForm
from gtm.shared.api.throttling import address
from gtm.shared.errors import DomainError
from gtm.shared.flooding import is_flooded
from gtm.shared.models import User

FROM_ONE_ADDRESS = "120/h"


@never_cache
def join(request: HttpRequest, token: str) -> HttpResponse:
    """Only a POST accepts: programs that look through mail follow links."""
    if is_flooded(request, page="join", senders=[("address", address(request), FROM_ONE_ADDRESS)]):  # type: ignore[arg-type]  # it has META, too
        return render(request, "429.html", status=429)
    invitation = members.find(token)
    if invitation is None:
        return _closed(request, _("This invitation isn't known here, or was sent again since."), status=404)
    languages.prefer(request, invitation.customer.preferred_locale)
    try:
        members.check(invitation)
        return _answer(request, invitation)
    except DomainError as refusal:
        return _closed(request, refusal.detail, status=410)


def _answer(request: HttpRequest, invitation: Invitation) -> HttpResponse:
    user = request.user if isinstance(request.user, User) else None
    is_new = user is None and not users.is_known(invitation.email)
    form = NewUserForm(request.POST if request.method == "POST" else None, email=invitation.email) if is_new else None
    is_theirs = user is not None and user.email == invitation.email
    if request.method != "POST" or not (is_theirs or (form and form.is_valid())):
        return _page(request, invitation, form, is_theirs=is_theirs)
    if user is None:
        assert form is not None
        user = _sign_up(request, invitation, form.cleaned_data)
    member = members.accept(invitation=invitation, user=user, at=db.now_for(invitation.customer))
    messages.success(request, _("You now have access to %(customer)s.") % {"customer": member.customer.name})
    return redirect("portal_overview", member.customer.public_id)


def _sign_up(request: HttpRequest, invitation: Invitation, typed: dict[str, Any]) -> User:
    user = users.sign_up(at=db.now(), email=invitation.email, locale=get_language() or "en", confirmed=True, **typed)
    accounts.sign_in(request, user)
    return user


def _page(request: HttpRequest, invitation: Invitation, form: NewUserForm | None, *, is_theirs: bool) -> HttpResponse:
    context = {
        "invitation": invitation,
        "form": form,
        "is_theirs": is_theirs,
        "role": wording.role_name(invitation.role),
        "powers": wording.role_powers(invitation.role),
    }
    return render(request, "billing/join.html", context, status=422 if form and form.errors else 200)


def _closed(request: HttpRequest, reason: str, *, status: int) -> HttpResponse:
    return render(request, "billing/join_closed.html", {"reason": reason}, status=status)
