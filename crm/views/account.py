"""One account: from all sides, its facts and its owner, its domains and where it belongs."""

from functools import partial
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from crm import account_domains, accounts, blockers, hierarchy, wording
from crm.forms import AccountForm, DomainForm, NewAccountForm, ParentForm
from crm.models import Account, AccountDomain, FieldChange
from crm.queries import account as queries
from crm.queries import pipeline, story
from crm.timeline import names
from crm.views import decisions, desk, work
from gtm.shared import db, vendors
from gtm.shared.api import references
from gtm.shared.domains import registrable_domain
from gtm.shared.guards import desk_only
from gtm.shared.models import User

HISTORY = 100


@require_safe
@desk_only
def show(request: HttpRequest, account: str) -> HttpResponse:
    found = find_or_survivor(desk.of(request), account)
    if found.public_id != account:
        return redirect("crm_account", found.public_id)
    return desk.page(request, "crm/account.html", _context(request, found), active="crm_accounts")


def find_or_survivor(user: User, public_id: str) -> Account:
    """The account that the address names; of a merged one, that into which it was merged. Raises Http404."""
    try:
        return desk.find(Account, user, public_id)
    except Http404:
        merged = references.find(Account.everything.exclude(merged_into=None), public_id)
        survivors = Account.objects.visible_to(user).filter(merged=merged) if merged else Account.objects.none()
        survivor = survivors.first()
        if survivor is None:
            raise
        return survivor


def _context(request: HttpRequest, account: Account) -> dict[str, Any]:
    user = desk.of(request)
    kinds = [kind for kind in request.GET.getlist("kind") if kind in story.KINDS]
    before = request.GET.get("before", "")
    older = int(before) if before.isascii() and before.isdecimal() and len(before) < 19 else None
    around = queries.around(account, user=user, at=db.time_of(account), kinds=kinds, before=older)
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
        "owner_reasons": wording.sentences(ownership.reasons, currency=vendors.current().base_currency)
        if ownership
        else [],
        **decisions.panel(account),
        "needs": [wording.need_label(need) for need in account.needs],
        "blockers": [blockers.LABELS.get(code, code) for code in account.blockers],
        "domains": [(row, account_domains.caution_text(row.domain)) for row in around.domains],
        "kinds": [(kind, label, kind in kinds) for kind, (label, _prefixes) in story.KINDS.items()],
        "kinds_on": kinds,
        "is_older": older is not None,
        **work.panel(request, account),
        "may_take": account.owner_id is None and user.sells,
        "lead_url": reverse("crm_leads"),
    }


@desk_only
def create(request: HttpRequest) -> HttpResponse:
    """A company that nobody has asked about yet."""
    user = desk.works(request)
    form = NewAccountForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        made: list[Account] = []
        if desk.filled(form, lambda: made.append(accounts.create(at=db.now(), **form.cleaned_data))):
            seen = Account.objects.visible_to(user).filter(pk=made[0].pk).exists()
            return redirect("crm_account", made[0].public_id) if seen else redirect("crm_accounts")
    status = 422 if form.errors else 200
    return desk.page(request, "crm/account_new.html", {"form": form}, active="crm_accounts", status=status)


@desk_only
def edit(request: HttpRequest, account: str) -> HttpResponse:
    """The facts that decide segment, motion and owner, set by hand."""
    found = desk.find_to_work(Account, desk.of(request), account)
    form = AccountForm(request.POST or None, instance=found)
    url = reverse("crm_account", args=[account])
    if request.method == "POST" and form.is_valid():
        unchanged = desk.find_to_work(Account, desk.of(request), account)  # the form has written into the other
        if desk.filled(form, partial(accounts.change, account=unchanged, at=db.now_for(found), **form.facts())):
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
    reason = request.POST.get("reason", "") if found.dead_zone else _("taken from the queue")
    desk.told(request, partial(accounts.take, account=found, owner=user, at=db.now_for(found), reason=reason))
    return redirect("crm_account", account)


@require_safe
@desk_only
def history(request: HttpRequest, account: str) -> HttpResponse:
    """Who said what about the company and its people, and when."""
    found = desk.find(Account, desk.of(request), account)
    changes = list(FieldChange.objects.filter(account=found).order_by("-at", "-id")[:HISTORY])
    known = names({change.actor for change in changes})
    rows = [(change, known.get(change.actor, "")) for change in changes]
    return desk.page(request, "crm/account_history.html", {"account": found, "rows": rows}, active="crm_accounts")


# --- domains and the hierarchy -------------------------------------------------------------------
@require_POST
@desk_only
def add_domain(request: HttpRequest, account: str) -> HttpResponse:
    found, form = desk.find_to_work(Account, desk.of(request), account), DomainForm(request.POST)
    if form.is_valid():
        domain = form.cleaned_data["domain"]
        desk.told(request, partial(account_domains.add, account=found, domain=domain, at=db.now_for(found)))
    return redirect("crm_account", account)


STEPS = {"verify": account_domains.verify, "primary": account_domains.make_primary, "remove": account_domains.remove}


@require_POST
@desk_only
def change_domain(request: HttpRequest, account: str, domain: str) -> HttpResponse:
    """Verify it, make it the primary one or remove it, as the button says."""
    found = desk.find_to_work(Account, desk.of(request), account)
    named = found.domains.filter(domain=domain) if "\0" not in domain else AccountDomain.objects.none()
    row, step = named.first(), request.POST.get("step", "")
    if row is None or step not in STEPS:
        raise Http404
    desk.told(request, partial(STEPS[step], domain=row, at=db.now_for(found)))
    return redirect("crm_account", account)


@require_POST
@desk_only
def place(request: HttpRequest, account: str) -> HttpResponse:
    """Under which account it belongs; under none when the field is empty."""
    user = desk.of(request)
    found, form = desk.find_to_work(Account, user, account), ParentForm(request.POST)
    if form.is_valid():
        words = form.cleaned_data["parent"]
        parent = named(user, words, found) if words else None
        if words and parent is None:
            desk.refuse(request, _("You see no such account. Give its domain, its id or its exact name."))
        else:
            desk.told(request, partial(hierarchy.place, account=found, parent=parent, at=db.now_for(found)))
    return redirect("crm_account", account)


def named(user: User, words: str, beside: Account) -> Account | None:
    """Another account that the user sees on the same clock, by its id, one of its domains or its exact name."""
    seen = Account.objects.visible_to(user).filter(test_clock=beside.test_clock_id).exclude(pk=beside.pk)
    if by_id := references.find(seen, words.strip()):
        return by_id
    domain = registrable_domain(words)
    by_domain = seen.filter(domains__domain=domain).first() if domain else None
    return by_domain or seen.filter(name_key=accounts.fold(words)).order_by("pk").first()
