"""The REST API's addresses: each app's resources, and the facts, scoped by whose accounts are whose."""

from typing import Any

from django.db.models import QuerySet
from django.urls import include, path

from crm.models import Account
from gtm.shared.api.events import EventViewSet
from gtm.shared.api.resources import Router
from gtm.shared.api.webhooks import WebhookDeliveryViewSet, WebhookEndpointViewSet
from gtm.shared.models import User


class ScopedEventViewSet(EventViewSet):
    """A member of staff sees the facts of the accounts that it sees."""

    def scope(self, queryset: QuerySet[Any], user: User) -> QuerySet[Any]:
        return queryset.filter(account_id__in=Account.objects.visible_to(user).values("pk"))


router = Router()
router.register("events", ScopedEventViewSet)
router.register("webhook_endpoints", WebhookEndpointViewSet)
router.register("webhook_deliveries", WebhookDeliveryViewSet)

urlpatterns = [
    *router.urls,
    path("", include("gtm.clocks_api")),
    path("", include("billing.api.urls")),
    path("", include("crm.api.urls")),
    path("", include("signals.api.urls")),
]
