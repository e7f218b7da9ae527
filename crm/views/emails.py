"""Mail: written from an account, read as conversations, and what came in and belongs nowhere yet."""

from functools import partial
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from crm import emails, logging_addresses, mail_merge, mail_templates
from crm.accounts import fold
from crm.models import Account, EmailMessage, MailTemplate
from crm.views import desk
from crm.views.work import about, page_of
from crm.work_forms import EmailForm
from gtm.shared import db
from gtm.shared.errors import DomainError
from gtm.shared.guards import desk_only
from gtm.shared.models import User

SHOWN = 100


@desk_only
def write(request: HttpRequest, account: str) -> HttpResponse:
    """A new message, or an answer; ``template`` in the address begins it, ``preview`` shows it filled in."""
    user = desk.of(request)
    found = desk.find_to_work(Account, user, account)
    answers = _answered(request, user, found)
    form = EmailForm(request.POST or None, user=user, account=found, initial=_begun(request, user, answers))
    preview = None
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        if "preview" in request.POST:
            values = emails.blanks(found, data["contact"], user)
            preview = {name: mail_merge.filled(data[name], values) for name in ("subject", "body")}
        elif _sent(
            request, form, partial(emails.send, account=found, user=user, at=db.now_for(found), answers=answers)
        ):
            return redirect(page_of(found))
    context = {
        "form": form,
        "account": found,
        "answers": answers,
        "preview": preview,
        "blanks": mail_merge.BLANKS,
        "templates": form.fields["template"].queryset,  # type: ignore[attr-defined]
    }
    return desk.page(request, "crm/email_form.html", context, active="crm_accounts", status=422 if form.errors else 200)


def _answered(request: HttpRequest, user: User, account: Account) -> EmailMessage | None:
    public_id = request.GET.get("answers", "")
    return desk.find(EmailMessage, user, public_id) if public_id else None


def _begun(request: HttpRequest, user: User, answers: EmailMessage | None) -> dict[str, Any]:
    if answers is not None:
        subject = answers.subject if answers.subject.lower().startswith("re:") else f"Re: {answers.subject}"
        return {"contact": answers.contact_id, "subject": subject}
    template: MailTemplate | None = (
        mail_templates.open_to(user).filter(code=request.GET.get("template", "")[:60]).first()
    )
    if template is None:
        return {"contact": request.GET.get("contact", "")[:60]}
    return {"template": template.code, "subject": template.subject, "body": template.body}


def _sent(request: HttpRequest, form: EmailForm, send: partial[Any]) -> bool:
    account = send.keywords["account"]
    try:
        send(**form.cleaned_data, **about(request, desk.of(request), account))
    except DomainError as refused:
        form.add_error(refused.attr if refused.attr in form.fields else None, refused.detail)
        return False
    messages.success(request, _("The message is on its way."))
    return True


@require_safe
@desk_only
def show(request: HttpRequest, email: str) -> HttpResponse:
    """A conversation, oldest first."""
    user = desk.of(request)
    found = desk.find(EmailMessage, user, email)
    letters = list(emails.conversation(found, user))
    last = letters[-1] if letters else found
    waits = [one for one in letters if one.direction == EmailMessage.Direction.IN and one.answered_at is None]
    context = {"email": found, "letters": letters, "last": last, "waiting": waits[-1] if waits else None}
    return desk.page(request, "crm/email.html", context, active="crm_accounts")


@require_POST
@desk_only
def close(request: HttpRequest, email: str) -> HttpResponse:
    """It needs no answer, or does after all."""
    found = desk.find_to_work(EmailMessage, desk.of(request), email)
    act = emails.reopen if request.POST.get("step") == "reopen" else partial(emails.close, reason="no_answer_needed")
    desk.told(request, partial(act, email=found, at=db.now_for(found)))
    return redirect("crm_email", email)


# --- unmatched ---------------------------------------------------------------------------------
@require_safe
@desk_only
def unmatched(request: HttpRequest) -> HttpResponse:
    """One's own mail that belongs to no account yet, and the address to send copies to."""
    user = desk.of(request)
    mine = EmailMessage.objects.filter(user=user, account=None).order_by("-received_at", "-pk")
    row = logging_addresses.of(user)
    context = {
        "emails": mine[:SHOWN],
        "is_on": logging_addresses.is_on(),
        "address": logging_addresses.written(row.token) if row else "",
    }
    return desk.page(request, "crm/unmatched_mail.html", context, active="crm_unmatched_mail")


@require_POST
@desk_only
def match(request: HttpRequest, email: str) -> HttpResponse:
    """Put it to the account that is named, or forget it."""
    user = desk.of(request)
    found = desk.find_to_work(EmailMessage, user, email)
    if request.POST.get("step") == "discard":
        desk.told(request, partial(emails.discard, email=found, at=db.now_for(found)))
        return redirect("crm_unmatched_mail")
    words = request.POST.get("account", "").strip()[:200]
    seen = Account.objects.workable_by(user).filter(test_clock=None)
    accounts = list(seen.filter(domains__domain=words.lower())[:1] or seen.filter(name_key=fold(words))[:2])
    if len(accounts) != 1:
        messages.error(request, _("No one account of yours has this name or domain."))
    else:
        desk.told(request, partial(emails.match, email=found, account=accounts[0], at=db.now_for(found)))
    return redirect("crm_unmatched_mail")


@require_POST
@desk_only
def address(request: HttpRequest) -> HttpResponse:
    """A new secret address, or none any more."""
    user, at = desk.of(request), db.now()
    if request.POST.get("step") == "revoke":
        logging_addresses.revoke(user=user, at=at)
        messages.success(request, _("The address is taken back: what is sent there is nobody's from now on."))
    else:
        logging_addresses.issue(user=user, at=at)
    return redirect("crm_unmatched_mail")
