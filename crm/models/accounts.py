"""Accounts: the companies that reps own, their domains, the customers they pay through, and the people there."""

from decimal import Decimal

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce

from billing.models import Customer
from crm.models.routing import Engagement, Motion
from crm.models.scoping import Scoped
from crm.models.teams import Queue
from crm.models.words import Words
from gtm.shared.models import Resource, Row


class AccountQuerySet(Scoped["Account"]):
    PATH = ""


class ContactQuerySet(Scoped["Contact"]):
    """The people at the accounts that the user sees."""


class Account(Resource):
    """The company that a rep owns. Segment, motion and owner repeat the open decisions, which are its history."""

    PREFIX = "acct"

    name = models.CharField(max_length=200)
    name_key = models.CharField(max_length=200, editable=False, help_text="The name folded for sorting and search.")
    employee_count = models.PositiveIntegerField(null=True, blank=True)
    industry = models.CharField(max_length=100, blank=True)
    country = models.CharField(max_length=2, blank=True)
    needs = models.JSONField(default=list, blank=True)
    target_list = models.BooleanField(default=False)
    personal = models.BooleanField(
        default=False, help_text="Of one person with a free-mail address; no company behind it."
    )
    expected_value = models.BigIntegerField(
        null=True, blank=True, help_text="What it may come to be worth in a year, in minor units of value_currency."
    )
    company_revenue = models.BigIntegerField(
        null=True, blank=True, help_text="Its own yearly revenue, in minor units of value_currency."
    )
    value_currency = models.CharField(max_length=3, blank=True)
    segment = models.CharField(max_length=40, blank=True, editable=False)
    segment_locked_until = models.DateField(null=True, blank=True, editable=False)
    dead_zone = models.CharField(
        max_length=40, blank=True, editable=False, help_text="Code of the dead zone its value lies in."
    )
    owner_role = models.CharField(
        max_length=20, blank=True, editable=False, help_text="The role that is to own it, as the policy has it."
    )
    motion = models.CharField(max_length=20, choices=Motion.choices, default=Motion.SELF_SERVE, editable=False)
    engagement_policy = models.CharField(
        max_length=12, choices=Engagement.choices, default=Engagement.NONE, editable=False
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="accounts",
        editable=False,
    )
    queue = models.ForeignKey(
        Queue, null=True, blank=True, on_delete=models.PROTECT, related_name="accounts", editable=False
    )
    first_source = models.CharField(max_length=60, blank=True, editable=False)
    score = models.DecimalField(max_digits=5, decimal_places=1, null=True, blank=True, editable=False)
    objects = AccountQuerySet.as_manager()

    class Meta(Resource.Meta):
        indexes = [
            models.Index(fields=["owner", "name_key", "id"], name="crm_account_of_owner"),
            models.Index(fields=["queue", "name_key", "id"], name="crm_account_of_queue"),
            models.Index(fields=["name_key", "id"], name="crm_account_by_name"),
            models.Index(fields=["created_at", "id"], name="crm_account_listed"),
            models.Index(Coalesce("employee_count", Value(-1)), "id", name="crm_account_by_size"),
            models.Index(Coalesce("score", Value(Decimal(-1000))), "id", name="crm_account_by_score"),
            GinIndex(Words("name_key"), name="crm_account_words"),
            models.Index(fields=["dead_zone", "owner"], name="crm_account_in_dead_zone", condition=~Q(dead_zone="")),
        ]
        constraints = [
            *Resource.Meta.constraints,
            models.CheckConstraint(condition=Q(owner=None) | Q(queue=None), name="crm_account_owner_or_queue"),
            models.CheckConstraint(
                condition=Q(expected_value=None, company_revenue=None) | ~Q(value_currency=""),
                name="crm_account_values_have_a_currency",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class AccountDomain(Row):
    """A registrable domain belongs to one account (per test clock). An unverified one only suggests."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="domains")
    domain = models.CharField(max_length=253)
    is_primary = models.BooleanField(default=True)
    verified_at = models.DateTimeField(null=True, blank=True)
    test_clock = models.ForeignKey("shared.TestClock", null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["domain", "test_clock"], nulls_distinct=False, name="crm_accountdomain_once"
            ),
            models.UniqueConstraint(
                fields=["account"], condition=Q(is_primary=True), name="crm_accountdomain_one_primary"
            ),
        ]

    def __str__(self) -> str:
        return self.domain


class AccountCustomer(Row):
    """Which account a customer belongs to, from when to when; one at a time."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="customer_links")
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="account_links")
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["customer"], condition=Q(valid_to=None), name="crm_accountcustomer_one_account_at_a_time"
            ),
            models.CheckConstraint(
                condition=Q(valid_to=None) | Q(valid_to__gte=F("valid_from")),
                name="crm_accountcustomer_ends_after_start",
            ),
        ]


class Contact(Resource):
    """A person at an account."""

    PREFIX = "ctc"

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="contacts")
    name = models.CharField(max_length=200)
    email = models.EmailField(blank=True)
    title = models.CharField(max_length=200, blank=True)
    objects = ContactQuerySet.as_manager()

    class Meta(Resource.Meta):
        constraints = [
            *Resource.Meta.constraints,
            models.UniqueConstraint(fields=["account", "email"], condition=~Q(email=""), name="crm_contact_email_once"),
        ]

    def __str__(self) -> str:
        return self.name or self.email
