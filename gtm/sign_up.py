"""An account without buying: by a link in a mail, so that nobody learns here who has one already.

Whatever address is typed, the same page answers, after the same work: one message is written. Whoever reads the mailbox
goes on from there. Nobody exists until then, so that no stranger can take an address before its owner does.
"""

from urllib.parse import urlencode, urljoin

from allauth.account.utils import get_next_redirect_url
from django import forms
from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache

from gtm.shared import accounts, db, mail, users
from gtm.shared.account_forms import NewUserForm
from gtm.shared.api.throttling import address
from gtm.shared.errors import DomainError
from gtm.shared.flooding import is_flooded

SALT = "sign_up"
LASTS_SECONDS = 3 * 24 * 3600
FROM_ONE_ADDRESS = "30/h"
TO_ONE_MAILBOX = "5/h"


class AddressForm(forms.Form):
    email = forms.EmailField(label=_("Email"), widget=forms.EmailInput(attrs={"autocomplete": "email"}))

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).lower()


@never_cache
def ask(request: HttpRequest) -> HttpResponse:
    """Type an address; the rest stands in the mail."""
    if request.user.is_authenticated:
        return redirect("home")
    form = AddressForm(request.POST if request.method == "POST" else None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "account/signup.html", {"form": form}, status=422 if form.errors else 200)
    email = form.cleaned_data["email"]
    senders = [("address", address(request), FROM_ONE_ADDRESS), ("mailbox", email, TO_ONE_MAILBOX)]  # type: ignore[arg-type]  # it has META, too
    if is_flooded(request, page="sign_up", senders=senders):
        return render(request, "429.html", status=429)
    _write_to(email, next_url=get_next_redirect_url(request) or "")
    return redirect("account_email_verification_sent")


def _write_to(email: str, *, next_url: str) -> None:
    known = users.is_known(email)
    token = signing.dumps([email, next_url], salt=SALT, compress=True)
    template, there = (
        ("sign_up_known", reverse("account_reset_password"))
        if known
        else ("sign_up", reverse("sign_up_finish", args=[token]))
    )
    sign_in = f"{reverse('account_login')}?{urlencode({'next': next_url})}" if next_url else reverse("account_login")
    mail.queue(
        event=None,
        recipient=email,
        template=template,
        context={"address": urljoin(settings.BASE_URL, there), "sign_in": urljoin(settings.BASE_URL, sign_in)},
        locale=get_language() or "en",
    )


@never_cache
def finish(request: HttpRequest, token: str) -> HttpResponse:
    """Choose a password, and be in."""
    try:
        email, next_url = signing.loads(token, salt=SALT, max_age=LASTS_SECONDS)
    except signing.BadSignature:
        return render(request, "account/signup_closed.html", status=404)
    if users.is_known(email):
        return render(request, "account/signup_closed.html", status=410)
    form = NewUserForm(request.POST if request.method == "POST" else None, email=email)
    if request.method != "POST" or not form.is_valid():
        context = {"form": form, "email": email}
        return render(request, "account/signup_finish.html", context, status=422 if form.errors else 200)
    try:
        user = users.sign_up(
            at=db.now(), email=email, locale=get_language() or "en", confirmed=True, **form.cleaned_data
        )
    except DomainError:  # the second of two clicks
        return render(request, "account/signup_closed.html", status=410)
    accounts.sign_in(request, user)
    return redirect(next_url or "home")


urlpatterns = [
    path("signup/", ask, name="account_signup"),
    path("signup/<str:token>/", finish, name="sign_up_finish"),
]
