"""Staff see what customers pay and say: where ``STAFF_MFA`` is set, a password alone opens nothing to them.

Whoever has set up an authenticator app or a passkey is asked for it by allauth at every sign-in. What is left to do
here is to hold back those who have none. Who comes from the company's own provider has been asked there.
"""

from collections.abc import Callable

from allauth.account.internal.flows.login import get_authentication_records
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from gtm.shared.models import User

OPEN = ("/account/", "/static/", "/language/", "/healthz", "/readyz")
ASKED_BY_THEMSELVES = ("/api/",)  # an API answers with an error and not with another page


def is_lacking(request: HttpRequest, user: User) -> bool:
    """Whether a member of staff has yet to set up a second step."""
    if not (settings.STAFF_MFA and user.is_active and (user.roles or user.is_superuser)):
        return False
    steps = Authenticator.objects.filter(user_id=user.pk).exclude(type=Authenticator.Type.RECOVERY_CODES)
    return not steps.exists() and not _came_from_provider(request, user)


def _came_from_provider(request: HttpRequest, user: User) -> bool:
    return any(record.get("method") == "socialaccount" for record in get_authentication_records(request, user))


class SecondStepMiddleware:
    """Sends staff without a second step to where it is set up, whatever they ask for."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user = request.user
        if request.path.startswith((*OPEN, *ASKED_BY_THEMSELVES)) or not isinstance(user, User):
            return self.get_response(request)
        if not is_lacking(request, user):
            return self.get_response(request)
        messages.warning(request, _("Staff signs in with a second step. Set it up to go on."))
        return redirect("mfa_index")
