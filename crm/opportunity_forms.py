"""What reps type about deals. Amounts are typed in major units, due dates as days."""

from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.utils.translation import gettext_lazy as _

from crm import deals
from crm.models import Category, Contact, LossReason, LostCategory, Opportunity, Risk, Stage, Stakeholder
from crm.pipeline_words import FIELDS, lacking
from crm.queries import pipeline as queries
from crm.risks import REQUIREMENTS
from crm.stages import OPEN_CATEGORIES, SETTLED_CATEGORIES
from gtm.shared.errors import DomainError, Incomplete
from gtm.shared.models import Role, User
from gtm.shared.money import parse_major, to_major

END_OF_WORK = time(17)
_TYPED = {"next_step_at": "next_step_on"}  # fields of the deal by other names on the form


class DayInput(forms.DateInput):
    input_type = "date"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format="%Y-%m-%d", **kwargs)


class AmountInput(forms.TextInput):
    def __init__(self) -> None:
        super().__init__(attrs={"inputmode": "decimal", "autocomplete": "off"})


def end_of_work(day: date, user: User) -> datetime:
    """When a step that is due on a day is due: in the evening, where the rep is."""
    return datetime.combine(day, END_OF_WORK, ZoneInfo(user.timezone))


class DealForm(forms.Form):
    """What forms about deals share: refusals of the operations stand at the fields that they name."""

    def refuse(self, error: DomainError) -> None:
        for part in error.parts if isinstance(error, Incomplete) else (error,):
            name = _TYPED.get(part.attr or "", part.attr or "").replace("confirmations.", "confirm_")
            self.add_error(name if name in self.fields else None, part.detail)

    def _amount(self, currency: str) -> int | None:
        """The typed amount in minor units; the error stands at the field."""
        text = str(self.cleaned_data.get("amount") or "").replace(" ", "").replace(",", "")
        if not text:
            return None
        try:
            return parse_major(text, currency)
        except ValueError:
            self.add_error("amount", _("Give an amount such as 12000 or 12000.50."))
            return None

    def _due(self, user: User) -> dict[str, datetime]:
        day = self.cleaned_data.get("next_step_on")
        return {"next_step_at": end_of_work(day, user)} if day else {}


class OpportunityForm(DealForm):
    """A new deal, or the facts of one."""

    name = forms.CharField(label=_("Name"), max_length=200)
    kind = forms.ChoiceField(label=_("Kind"), choices=Opportunity.Kind.choices)
    amount = forms.CharField(label=_("Amount"), max_length=30, required=False, widget=AmountInput)
    currency = forms.CharField(label=_("Currency"), max_length=3)
    amount_basis = forms.ChoiceField(label=_("The amount is"), choices=Opportunity.AmountBasis.choices)
    close_date = forms.DateField(
        label=_("Close date"),
        required=False,
        widget=DayInput,
        help_text=_("Left empty, it is guessed from what the stages usually take."),
    )
    close_date_basis = forms.ChoiceField(
        label=_("The close date rests on"),
        required=False,
        choices=[("", _("nothing yet")), *Opportunity.CloseBasis.choices],
    )
    compelling_event = forms.CharField(label=_("Compelling event"), max_length=300, required=False)
    compelling_event_on = forms.DateField(label=_("Day of the event"), required=False, widget=DayInput)
    next_step = forms.CharField(label=_("Next step"), max_length=300, required=False)
    next_step_on = forms.DateField(label=_("Due"), required=False, widget=DayInput)
    competitor = forms.CharField(label=_("Competitor"), max_length=100, required=False)
    category = forms.ChoiceField(label=_("Forecast category"), required=False)
    unresponsive_since = forms.DateField(label=_("Doesn't answer since"), required=False, widget=DayInput)
    owner = forms.ModelChoiceField(label=_("Owner"), queryset=User.objects.none(), required=False)
    reason = forms.CharField(label=_("Why, if it goes back"), max_length=500, required=False)
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    AT_FIRST = ("name", "kind", "amount", "currency", "close_date", "next_step", "next_step_on", "competitor", "owner")

    def __init__(self, *args: Any, user: User, deal: Opportunity | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user, self.deal = user, deal
        self.fields["owner"].queryset = User.objects.filter(pk__in=[one.pk for one in _sellers(deal)])  # type: ignore[attr-defined]
        is_open = deal is None or deal.state == Stage.Type.OPEN
        for name, asked in (("next_step", "next_step"), ("next_step_on", "next_step_at")) if is_open else ():
            self.fields[name].required = True
            self.fields[name].error_messages["required"] = FIELDS[asked]
        if deal is not None:
            self.fields["close_date"].required, self.fields["close_date"].help_text = True, ""
        self.fields["category"].choices = _categories(deal)  # type: ignore[attr-defined]
        for name in set(self.fields) - set(self.AT_FIRST) if deal is None else ():
            del self.fields[name]

    def values(self) -> dict[str, Any]:
        """What the operation takes: on a new deal what was given, on another one everything."""
        said = {name: self.cleaned_data[name] for name in self.fields if name not in {"next_step_on", "version"}}
        said["amount"] = self._amount(said["currency"].upper())
        if self.deal is None or "next_step_on" in self.changed_data:  # the same day stays due when it was
            said |= self._due(self.user)
        if not said["owner"]:
            del said["owner"]
        return said if self.deal else {name: value for name, value in said.items() if value not in (None, "")}


def _categories(deal: Opportunity | None) -> list[tuple[str, Any]]:
    settled = SETTLED_CATEGORIES.get(deal.state) if deal else None
    open_ones = OPEN_CATEGORIES.values()
    return [c for c in Category.choices if (c[0] == settled if settled else c[0] in open_ones)]


def _sellers(deal: Opportunity | None) -> list[User]:
    active = [u for u in User.objects.filter(is_active=True).exclude(roles=[]) if u.sells or u.has_role(Role.FOUNDER)]
    return [*active, *([deal.owner] if deal and deal.owner not in active else [])]


def shown(deal: Opportunity, user: User) -> dict[str, Any]:
    """A deal as its form shows it."""
    names = ("name", "kind", "currency", "amount_basis", "close_date", "close_date_basis", "compelling_event")
    more = ("compelling_event_on", "next_step", "competitor", "category", "unresponsive_since", "owner", "version")
    due = deal.next_step_at.astimezone(ZoneInfo(user.timezone)).date() if deal.next_step_at else None
    amount = "" if deal.amount is None else to_major(deal.amount, deal.currency)
    return {name: getattr(deal, name) for name in names + more} | {"amount": amount, "next_step_on": due}


class MoveForm(DealForm):
    """To which stage, and what that lacks: the guard of a move, as a form. What is there is not asked for again."""

    to = forms.ChoiceField(label=_("Stage"))
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(
        self, *args: Any, user: User, deal: Opportunity, path: list[Stage], target: Stage | None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.user, self.deal, self.target = user, deal, target
        self.fields["to"].choices = _by_phase(path, deal)  # type: ignore[attr-defined]
        self.gaps = queries.gaps(deal, target, path) if target else []
        for gap in self.gaps:
            self._ask(gap)
        if any(gap.criterion for gap in self.gaps):
            self.fields["evidence"] = forms.CharField(label=_("What shows it"), max_length=500, required=False)
        if target and target.type == Stage.Type.LOST:
            self.fields["competitor"] = forms.CharField(
                label=_("Who won it, if a competitor did"), max_length=100, required=False
            )

    @property
    def is_first_sight(self) -> bool:
        """Nothing of what is asked for was sent: whoever dragged a card sees what to give, and no complaints yet."""
        return bool(self.gaps) and not any(name in self.data for name in self.fields if name not in {"to", "version"})

    def _ask(self, gap: deals.Gap) -> None:
        if gap.criterion:
            name = f"confirm_{gap.criterion.id}"
            self.fields[name] = forms.BooleanField(label=lacking(gap))
            return
        for name, field in _fields_for(gap.attr, self.deal):
            self.fields[name] = field

    def values(self) -> dict[str, Any]:
        """What was given, for ``opportunities.move``."""
        cleaned = self.cleaned_data
        plain = ("close_date_basis", "compelling_event", "next_step", "competitor", "lost_reason", "reason")
        said = {name: cleaned[name] for name in plain if cleaned.get(name)}
        if "amount" in self.fields:
            said["amount"] = self._amount(self.deal.currency)
        given = [name.removeprefix("confirm_") for name in self.fields if name.startswith("confirm_")]
        said["confirmations"] = dict.fromkeys(given, cleaned.get("evidence", ""))
        return said | self._due(self.user) | {"version": cleaned.get("version")}


def _by_phase(path: list[Stage], deal: Opportunity) -> list[tuple[str, list[tuple[str, str]]]]:
    phases: dict[str, list[tuple[str, str]]] = {}
    for stage in path:
        if stage.pk != deal.stage_id:
            phases.setdefault(stage.get_phase_display(), []).append((stage.code, stage.label))
    return list(phases.items())


def _fields_for(attr: str, deal: Opportunity) -> list[tuple[str, forms.Field]]:
    label = FIELDS[attr]
    if attr == "lost_reason":
        active = LossReason.objects.filter(active=True).order_by("position", "label")
        return [(attr, LossReasonField(label=label, queryset=active, empty_label=_("Choose a reason")))]
    if attr == "close_date_basis":
        basis = forms.ChoiceField(label=label, choices=[("", _("Choose one")), *Opportunity.CloseBasis.choices])
        event = forms.CharField(label=_("Which event, if it is one"), max_length=300, required=False)
        return [(attr, basis), ("compelling_event", event)]
    if attr == "next_step_at":
        return [("next_step_on", forms.DateField(label=label, widget=DayInput))]
    if attr == "amount":
        asked = str(label) + f" ({deal.currency})"
        return [(attr, forms.CharField(label=asked, max_length=30, widget=AmountInput))]
    return [(attr, forms.CharField(label=label, max_length=300))]


class LossReasonField(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.label} ({LostCategory(obj.category).label.lower()})"


class StakeholderForm(DealForm):
    contact = forms.ModelChoiceField(label=_("Person"), queryset=Contact.objects.none())
    role = forms.ChoiceField(label=_("Role"), choices=Stakeholder.Role.choices)
    stance = forms.ChoiceField(
        label=_("Stance"), choices=Stakeholder.Stance.choices, initial=Stakeholder.Stance.UNKNOWN
    )

    def __init__(self, *args: Any, deal: Opportunity, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["contact"].queryset = Contact.objects.filter(account=deal.account_id).order_by("name", "id")  # type: ignore[attr-defined]


class RiskForm(DealForm):
    text = forms.CharField(label=_("What may stop it"), max_length=300)
    kind = forms.ChoiceField(label=_("Kind"), choices=Risk.Kind.choices)
    requirement = forms.CharField(
        label=_("Requirement that we lack"),
        max_length=40,
        required=False,
        help_text=_("Of a blocker: %(some)s, or another word.") % {"some": ", ".join(REQUIREMENTS[:4])},
    )
    roadmap_on = forms.DateField(
        label=_("On the roadmap for"), required=False, widget=DayInput, help_text=_("Buyers wait 12 to 18 months.")
    )
