"""What people type about themselves to sign in."""

from typing import Any

from allauth.account.forms import AddEmailForm
from allauth.account.internal.flows.email_verification import send_verification_email_to_address
from allauth.account.models import EmailAddress
from django import forms
from django.contrib.auth.password_validation import validate_password
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from gtm.shared.models import User


class ChangeEmailForm(AddEmailForm):
    """Another address, which counts once it is confirmed.

    allauth's own takes the old one away at once where that isn't confirmed, as after a typing mistake in the checkout:
    such a user would have no address at all.
    """

    def save(self, request: HttpRequest) -> EmailAddress:
        with transaction.atomic():
            waiting = EmailAddress.objects.filter(user_id=self.user.pk, verified=False)
            waiting.exclude(email=self.user.email).delete()
            address = EmailAddress.objects.create(user=self.user, email=self.cleaned_data["email"].lower())
        send_verification_email_to_address(request, address)
        return address


class NewUserForm(forms.Form):
    """What is asked of somebody whose address is known already, by the link that they came by."""

    name = forms.CharField(
        label=_("Your name"), max_length=200, required=False, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    password = forms.CharField(
        label=_("Password"),
        help_text=_("At least 10 characters. You sign in with it later."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, *args: Any, email: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.email = email

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        validate_password(password, User(email=self.email, name=self.data.get("name", "")))
        return password
