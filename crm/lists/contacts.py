"""The list of contacts: the people at the accounts that one sees."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.db.models.fields import CharField, DateTimeField
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from crm import contacts
from crm.accounts import fold
from crm.lists import cells, filters
from crm.lists.listing import Column, Edit, Listing, Sort, View
from crm.models import Contact, Entity
from crm.queries import search


class ContactFilters(filters.ListFilters):
    account = filters.OfAccount()
    buying_role = filters.Choice(label=_("Buying role"), choices=Contact.BuyingRole.choices)
    owner = filters.Owner("account__owner")
    unsubscribed = filters.Flag(label=_("Wants no mail"))
    source = filters.text("source", _("Source"))


def _fact(field: str, form_field: Any) -> Edit:
    def write(contact: Contact, value: Any, at: datetime) -> Contact:
        return contacts.change(contact=contact, at=at, **{field: value})

    return Edit(form_field, lambda contact: getattr(contact, field), write)


def _text(label: Any, length: int, *, required: bool = False) -> Any:
    return lambda _user: forms.CharField(label=label, max_length=length, required=required)


def _email(_user: Any) -> forms.Field:
    return forms.EmailField(label=_("E-mail"), required=False)


def _role(_user: Any) -> forms.Field:
    choices = [("", "–"), *Contact.BuyingRole.choices]
    return forms.ChoiceField(label=_("Buying role"), choices=choices, required=False)


def _matching(rows: QuerySet[Contact], text: str) -> QuerySet[Contact]:
    return search.contacts(rows, fold(text))


def _nothing_more(_rows: Sequence[Contact], _at: datetime) -> None:
    """All that is shown comes with the rows."""


COLUMNS = (
    Column(
        "name", _("Person"), lambda row, _: cells.text(str(row)), sort="name", edit=_fact("name", _text(_("Name"), 200))
    ),
    Column("title", _("Title"), lambda row, _: cells.text(row.title), edit=_fact("title", _text(_("Title"), 200))),
    Column(
        "account",
        _("Account"),
        lambda row, _: cells.text(row.account.name, url=reverse("crm_account", args=[row.account.public_id])),
    ),
    Column("email", _("E-mail"), lambda row, _: cells.text(row.email), edit=_fact("email", _email)),
    Column("phone", _("Phone"), lambda row, _: cells.text(row.phone), edit=_fact("phone", _text(_("Phone"), 40))),
    Column(
        "buying_role",
        _("Buying role"),
        lambda row, _: cells.text(row.get_buying_role_display()),
        edit=_fact("buying_role", _role),
    ),
    Column("owner", _("Owner"), lambda row, _: cells.text(row.account.owner)),
    Column("source", _("Source"), lambda row, _: cells.text(row.source), shown=False),
    Column("created", _("Since"), lambda row, _: cells.day(row.created_at), sort="created"),
)

LISTING = Listing(
    entity=Entity.CONTACT,
    label=_("Contacts"),
    model=Contact,
    page="crm_contacts",
    url=lambda contact: reverse("crm_contact", args=[contact.public_id]),
    columns=COLUMNS,
    sorts={"name": Sort("name_key", CharField()), "created": Sort("created_at", DateTimeField())},
    default_sort="name",
    filters=ContactFilters,
    views=(
        View("mine", _("At my accounts"), "owner=me"),
        View("champions", _("Champions"), "buying_role=champion"),
        View("buyers", _("Economic buyers"), "buying_role=economic_buyer"),
        View("new", _("New"), "sort=-created"),
    ),
    load=_nothing_more,
    matching=_matching,
    empty=(_("No contacts yet"), _("A person comes with a lead, a customer, an import, or is added at an account.")),
    search_label=_("Name, e-mail or phone"),
    related=("account__owner",),
)
