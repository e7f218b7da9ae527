"""Coming from the vendor's product into the portal, and leaving it."""

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import rotate_token
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from billing import portal_sessions
from billing.models import PortalSession
from billing.views import portal_access
from gtm.shared import db, languages, links
from gtm.shared.api.throttling import address
from gtm.shared.errors import DomainError
from gtm.shared.flooding import is_flooded

FROM_ONE_ADDRESS = "240/h"


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def come(request: HttpRequest, token: str) -> HttpResponse:
    """Only a POST opens it: programs that look ahead follow links, and who comes sees whose portal it is."""
    if is_flooded(request, page="visit", senders=[("address", address(request), FROM_ONE_ADDRESS)]):  # type: ignore[arg-type]  # it has META, too
        return render(request, "429.html", status=429)
    try:
        made = portal_sessions.find(token, at=db.now())
        languages.prefer(request, made.customer.preferred_locale)
        if request.method == "POST":
            return _enter(request, made)
    except links.LinkInvalid:
        return _told(request, _("This link is not valid"), 404)
    except links.LinkExpired:
        return _told(request, _("This link has expired"), 410)
    except DomainError as refusal:  # such as a test clock that is being advanced
        return render(
            request, "billing/confirmed.html", {"title": _("Not just now"), "text": refusal.detail}, status=409
        )
    return render(request, "billing/visit.html", {"customer": made.customer})


def _enter(request: HttpRequest, made: PortalSession) -> HttpResponse:
    """The browser gets another key and another token, so that whoever has put in the old ones has nothing by them."""
    portal_sessions.open_once(made, at=db.now_for(made.customer), wall_time=db.now())
    request.session.cycle_key()
    request.session[portal_access.KEY] = str(made.pk)
    rotate_token(request)
    return redirect("portal_overview", made.customer.public_id)


def _told(request: HttpRequest, title: str, status: int) -> HttpResponse:
    text = _("It opens your account once, and within five minutes. Go back to where you came from, and try again.")
    return render(request, "billing/confirmed.html", {"title": title, "text": text}, status=status)


@require_POST
def leave(request: HttpRequest) -> HttpResponse:
    request.session.pop(portal_access.KEY, None)
    return redirect("home")
