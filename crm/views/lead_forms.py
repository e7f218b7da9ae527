"""The founders' forms, as visitors meet them: on a page of their own, within a page of the vendor's, and as the place
to which a form of the vendor's own page is sent.

Neither page sets a cookie or needs one: within another site's page a browser gives none. So there is no session and no
CSRF token; the signed stamp says that the form was opened, and nothing here acts for anybody who is signed in. What
looks like spam is held and thanked for like everything else.
"""

from typing import Any

from csp.constants import SELF
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from crm import embedding, held_leads, lead_forms, sla
from crm.models import LeadForm
from crm.public_forms import VisitorForm
from gtm.shared import db
from gtm.shared.api.throttling import address
from gtm.shared.flooding import is_flooded
from gtm.shared.languages import supported

FROM_ONE_ADDRESS, FROM_ONE_PERSON = "60/h", "10/h"


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def form(request: HttpRequest, code: str) -> HttpResponse:
    found = _found(request, code)
    if request.method != "POST":
        return _page(request, found, VisitorForm(form=found, at=db.now()))
    filled = VisitorForm(request.POST, form=found, at=db.now())
    if not filled.is_valid():
        return _page(request, found, filled, status=422)
    if _sends_too_much(request, found):
        filled.add_error(None, _("Too many messages were sent from here. Please try again in an hour."))
        return _page(request, found, filled, status=429)
    _take_in(request, found, filled)
    return _sent(request, found)


def _found(request: HttpRequest, code: str) -> LeadForm:
    """And the language in which the page shall speak, where its address says so."""
    if language := request.GET.get("language"):
        translation.activate(supported(language))
        request.LANGUAGE_CODE = translation.get_language()  # type: ignore[attr-defined]  # as Django's own does
    return get_object_or_404(LeadForm, code=code, active=True)


def _sends_too_much(request: HttpRequest, found: LeadForm) -> bool:
    who = address(request)  # type: ignore[arg-type]  # it has META, too
    return is_flooded(request, page="form", senders=[("address", who, FROM_ONE_ADDRESS)])


def _take_in(request: HttpRequest, found: LeadForm, filled: VisitorForm) -> None:
    data, at = filled.cleaned_data, filled.at
    person = [("person", f"{found.code} {data['email'].lower()}", FROM_ONE_PERSON)]
    because = filled.suspicions(
        from_allowed_page=_is_from_allowed_page(request, found),
        one_of_many=is_flooded(request, page="form", senders=person),
    )
    held_leads.take_in(at=at, said=lead_forms.as_lead(found, data, at=at), because=because, form=found)


def _is_from_allowed_page(request: HttpRequest, found: LeadForm) -> bool:
    """By what the browser says, which a program may say, too: the limits hold for both."""
    return embedding.admits(found.allowed_hosts, request.headers.get("Origin", ""))


def _sent(request: HttpRequest, found: LeadForm) -> HttpResponse:
    """A form of the vendor's own page leads on to where that page says; ours to its thanks."""
    if found.thanks_url and _is_from_allowed_page(request, found):
        return HttpResponseRedirect(found.thanks_url, status=303)
    address_of_thanks = reverse("lead_form_thanks", args=[found.code])
    language = f"?language={translation.get_language()}" if request.GET.get("language") else ""
    return redirect(address_of_thanks + language)


@require_safe
def thanks(request: HttpRequest, code: str) -> HttpResponse:
    found = _found(request, code)
    return _framed(
        render(request, "crm/lead_form_thanks.html", {"form": found, "hours": sla.promised_hours(at=db.now())}), found
    )


def _page(request: HttpRequest, found: LeadForm, filled: VisitorForm, *, status: int = 200) -> HttpResponse:
    context: dict[str, Any] = {"lead_form": found, "form": filled, "action": request.get_full_path()}
    return _framed(render(request, "crm/lead_form.html", context, status=status), found)


def _framed(response: HttpResponse, found: LeadForm) -> HttpResponse:
    """Let the form's own hosts show the page within theirs, and nobody else."""
    response.xframe_options_exempt = True  # type: ignore[attr-defined]  # Django's; it knows no list of hosts
    response._csp_replace = {"frame-ancestors": [SELF, *found.allowed_hosts]}  # type: ignore[attr-defined]  # django-csp's
    return response
