"""What reps fill in about leads: the acceptance form with the deal that the lead becomes, and why one is rejected."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from crm import lead_terms
from crm.lead_steps import MAX_NOTE
from crm.models import Opportunity
from crm.qualification import MAX_MONTHS, MAX_WORDS, Answers, Terms, problems
from crm.queries.leads import Candidate
from gtm.shared.money import exponent

QUALIFICATION = tuple(Answers.__dataclass_fields__)
FIRST_STEP_AFTER = timedelta(days=2)


def _day_and_time(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M}"


class AcceptanceForm(forms.Form):
    """Qualified, and of which account, and the deal that it becomes. Checked field by field against the terms."""

    months_to_project = forms.IntegerField(label=_("Months until a funded project"), min_value=0, max_value=MAX_MONTHS)
    good_fit = forms.BooleanField(label=_("A good fit"), required=False)
    compelling_event = forms.CharField(label=_("Compelling event"), max_length=MAX_WORDS, required=False)
    pain = forms.CharField(label=_("Pain"), max_length=MAX_WORDS, required=False)
    has_power = forms.BooleanField(label=_("Has the power to buy"), required=False)
    connects_with_power = forms.BooleanField(label=_("Commits to connect us with power"), required=False)
    account = forms.ChoiceField(label=_("Account"), widget=forms.RadioSelect)
    reason = forms.CharField(
        label=_("Why is it to have an owner?"),
        max_length=500,
        required=False,
        help_text=_("Asked for where nobody owns the account and it lies in a dead zone."),
    )
    make_deal = forms.BooleanField(label=_("Make it an opportunity"), required=False, initial=True)
    name = forms.CharField(label=_("Name of the opportunity"), max_length=200, required=False)
    kind = forms.ChoiceField(label=_("Kind"), choices=Opportunity.Kind.choices, required=False)
    amount = forms.DecimalField(label=_("Amount"), min_value=0, max_digits=14, decimal_places=3, required=False)
    next_step = forms.CharField(label=_("Next step"), max_length=300, required=False)
    next_step_at = forms.DateTimeField(
        label=_("When"), required=False, widget=forms.DateTimeInput(attrs={"type": "datetime-local"})
    )

    def __init__(
        self, *args: Any, terms: Terms, offered: Sequence[Candidate], currency: str, at: datetime, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.terms, self.currency = terms, currency
        self.fields["account"].choices = [(one.account.public_id, _described(one)) for one in offered]  # type: ignore[attr-defined]
        self.fields["account"].initial = offered[0].account.public_id if offered else None
        self.fields["next_step_at"].initial = _day_and_time(at + FIRST_STEP_AFTER)
        self.fields["months_to_project"].help_text = _("At most %(months)s.") % {"months": terms.within_months}
        self.fields["amount"].label = _("Amount (%(currency)s)") % {"currency": currency}

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        for problem in problems(Answers.of(data), self.terms):
            if problem.attr not in self.errors:
                self.add_error(problem.attr, problem.detail)
        for name in ("next_step", "next_step_at"):
            if data.get("make_deal") and not data.get(name) and name not in self.errors:
                self.add_error(name, _("An opportunity has a next step and its time."))
        return data

    @property
    def qualification(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in QUALIFICATION}

    @property
    def deal(self) -> dict[str, Any] | None:
        """As ``opportunities.create`` takes it; None where it stays a lead."""
        data = self.cleaned_data
        if not data["make_deal"]:
            return None
        said = {name: data[name] for name in ("name", "kind", "next_step", "next_step_at") if data[name]}
        if data["amount"] is not None:
            said |= {"amount": int(data["amount"].scaleb(exponent(self.currency))), "currency": self.currency}
        return said


def _described(one: Candidate) -> str:
    """The account, whose it is, and why it is offered."""
    why = {"domain": _("same domain"), "own": _("of this lead"), "name": _("same name"), "search": _("found")}
    whose = one.account.owner or (one.account.queue.name if one.account.queue else _("nobody's"))
    return f"{one.account.name} ({whose}, {why[one.because]})"


class RejectionForm(forms.Form):
    reason_code = forms.ChoiceField(label=_("Why?"), choices=())
    note = forms.CharField(label=_("Note"), max_length=MAX_NOTE, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = [(reason.code, reason.label) for reason in lead_terms.reasons()]
        self.fields["reason_code"].choices = [("", _("Choose")), *offered]  # type: ignore[attr-defined]


class OwnerForm(forms.Form):
    owner = forms.ChoiceField(label=_("Owner"), choices=())
    reason = forms.CharField(label=_("Why, in a dead zone"), max_length=500, required=False)

    def __init__(self, *args: Any, offered: Sequence[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["owner"].choices = offered  # type: ignore[attr-defined]
