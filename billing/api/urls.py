from django.urls import URLPattern, URLResolver, re_path

from billing.api.invoices import InvoiceViewSet
from billing.api.payments import PaymentViewSet
from billing.api.subscriptions import SubscriptionViewSet
from gtm.shared.api.resources import Router

router = Router()
router.register("subscriptions", SubscriptionViewSet)
router.register("invoices", InvoiceViewSet)
router.register("payments", PaymentViewSet)

urlpatterns: list[URLPattern | URLResolver] = [
    re_path(r"^customers/(?P<id>[^/]+)/payments/?$", PaymentViewSet.as_view({"post": "record"})),
    *router.urls,
]
