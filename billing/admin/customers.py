"""Customers, with everything that is theirs in tabs."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.decorators import display

from billing import balances, collection, customers, dunning_policies, one_off, parking, payments
from billing.admin import addresses, customer_steps
from billing.admin.credit_notes import EntryRows, NoteRows
from billing.admin.customer_steps import AdjustmentForm, InvoiceForm, MoneyForm
from billing.admin.people import InvitationRows, MemberRows, PeopleSteps
from billing.models import Customer, Invoice, PaymentMethod, Prompt, Subscription, TermsAgreement
from gtm.shared import admin_columns as columns
from gtm.shared.admin_actors import NamesActors
from gtm.shared.admin_base import OperationAdmin, ReadOnlyTable, page_of
from gtm.shared.admin_fields import Choice, CountryField, LinesField, LocaleField, TimezoneField, currency_choices
from gtm.shared.admin_filters import OnTestClock
from gtm.shared.admin_steps import step
from gtm.shared.templatetags import tandem


class CustomerForm(addresses.AddressForm):
    ADDRESS = "billing_address"
    currency = Choice(choices=currency_choices, empty="Set by the first subscription", required=False)
    timezone = TimezoneField(label="Time zone", initial="UTC", help_text="In whose days its periods begin and end.")
    preferred_locale = LocaleField(label="Language", initial="en", help_text="Of mail and documents.")
    country = CountryField(required=False, help_text="It decides the tax.")
    billing_emails = LinesField(label="Invoices go to", help_text="One address on each line, besides the one above.")
    tax_rates = LinesField(rows=2, help_text="Codes of rates that take the place of the country's, one on each line.")

    class Meta:
        model = Customer
        exclude = ("billing_address",)
        labels = {
            "email": "E-mail",
            "tax_id": "VAT or tax number",
            "tax_exempt": "Tax",
            "net_terms_days": "Days to pay",
            "po_number": "PO number",
        }
        help_texts = {
            "external_id": "Your own id of it, unique.",
            "traits": "What your product reports: domain, employee_count, users_count, industry, country.",
        }


class SubscriptionRows(ReadOnlyTable):
    model = Subscription
    fk_name = "customer"
    tab = True
    per_page = 20
    related = ("plan_version__plan",)
    ordering = ("-created_at",)
    fields = ("plan", "state", "start_at", "current_period_end", "next_bill_at")
    state = columns.status("status")

    @display(description="Plan")
    def plan(self, subscription: Subscription) -> str:
        return columns.linked(subscription, str(subscription.plan_version))


class InvoiceRows(ReadOnlyTable):
    model = Invoice
    tab = True
    per_page = 20
    ordering = ("-created_at",)
    fields = ("document", "state", "issue_date", "due_date", "total_amount", "open_amount")
    state = columns.status("status")
    total_amount = columns.money("total", "Total")
    open_amount = columns.money("amount_due", "Still due")

    @display(description="Number")
    def document(self, invoice: Invoice) -> str:
        return columns.linked(invoice)


class CreditNoteRows(NoteRows):
    tab = True
    per_page = 20


class PaymentMethodRows(ReadOnlyTable):
    model = PaymentMethod
    tab = True
    ordering = ("-created_at",)
    fields = ("kind", "brand", "last4", "exp_month", "exp_year", "is_default", "detached_at")


class PromptRows(ReadOnlyTable):
    model = Prompt
    tab = True
    per_page = 20
    ordering = ("-created_at",)
    fields = ("text", "period", "created_at", "expires_at", "dismissed_at")


class TermsRows(NamesActors, ReadOnlyTable):
    model = TermsAgreement
    verbose_name_plural = "Terms"
    tab = True
    per_page = 20
    ordering = ("-agreed_at",)
    fields = ("terms_version", "agreed_at", "origin", "who")


@admin.register(Customer)
class CustomerAdmin(PeopleSteps, OperationAdmin):
    form = CustomerForm
    list_display = ("name", "email", "country", "currency", "subscribed", "standing", "created_at")
    list_filter = (OnTestClock, "collection_method", "currency", ("parked_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "email", "external_id__exact")
    ordering = ("-created_at",)
    inlines = (
        SubscriptionRows,
        InvoiceRows,
        CreditNoteRows,
        EntryRows,
        PaymentMethodRows,
        MemberRows,
        InvitationRows,
        PromptRows,
        TermsRows,
    )
    fieldsets = (
        (None, {"fields": (("name", "email"), "billing_emails", ("timezone", "preferred_locale"))}),
        ("Address", {"fields": addresses.ROWS}),
        ("Tax", {"fields": (("tax_id", "tax_exempt"), "tax_rates")}),
        (
            "Payment",
            {
                "fields": (
                    ("currency", "collection_method"),
                    ("net_terms_days", "po_number"),
                    ("legal_entity", "test_mode"),
                )
            },
        ),
        ("Your product", {"fields": ("external_id", "traits", "metadata"), "classes": ("collapse",)}),
    )
    actions_detail = (
        "unpark",
        "record_money",
        "invoice_by_hand",
        "adjust_balance",
        "allow_invoices",
        *PeopleSteps.STEPS,
    )

    def create(self, *, at: datetime, **values: Any) -> Customer:
        return customers.create(at=at, **values)

    def change(self, instance: Customer, *, at: datetime, **changes: Any) -> Customer:
        return customers.change(customer=instance, at=at, **changes)

    @step(
        "Bill again",
        explain=lambda customer: (
            f"{customer} is held up: {customer.parked_reason} The next run bills all it has missed."
        ),
        done=lambda customer: f"{customer} is in the next run.",
        applies=lambda customer: customer.parked_at is not None,
        permission="money",
        main=True,
    )
    def unpark(self, customer: Customer, *, at: datetime) -> None:
        parking.unpark(customer=customer, at=at)

    @step(
        "Record money",
        explain=lambda customer: (
            f"Money from {customer} came another way. It pays what is open, the oldest first; the rest is credit."
        ),
        done="The payment is recorded.",
        form=MoneyForm,
        applies=lambda customer: bool(customer.currency),
        permission="money",
    )
    def record_money(self, customer: Customer, *, at: datetime, **asked: Any) -> None:
        invoices = customer_steps.open_invoices(customer)
        payments.record_manual(customer=customer, invoices=invoices, method="transfer", at=at, **asked)

    @step(
        "Invoice by hand",
        explain="An invoice of lines that you write. Taxes are added by what is known of the customer.",
        form=InvoiceForm,
        permission="money",
    )
    def invoice_by_hand(self, customer: Customer, *, at: datetime, **asked: Any) -> HttpResponse:
        invoice = one_off.create(customer=customer, at=at, **asked)
        if invoice.next_payment_attempt is not None:
            payments.collect_all(invoices=[invoice], at=at)
        return HttpResponseRedirect(page_of(invoice, invoice.pk))

    @step(
        "Adjust balance",
        explain="Credit pays the customer's next invoices by itself. It can be given and taken, never below nothing.",
        done="The balance is adjusted.",
        form=AdjustmentForm,
        applies=lambda customer: bool(customer.currency),
        permission="money",
    )
    def adjust_balance(self, customer: Customer, *, at: datetime, amount: int, reason: str) -> None:
        balances.adjust(customer=customer, amount=amount, reason=reason, at=at)

    @step(
        "Allow payment by invoice",
        explain="The customer may choose invoices on terms in its portal. Nothing changes until it does.",
        done="The customer may choose.",
        applies=lambda customer: not collection.may_switch(customer, collection.ON_TERMS),
        permission="money",
    )
    def allow_invoices(self, customer: Customer, *, at: datetime) -> None:
        methods = [collection.BY_CARD, collection.ON_TERMS]
        collection.allow(customer=customer, methods=methods, reason=collection.AGREED, at=at)

    def notes(self, request: HttpRequest, instance: Customer) -> list[str]:
        held = instance.balances.filter(amount__gt=0)
        stated = [f"{tandem.money(one.amount, one.currency)} stand to this customer's credit." for one in held]
        policy = dunning_policies.of_payers([instance])[instance.pk]
        return [*stated, f"When money doesn't come, {policy} says what follows{_managed(instance)}."]

    def warnings(self, request: HttpRequest, instance: Customer) -> list[str]:
        if instance.parked_at is None:
            return []
        return [f"Billing of this customer is held up: {instance.parked_reason}"]

    def get_inlines(self, request: HttpRequest, obj: Customer | None) -> tuple[Any, ...]:
        return self.inlines if obj is not None else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Customer]:
        live = Q(subscriptions__status__in=Subscription.LIVE)
        found: QuerySet[Customer] = super().get_queryset(request)
        return found.annotate(living=Count("subscriptions", filter=live)).select_related("test_clock")

    @display(description="Live subscriptions", ordering="living")
    def subscribed(self, customer: Any) -> int:
        return int(customer.living)

    @display(description="Billing", ordering="parked_at")
    def standing(self, customer: Customer) -> str:
        return tandem.status_badge("error", "Held up") if customer.parked_at else tandem.status_badge("ok")


def _managed(customer: Customer) -> str:
    return "; the owner of its account is told first" if customer.managed else ""
