"""People who sign in. Staff hold roles; customers' members are plain users with rows in ``billing.Member``."""

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower, Now

from gtm.shared.models.base import Row


class Role(models.TextChoices):
    FOUNDER = "founder", "Founder"
    FINANCE = "finance", "Finance"
    SALES_MANAGER = "sales_manager", "Sales manager"
    AE = "ae", "Account executive"
    CSM = "csm", "Customer success manager"
    SDR = "sdr", "Sales development rep"


SALES_ROLES = frozenset({Role.SALES_MANAGER, Role.AE, Role.CSM, Role.SDR})


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """The first founder, for ``manage.py createsuperuser``."""
        fields = {"is_staff": True, "is_superuser": True, "roles": [Role.FOUNDER]} | fields
        return self.create_user(email, password, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=(username or "").strip().lower())


class User(Row, AbstractBaseUser, PermissionsMixin):
    """Signs in by e-mail address, stored in lower case."""

    PREFIX = "usr"

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=200, blank=True)
    roles = ArrayField(models.CharField(max_length=20, choices=Role.choices), default=list, blank=True)
    timezone = models.CharField(max_length=64, default="UTC")
    locale = models.CharField(max_length=10, default="en")
    is_active = models.BooleanField(default=True, help_text="An inactive user can't sign in and gets no new leads.")
    is_staff = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = UserManager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(email=Lower("email")), name="shared_user_email_is_lower_case"),
            models.CheckConstraint(
                condition=models.Q(roles__contained_by=list(Role.values)), name="shared_user_roles_are_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.email

    def get_full_name(self) -> str:
        """As libraries ask for it."""
        return self.name or self.email

    def has_role(self, *roles: str) -> bool:
        return not set(roles).isdisjoint(self.roles)

    @property
    def sells(self) -> bool:
        """Works accounts: sees the desk (Today, accounts, leads)."""
        return self.is_active and not SALES_ROLES.isdisjoint(self.roles)

    @property
    def sees_all(self) -> bool:
        """Founders and finance see every row."""
        return self.is_active and (self.is_superuser or self.has_role(Role.FOUNDER, Role.FINANCE))
