"""How allauth creates users, where it sends them after sign-in, and how it writes to them."""

from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import get_language

from gtm.shared import mail, vendors
from gtm.shared.models import User


class AccountAdapter(DefaultAccountAdapter):
    def populate_username(self, request: HttpRequest, user: User) -> None:
        """Users have no name to sign in by; the e-mail address is it."""

    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:
        user.locale = get_language() or user.locale
        saved: User = super().save_user(request, user, form, commit)
        return saved

    def clean_email(self, email: str) -> str:
        return super().clean_email(email).lower()

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        return reverse("home")

    def get_signup_redirect_url(self, request: HttpRequest) -> str:
        return reverse("home")

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Queue it: a mail server that is away must stop no sign-up, and without one founders can read it."""
        site = SimpleNamespace(name=vendors.current().name, domain=urlsplit(settings.BASE_URL).netloc)
        message = self.render_mail(template_prefix, email, {"email": email, "current_site": site, **context})
        template = template_prefix.rpartition("/")[2]
        text, locale = str(message.body), get_language() or "en"
        mail.queue_message(recipient=email, template=template, subject=str(message.subject), text=text, locale=locale)

    def format_email_subject(self, subject: str) -> str:
        """Without the site in brackets: the sender is named already."""
        return subject
