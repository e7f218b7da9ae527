"""What customers type on the pages of their portal."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from billing import cancellation_reasons, wording
from billing.agreed_changes import MAX_SEATS, Choice
from billing.forms import agreement
from billing.models import Invoice, Price
from billing.quote_requests import MAX_MESSAGE
from gtm.shared.models import Vendor

ADD_ON = "add-on-"


class SeatsForm(forms.Form):
    """How many seats, and of each add-on; it previews, so it is sent by GET."""

    def __init__(self, *args: Any, seats: int | None, add_ons: Sequence[tuple[Price, int]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if seats is not None:
            self.fields["seats"] = forms.IntegerField(
                label=_("Seats"), min_value=1, max_value=MAX_SEATS, initial=seats, required=True
            )
        for price, number in add_ons:
            self.fields[ADD_ON + price.code] = forms.IntegerField(
                label=price.name or price.code,
                min_value=0,
                max_value=1 if price.model == Price.Model.FLAT else MAX_SEATS,
                initial=number,
                help_text=wording.price_text(price),
            )

    def choice(self) -> Choice:
        data = self.cleaned_data
        add_ons = {name.removeprefix(ADD_ON): number for name, number in data.items() if name.startswith(ADD_ON)}
        return Choice(seats=data.get("seats"), add_ons=add_ons)


def reason_choices() -> list[tuple[str, str]]:
    return [(code, cancellation_reasons.name(code)) for code in cancellation_reasons.CODES]


class CancellationForm(forms.Form):
    """Neither has to be said."""

    reason_code = forms.ChoiceField(
        label=_("Why do you cancel?"), choices=reason_choices, widget=forms.RadioSelect, required=False
    )
    reason = forms.CharField(
        label=_("In your own words"), max_length=500, required=False, widget=forms.Textarea(attrs={"rows": 3})
    )


class AgreementForm(forms.Form):
    """Agreement to the vendor's terms, where they aren't agreed to."""

    terms = forms.BooleanField(error_messages={"required": _("Please agree before you change it.")})

    def __init__(self, *args: Any, vendor: Vendor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["terms"].label = agreement(vendor)


class QuoteForm(forms.Form):
    quantity = forms.IntegerField(label=_("Seats or units"), min_value=1, max_value=10_000_000, required=False)
    message = forms.CharField(
        label=_("What do you need?"), max_length=MAX_MESSAGE, required=False, widget=forms.Textarea(attrs={"rows": 4})
    )


class OpenInvoicesForm(forms.Form):
    """Which of the open invoices are paid, all of them unless something is unticked."""

    invoices = forms.MultipleChoiceField(label=_("Invoices"), widget=forms.CheckboxSelectMultiple)

    def __init__(self, *args: Any, open_invoices: Sequence[Invoice], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.by_id = {invoice.public_id: invoice for invoice in open_invoices}
        self.fields["invoices"].choices = [(key, invoice.number) for key, invoice in self.by_id.items()]  # type: ignore[attr-defined]
        self.fields["invoices"].initial = list(self.by_id)

    def chosen(self) -> list[Invoice]:
        return [self.by_id[key] for key in self.cleaned_data["invoices"]]


class TermsForm(forms.Form):
    """What a customer that pays by invoice says of it."""

    po_number = forms.CharField(
        label=_("PO number"), max_length=100, required=False, help_text=_("Printed on your invoices.")
    )
