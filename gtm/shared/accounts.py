"""How allauth creates users, where it sends them after sign-in, and how it writes to them."""

from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.email_verification import send_verification_email_for_user
from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.models import EmailAddress
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import get_language

from gtm.shared import keys, mail, sealing, users, vendors
from gtm.shared.models import User

_SEALED = "gAAAAA"  # how all that is sealed begins: a version and the first bits of a time
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


class AccountAdapter(DefaultAccountAdapter):
    def populate_username(self, request: HttpRequest, user: User) -> None:
        """Users have no name to sign in by; the e-mail address is it."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """``gtm.sign_up`` makes users, and the checkout does; allauth's own form would say who is known."""
        return False

    def clean_email(self, email: str) -> str:
        return super().clean_email(email).lower()

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        return reverse("home")

    def post_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse:
        """Whoever comes by a mailed link has shown that the mailbox is theirs, and a colleague's address is known."""
        others = EmailAddress.objects.filter(user_id=user.pk).exclude(email=user.email)
        if (_came_by_mail(request, user) and not others.exists()) or (
            keys.is_staff(user) and not EmailAddress.objects.filter(user_id=user.pk).exists()
        ):
            users.confirm(user=user)
        answer: HttpResponse = super().post_login(request, user, **kwargs)
        return answer

    def can_delete_email(self, email_address: EmailAddress) -> bool:
        """Somebody always has the address by which they sign in, confirmed or not."""
        return bool(email_address.email != email_address.user.email)

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


class SecondStepAdapter(DefaultMFAAdapter):
    """Keeps the secrets of authenticator apps sealed, and names the vendor in them."""

    def _get_site_name(self) -> str:
        return vendors.current().name

    def encrypt(self, text: str) -> str:
        return sealing.seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        """Secrets that were kept before they were sealed are read as they are."""
        is_sealed = encrypted_text.startswith(_SEALED)
        return sealing.unseal(encrypted_text) if is_sealed else encrypted_text


def sign_in(request: HttpRequest, user: User) -> None:
    """Sign in somebody who was made just now. The session gets another key.

    Who has a second step by now goes by the front door: a password that is typed elsewhere doesn't go around it.
    """
    if Authenticator.objects.filter(user_id=user.pk).exists():
        return
    login(request, user, backend=BACKEND)
    UserSession.objects.create_from_request(request)


def ask_to_confirm(request: HttpRequest, user: User) -> None:
    """Mail the link by which the user shows that the mailbox is theirs; not again within three minutes."""
    send_verification_email_for_user(request, user)


def _came_by_mail(request: HttpRequest, user: User) -> bool:
    return any(record.get("method") == "password_reset" for record in get_authentication_records(request, user))
