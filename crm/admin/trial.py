"""Trying a policy or rules out with one account."""

from dataclasses import dataclass
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextInputWidget

from crm.accounts import fold
from crm.models import Account
from gtm.shared import ids
from gtm.shared.admin_steps import StepForm


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it: each row is what it is about, how it is now, and how it would be."""

    account: Account
    rows: list[tuple[str, Any, Any]]
    reasons: list[str]


class AccountForm(StepForm):
    account = forms.CharField(
        widget=UnfoldAdminTextInputWidget(), help_text="Its name, a domain of it, or its id (acct_…)."
    )

    def clean_account(self) -> Account:
        said = str(self.cleaned_data["account"]).strip()
        accounts = Account.objects.filter(test_clock=None).select_related("owner", "queue")
        found = (
            accounts.filter(pk=_key(said)).first()
            or accounts.filter(domains__domain=said.lower()).first()
            or accounts.filter(name_key=fold(said)).order_by("pk").first()
        )
        if found is None:
            raise forms.ValidationError("There is no such account.")
        return found


def _key(said: str) -> Any:
    try:
        return ids.decode(said, prefix=Account.PREFIX)
    except ValueError:
        return None
