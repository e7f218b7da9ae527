"""A small named world for every test, and makers with keyword-only defaults.

Founder Fay runs the vendor. Reps Ann and Bob sell; Max manages. Otto is an outsider: a rep of another team who must be
refused everywhere. Cora is a member of the customer "Acme"; Zoe is a member of another customer.
"""

from datetime import UTC, datetime
from typing import Any

from gtm.shared.models import Role, User

JAN_1 = datetime(2026, 1, 1, tzinfo=UTC)
PASSWORD = "correct horse battery"


def user(*, email: str, roles: tuple[str, ...] = (), name: str = "", password: str = PASSWORD, **fields: Any) -> User:
    """A user who can sign in; staff when given roles."""
    return User.objects.create_user(email, password, name=name, roles=list(roles), is_staff=bool(roles), **fields)


def fay() -> User:
    return user(email="fay@vendor.example", name="Fay", roles=(Role.FOUNDER,))


def ann() -> User:
    return user(email="ann@vendor.example", name="Ann", roles=(Role.AE,))


def bob() -> User:
    return user(email="bob@vendor.example", name="Bob", roles=(Role.AE,))


def max_manager() -> User:
    return user(email="max@vendor.example", name="Max", roles=(Role.SALES_MANAGER,))


def otto() -> User:
    return user(email="otto@vendor.example", name="Otto", roles=(Role.AE,))
