"""Customers: who uses and who pays, and how they pay."""

import uuid
from collections.abc import Collection, Iterable, Mapping
from copy import copy
from datetime import datetime
from typing import Any

from babel import Locale, UnknownLocaleError
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from stdnum import get_cc_module
from stdnum.eu import vat
from stdnum.exceptions import InvalidChecksum, ValidationError

from billing import dunning_cases, gateways, parking, tax
from billing.models import (
    Customer,
    CustomerBalance,
    GatewayCustomer,
    Invoice,
    PaymentMethod,
    Subscription,
    TaxRate,
)
from gtm.shared import bulk, countries, db, money, outbox, periods, saving
from gtm.shared.errors import Conflict, Invalid
from gtm.shared.models import Event, write

ADDRESS_FIELDS = ("line1", "line2", "city", "postal_code", "state", "country")
MAX_NET_TERMS_DAYS = 365
_MAX_ADDRESS_LINE = 200
_COUNTS = ("users_count", "employee_count")  # traits with a meaning that are numbers
_WORDS = ("industry", "domain", "country")  # and those that are text
_PERSONAL = frozenset(
    {"name", "email", "billing_emails", "billing_address", "tax_id", "traits", "metadata", "po_number"}
)


@transaction.atomic
def create(*, at: datetime, name: str, **fields: Any) -> Customer:
    """Make a customer. Raises Invalid where currency, zone, country, tax id, locale, address or a trait is none."""
    customer = Customer(name=name.strip(), **fields)
    _check(customer)
    saving.insert(customer)
    data = {"country": customer.country, "currency": customer.currency}
    outbox.publish("billing.customer.created", customer, at=at, customer_id=customer.pk, data=data)
    return customer


def require_collection(customer: Customer, method: str) -> None:
    """Raises Invalid where the customer may not be billed that way."""
    if customer.allowed_collection and method not in customer.allowed_collection:
        detail = customer.allowed_collection_reason or "This payer may not be billed that way."
        raise Invalid(detail, code="collection_not_allowed", attr="collection_method")


def fix_currency(customer: Customer, currency: str, *, at: datetime) -> None:
    """What is bought first decides the customer's currency, for good. The caller holds its lock."""
    if customer.currency:
        return
    write(customer, currency=currency)
    outbox.publish(
        "billing.customer.changed",
        customer,
        at=at,
        customer_id=customer.pk,
        account_id=customer.account_id,
        data={"changed": ["currency"], "currency": currency},
        previous={"currency": ""},
    )


@transaction.atomic
def change(*, customer: Customer, at: datetime, **changes: Any) -> Customer:
    """Set what is given. Subscriptions under way keep their zone until their next period, and invoices all they hold.

    Raises Invalid as ``create`` does, and Conflict (``currency_fixed``) for a customer that has bought in its currency.
    """
    customer = db.lock_one(customer)
    wished = copy(customer)
    for name, value in changes.items():
        setattr(wished, name, value)
    _check(wished)
    if wished.currency != customer.currency and customer.currency and _has_bought(customer):
        detail = (
            f"{customer} has bought in {customer.currency}: what it buys in another currency needs another customer."
        )
        raise Conflict(detail, code="currency_fixed", attr="currency")
    if wished.test_mode != customer.test_mode and _has_bought(customer):
        raise Conflict(f"{customer} has bought already, for money or for tests.", code="mode_fixed", attr="test_mode")
    previous = saving.change(customer, **{name: getattr(wished, name) for name in changes})
    if previous:
        told = {name: value for name, value in previous.items() if name not in _PERSONAL}
        outbox.publish(
            "billing.customer.changed",
            customer,
            at=at,
            customer_id=customer.pk,
            account_id=customer.account_id,
            data={"changed": sorted(previous)},
            previous=_plain(told),
        )
    return parking.on_changed(customer, previous, at=at)


def _has_bought(customer: Customer) -> bool:
    theirs = Q(customer=customer) | Q(payer=customer)
    if Subscription.objects.filter(theirs).exists() or Invoice.objects.filter(customer=customer).exists():
        return True
    return CustomerBalance.objects.filter(customer=customer, amount__gt=0).exists()


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values as a fact may hold them; another object is named by its id."""
    return {name: getattr(value, "public_id", value) for name, value in values.items()}


@transaction.atomic
def record_care(*, account_ids: Iterable[uuid.UUID], at: datetime, **written: Any) -> int:
    """Write down how the accounts' customers are dunned; return for how many that is new.

    ``managed``: whether somebody looks after them, who is told first and for whom nothing is cut off;
    ``dunning_policy``: the code of their segment's policy, empty where it has none.
    """
    theirs = Customer.objects.filter(account_id__in=account_ids).exclude(**written).order_by("pk")
    found = list(theirs.select_for_update(of=("self",), no_key=True))
    facts = [_changed(customer, written, at=at) for customer in found]
    bulk.update(Customer, found, [*written, "version", "updated_at"])
    outbox.publish_many(facts)
    return len(found)


def record_dunning_policies(locked: Iterable[Customer], *, named: Mapping[uuid.UUID, str], at: datetime) -> int:
    """Write down the codes of the policies by which customers, locked by the caller, are dunned; return for how many
    that is new.
    """
    found = [one for one in locked if named.get(one.pk, one.dunning_policy) != one.dunning_policy]
    facts = [_changed(customer, {"dunning_policy": named[customer.pk]}, at=at) for customer in found]
    bulk.update(Customer, found, ["dunning_policy", "version", "updated_at"])
    outbox.publish_many(facts)
    return len(found)


def _changed(customer: Customer, values: dict[str, Any], *, at: datetime) -> Event:
    """Set what differs, and the fact that tells so."""
    previous = {name: getattr(customer, name) for name in values if getattr(customer, name) != values[name]}
    for name in previous:
        setattr(customer, name, values[name])
    customer.touch()
    return outbox.fact(
        "billing.customer.changed",
        customer,
        at=at,
        customer_id=customer.pk,
        account_id=customer.account_id,
        data={"changed": sorted(previous), **{name: values[name] for name in previous}},
        previous=previous,
    )


def record_account(*, customer_id: uuid.UUID, account_id: uuid.UUID) -> None:
    """Write down to which account the customer belongs, so that its facts can name it; the account's own tell why."""
    Customer.objects.filter(pk=customer_id).update(account_id=account_id, updated_at=Now())


@transaction.atomic
def record_account_of_many(*, customer_ids: Collection[uuid.UUID], account_id: uuid.UUID) -> None:
    """The same for several that go over to another account; nothing else about them changes."""
    keys = [customer.pk for customer in db.lock(Customer, customer_ids)]
    Customer.objects.filter(pk__in=keys).update(account_id=account_id, updated_at=Now())


def attach_payment_method(
    *,
    customer: Customer,
    gateway_token: str,
    default: bool = True,
    at: datetime,
    payment_method_id: uuid.UUID | None = None,
) -> PaymentMethod:
    """Keep the card or account that ``gateway_token`` stands for, as the default one if wished.

    Called again with the same ``payment_method_id`` it answers with the method that the first call made. Raises
    ``gateways.UnknownToken`` and ``gateways.GatewayUnavailable``. The gateway is asked before anything is locked.
    """
    if payment_method_id and (known := PaymentMethod.objects.filter(pk=payment_method_id, customer=customer).first()):
        return known
    gateway = gateways.of_customer(customer)
    kept = gateway.attach(token=gateway_token, customer=reference_at(gateway, customer))
    method = PaymentMethod(customer=customer, gateway=gateway.name, is_default=default, **described(kept))
    if payment_method_id:
        method.pk = payment_method_id
    return keep(method, at=at)


def reference_at(gateway: gateways.Gateway, customer: Customer) -> str:
    """The gateway's own name for the customer, who is made there once. Not in a transaction."""
    known = GatewayCustomer.objects.filter(customer=customer, gateway=gateway.name)
    if (found := known.first()) is None:
        name = gateway.create_customer(customer_id=customer.pk, name=customer.name, email=customer.email)
        made = GatewayCustomer(customer=customer, gateway=gateway.name, reference=name)
        GatewayCustomer.objects.bulk_create([made], ignore_conflicts=True)
        found = known.get()
    return found.reference


def described(kept: gateways.AttachedMethod) -> dict[str, Any]:
    """What is kept of a method here, by column."""
    return {
        "gateway_reference": kept.reference,
        "kind": kept.kind,
        "brand": kept.brand,
        "last4": kept.last4,
        "exp_month": kept.exp_month,
        "exp_year": kept.exp_year,
        "country": kept.country,
        "fingerprint": kept.fingerprint,
        "mandate_reference": kept.mandate_reference,
    }


@transaction.atomic
def keep(method: PaymentMethod, *, at: datetime) -> PaymentMethod:
    """Keep an unsaved method, once for each that a gateway knows by a name of its own.

    Under the customer's lock there is one default at any time, the last one that was chosen.
    """
    customer = db.lock_one(method.customer)
    theirs = PaymentMethod.objects.filter(customer=customer, gateway=method.gateway, detached_at=None)
    again = theirs.exclude(gateway="sandbox").filter(gateway_reference=method.gateway_reference).first()
    if again is not None:
        return again
    if method.is_default:
        PaymentMethod.objects.filter(customer=customer, is_default=True).update(is_default=False)
    saving.insert(method)
    outbox.publish(
        "billing.payment_method.attached",
        method,
        at=at,
        customer_id=customer.pk,
        account_id=customer.account_id,
        test_clock_id=customer.test_clock_id,
        data={"kind": method.kind, "brand": method.brand, "default": method.is_default},
    )
    if method.is_default:
        dunning_cases.on_new_method(payer=customer, at=at)
    return method


def _check(customer: Customer) -> None:
    """Bring what was given to its form. Raises Invalid for the first thing that is not what it should be."""
    if not customer.name:
        raise Invalid("A customer needs a name.", attr="name", code="required")
    customer.email = customer.email.strip().lower()
    customer.billing_emails = [address.strip().lower() for address in customer.billing_emails]
    customer.country = customer.country.strip().upper()
    customer.currency = customer.currency.strip().upper()
    customer.tax_id = customer.tax_id.strip()
    customer.billing_address = _address(customer.billing_address)
    saving.clean(customer)
    _check_place(customer)
    _check_money(customer)
    _check_tax(customer)
    _check_traits(customer.traits)


def _check_place(customer: Customer) -> None:
    if customer.country and not countries.is_country(customer.country):
        raise Invalid(f"{customer.country!r} is not a country code of ISO 3166.", attr="country")
    try:
        periods.zone(customer.timezone)
    except ValueError as error:
        raise Invalid(f"{customer.timezone!r} is not a time zone such as Europe/Berlin.", attr="timezone") from error
    try:
        Locale.parse(customer.preferred_locale.replace("_", "-"), sep="-")
    except (ValueError, UnknownLocaleError) as error:
        detail = f"{customer.preferred_locale!r} is not a language tag such as de or pt-BR."
        raise Invalid(detail, attr="preferred_locale") from error


def _check_money(customer: Customer) -> None:
    try:
        if customer.currency:
            money.exponent(customer.currency)
    except ValueError as error:
        raise Invalid(f"{customer.currency!r} is not a currency code of ISO 4217.", attr="currency") from error
    if customer.net_terms_days is not None and not 0 <= customer.net_terms_days <= MAX_NET_TERMS_DAYS:
        raise Invalid(f"Net terms are 0 to {MAX_NET_TERMS_DAYS} days.", attr="net_terms_days")


def _check_tax(customer: Customer) -> None:
    if customer.tax_id and not looks_like_a_tax_id(customer.tax_id, customer.place):
        values = {"id": repr(customer.tax_id), "country": customer.place}
        raise Invalid(_("%(id)s does not have the form of a VAT id of %(country)s.") % values, attr="tax_id")
    known = set(TaxRate.objects.filter(code__in=customer.tax_rates).values_list("code", flat=True))
    if unknown := sorted(set(customer.tax_rates) - known):
        raise Invalid(f"There is no tax rate {unknown[0]!r}.", attr="tax_rates", code="not_found")


def is_wrong_tax_id(customer: Customer) -> bool:
    """Whether its VAT id has the right form and wrong check digits, in the EU: it gets no reverse charge then."""
    if customer.place.lower() not in vat.MEMBER_STATES:
        return False
    return tax.eu_vat_id(customer.tax_id, country=customer.place) is None


def looks_like_a_tax_id(text: str, country: str) -> bool:
    """Length and characters of the country's VAT ids, in the EU; elsewhere anything.

    A wrong check digit is let pass here and decides the tax: such a number gets no reverse charge.
    """
    module = get_cc_module(country.lower(), "vat") if country.lower() in vat.MEMBER_STATES else None
    if module is None:
        return True
    try:
        module.validate(text)
    except InvalidChecksum:
        return True
    except ValidationError:
        return False
    return True


def _address(given: Any) -> dict[str, str]:
    if not isinstance(given, dict) or not given.keys() <= set(ADDRESS_FIELDS):
        raise Invalid(f"An address has {', '.join(ADDRESS_FIELDS)}.", attr="billing_address")
    address = {name: value for name, value in given.items() if value is not None}
    for name, value in address.items():
        if not isinstance(value, str) or len(value) > _MAX_ADDRESS_LINE:
            detail = f"{name} is a text of at most {_MAX_ADDRESS_LINE} characters."
            raise Invalid(detail, attr=f"billing_address.{name}")
    if country := address.get("country", "").upper():
        if not countries.is_country(country):
            raise Invalid(f"{country!r} is not a country code of ISO 3166.", attr="billing_address.country")
        address["country"] = country
    return address


def _check_traits(traits: Any) -> None:
    if not isinstance(traits, dict):
        raise Invalid("Traits are a JSON object.", attr="traits")
    for name in _COUNTS:
        value = traits.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31):
            raise Invalid(f"{name} is a whole number of 0 or more.", attr=f"traits.{name}")
    for name in _WORDS:
        if traits.get(name) is not None and not isinstance(traits[name], str):
            raise Invalid(f"{name} is a text.", attr=f"traits.{name}")
