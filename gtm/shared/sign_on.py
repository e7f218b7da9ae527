"""Staff signs in with the company's own OpenID provider; customers never do.

The provider vouches for an address (``email_verified``). It lets in the member of staff who has that address, and links
the two, so that later sign-ins go by the provider's own id of the person. Nobody is made by it, unless
``OIDC_CREATE_ROLES`` says with which roles.
"""

from dataclasses import dataclass
from typing import Any

import structlog
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.providers.base.constants import AuthProcess
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.shortcuts import render
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from gtm.shared import db, keys, outbox, users
from gtm.shared.errors import DomainError, Forbidden
from gtm.shared.models import User

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Claims:
    """What the provider says of who signed in. ``email`` is empty unless it vouches for it."""

    email: str
    name: str

    @property
    def domain(self) -> str:
        return self.email.rpartition("@")[2]


def claims_of(data: dict[str, Any]) -> Claims:
    """Raises Forbidden where the two answers of the provider speak of different people."""
    token, asked = data.get("id_token") or {}, data.get("userinfo") or {}
    if token and asked and token.get("sub") != asked.get("sub"):
        raise Forbidden(_("The provider's answers contradict each other."), code="contradiction")
    told = token | asked
    email = str(told.get("email") or "").strip().lower()
    return Claims(email=email if told.get("email_verified") is True else "", name=str(told.get("name") or "")[:200])


class StaffSignOn(DefaultSocialAccountAdapter):
    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        try:
            if sociallogin.state.get("process") != AuthProcess.LOGIN:
                raise Forbidden(_("Accounts are linked by signing in."), code="no_link")
            self._let_in(request, sociallogin)
        except DomainError as refusal:
            log.info("sign_on_refused", code=refusal.code)
            page = render(request, "socialaccount/refused.html", {"refusal": refusal.detail}, status=403)
            raise ImmediateHttpResponse(page) from refusal

    @transaction.atomic
    def _let_in(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        claims = claims_of(sociallogin.account.extra_data)
        if settings.OIDC_DOMAINS and claims.domain not in settings.OIDC_DOMAINS:
            raise Forbidden(_("Addresses of this domain don't sign in here."), code="other_domain")
        if sociallogin.is_existing:
            _require_staff(sociallogin.user)
            return
        user = _staff_of(claims)
        sociallogin.connect(request, user)
        users.confirm(user=user)
        outbox.publish("user.linked", user, at=db.now(), data={"provider": sociallogin.account.provider})

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return False


def _staff_of(claims: Claims) -> User:
    """Who has the address that the provider vouches for; made if that is wished. Raises Forbidden for anybody else."""
    if not claims.email:
        raise Forbidden(_("The provider doesn't vouch for your address."), code="unverified")
    user = User.objects.filter(email=claims.email).first()
    if user is None and settings.OIDC_CREATE_ROLES:
        return users.create_staff(
            at=db.now(),
            email=claims.email,
            name=claims.name,
            roles=settings.OIDC_CREATE_ROLES,
            locale=get_language() or "en",
            invited=False,
        )
    return _require_staff(user)


def _require_staff(user: Any) -> User:
    if not isinstance(user, User) or not keys.is_staff(user):
        raise Forbidden(_("You are no colleague here yet. Ask a founder to invite you."), code="no_staff")
    return user
