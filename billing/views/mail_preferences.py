"""Which mail somebody wants, by the link in each mail: a page, and the one click of RFC 8058."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from billing import hosted, mail_preferences
from billing.models import Customer, MailPreference, Member
from billing.views.hosted import FRAME, private, refused
from billing.views.portal_parts import page, person_only
from gtm.shared import db, languages, links
from gtm.shared.errors import DomainError
from gtm.shared.models import Mail

View = Callable[..., HttpResponse]


def topic_words() -> dict[str, str]:
    return {
        MailPreference.Topic.USAGE: _("Hints about usage, as when a limit comes near"),
        MailPreference.Topic.PRODUCT: _("Hints about plans and the product"),
    }


def always_sent() -> list[str]:
    """What nobody can switch off."""
    return [
        _("Invoices, credit notes, receipts and refunds"),
        _("Payments that failed or need your confirmation, and cards that expire"),
        _("Renewals of yearly plans and ends of trials, before they come"),
        _("Changes of your plan, and its end"),
        _("Sign-in, invitations and security"),
    ]


class PreferencesForm(forms.Form):
    """A tick for each topic."""

    def __init__(self, sent: Any = None, *, wishes: dict[str, bool]) -> None:
        super().__init__(sent)
        for topic, words in topic_words().items():
            self.fields[topic] = forms.BooleanField(label=words, required=False, initial=wishes[topic])


def by_mail(view: View) -> View:
    """Hand the view the mail that the link names, and its customer. Old links work as long as new ones would."""

    @wraps(view)
    @never_cache
    def opened(request: HttpRequest, token: str) -> HttpResponse:
        try:
            mail, customer = _found(token)
        except (links.LinkInvalid, links.LinkExpired):
            response = render(request, "billing/hosted_unknown.html", FRAME, status=404)
        else:
            languages.prefer(request, mail.locale)
            response = _answered(view, request, mail, customer)
        return private(response)

    return csrf_exempt(opened)  # the link is the key, and a mail program that posts has no token


def _answered(view: View, request: HttpRequest, mail: Mail, customer: Customer) -> HttpResponse:
    try:
        return view(request, mail, customer)
    except DomainError as refusal:
        return refused(request, refusal)


def _found(token: str) -> tuple[Mail, Customer]:
    mail = Mail.objects.filter(pk=links.read(hosted.MAIL, token, at=db.now())).first()
    customer = Customer.objects.filter(pk=mail.customer_id).first() if mail and mail.customer_id else None
    if mail is None or customer is None:
        raise links.LinkInvalid
    return mail, customer


# --- the pages ---------------------------------------------------------------------------------
@by_mail
@require_http_methods(["GET", "HEAD", "POST"])
def preferences(request: HttpRequest, mail: Mail, customer: Customer) -> HttpResponse:
    return render(request, "billing/mail_preferences.html", FRAME | _asked(request, customer, mail.recipient))


@require_http_methods(["GET", "HEAD", "POST"])
@person_only
def of_member(request: HttpRequest, member: Member) -> HttpResponse:
    """The same in the portal, for whoever is signed in."""
    context = _asked(request, member.customer, member.user.email)
    return page(request, "billing/mail_preferences.html", member, context)


def _asked(request: HttpRequest, customer: Customer, email: str) -> dict[str, Any]:
    """What the page shows, when what was sent is saved."""
    form = PreferencesForm(
        request.POST if request.method == "POST" else None,
        wishes=mail_preferences.wishes(customer=customer, email=email),
    )
    saved = form.is_valid()
    if saved:
        mail_preferences.change(customer=customer, email=email, wanted=form.cleaned_data, at=db.now_for(customer))
    return {"email": email, "customer": customer, "form": form, "saved": saved, "always": always_sent()}


@by_mail
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscription(request: HttpRequest, mail: Mail, customer: Customer) -> HttpResponse:
    """POST stops it at once, as RFC 8058 wants; a person who comes by GET is asked, as programs that look ahead do."""
    topic = mail_preferences.topic_of(mail)
    address = hosted.preferences_url(mail.pk, at=db.now())
    if not topic:
        return redirect(address)
    done = request.method == "POST"
    if done:
        mail_preferences.stop(mail=mail, customer=customer, at=db.now_for(customer))
    context = {
        "email": mail.recipient,
        "topic": topic_words()[topic],
        "done": done,
        "preferences_url": address,
    }
    return render(request, "billing/mail_unsubscription.html", FRAME | context)
