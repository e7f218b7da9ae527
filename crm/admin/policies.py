"""Which segment and motion an account has: drafts to try, and published versions, of which the newest counts.

A published version never changes. The next one begins as a copy of the newest or as a preset, and is a draft until
it is applied; going back publishes the terms of an earlier version again.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe
from unfold import widgets
from unfold.decorators import display

from crm import policies, policy_runs, presets, wording
from crm.admin.trial import AccountForm, Trial
from crm.models import PolicyRun, SegmentPolicy
from crm.segments import outcomes
from gtm.shared import db
from gtm.shared.admin_base import OperationAdmin, OperationForm, is_founder, page_of
from gtm.shared.admin_fields import CurrencyField, LinesField, plain, to_major, to_minor
from gtm.shared.admin_steps import step
from gtm.shared.templatetags import tandem

DRAFT = "This is a draft: it moves nobody until you apply it. See first who would move."
COUNTS = (
    "What you save is a draft, which moves nobody. Once you apply it, accounts are decided again; nobody's checkout, "
    "price or access changes by it, and dunning that has begun goes on as it was."
)
SEGMENTS_HELP = (
    "One on each line, the smallest first: code, label, motion (self_serve, sales_assisted, sales_led), engagement "
    "(none, on_trigger, day_one), how it may pay (charge_automatically + send_invoice), days to pay or -, code of its "
    "dunning policy or -, role of its owners (csm, ae, sdr) or -."
)
ZONES_HELP = (
    "At most two, one on each line: code, label, from, up to (1000, 10000), and where they differ from the bands' the "
    "basis (arr, acv, expected_value, company_revenue) and the currency (EUR). Accounts in it are left to self-serve, "
    "and get an owner only with a reason."
)


WRITTEN = ("segments", "employee_bounds", "value_bounds", "sales_led_needs", "dead_zones")
READ = ("all_segments", "all_employee_bounds", "all_value_bounds", "all_needs", "all_zones")


class PolicyForm(OperationForm):
    currency = CurrencyField()
    segments = LinesField(rows=5, required=True, help_text=SEGMENTS_HELP)
    employee_bounds = forms.CharField(
        required=False,
        widget=widgets.UnfoldAdminTextInputWidget(),
        help_text="From how many employees on the segments after the first begin: 100, 1000. Empty: they don't count.",
    )
    value_bounds = forms.CharField(
        required=False,
        widget=widgets.UnfoldAdminTextInputWidget(),
        help_text="From what yearly value on they begin: 10000, 50000. Empty: it doesn't count.",
    )
    sales_led_needs = LinesField(
        rows=4, label="Sales-led needs", help_text="Needs that make an account sales-led whatever its size."
    )
    dead_zones = LinesField(rows=2, help_text=ZONES_HELP)

    class Meta:
        model = SegmentPolicy
        fields = (
            "name",
            "basis",
            "currency",
            "combine",
            "segments",
            "employee_bounds",
            "value_bounds",
            "sales_led_needs",
            "dead_zones",
            "margin_percent",
            "margin_days",
            "freeze",
        )
        labels = {
            "combine": "Where size and value disagree",
            "basis": "Value is",
            "margin_percent": "Margin, percent",
            "margin_days": "Days below the margin",
            "freeze": "Keep segments",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and not self.instance._state.adding:
            self.initial = {**self.initial, **shown(self.instance)}

    def changes(self) -> dict[str, Any]:
        """All of it: what an amount means depends on the currency."""
        return {name: self.cleaned_data[name] for name in self._meta.fields or ()} if self.changed_data else {}

    def clean_segments(self) -> list[dict[str, Any]]:
        try:
            return [_segment(line) for line in self.cleaned_data["segments"]]
        except ValueError as error:
            raise forms.ValidationError(f"A line has seven or eight parts. {SEGMENTS_HELP}") from error

    def clean_employee_bounds(self) -> list[int]:
        return [int(bound) for bound in _numbers(self.cleaned_data["employee_bounds"])]

    def clean(self) -> dict[str, Any]:
        super().clean()
        if currency := self.cleaned_data.get("currency"):
            bounds = _numbers(self.cleaned_data.get("value_bounds", ""))
            self.cleaned_data["value_bounds"] = [int(to_minor(bound, currency)) for bound in bounds]
            self.cleaned_data["dead_zones"] = self._zones(currency)
        return self.cleaned_data

    def _zones(self, currency: str) -> list[dict[str, Any]]:
        try:
            return [_zone(line, currency) for line in self.cleaned_data.get("dead_zones", ())]
        except (ValueError, ArithmeticError) as error:
            self.add_error("dead_zones", f"A line has four to six parts. {ZONES_HELP} ({error})")
            return []


def _numbers(text: str) -> list[Decimal]:
    try:
        return [Decimal(part) for part in text.replace(",", " ").split()]
    except ArithmeticError as error:
        raise forms.ValidationError("Give numbers with commas between them: 100, 1000.") from error


def _segment(line: str) -> dict[str, Any]:
    parts = [part.strip() for part in line.split(",")]
    code, label, motion, engagement, methods, days, dunning = parts[:7]
    [role] = parts[7:] or [""]
    return {
        "code": code,
        "label": label,
        "motion": motion,
        "engagement": engagement,
        "collection_methods": [method.strip() for method in methods.split("+")],
        "net_terms_days": None if days == "-" else int(days),
        "dunning_policy": "" if dunning == "-" else dunning,
        "owner_role": "" if role == "-" else role,
    }


def _zone(line: str, currency: str) -> dict[str, Any]:
    code, label, lower, upper, *rest = (part.strip() for part in line.split(","))
    basis, own = [*rest, "", ""][:2]
    currency = own or currency
    amounts = {"lower": int(to_minor(Decimal(lower), currency)), "upper": int(to_minor(Decimal(upper), currency))}
    return {"code": code, "label": label, **amounts, "basis": basis, "currency": own}


def _line(segment: Mapping[str, Any]) -> str:
    methods = " + ".join(segment.get("collection_methods", ()))
    days = segment.get("net_terms_days")
    names = [segment[name] for name in ("code", "label", "motion", "engagement")]
    rest = [segment.get("dunning_policy") or "-", segment.get("owner_role") or "-"]
    return ", ".join([*names, methods, "-" if days is None else str(days), *rest])


def _zone_line(zone: Mapping[str, Any]) -> str:
    bounds = [f"{plain(to_major(zone[name], zone['currency'])):f}" for name in ("lower", "upper")]
    return ", ".join([zone["code"], zone["label"], *bounds, zone["basis"], zone["currency"]])


def shown(policy: SegmentPolicy) -> dict[str, Any]:
    """A policy as its form shows it."""
    as_they_are = ("name", "basis", "currency", "combine", "sales_led_needs", "margin_percent", "margin_days", "freeze")
    return {name: getattr(policy, name) for name in as_they_are} | {
        "segments": [_line(segment) for segment in policy.segments],
        "employee_bounds": ", ".join(map(str, policy.employee_bounds)),
        "value_bounds": ", ".join(f"{plain(to_major(bound, policy.currency)):f}" for bound in policy.value_bounds),
        "dead_zones": [_zone_line(zone) for zone in policy.dead_zones],
    }


class Versions(OperationAdmin):
    """Drafts are changed and thrown away; whoever opens a published version reads it."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_founder(request) and (obj is None or obj.number is None)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_founder(request) and obj is not None and obj.number is None

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> HttpResponse:
        """What comes next is done on the draft's page: try it, see who would move, apply it."""
        return redirect(page_of(obj, obj.pk))

    def response_post_save_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        return redirect(page_of(obj, obj.pk))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        later = self.model.objects.filter(number__gt=OuterRef("number"))
        found: QuerySet[Any] = super().get_queryset(request).annotate(replaced=Exists(later))
        return found

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """With a draft go the runs that showed what it would do, which nobody deletes by themselves."""
        listed, counts, _lacking, protected = super().get_deleted_objects(objs, request)
        return listed, counts, set(), protected

    @display(description="Counts")
    def counts(self, version: Any) -> str:
        if version.number is None:
            return tandem.status_badge("draft")
        return tandem.status_badge("expired", "Replaced") if version.replaced else tandem.status_badge("active")


def is_draft(version: Any) -> bool:
    return version.number is None


def is_replaced(version: Any) -> bool:
    return version.number is not None and type(version).objects.filter(number__gt=version.number).exists()


@admin.register(SegmentPolicy)
class SegmentPolicyAdmin(Versions):
    form = PolicyForm
    list_display = ("name", "number", "basis", "combine", "counts", "published_at")
    ordering = ("-number", "-pk")
    actions_detail = ("try_out", "see", "apply", "roll_back")
    change_form_outer_before_template = "crm/admin/_presets.html"
    change_form_outer_after_template = "crm/admin/_policy_runs.html"

    def create(self, *, at: datetime, **values: Any) -> SegmentPolicy:
        return policies.draft_policy(at=at, **values)

    def change(self, instance: SegmentPolicy, *, at: datetime, **changes: Any) -> SegmentPolicy:
        return policies.change_policy(policy=instance, at=at, **changes)

    def remove(self, instance: SegmentPolicy, *, at: datetime) -> None:
        policies.discard_policy(policy=instance, at=at)

    def notes(self, request: HttpRequest, instance: SegmentPolicy) -> list[str]:
        restored = [f"It brings back {instance.restores}."] if instance.restores else []
        return [DRAFT, *restored] if instance.number is None else restored

    def extra_context(self, request: HttpRequest, instance: SegmentPolicy) -> dict[str, Any]:
        runs = instance.runs.order_by("-asked_at")[:10]
        return {"runs": [(run, page_of(run, run.pk)) for run in runs]}

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        preset = presets.BY_CODE.get(request.GET.get("preset", ""))
        if preset is None:
            return shown(policies.current_policy(at=db.now()))
        draft = SegmentPolicy(name=preset.name, **preset.terms)
        policies.tidy(draft)
        return shown(draft)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        offers = [(preset.name, preset.about, f"?preset={preset.code}") for preset in presets.PRESETS]
        return super().add_view(request, form_url, {"presets": offers} | (extra_context or {}))

    def get_fieldsets(self, request: HttpRequest, obj: SegmentPolicy | None = None) -> Any:
        is_read = obj is not None and not self.has_change_permission(request, obj)
        segments, employees, value, needs, zones = READ if is_read else WRITTEN
        bands = (segments, (employees, value), ("basis", "currency"), "combine")
        holds = (("margin_percent", "margin_days"), "freeze")
        told = (("name", "number"), ("published_at", "counts")) if obj and obj.number else ("name",)
        return (
            (None, {"fields": (*told, *bands), "description": "" if obj else COUNTS}),
            ("Exceptions", {"fields": (needs, zones)}),
            ("How fast segments change", {"fields": holds}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: SegmentPolicy | None = None) -> Sequence[str]:
        return ("number", "published_at", "counts", *READ)

    @display(description="Segments")
    def all_segments(self, policy: SegmentPolicy) -> str:
        return _told(policy, "segments")

    @display(description="Employee bounds")
    def all_employee_bounds(self, policy: SegmentPolicy) -> str:
        return _told(policy, "employee_bounds")

    @display(description="Value bounds")
    def all_value_bounds(self, policy: SegmentPolicy) -> str:
        return _told(policy, "value_bounds")

    @display(description="Sales-led needs")
    def all_needs(self, policy: SegmentPolicy) -> str:
        return _told(policy, "sales_led_needs")

    @display(description="Dead zones")
    def all_zones(self, policy: SegmentPolicy) -> str:
        return _told(policy, "dead_zones")

    @step(
        "Test with an account",
        explain=lambda policy: f"What {policy} says of one account. Nothing is changed.",
        form=AccountForm,
        permission="view",
        shown_in="crm/admin/trial.html",
    )
    def try_out(self, policy: SegmentPolicy, *, at: datetime, account: Any) -> Trial:
        [outcome] = outcomes(accounts=[account], policy=policy, at=at)
        words = wording.sentences(outcome.reasons, currency=policy.currency)
        before, after = outcome.previous, outcome.decided
        return Trial(
            account=account,
            rows=[(name.replace("_", " "), before[name], after[name]) for name in after],
            reasons=words,
        )

    @step(
        "See who would move",
        explain=lambda policy: (
            f"All accounts are decided under {policy} to see who would move. Nothing is changed. It takes a minute "
            "where there are many."
        ),
        applies=lambda policy: is_draft(policy) or is_replaced(policy),
        main=True,
    )
    def see(self, policy: SegmentPolicy, *, at: datetime) -> HttpResponse:
        return _to(policy_runs.dry_run(policy=policy, at=at))

    @step(
        "Apply",
        explain=lambda policy: (
            f"{policy} is published and all accounts are decided under it. {_foretold(policy)} You can go back to the "
            "version before at any time. Nobody's price, checkout or access changes."
        ),
        applies=is_draft,
    )
    def apply(self, policy: SegmentPolicy, *, at: datetime) -> HttpResponse:
        return _to(policy_runs.apply(policy=policy, at=at))

    @step(
        "Roll back to this",
        explain=lambda policy: (
            f"The terms of {policy} are published again as the next version, and all accounts are decided under them."
        ),
        applies=is_replaced,
    )
    def roll_back(self, policy: SegmentPolicy, *, at: datetime) -> HttpResponse:
        return _to(policy_runs.roll_back(policy=policy, at=at))


def _told(policy: SegmentPolicy, name: str) -> str:
    """What a version says, as its draft's form had it: a line for each of several."""
    said = shown(policy)[name]
    return said if isinstance(said, str) else format_html_join(mark_safe("<br>"), "{}", ((line,) for line in said))


def _to(run: PolicyRun) -> HttpResponse:
    return redirect(reverse("admin:crm_policyrun_change", args=[run.pk]))


def _foretold(policy: SegmentPolicy) -> str:
    """What the last dry run said, where there was one since the draft was last changed."""
    run = policy.runs.filter(kind=PolicyRun.Kind.DRY_RUN, state="done").order_by("-asked_at").first()
    if run is None:
        return "You have not looked yet who would move."
    return f"As you saw, {run.moved:,} of {run.total:,} accounts move."
