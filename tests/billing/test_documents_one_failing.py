"""One invoice that can't be laid out keeps no other from its document."""

import pytest
from django.db import connection

from billing import documents, subscriptions
from billing.models import Document, Invoice
from tests.billing import makers
from tests.world import JAN_1


@pytest.mark.django_db(transaction=True)
def test_the_others_are_rendered_and_the_failure_is_told():
    plan = makers.published_plan()
    for _number in range(2):
        subscriptions.create(customer=makers.customer(), plan=plan, collection_method="send_invoice", at=JAN_1)
    broken, sound = Invoice.objects.order_by("finalized_at", "pk")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_invoice DISABLE TRIGGER billing_invoice_is_frozen")
        cursor.execute("UPDATE billing_invoice SET seller = '{}' WHERE id = %s", [broken.pk])
        cursor.execute("ALTER TABLE billing_invoice ENABLE TRIGGER billing_invoice_is_frozen")
    with pytest.raises(ExceptionGroup, match="1 documents could not be rendered"):
        documents.render_missing(at=JAN_1)
    assert Document.objects.get().invoice == sound
