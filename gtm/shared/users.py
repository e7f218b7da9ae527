"""Colleagues: invited by mail, given roles, let go. Customers' members are made by billing, without roles."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urljoin

from allauth.account.forms import default_token_generator
from allauth.account.models import EmailAddress
from allauth.account.utils import user_pk_to_url_str
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from gtm.shared import db, mail, outbox, periods, saving
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event, Role, User

CHANGEABLE = frozenset({"name", "roles", "timezone", "locale", "is_active"})
_TOLD = frozenset({"roles", "is_active", "timezone", "locale"})  # a name is personal


@transaction.atomic
def sign_up(
    *, at: datetime, email: str, password: str, name: str = "", locale: str = "en", confirmed: bool = False
) -> User:
    """Make a user without roles, for a customer's portal; publishes ``user.created``.

    ``confirmed``: whether it is known that the mailbox is theirs. Raises Conflict (``known``) for an address in use.
    """
    email = email.strip().lower()
    db.advisory_lock("sign_up", email)
    if is_known(email):
        raise Conflict(
            _("There is an account with this address already. Sign in to buy with it."), code="known", attr="email"
        )
    user = User.objects.create_user(email, password, name=name.strip(), locale=locale)
    EmailAddress.objects.create(user=user, email=email, primary=True, verified=confirmed)
    outbox.publish("user.created", user, at=at, data={"roles": []})
    return user


def is_known(email: str) -> bool:
    """Whether somebody signs in with the address."""
    if User.objects.filter(email=email).exists():
        return True
    return EmailAddress.objects.filter(email=email, verified=True).exists()


def is_confirmed(user: User) -> bool:
    """Whether the mailbox behind the user's address is known to be theirs."""
    return EmailAddress.objects.filter(user_id=user.pk, email=user.email, verified=True).exists()


def confirm(*, user: User) -> None:
    """The user came by a link that only the owner of the mailbox could follow."""
    EmailAddress.objects.filter(user_id=user.pk, primary=True).exclude(email=user.email).update(primary=False)
    EmailAddress.objects.update_or_create(
        user_id=user.pk, email=user.email, defaults={"verified": True, "primary": True}
    )


@transaction.atomic
def create_staff(
    *,
    at: datetime,
    email: str,
    roles: Sequence[str],
    name: str = "",
    timezone: str = "UTC",
    locale: str = "en",
    invited: bool = True,
) -> User:
    """Make a colleague and mail the link by which they choose a password; publishes ``user.created``.

    Who is not ``invited`` gets no mail: they came from the company's sign-in provider. Raises Invalid for a role or a
    zone that there isn't, and for an address that somebody signs in with already.
    """
    user = User(email=email.strip().lower(), name=name.strip(), timezone=timezone, locale=locale, is_staff=True)
    user.roles = _roles(roles)
    user.set_unusable_password()
    _check_zone(user)
    saving.insert(user)
    fact = outbox.publish("user.created", user, at=at, data={"roles": user.roles})
    if invited:
        _invite(user, fact)
    return user


@transaction.atomic
def change(*, user: User, at: datetime, **changes: Any) -> User:
    """Change name, roles, zone, language, or whether the user may sign in; publishes ``user.changed``.

    Raises Conflict (``last_founder``) where nobody would be left to run the back office, for roles of somebody who
    signs in with an address that they haven't confirmed (``address_not_confirmed``), and for shutting out somebody who
    still owns accounts or work (``owns_work``): that is handed over first. Invalid as ``create_staff``.
    """
    assert changes.keys() <= CHANGEABLE, "an address is what somebody signs in with, and stays"
    db.advisory_lock("users.founders")
    user = db.lock_one(user)
    if "roles" in changes:
        changes["roles"] = _roles(changes["roles"], required=False)
        _require_confirmed(user, changes["roles"])
    previous = {name: getattr(user, name) for name in changes if getattr(user, name) != changes[name]}
    if not previous:
        return user
    if changes.get("is_active") is False:
        _require_empty_book(user)
    for name in previous:
        setattr(user, name, changes[name])
    user.is_staff = bool(user.roles)
    _check_zone(user)
    saving.clean(user, only=set(previous))
    user.save(update_fields=[*previous, "is_staff"])
    _require_founder()
    told = {name: value for name, value in previous.items() if name in _TOLD}
    data = {"changed": sorted(previous), "roles": user.roles, "is_active": user.is_active}
    outbox.publish("user.changed", user, at=at, data=data, previous=told)
    return user


def _require_confirmed(user: User, roles: Sequence[str]) -> None:
    """Whoever bought with a colleague's address would get that colleague's desk."""
    if roles and not user.roles and user.has_usable_password() and not is_confirmed(user):
        detail = f"{user.email} has not confirmed the address: they follow the link in our mail first."
        raise Conflict(detail, code="address_not_confirmed", attr="roles")


def _require_empty_book(user: User) -> None:
    """What is whose is known above; ``settings.BOOK_OF`` names the function that says it in words."""
    if owned := import_string(settings.BOOK_OF)(user):
        detail = f"{user} still has {owned}. Hand them over first: Team, Hand over."
        raise Conflict(detail, code="owns_work", attr="is_active")


@transaction.atomic
def invite(*, user: User, at: datetime) -> None:
    """Mail a new link by which the user chooses a password; publishes ``user.invited``. Conflict for an inactive."""
    if not user.is_active:
        raise Conflict(f"{user} may not sign in. Let them in again first.", code="user_inactive")
    _invite(user, outbox.publish("user.invited", user, at=at))


@transaction.atomic
def reset_second_step(*, user: User, at: datetime) -> None:
    """Take away authenticator app, passkeys and codes of somebody who has lost them, and end their sessions.

    Publishes ``user.second_step_reset``. Conflict for who has none.
    """
    user = db.lock_one(user)
    if not Authenticator.objects.filter(user_id=user.pk).delete()[0]:
        raise Conflict(f"{user} has no second step.", code="no_second_step")
    for session in UserSession.objects.filter(user_id=user.pk):
        session.end()
    outbox.publish("user.second_step_reset", user, at=at)


def _invite(user: User, event: Event) -> None:
    values = {"user": user, "address": sign_in_link(user)}
    mail.queue(event=event, recipient=user.email, template="invitation", context=values, locale=user.locale)


def sign_in_link(user: User) -> str:
    """Where the user chooses a password: works once, for three days."""
    token = default_token_generator.make_token(user)
    path = reverse("account_reset_password_from_key", kwargs={"uidb36": user_pk_to_url_str(user), "key": token})
    return urljoin(settings.BASE_URL, path)


def _roles(roles: Sequence[str], *, required: bool = True) -> list[str]:
    if required and not roles:
        raise Invalid("A colleague has at least one role.", attr="roles", code="required")
    if unknown := set(roles) - set(Role.values):
        raise Invalid(f"There is no role {min(unknown)!r}.", attr="roles")
    return [role for role in Role.values if role in roles]


def _check_zone(user: User) -> None:
    try:
        periods.zone(user.timezone)
    except ValueError as error:
        raise Invalid(f"{user.timezone!r} is not a time zone such as Europe/Berlin.", attr="timezone") from error


def _require_founder() -> None:
    founders = User.objects.filter(is_active=True, roles__contains=[Role.FOUNDER])
    if not founders.exists() and not User.objects.filter(is_active=True, is_superuser=True).exists():
        raise Conflict("One active founder must remain.", code="last_founder", attr="roles")
