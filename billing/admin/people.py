"""Who signs in for a customer, in the back office: for where the customer can't help itself."""

from datetime import datetime
from typing import Any

from django import forms
from unfold import widgets
from unfold.decorators import display

from billing import members
from billing.models import Customer, Invitation, Member
from gtm.shared import users
from gtm.shared.admin_base import ReadOnlyTable
from gtm.shared.admin_steps import StepForm, step
from gtm.shared.models import User


class _RoleForm(StepForm):
    role = forms.ChoiceField(
        choices=Member.Role.choices, initial=Member.Role.OWNER, widget=widgets.UnfoldAdminSelectWidget()
    )


class InvitationForm(_RoleForm):
    email = forms.EmailField(label="E-mail", widget=widgets.UnfoldAdminTextInputWidget())
    field_order = ("email", "role")


class MemberForm(_RoleForm):
    """Somebody who signs in already. Under an unconfirmed address anybody may stand, and see what is another's."""

    user = forms.EmailField(
        label="Signs in with", widget=widgets.UnfoldAdminTextInputWidget(), help_text="An address that is confirmed."
    )
    field_order = ("user", "role")

    def clean_user(self) -> User:
        found = User.objects.filter(email=self.cleaned_data["user"].lower(), is_active=True).first()
        if found is None or not users.is_confirmed(found):
            raise forms.ValidationError("Nobody signs in with this address who has confirmed it. Invite them instead.")
        return found


class MemberChoiceForm(StepForm):
    member = forms.ModelChoiceField(queryset=Member.objects.none(), widget=widgets.UnfoldAdminSelectWidget())

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        theirs = Member.objects.filter(customer=self.instance.pk).select_related("user", "customer")
        self.fields["member"].queryset = theirs.order_by("created_at")  # type: ignore[attr-defined]


class MemberRows(ReadOnlyTable):
    model = Member
    tab = True
    related = ("user",)
    ordering = ("created_at",)
    fields = ("user", "role", "created_at")


class InvitationRows(ReadOnlyTable):
    model = Invitation
    tab = True
    per_page = 20
    related = ("invited_by",)
    ordering = ("-created_at",)
    fields = ("email", "role", "asked_by", "expires_at", "accepted_at", "revoked_at")

    @display(description="Invited by")
    def asked_by(self, invitation: Invitation) -> str:
        return str(invitation.invited_by) if invitation.invited_by else "Staff"


class PeopleSteps:
    """The steps of a customer's page that are about people."""

    STEPS = ("invite_member", "add_member", "remove_member")

    @step(
        "Invite to the portal",
        explain="They get a mail with a link to choose a password. It works once, for seven days.",
        done="The invitation is on its way.",
        form=InvitationForm,
    )
    def invite_member(self, customer: Customer, *, at: datetime, email: str, role: str) -> None:
        members.invite(customer=customer, email=email, role=role, invited_by=None, at=at)

    @step(
        "Add portal member",
        explain="Somebody who signs in already, for another customer too. A member gets the role.",
        done="They have access.",
        form=MemberForm,
    )
    def add_member(self, customer: Customer, *, at: datetime, user: User, role: str) -> None:
        members.add(customer=customer, user=user, role=role, at=at)

    @step(
        "Remove portal member",
        explain="They have no access any more. They can be invited again.",
        done="They have no access any more.",
        form=MemberChoiceForm,
        applies=lambda customer: customer.members.exists(),
        danger=True,
    )
    def remove_member(self, customer: Customer, *, at: datetime, member: Member) -> None:
        members.remove(member=member, at=at)
