"""Settings of the vendor, on two pages: General and Payments; and exchange rates."""

from calendar import month_name
from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import URLPattern, path
from unfold import widgets
from unfold.decorators import display

from gtm.shared import exchange_rates, vendors
from gtm.shared.admin_base import OperationAdmin, OperationForm, page_of
from gtm.shared.admin_fields import AmountField, CurrencyField, Select, TimezoneField, to_major, to_minor
from gtm.shared.models import ExchangeRate, Vendor

GENERAL = (
    ("Your company", {"fields": (("name", "website"), ("support_email", "accent"), "logo")}),
    ("Figures", {"fields": (("base_currency", "reporting_zone"), "fiscal_year_start")}),
    ("Sales", {"fields": ("large_upgrade",)}),
    ("Checkout", {"fields": (("terms_url", "terms_version"), "privacy_url", "return_hosts", "return_secret")}),
)
PAYMENTS = (
    ("Gateway", {"fields": ("gateway",)}),
    ("Invoices", {"fields": (("proration_unit", "tax_rounding"), "draft_grace_minutes")}),
    ("Notices", {"fields": (("renewal_notice_days", "trial_notice_days"),)}),
)


class GeneralForm(OperationForm):
    website = forms.URLField(required=False, assume_scheme="https", widget=widgets.UnfoldAdminURLInputWidget())
    terms_url = forms.URLField(
        label="Terms",
        required=False,
        assume_scheme="https",
        widget=widgets.UnfoldAdminURLInputWidget(),
        help_text="Their address. Whoever buys agrees to them; empty: nobody is asked.",
    )
    privacy_url = forms.URLField(
        label="Privacy policy", required=False, assume_scheme="https", widget=widgets.UnfoldAdminURLInputWidget()
    )
    base_currency = CurrencyField(help_text="In which reports are written, and the price page.")
    reporting_zone = TimezoneField(help_text="In whose days reports count.")
    fiscal_year_start = forms.TypedChoiceField(
        label="The fiscal year starts in",
        choices=[(number, month_name[number]) for number in range(1, 13)],
        coerce=int,
        widget=Select(),
    )
    large_upgrade = AmountField(
        label="A large upgrade adds, a year",
        required=True,
        help_text="In your base currency. The account's owner is told of it; the customer buys all the same.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        vendor = self.instance
        self.initial["large_upgrade"] = to_major(vendor.large_upgrade_delta_arr, vendor.base_currency)

    def changes(self) -> dict[str, Any]:
        changes = super().changes()
        if (amount := changes.pop("large_upgrade", None)) is not None:
            changes["large_upgrade_delta_arr"] = int(to_minor(amount, self.cleaned_data["base_currency"]))
        return changes

    class Meta:
        model = Vendor
        fields = ("name", "support_email", "accent", "logo", "terms_version", "return_hosts")
        widgets = {
            "logo": widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3}),
            "accent": widgets.UnfoldAdminColorInputWidget(),
        }
        labels = {
            "support_email": "E-mail for support",
            "terms_version": "Version of the terms",
            "return_hosts": "Hosts to return to",
        }
        help_texts = {"return_hosts": "Of your product, with commas between: app.example.com. See the manual, page 3."}


class PaymentsForm(OperationForm):
    class Meta:
        model = Vendor
        fields = ("proration_unit", "tax_rounding", "draft_grace_minutes", "renewal_notice_days", "trial_notice_days")
        labels = {
            "proration_unit": "Prorate",
            "tax_rounding": "Round tax",
            "draft_grace_minutes": "Minutes of grace",
            "renewal_notice_days": "Days before a yearly renewal",
            "trial_notice_days": "Days before the end of a trial",
        }


@admin.register(Vendor)
class VendorAdmin(OperationAdmin):
    """One object, so no list: its entry in the menu opens it."""

    form = GeneralForm

    def change(self, instance: Vendor, *, at: datetime, **changes: Any) -> Vendor:
        return vendors.change(**changes)

    def get_urls(self) -> list[URLPattern]:
        payments = path("payments/", self.admin_site.admin_view(self.payments), name="shared_vendor_payments")
        return [payments, *super().get_urls()]

    def payments(self, request: HttpRequest) -> HttpResponse:
        return self.changeform_view(request, "1")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponseRedirect:
        return redirect(page_of(Vendor, 1))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Vendor:
        """The one row, made with its defaults where nothing was ever set."""
        return Vendor.objects.get_or_create(pk=1)[0]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = PaymentsForm if _is_payments(request) else GeneralForm
        return super().get_form(request, obj, change, form=form, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Vendor | None = None) -> Any:
        return PAYMENTS if _is_payments(request) else GENERAL

    def get_readonly_fields(self, request: HttpRequest, obj: Vendor | None = None) -> tuple[str, ...]:
        return ("gateway", "return_secret")

    def extra_context(self, request: HttpRequest, instance: Vendor) -> dict[str, Any]:
        return {"section": "Settings", "heading": "Payments" if _is_payments(request) else "General"}

    @display(description="Payments go through")
    def gateway(self, vendor: Vendor) -> str:
        if settings.STRIPE_SECRET_KEY:
            mode = "real money" if settings.STRIPE_SECRET_KEY.startswith(("sk_live", "rk_live")) else "test mode"
            return f"Stripe ({mode})"
        return "The sandbox: test cards, no real money. Set STRIPE_SECRET_KEY to be paid."

    @display(description="Secret of signed returns")
    def return_secret(self, vendor: Vendor) -> str:
        """Shown once hosts are listed: your product verifies with it what a buyer brings back."""
        return vendors.return_secret() if vendor.return_hosts else "Made when you list a host."

    def response_post_save_change(self, request: HttpRequest, obj: Vendor) -> HttpResponseRedirect:
        return redirect(request.path)


def _is_payments(request: HttpRequest) -> bool:
    return request.path.endswith("/payments/")


class ExchangeRateForm(OperationForm):
    currency = CurrencyField()

    class Meta:
        model = ExchangeRate
        fields = ("date", "currency", "rate")
        help_texts = {"rate": "Units of this currency for one unit of your base currency."}


@admin.register(ExchangeRate)
class ExchangeRateAdmin(OperationAdmin):
    form = ExchangeRateForm
    list_display = ("currency", "date", "rate")
    list_filter = ("currency",)
    ordering = ("-date", "currency")
    fields = ("date", "currency", "rate")

    def create(self, *, at: datetime, **values: Any) -> ExchangeRate:
        return exchange_rates.create(at=at, **values)

    def change(self, instance: ExchangeRate, *, at: datetime, **changes: Any) -> ExchangeRate:
        return exchange_rates.change(exchange_rate=instance, at=at, **changes)

    def remove(self, instance: ExchangeRate, *, at: datetime) -> None:
        exchange_rates.remove(exchange_rate=instance, at=at)

    def get_readonly_fields(self, request: HttpRequest, obj: ExchangeRate | None = None) -> tuple[str, ...]:
        return () if obj is None else ("date", "currency")
