"""The one vendor of this installation, and the rates by which its figures are brought to one currency."""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Now

from gtm.shared.models.base import Row


class Vendor(models.Model):
    """One row (id 1). What it decides is read when an operation starts; changes are facts."""

    class ProrationUnit(models.TextChoices):
        DAY = "day", "By day"
        SECOND = "second", "By second"

    class TaxRounding(models.TextChoices):
        DOCUMENT = "document", "Per rate on the document"
        LINE = "line", "Per line"

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    name = models.CharField(max_length=200, default="Tandem")
    base_currency = models.CharField(max_length=3, default="USD")
    fiscal_year_start = models.PositiveSmallIntegerField(
        default=1, help_text="Month in which the fiscal year starts, 1 to 12."
    )
    reporting_zone = models.CharField(max_length=64, default="UTC")
    proration_unit = models.CharField(max_length=10, choices=ProrationUnit.choices, default=ProrationUnit.DAY)
    tax_rounding = models.CharField(max_length=10, choices=TaxRounding.choices, default=TaxRounding.DOCUMENT)
    draft_grace_minutes = models.PositiveIntegerField(
        default=60, help_text="How long an invoice with metered lines waits as a draft for stragglers."
    )
    issue_zero_invoices = models.BooleanField(
        default=True, help_text="Whether an invoice is made where nothing is to be paid."
    )
    renewal_notice_days = models.PositiveSmallIntegerField(
        default=30,
        validators=[MaxValueValidator(90)],
        help_text="How many days before a yearly plan renews its payer is told; 0 for never.",
    )
    trial_notice_days = models.PositiveSmallIntegerField(
        default=3,
        validators=[MaxValueValidator(30)],
        help_text="How many days before a trial ends the customer is told; 0 for never.",
    )
    large_upgrade_delta_arr = models.BigIntegerField(
        default=500_000,
        help_text="An upgrade that adds this much a year tells the account's owner. Minor units of the base currency.",
    )
    logo = models.TextField(blank=True, help_text="SVG or a data: address, shown on pages and documents.")
    accent = models.CharField(
        max_length=7,
        default="#2456c4",
        validators=[RegexValidator(r"^#[0-9a-fA-F]{6}$", "Use six hex digits, such as #2456c4.")],
    )
    support_email = models.EmailField(blank=True)
    website = models.URLField(blank=True)
    terms_url = models.URLField(blank=True, help_text="Whoever buys agrees to them; empty: nobody is asked.")
    privacy_url = models.URLField(blank=True)
    terms_version = models.CharField(
        max_length=60, blank=True, help_text="Kept with each purchase, such as 2026-01. Change it with the terms."
    )
    return_hosts = ArrayField(
        models.CharField(max_length=253),
        default=list,
        blank=True,
        help_text="Hosts of your product to which a checkout may send its buyer back, such as app.example.com.",
    )
    sealed_return_secret = models.TextField(blank=True, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "vendor"
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="shared_vendor_is_one"),
            models.CheckConstraint(
                condition=models.Q(fiscal_year_start__gte=1, fiscal_year_start__lte=12),
                name="shared_vendor_fiscal_year_starts_in_a_month",
            ),
            models.CheckConstraint(
                condition=models.Q(large_upgrade_delta_arr__gte=0), name="shared_vendor_large_upgrade_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ExchangeRate(Row):
    """Units of ``currency`` for one unit of the vendor's base currency on that date."""

    date = models.DateField()
    currency = models.CharField(max_length=3)
    rate = models.DecimalField(max_digits=20, decimal_places=10)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["currency", "date"], name="shared_exchangerate_once_a_day"),
            models.CheckConstraint(condition=models.Q(rate__gt=0), name="shared_exchangerate_is_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.currency} {self.date}"
