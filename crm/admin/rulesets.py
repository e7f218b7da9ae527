"""Who gets an account: rule sets, as drafts to try out and as published versions, of which the newest counts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from unfold import widgets

from crm import owners, policies, routing_runs, wording
from crm.admin.policies import Versions, is_draft, is_replaced
from crm.admin.trial import AccountForm, Trial
from crm.models import Queue, Rule, Ruleset
from crm.owners import Occasion
from crm.policies import RuleTerms
from gtm.shared import db, vendors
from gtm.shared.admin_base import OperationForm, OperationStack, digest, page_of
from gtm.shared.admin_steps import step
from gtm.shared.models import User

DRAFT = "This is a draft: it gives nothing to anybody until you publish it. Try it on the last 30 days first."
COUNTS = (
    "What you save is a draft. The first rule that fits and has somebody there takes the account; what no rule takes "
    "waits in the catch-all queue. Owners who are there keep their accounts."
)
NAMES = ("name", "condition", "strategy", "pool", "user", "queue", "owner_role")


class RuleForm(OperationForm):
    class Meta:
        model = Rule
        fields = ("position", "name", "condition", "strategy", "pool", "user", "queue", "owner_role")
        widgets = {"condition": widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3})}
        help_texts = {
            "condition": "Amounts (arr, expected_value, company_revenue) are in minor units of the vendor's currency: "
            "5000000 is 50,000.00. What is stated in another one is converted by the rate of the day.",
            "pool": "For taking turns.",
            "user": "For a named rep.",
            "queue": "For a queue.",
        }
        labels = {"owner_role": "For"}


class RuleRows(OperationStack):
    model = Rule
    form = RuleForm
    verbose_name_plural = "rules, the first that matches takes the account"
    fields = (("position", "name"), "condition", ("strategy", "owner_role"), ("pool", "user", "queue"))
    ordering = ("position",)

    def get_extra(self, request: HttpRequest, obj: Ruleset | None = None, **kwargs: Any) -> int:
        return max(len(_newest_rules()), 1) if obj is None else 0

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.number is None)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_add_permission(request, obj) and (obj is None or obj.number is None)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or obj.number is None)


@admin.register(Ruleset)
class RulesetAdmin(Versions):
    list_display = ("name", "number", "counts", "published_at")
    ordering = ("-number", "-pk")
    inlines = (RuleRows,)
    actions_detail = ("try_out", "see", "publish", "roll_back")
    change_form_outer_after_template = "crm/admin/_policy_runs.html"

    def create(self, *, at: datetime, **values: Any) -> Ruleset:
        return policies.draft_ruleset(at=at, **values)

    def change(self, instance: Ruleset, *, at: datetime, **values: Any) -> Ruleset:
        return policies.change_ruleset(ruleset=instance, at=at, **values)

    def remove(self, instance: Ruleset, *, at: datetime) -> None:
        policies.discard_ruleset(ruleset=instance, at=at)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Saved with its rules: a rule set is checked whole."""
        if change:
            self._locked(request, obj)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        if change and not (form.has_changed() or formsets[0].has_changed()):
            return
        entered = [rule.cleaned_data for rule in formsets[0].forms if rule not in formsets[0].deleted_forms]
        rules = sorted((row for row in entered if row), key=lambda row: row["position"])
        values = {"name": form.cleaned_data["name"], "rules": [_terms(row) for row in rules]}
        saved = self.change(form.instance, at=db.now(), **values) if change else self.create(at=db.now(), **values)
        vars(form.instance).update(vars(saved))

    def state_of(self, instance: Ruleset) -> str:
        return digest([instance.name, instance.number, *instance.rules.order_by("pk").values_list("pk", flat=True)])

    def notes(self, request: HttpRequest, instance: Ruleset) -> list[str]:
        catch_all = f"What no rule takes waits in the queue {Queue.objects.get(is_catch_all=True)}."
        return [DRAFT, catch_all] if instance.number is None else [catch_all]

    def extra_context(self, request: HttpRequest, instance: Ruleset) -> dict[str, Any]:
        return {"runs": [(run, page_of(run, run.pk)) for run in instance.runs.order_by("-asked_at")[:10]]}

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"name": policies.current_ruleset(at=db.now()).name}

    def get_formset_kwargs(self, request: HttpRequest, obj: Any, inline: Any, prefix: str) -> dict[str, Any]:
        """The page that makes the next version begins with the rules of the newest."""
        options: dict[str, Any] = super().get_formset_kwargs(request, obj, inline, prefix)
        if obj._state.adding and request.method == "GET":
            options["initial"] = _newest_rules()
        return options

    def get_fieldsets(self, request: HttpRequest, obj: Ruleset | None = None) -> Any:
        told = (("name", "number"), ("published_at", "counts")) if obj and obj.number else ("name",)
        return ((None, {"fields": told, "description": "" if obj else COUNTS}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Ruleset | None = None) -> tuple[str, ...]:
        return ("number", "published_at", "counts") if obj and obj.number else ()

    @step(
        "Test with an account",
        explain=lambda ruleset: f"Whom {ruleset} would give one account, had it no owner. Nothing is changed.",
        form=AccountForm,
        permission="view",
        shown_in="crm/admin/trial.html",
    )
    def try_out(self, ruleset: Ruleset, *, at: datetime, account: Any) -> Trial:
        terms = owners.terms_of(ruleset=ruleset, at=at)
        [decision], _after = owners.decide(accounts=[account], terms=terms, at=at, occasion=Occasion({}, fresh=True))
        owner, queue = decision.owner_id, decision.queue_id
        then = User.objects.get(pk=owner) if owner else Queue.objects.get(pk=queue or "")
        reasons = [reason.as_json() for reason in decision.reasons]
        words = wording.sentences(reasons, currency=vendors.current().base_currency)
        return Trial(account, [("owner or queue", account.owner or account.queue, then)], words)

    @step(
        "Try on the last 30 days",
        explain=lambda ruleset: (
            f"The leads of the last 30 days are given out again by {ruleset}, in their order, to see who would have "
            "got them. Those that went to whoever had their company before the rules were asked stay there. "
            "Nothing is changed and nobody's turn is used up."
        ),
        main=True,
    )
    def see(self, ruleset: Ruleset, *, at: datetime) -> HttpResponse:
        run = routing_runs.dry_run(ruleset=ruleset, at=at)
        return redirect(reverse("admin:crm_routingrun_change", args=[run.pk]))

    @step(
        "Publish",
        explain=lambda ruleset: f"{ruleset} counts from now on. Owners who are there keep their accounts.",
        done=lambda ruleset: f"{ruleset} counts.",
        applies=is_draft,
    )
    def publish(self, ruleset: Ruleset, *, at: datetime) -> None:
        policies.publish_rules(ruleset=ruleset, at=at)

    @step(
        "Roll back to this",
        explain=lambda ruleset: f"The rules of {ruleset} are published again as the next version.",
        applies=is_replaced,
    )
    def roll_back(self, ruleset: Ruleset, *, at: datetime) -> HttpResponse:
        restored = policies.roll_back_ruleset(ruleset=ruleset, at=at)
        return redirect(page_of(restored, restored.pk))


def _newest_rules() -> list[dict[str, Any]]:
    rules = policies.current_ruleset(at=db.now()).rules.order_by("position")
    return list(rules.values("position", *NAMES))


def _terms(row: Mapping[str, Any]) -> RuleTerms:
    return RuleTerms(**{name: row[name] for name in NAMES})
