"""Which segment and motion an account has, and who gets it: published versions, of which the newest counts.

A version never changes. To change a policy one makes the next version of it, which starts as a copy of the newest.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold import widgets
from unfold.decorators import display

from crm import policies
from crm.models import Rule, Ruleset, SegmentPolicy
from crm.policies import RuleTerms
from gtm.shared import db
from gtm.shared.admin_base import OperationAdmin, OperationForm, OperationStack
from gtm.shared.admin_fields import CurrencyField, LinesField, to_major, to_minor
from gtm.shared.templatetags import tandem

COUNTS = (
    "What you save counts at once. Accounts are decided again; nobody's checkout, price or access changes by it, and "
    "dunning that has begun goes on as it was."
)
SEGMENTS_HELP = (
    "One on each line, the smallest first: code, label, motion (self_serve, sales_assisted, sales_led), engagement "
    "(none, on_trigger, day_one), how it may pay (charge_automatically + send_invoice), days to pay or -, code of its "
    "dunning policy or -."
)


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
    sales_led_needs = LinesField(rows=4, help_text="Needs that make an account sales-led whatever its size.")

    class Meta:
        model = SegmentPolicy
        fields = ("name", "currency", "combine", "segments", "employee_bounds", "value_bounds", "sales_led_needs")
        labels = {"combine": "Where size and value disagree"}

    def clean_segments(self) -> list[dict[str, Any]]:
        try:
            return [_segment(line) for line in self.cleaned_data["segments"]]
        except ValueError as error:
            raise forms.ValidationError(f"A line has seven parts. {SEGMENTS_HELP}") from error

    def clean_employee_bounds(self) -> list[int]:
        return [int(bound) for bound in _numbers(self.cleaned_data["employee_bounds"])]

    def clean(self) -> dict[str, Any]:
        super().clean()
        if currency := self.cleaned_data.get("currency"):
            bounds = _numbers(self.cleaned_data.get("value_bounds", ""))
            self.cleaned_data["value_bounds"] = [int(to_minor(bound, currency)) for bound in bounds]
        return self.cleaned_data


def _numbers(text: str) -> list[Decimal]:
    try:
        return [Decimal(part) for part in text.replace(",", " ").split()]
    except ArithmeticError as error:
        raise forms.ValidationError("Give numbers with commas between them: 100, 1000.") from error


def _segment(line: str) -> dict[str, Any]:
    code, label, motion, engagement, methods, days, dunning = (part.strip() for part in line.split(","))
    return {
        "code": code,
        "label": label,
        "motion": motion,
        "engagement": engagement,
        "collection_methods": [method.strip() for method in methods.split("+")],
        "net_terms_days": None if days == "-" else int(days),
        "dunning_policy": "" if dunning == "-" else dunning,
    }


def _line(segment: Mapping[str, Any]) -> str:
    methods = " + ".join(segment.get("collection_methods", ()))
    days = segment.get("net_terms_days")
    names = [segment[name] for name in ("code", "label", "motion", "engagement")]
    return ", ".join([*names, methods, "-" if days is None else str(days), segment.get("dunning_policy") or "-"])


class _Versions(OperationAdmin):
    """Versions are made, never changed; whoever opens one reads it."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="Counts")
    def counts(self, version: Any) -> str:
        newest = type(version).objects.filter(published_at__isnull=False, number__gt=version.number)
        return tandem.status_badge("expired", "Replaced") if newest.exists() else tandem.status_badge("active")


@admin.register(SegmentPolicy)
class SegmentPolicyAdmin(_Versions):
    form = PolicyForm
    list_display = ("name", "number", "combine", "published_at")
    ordering = ("-number",)

    def create(self, *, at: datetime, **values: Any) -> SegmentPolicy:
        return policies.publish_policy(at=at, **values)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        newest = policies.current_policy(at=db.now())
        return {
            "name": newest.name,
            "currency": newest.currency,
            "combine": newest.combine,
            "segments": [_line(segment) for segment in newest.segments],
            "employee_bounds": ", ".join(map(str, newest.employee_bounds)),
            "value_bounds": ", ".join(f"{to_major(bound, newest.currency):f}" for bound in newest.value_bounds),
            "sales_led_needs": newest.sales_led_needs,
        }

    def get_fieldsets(self, request: HttpRequest, obj: SegmentPolicy | None = None) -> Any:
        terms = ("segments", ("employee_bounds", "value_bounds"), ("currency", "combine"), "sales_led_needs")
        told = (("name", "number"), ("published_at", "counts")) if obj else ("name",)
        return ((None, {"fields": (*told, *terms), "description": "" if obj else COUNTS}),)


class RuleForm(OperationForm):
    class Meta:
        model = Rule
        fields = ("position", "name", "condition", "strategy", "pool", "user", "queue")
        widgets = {"condition": widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3})}
        help_texts = {"pool": "For round robin.", "user": "For a named rep.", "queue": "For a queue."}


class RuleRows(OperationStack):
    model = Rule
    form = RuleForm
    verbose_name_plural = "rules, the first that matches takes the account"
    fields = (("position", "name"), "condition", ("strategy", "pool"), ("user", "queue"))

    def get_extra(self, request: HttpRequest, obj: Ruleset | None = None, **kwargs: Any) -> int:
        return max(len(_newest_rules()), 1) if obj is None else 0


@admin.register(Ruleset)
class RulesetAdmin(_Versions):
    list_display = ("name", "number", "published_at")
    ordering = ("-number",)
    inlines = (RuleRows,)

    def create(self, *, at: datetime, **values: Any) -> Ruleset:
        return policies.publish_ruleset(at=at, **values)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Saved with its rules: a rule set is published at once and whole."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        entered = [rule.cleaned_data for rule in formsets[0].forms if rule not in formsets[0].deleted_forms]
        rules = sorted((row for row in entered if row), key=lambda row: row["position"])
        stored = self.create(at=db.now(), name=form.cleaned_data["name"], rules=[_terms(row) for row in rules])
        vars(form.instance).update(vars(stored))

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"name": policies.current_ruleset(at=db.now()).name}

    def get_formset_kwargs(self, request: HttpRequest, obj: Any, inline: Any, prefix: str) -> dict[str, Any]:
        """The page that makes the next version begins with the rules of the newest."""
        options: dict[str, Any] = super().get_formset_kwargs(request, obj, inline, prefix)
        if obj._state.adding and request.method == "GET":
            options["initial"] = _newest_rules()
        return options

    def get_fieldsets(self, request: HttpRequest, obj: Ruleset | None = None) -> Any:
        told = (("name", "number"), ("published_at", "counts")) if obj else ("name",)
        return ((None, {"fields": told, "description": "" if obj else COUNTS}),)


def _newest_rules() -> list[dict[str, Any]]:
    names = ("position", "name", "condition", "strategy", "pool", "user", "queue")
    return list(policies.current_ruleset(at=db.now()).rules.order_by("position").values(*names))


def _terms(row: Mapping[str, Any]) -> RuleTerms:
    names = ("name", "condition", "strategy", "pool", "user", "queue")
    return RuleTerms(**{name: row[name] for name in names})
