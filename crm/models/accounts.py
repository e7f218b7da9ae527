"""Accounts: the companies that reps own, their domains, the customers they pay through, and the people there."""

from decimal import Decimal

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce, Lower
from django.utils.translation import gettext_lazy as _

from billing.models import Customer
from crm.models.routing import Engagement, Motion
from crm.models.scoping import Scoped
from crm.models.teams import Queue
from crm.models.words import DigitsBackwards, Words
from gtm.shared.models import Resource, Row


class AccountQuerySet(Scoped["Account"]):
    PATH = ""


class ContactQuerySet(Scoped["Contact"]):
    """The people at the accounts that the user sees."""


class StandingAccounts(models.Manager["Account"]):
    """Those that have not been merged into another."""

    def get_queryset(self) -> AccountQuerySet:
        return AccountQuerySet(self.model, using=self._db).filter(merged_into=None)


class Account(Resource):
    """The company that a rep owns. Segment, motion and owner repeat the open decisions, which are its history.

    One that was merged into another keeps its row, for its address and for the way back; only ``everything`` finds it.
    Where it came from first (``first_source``, ``first_touch_at``) never changes once known: a trigger sees to it.
    """

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
    blockers = models.JSONField(default=list, blank=True, help_text="What keeps the company from buying.")
    is_referenceable = models.BooleanField(default=False, help_text="Agreed to be named to other customers.")
    feedback_url = models.URLField(max_length=500, blank=True, help_text="Where its feedback on the product is kept.")
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="children", editable=False
    )
    merged_into = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.CASCADE, related_name="merged", editable=False
    )
    custom = models.JSONField(default=dict, blank=True, help_text="Values of the founders' own fields, by code.")
    first_source = models.CharField(max_length=60, blank=True, editable=False)
    first_touch_at = models.DateTimeField(null=True, blank=True, editable=False)
    score = models.DecimalField(max_digits=5, decimal_places=1, null=True, blank=True, editable=False)
    objects = StandingAccounts.from_queryset(AccountQuerySet)()
    everything = AccountQuerySet.as_manager()

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
            models.CheckConstraint(
                condition=Q(parent=None) | ~Q(parent=F("id")), name="crm_account_not_its_own_parent"
            ),
            models.CheckConstraint(
                condition=Q(merged_into=None) | ~Q(merged_into=F("id")), name="crm_account_not_merged_into_itself"
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
    """Which account a customer belongs to, from when to when; one at a time. ``email_domain`` is of its address."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="customer_links")
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="account_links")
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True)
    email_domain = models.CharField(max_length=253, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["email_domain"], name="crm_accountcustomer_by_domain", condition=~Q(email_domain=""))
        ]
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
    """A person at an account. An address is one person's: per test clock it stands at one account only."""

    PREFIX = "ctc"

    class BuyingRole(models.TextChoices):
        CHAMPION = "champion", _("Champion")
        ECONOMIC_BUYER = "economic_buyer", _("Economic buyer")
        TECHNICAL_BUYER = "technical_buyer", _("Technical buyer")
        INFLUENCER = "influencer", _("Influencer")
        USER = "user", _("User")
        PROCUREMENT = "procurement", _("Procurement")
        LEGAL = "legal", _("Legal")
        BLOCKER = "blocker", _("Against it")

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="contacts")
    name = models.CharField(max_length=200)
    name_key = models.CharField(max_length=460, blank=True, editable=False, help_text="Name and address, folded.")
    email = models.EmailField(blank=True)
    email_domain = models.CharField(max_length=253, blank=True, editable=False)
    phone = models.CharField(max_length=40, blank=True)
    title = models.CharField(max_length=200, blank=True)
    buying_role = models.CharField(max_length=20, blank=True, choices=BuyingRole.choices)
    unsubscribed = models.BooleanField(default=False, help_text="Wants no mail from sales.")
    source = models.CharField(max_length=60, blank=True, editable=False)
    custom = models.JSONField(default=dict, blank=True, help_text="Values of the founders' own fields, by code.")
    objects = ContactQuerySet.as_manager()

    class Meta(Resource.Meta):
        indexes = [
            models.Index(fields=["account", "name_key", "id"], name="crm_contact_of_account"),
            models.Index(fields=["name_key", "id"], name="crm_contact_by_name"),
            models.Index(fields=["created_at", "id"], name="crm_contact_listed"),
            models.Index(fields=["email_domain"], name="crm_contact_by_domain", condition=~Q(email_domain="")),
            GinIndex(Words("name_key"), name="crm_contact_words"),
            models.Index(DigitsBackwards("phone"), name="crm_contact_by_phone", condition=~Q(phone="")),
        ]
        constraints = [
            *Resource.Meta.constraints,
            models.UniqueConstraint(
                fields=["email", "test_clock"],
                condition=~Q(email=""),
                nulls_distinct=False,
                name="crm_contact_email_once",
            ),
            models.CheckConstraint(condition=Q(email=Lower("email")), name="crm_contact_email_in_lower_case"),
        ]

    def __str__(self) -> str:
        return self.name or self.email
