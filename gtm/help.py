"""The manual for the vendor's people: the policies, and a page for each step of the quick start."""

from typing import NamedTuple

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from gtm.shared.guards import staff_only


class Page(NamedTuple):
    slug: str
    title: str
    summary: str


PAGES = (
    Page("plans", "1. Create your plans", "Plans, prices, features and limits; publish and archive."),
    Page("payments", "2. Set up payments", "Legal entity, taxes, card gateway, invoices on terms."),
    Page("checkout", "3. Let customers buy", "The price page, checkout, and what the customer sees afterwards."),
    Page("portal", "Let customers serve themselves", "Their portal: plans, seats, payment, usage, cancelling, quotes."),
    Page("changes", "Change what somebody has", "Upgrades, seats, intervals: when they count and what they cost."),
    Page("dunning", "When money doesn't come", "Cards that fail, reminders, when access ends, and who is told first."),
    Page("sales", "4. Route bigger companies to sales", "The contact form, segments, motion, owners and queues."),
    Page("pipeline", "Lead deals through the pipeline", "Stages, exit criteria, the board, and what is watched."),
    Page("leads", "Take in leads", "Forms in your own pages, accepting and rejecting, what looks like spam."),
    Page("lists", "Find, list, change and import", "Search, views, many rows at once, CSV in and out."),
    Page("usage", "5. Send usage", "Events, meters, limits, and asking for entitlements."),
    Page("alerts", "6. Act on signals", "The 80 % rule, alerts on Today, prompts in the portal."),
    Page("work", "Work your day", "Today, tasks, notes, calls, mail with customers, notifications."),
    Page("clocks", "7. Try a year in a minute", "Test clocks: invoices to come, without waiting for them."),
    Page("webhooks", "8. Tell your other programs", "Webhooks: signed facts, retries, replays, and their order."),
    Page("documents", "9. Documents and e-invoices", "Invoices, credit notes, receipts, Factur-X, UBL, languages."),
    Page("access", "10. Let people in", "Roles, invitations, passkeys, second steps, your own sign-in provider."),
    Page("mail", "Write to customers", "Which mail they get, what they can stop, and the page of an invoice."),
    Page("operations", "11. Run it", "Health, doctor, backups, keys, and what to do when something stops."),
    Page("policies", "Policies", "How every amount, date and decision is arrived at."),
)


@staff_only
def index(request: HttpRequest) -> HttpResponse:
    return render(request, "help/index.html", {"pages": PAGES})


@staff_only
def page(request: HttpRequest, slug: str) -> HttpResponse:
    found = next((entry for entry in PAGES if entry.slug == slug), None)
    if found is None:
        raise Http404
    return render(request, f"help/{slug}.html", {"page": found, "pages": PAGES, "base_url": settings.BASE_URL})


urlpatterns = [path("", index, name="help"), path("<slug:slug>/", page, name="help_page")]
