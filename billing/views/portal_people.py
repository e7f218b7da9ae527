"""Who signs in for the customer: seen by every member, changed by its owners."""

from typing import Any, TypeVar

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from billing import members, wording
from billing.forms import InvitationForm, RoleForm
from billing.models import Invitation, Member
from billing.queries import portal as queries
from billing.views.portal_parts import owner_only, page, person_only
from gtm.shared import accounts, db, users
from gtm.shared.errors import DomainError
from gtm.shared.flooding import is_flooded

FROM_ONE_CUSTOMER = "30/h"
T = TypeVar("T", Member, Invitation)


@person_only
def people(request: HttpRequest, member: Member) -> HttpResponse:
    if request.method == "POST" and member.may_invite:
        return _invite(request, member)
    if request.method not in {"GET", "HEAD"}:
        raise Http404
    return _page(request, member, InvitationForm())


def _invite(request: HttpRequest, member: Member) -> HttpResponse:
    """Who invites is held to what the mail says of them: their address is confirmed first."""
    form, customer = InvitationForm(request.POST), member.customer
    if not users.is_confirmed(member.user):
        form.add_error(None, _("Confirm your own address first. A link is on its way to you."))
        accounts.ask_to_confirm(request, member.user)
    elif form.is_valid() and is_flooded(
        request, page="invitations", senders=[("customer", customer.public_id, FROM_ONE_CUSTOMER)]
    ):
        form.add_error(None, _("Too many invitations were sent. Please try again in an hour."))
    if not form.is_valid():
        return _page(request, member, form, status=422)
    try:
        invitation = members.invite(
            customer=customer, invited_by=member.user, at=db.now_for(customer), **form.cleaned_data
        )
    except DomainError as refusal:
        form.add_error(refusal.attr if refusal.attr in form.fields else None, refusal.detail)
        return _page(request, member, form, status=422)
    messages.success(request, _("An invitation is on its way to %(email)s.") % {"email": invitation.email})
    return _back(member)


def _page(request: HttpRequest, member: Member, form: InvitationForm, *, status: int = 200) -> HttpResponse:
    at, customer, found = db.now(), member.customer, queries.people(member.customer)
    others_own = any(other.may_invite for other in found if other.pk != member.pk)
    context = {
        "people": [_person_row(member, other) for other in found],
        "invitations": [_invitation_row(one, expired=one.has_expired(at)) for one in queries.invitations(customer)]
        if member.may_invite
        else [],
        "roles": [(wording.role_name(role), wording.role_powers(role)) for role in Member.Role.values],
        "form": form if member.may_invite else None,
        "leave_url": reverse("portal_leave", args=[customer.public_id]) if others_own or not member.may_invite else "",
        "unconfirmed": "" if users.is_confirmed(member.user) else member.user.email,
    }
    return page(request, "billing/portal/people.html", member, context, status=status)


def _person_row(member: Member, other: Member) -> dict[str, Any]:
    address = [member.customer.public_id, other.public_id]
    is_self = other.pk == member.pk
    return {
        "name": other.user.name,
        "email": other.user.email,
        "role": wording.role_name(other.role),
        "is_self": is_self,
        "form": RoleForm(initial={"role": other.role}, auto_id=f"role-{other.public_id}-%s")
        if member.may_invite
        else None,
        "role_url": reverse("portal_member_role", args=address),
        "removal_url": reverse("portal_member_removal", args=address) if member.may_invite and not is_self else "",
    }


def _invitation_row(invitation: Invitation, *, expired: bool) -> dict[str, Any]:
    address = [invitation.customer.public_id, invitation.public_id]
    return {
        "email": invitation.email,
        "role": wording.role_name(invitation.role),
        "expired": expired,
        "expires_at": invitation.expires_at,
        "resend_url": reverse("portal_invitation_resend", args=address),
        "revoke_url": reverse("portal_invitation_revoke", args=address),
    }


# --- changes -----------------------------------------------------------------------------------
@require_POST
@owner_only
def change_role(request: HttpRequest, member: Member, other: str) -> HttpResponse:
    form = RoleForm(request.POST)
    if not form.is_valid():
        raise Http404
    found = _of(queries.people(member.customer), other)
    members.change_role(member=found, role=form.cleaned_data["role"], at=db.now_for(member.customer))
    messages.success(request, _("Saved."))
    return _back(member)


@require_POST
@owner_only
def remove(request: HttpRequest, member: Member, other: str) -> HttpResponse:
    found = _of(queries.people(member.customer), other)
    members.remove(member=found, at=db.now_for(member.customer))
    messages.success(request, _("%(person)s has no access any more.") % {"person": found.user})
    return _back(member)


@require_POST
@person_only
def leave(request: HttpRequest, member: Member) -> HttpResponse:
    members.remove(member=member, at=db.now_for(member.customer))
    messages.success(request, _("You have no access to %(customer)s any more.") % {"customer": member.customer.name})
    return redirect("home")


@require_POST
@owner_only
def resend(request: HttpRequest, member: Member, invitation: str) -> HttpResponse:
    found = _of(queries.invitations(member.customer), invitation)
    customer = member.customer
    if is_flooded(request, page="invitations", senders=[("customer", customer.public_id, FROM_ONE_CUSTOMER)]):
        messages.error(request, _("Too many invitations were sent. Please try again in an hour."))
        return _back(member)
    members.resend(invitation=found, at=db.now_for(customer))
    messages.success(request, _("Another link is on its way to %(email)s.") % {"email": found.email})
    return _back(member)


@require_POST
@owner_only
def revoke(request: HttpRequest, member: Member, invitation: str) -> HttpResponse:
    found = _of(queries.invitations(member.customer), invitation)
    members.revoke(invitation=found, at=db.now_for(member.customer))
    messages.success(request, _("The invitation is taken back; its link leads nowhere."))
    return _back(member)


def _of(rows: list[T], public_id: str) -> T:
    for row in rows:
        if row.public_id == public_id:
            return row
    raise Http404


def _back(member: Member) -> HttpResponse:
    return redirect("portal_people", member.customer.public_id)
