"""The legal entity that issues documents, and the counters their numbers come from."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from gtm.shared.models import Row, TestClock


class LegalEntity(Row):
    """Who sells: address, registrations, bank details and time zone as they stand on documents."""

    code = models.CharField(max_length=20, unique=True)
    name = models.CharField(max_length=200)
    address = models.JSONField(default=dict, blank=True, help_text="line1, line2, city, postal_code, state, country")
    country = models.CharField(max_length=2, blank=True)
    timezone = models.CharField(max_length=64, default="UTC")
    tax_ids = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    email = models.EmailField(blank=True)
    bank_details = models.TextField(blank=True)
    iban = models.CharField("IBAN", max_length=34, blank=True)
    bic = models.CharField("BIC", max_length=11, blank=True)
    registration_number = models.CharField(max_length=60, blank=True, help_text="In the trade register.")
    invoice_prefix = models.CharField(max_length=20, default="INV")
    credit_note_prefix = models.CharField(max_length=20, default="CN")
    closed_through = models.DateField(
        null=True, blank=True, help_text="No document may be dated on this day or before."
    )
    is_default = models.BooleanField(default=False)
    version = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        verbose_name_plural = "legal entities"
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=Q(is_default=True), name="billing_legalentity_one_default"
            )
        ]

    def __str__(self) -> str:
        return self.name


class NumberSeries(Row):
    """A gapless counter of one kind of document in one year; its row is locked last, by whoever finalizes."""

    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="series")
    kind = models.CharField(max_length=20, choices=[("invoice", "Invoice"), ("credit_note", "Credit note")])
    year = models.PositiveSmallIntegerField()
    test_clock = models.ForeignKey(TestClock, null=True, on_delete=models.PROTECT, related_name="+")
    last_number = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["entity", "kind", "year", "test_clock"], nulls_distinct=False, name="billing_numberseries_once"
            )
        ]
