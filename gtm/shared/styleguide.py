"""The living style page: every token and component in every state, used to check the look by eye. Debug only."""

import datetime as dt
from decimal import Decimal
from types import SimpleNamespace as Sample

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from gtm.shared import statuses

MORNING = dt.datetime(2026, 3, 12, 8, 5, tzinfo=dt.UTC)
COLORS = (
    *("surface", "surface-sunken", "surface-hover", "surface-raised", "rule", "rule-strong", "control-border"),
    *("ink", "ink-soft", "ink-faint", "accent", "accent-strong", "accent-surface"),
    *("positive", "positive-surface", "caution", "caution-surface", "negative", "negative-surface"),
)
SPACES = ("1", "2", "3", "4", "5", "6", "7", "8")
TYPE = ("text-xs", "text-sm", "text", "text-lg", "text-xl", "text-2xl", "text-3xl")


class SampleForm(forms.Form):
    """Every kind of control, with help, an error and an optional one."""

    email = forms.EmailField(help_text="Invoices go here.")
    company = forms.CharField(required=False)
    country = forms.ChoiceField(choices=[("", "Choose"), ("DE", "Germany"), ("US", "United States")])
    seats = forms.IntegerField(min_value=1, initial=5)
    interval = forms.ChoiceField(
        choices=[("month", "Monthly"), ("year", "Yearly")], widget=forms.RadioSelect, initial="month"
    )
    topics = forms.MultipleChoiceField(
        choices=[("product", "Product"), ("billing", "Billing")], widget=forms.CheckboxSelectMultiple, required=False
    )
    note = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), required=False)
    terms = forms.BooleanField(label="I accept the terms")
    closed = forms.CharField(initial="Cannot be changed", disabled=True, required=False)

    def clean(self) -> None:
        self.add_error(None, "The card was declined. Nothing was charged.")


def _usage() -> list[Sample]:
    resets = dt.date(2026, 4, 1)
    samples = ((412, 1000), (842, 1000), (1000, 1000), (1318, 1000), (25000, None))
    return [
        Sample(label="API calls", value=used, limit=limit, resets_at=resets if limit else None)
        for used, limit in samples
    ]


def _alerts() -> list[Sample]:
    common = {
        "url": "#",
        "kind_label": "Alert",
        "currency": "USD",
        "stake_label": "a year at stake",
        "since": MORNING,
        "take_label": "Take",
        "dismiss_label": "Not useful",
        "reasons": [("known", "I knew already"), ("no_value", "Nothing to gain")],
    }
    return [
        Sample(
            **common,
            id="1",
            key="alert:1",
            heading="Hartwell Logistics",
            badge="High",
            badge_tone="negative",
            value=1_188_000,
            steps={"take", "done", "snooze", "not_useful"},
            why="Used 842 of 1,000 API calls (84.2 %), crossed 80 % on Mar 12 at 8:05 AM; 9 days left.",
            play="Offer the Business plan; at this pace they reach the limit on March 16.",
        ),
        Sample(
            **common,
            id="2",
            key="alert:2",
            heading="Brightline Health",
            badge="Taken",
            owner_name="Ines Costa",
            steps={"done", "snooze", "not_useful"},
            value=None,
            why="Seven people joined within three days; ten seats, nine in use.",
            play="Ask who else is about to start.",
        ),
    ]


def _timeline() -> list[Sample]:
    return [
        Sample(
            at=MORNING,
            text="Invoice INV-2026-000214 paid",
            detail="$490.00 by Visa ending in 4242",
            tone="positive",
            actor="system",
        ),
        Sample(at=MORNING - dt.timedelta(days=2), text="Usage passed 80 % of 1,000 API calls", tone="caution"),
        Sample(
            at=MORNING - dt.timedelta(days=9), text="Plan changed from Starter to Team", url="#", actor="Ines Costa"
        ),
        Sample(at=MORNING - dt.timedelta(days=40), text="Card declined", detail="Next try on March 4", tone="negative"),
    ]


def _plans() -> list[Sample]:
    month = {"currency": "USD", "per": "per month", "text": ""}
    features = [
        Sample(name="API calls", value="1,000 a month"),
        Sample(name="Members", value="3"),
        Sample(name="Export", value=""),
    ]
    shared = {"description": "For a first project.", "features": features, "highlight": False, "trial_days": 0}
    return [
        Sample(name="Starter", price_lines=[Sample(amount=0, **month)], buy_url="#", talk_url="", **shared),
        Sample(
            **(shared | {"highlight": True, "trial_days": 14}),
            name="Team",
            price_lines=[
                Sample(amount=4900, **month),
                Sample(amount=Decimal("0.2"), currency="USD", per="per extra call", text=""),
            ],
            buy_url="#",
            talk_url="",
        ),
        Sample(name="Business", price_lines=[Sample(amount=49000, **month)], buy_url="#", talk_url="#", **shared),
    ]


def _invoices() -> list[Sample]:
    rows = (
        ("INV-2026-000214", "open", 49000),
        ("INV-2026-000186", "paid", 49000),
        ("INV-2026-000151", "void", 123456789),
    )
    day = dt.date(2026, 3, 1)
    return [Sample(number=number, status=status, total=total, issue_date=day) for number, status, total in rows]


def _context(density: str) -> dict[str, object]:
    days = [(f"Mar {day}", 18 + (day * 37) % 29) for day in range(1, 29)]
    return {
        "density": density,
        "colors": COLORS,
        "spaces": SPACES,
        "type_steps": TYPE,
        "statuses": list(statuses.STATUSES),
        "form": SampleForm(),
        "failed_form": SampleForm({"email": "nobody", "seats": "0"}),
        "usage": _usage(),
        "alerts": _alerts(),
        "entries": _timeline(),
        "plans": _plans(),
        "invoices": _invoices(),
        "sample_page": Paginator(range(230), 50).page(2),
        "days": days,
        "values": [value for _, value in days],
        "morning": MORNING,
        "later": MORNING + dt.timedelta(days=31),
    }


def styleguide(request: HttpRequest) -> HttpResponse:
    """`/styleguide/?density=roomy|dense`; `?toasts=1` adds one message of each kind."""
    density = "dense" if request.GET.get("density") == "dense" else "roomy"
    if "toasts" in request.GET:
        messages.success(request, "Saved.")
        messages.warning(request, "The card expires this month.")
        messages.error(request, "The card was declined. Nothing was charged.")
    return render(request, "styleguide.html", _context(density))


urlpatterns = [path("", styleguide, name="styleguide")]
