"""People at accounts: one from all sides, taken in, changed."""

from functools import partial

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_safe

from crm import contacts
from crm.forms import PersonForm
from crm.models import Account, Contact, FieldChange
from crm.queries.account import own_fields, said
from crm.timeline import names
from crm.views import desk
from gtm.shared import db
from gtm.shared.api import references
from gtm.shared.guards import desk_only

HISTORY = 50


@require_safe
@desk_only
def show(request: HttpRequest, contact: str) -> HttpResponse:
    user = desk.of(request)
    found = desk.find(Contact, user, contact)
    changes = list(FieldChange.objects.filter(object_id=found.pk).order_by("-at", "-id")[:HISTORY])
    known = names({change.actor for change in changes})
    context = {
        "contact": found,
        "account": found.account,
        "said": said(found.pk),
        "own_fields": own_fields("contact", found.custom),
        "rows": [(change, known.get(change.actor, "")) for change in changes],
        "leads": list(found.leads.order_by("-created_at", "-id")[:10]),
        "may_work": references.is_workable(found, user),
    }
    return desk.page(request, "crm/contact.html", context, active="crm_accounts")


@desk_only
def create(request: HttpRequest, account: str) -> HttpResponse:
    found = desk.find_to_work(Account, desk.of(request), account)
    form = PersonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        made: list[Contact] = []
        act = partial(contacts.create, account=found, at=db.now_for(found), **form.facts())
        if desk.filled(form, lambda: made.append(act())):
            return redirect("crm_contact", made[0].public_id)
    url = reverse("crm_account", args=[account])
    return _page(request, form, found, url)


@desk_only
def edit(request: HttpRequest, contact: str) -> HttpResponse:
    found = desk.find_to_work(Contact, desk.of(request), contact)
    form = PersonForm(request.POST or None, instance=found)
    if request.method == "POST" and form.is_valid():
        act = partial(contacts.change, contact=found, at=db.now_for(found), **form.facts())
        if desk.filled(form, act):
            return redirect("crm_contact", contact)
    return _page(request, form, found.account, reverse("crm_contact", args=[contact]))


def _page(request: HttpRequest, form: PersonForm, account: Account, url: str) -> HttpResponse:
    context = {"form": form, "account": account, "url": url}
    status = 422 if form.errors else 200
    return desk.page(request, "crm/contact_edit.html", context, active="crm_accounts", status=status)
