"""Who calls: an API key, or staff signed in to the site. Whoever it is becomes the actor of the facts that follow."""

from dataclasses import dataclass

from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.request import Request

from gtm.shared import context, keys, second_step
from gtm.shared.models import ApiKey, User


@dataclass(frozen=True)
class Installation:
    """The caller behind a key that is bound to nobody: it sees every row within its scope."""

    is_authenticated: bool = True
    is_active: bool = True
    is_anonymous: bool = False


class ApiKeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer tdm_…``"""

    keyword = "Bearer"

    def authenticate(self, request: Request) -> tuple[User | Installation, ApiKey] | None:
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != self.keyword.lower().encode():
            return None
        if len(words) != 2:
            raise exceptions.AuthenticationFailed("Send one key: Authorization: Bearer <key>.")
        key = keys.find(words[1].decode("latin-1"))
        if key is None:
            raise exceptions.AuthenticationFailed("This key is unknown or revoked.")
        context.act_as(f"key:{key.public_id}")
        return key.user or Installation(), key

    def authenticate_header(self, request: Request) -> str:
        return f'{self.keyword} realm="api"'


class StaffSessionAuthentication(SessionAuthentication):
    """The site's session, with its CSRF token on unsafe methods. A customer's session is no authentication at all."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        user = getattr(request._request, "user", None)
        if not isinstance(user, User) or not keys.is_staff(user):
            return None
        if second_step.is_lacking(request._request, user):
            detail = "Staff signs in with a second step: set it up first."
            raise exceptions.PermissionDenied(detail, code="mfa_required")
        self.enforce_csrf(request)
        context.act_as(f"user:{user.public_id}")
        return user, None
