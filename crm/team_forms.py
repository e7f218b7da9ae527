"""What reps and managers type about who is away, and who takes over."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from crm.models import Pool
from crm.models.scoping import led_by
from gtm.shared import periods
from gtm.shared.models import SALES_ROLES, User


def sellers() -> Any:
    return User.objects.filter(is_active=True, roles__overlap=list(SALES_ROLES)).order_by("name", "email")


class LeaveForm(forms.Form):
    """Out of office from the beginning of the first day to the end of the last, by the clock where the person is."""

    user = forms.ModelChoiceField(label=_("Who is away"), queryset=User.objects.none(), empty_label=None)
    first_day = forms.DateField(label=_("First day"), widget=forms.DateInput(attrs={"type": "date"}))
    last_day = forms.DateField(label=_("Last day"), widget=forms.DateInput(attrs={"type": "date"}))
    cover = forms.ModelChoiceField(
        label=_("Who stands in"),
        queryset=User.objects.none(),
        required=False,
        empty_label=_("Nobody"),
        help_text=_("Sees and works the accounts for these days."),
    )

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        selling = sellers()
        led = led_by(user).values("pk")
        self.fields["user"].queryset = selling.filter(Q(pk=user.pk) | Q(pk__in=led))  # type: ignore[attr-defined]
        self.fields["user"].initial = user.pk
        self.fields["cover"].queryset = selling  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        first, last = data.get("first_day"), data.get("last_day")
        if first and last and last < first:
            self.add_error("last_day", _("The last day is not before the first."))
        return data

    def terms(self) -> dict[str, Any]:
        """As the operation takes it."""
        data, zone = self.cleaned_data, self.cleaned_data["user"].timezone
        starts, ends = data["first_day"], data["last_day"] + timedelta(days=1)
        return {
            "user": data["user"],
            "cover": data["cover"],
            "starts_at": _midnight(starts, zone),
            "ends_at": _midnight(ends, zone),
        }


def _midnight(day: Any, zone: str) -> datetime:
    return periods.start_of_day(day, zone)


class HandOverForm(forms.Form):
    """Who takes a book over: a colleague, or everybody in a pool."""

    receiver = forms.ModelChoiceField(
        label=_("To one colleague"), queryset=User.objects.none(), required=False, empty_label=_("Nobody")
    )
    pool = forms.ModelChoiceField(
        label=_("Or evenly to a pool"),
        queryset=Pool.objects.order_by("name"),
        required=False,
        empty_label=_("No pool"),
        help_text=_("Accounts are dealt out one by one, those with open deals first; who is away gets none."),
    )
    reason = forms.CharField(label=_("Why"), required=False, max_length=200)
    deactivates = forms.BooleanField(label=_("They can't sign in any more once it is done"), required=False)

    def __init__(self, leaver: User, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["receiver"].queryset = sellers().exclude(pk=leaver.pk)  # type: ignore[attr-defined]
        if not user.sees_all:
            del self.fields["deactivates"]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if not self.errors and (data.get("receiver") is None) == (data.get("pool") is None):
            raise forms.ValidationError(_("Name one colleague, or a pool."))
        return data
