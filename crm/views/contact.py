"""Talk to sales: a form anybody may send, and what comes after it. No page here says what sales makes of it."""

import re

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from billing.models import Plan
from billing.queries import shop
from crm import held_leads, sla
from crm.models import Lead
from crm.public_forms import ContactForm
from gtm.shared import db, vendors
from gtm.shared.api.throttling import address
from gtm.shared.flooding import is_flooded

FROM_ONE_ADDRESS, FROM_ONE_PERSON = "60/h", "10/h"
SMALL = 100  # employees, up to which one is offered to buy at once
SENT = "contact_sent"
_CODE = re.compile(r"[-\w]{1,60}", re.ASCII)


def contact_sales(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        plan = _code(request.GET.get("plan", ""))
        return _page(request, ContactForm(initial={"plan": plan}, at=db.now()), plan=plan)
    form = ContactForm(request.POST, at=db.now())
    if not form.is_valid():
        return _page(request, form, plan=_code(request.POST.get("plan", "")), status=422)
    if _sends_too_much(request):
        form.add_error(None, _("Too many messages were sent from here. Please try again in an hour."))
        return _page(request, form, plan=form.cleaned_data["plan"], status=429)
    data = form.cleaned_data
    _take_in(request, form)
    small = data["employee_count"] <= SMALL and not data["needs"]
    request.session[SENT] = {"buy": (_buy_url(data["plan"]) or reverse("pricing")) if small else ""}
    return redirect("contact_thanks")


def _code(text: str) -> str:
    """A plan's code as it stands in an address, where anything can stand."""
    return text if _CODE.fullmatch(text) else ""


def _take_in(request: HttpRequest, form: ContactForm) -> None:
    """What looks like spam is held, and thanked for like everything else."""
    data = form.cleaned_data
    said = {name: data[name] for name in ("name", "email", "company", "employee_count", "country", "needs", "message")}
    said |= {"kind": Lead.Kind.CONTACT_SALES.value, "source": "website"}
    said |= {"metadata": {"plan": data["plan"]}} if data["plan"] else {}
    person = [("person", data["email"].lower(), FROM_ONE_PERSON)]
    because = form.suspicions(one_of_many=is_flooded(request, page="contact", senders=person))
    held_leads.take_in(at=form.at, said=said, because=because)


def thanks(request: HttpRequest) -> HttpResponse:
    sent = request.session.get(SENT)
    if sent is None:
        return redirect("contact_sales")
    return render(
        request, "crm/contact_thanks.html", {"hours": sla.promised_hours(at=db.now()), "buy_url": sent["buy"]}
    )


def _page(request: HttpRequest, form: ContactForm, *, plan: str, status: int = 200) -> HttpResponse:
    named = Plan.objects.for_sale().filter(code=plan).first() if plan else None
    context = {"form": form, "plan": named, "buy_url": _buy_url(plan)}
    return render(request, "crm/contact_sales.html", context, status=status)


def _buy_url(plan: str) -> str:
    """Where to buy the plan alone; nothing where it is not sold that way, or no plan was named."""
    if not plan:
        return ""
    currency = vendors.current().base_currency
    for version in shop.current_versions(Plan.objects.for_sale().filter(code=plan)):
        if shop.is_buyable(version.plan, shop.published(version, currency)):
            return reverse("checkout", args=[version.plan.code])
    return ""


def _sends_too_much(request: HttpRequest) -> bool:
    who = address(request)  # type: ignore[arg-type]  # it has META, too
    return is_flooded(request, page="contact", senders=[("address", who, FROM_ONE_ADDRESS)])
