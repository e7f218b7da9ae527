from django.urls import URLPattern, URLResolver, re_path

from billing.api.balances import BalanceEntryViewSet, RefundViewSet
from billing.api.catalog import FeatureViewSet, MeterViewSet, PlanViewSet, PriceViewSet, TaxRateViewSet
from billing.api.checkout_sessions import CheckoutSessionViewSet
from billing.api.coupons import CouponViewSet
from billing.api.credit_notes import CreditNoteViewSet
from billing.api.customers import CustomerViewSet
from billing.api.disputes import DisputeViewSet
from billing.api.invoices import InvoiceViewSet
from billing.api.line_usage import LineUsageView
from billing.api.movements import MrrMovementsView
from billing.api.payments import PaymentViewSet
from billing.api.simulations import SimulationsView
from billing.api.subscriptions import SubscriptionViewSet
from billing.api.usage import (
    CustomerUsageView,
    UsageEventAmendmentView,
    UsageEventsView,
    UsageEventView,
    UsageEventVoidView,
)
from gtm.shared.api.resources import Router

_EVENT = r"(?P<id>[\s\S]+)"  # as integrators chose it, slashes and all

router = Router()
router.register("customers", CustomerViewSet)
router.register("plans", PlanViewSet)
router.register("prices", PriceViewSet)
router.register("features", FeatureViewSet)
router.register("meters", MeterViewSet)
router.register("tax_rates", TaxRateViewSet)
router.register("coupons", CouponViewSet)
router.register("checkout_sessions", CheckoutSessionViewSet)
router.register("subscriptions", SubscriptionViewSet)
router.register("invoices", InvoiceViewSet)
router.register("credit_notes", CreditNoteViewSet)
router.register("payments", PaymentViewSet)
router.register("refunds", RefundViewSet)
router.register("disputes", DisputeViewSet)
router.register("balance_entries", BalanceEntryViewSet)

urlpatterns: list[URLPattern | URLResolver] = [
    re_path(r"^customers/(?P<id>[^/]+)/payments/?$", PaymentViewSet.as_view({"post": "record"})),
    re_path(r"^customers/(?P<id>[^/]+)/usage/?$", CustomerUsageView.as_view(), name="customer-usage"),
    re_path(
        r"^invoices/(?P<id>[^/]+)/lines/(?P<line>[^/]+)/usage/?$", LineUsageView.as_view(), name="invoice-line-usage"
    ),
    re_path(r"^simulations/?$", SimulationsView.as_view(), name="simulations"),
    re_path(r"^usage_events/?$", UsageEventsView.as_view(), name="usage-events"),
    re_path(rf"^usage_events/{_EVENT}/void/?$", UsageEventVoidView.as_view(), name="usage-event-void"),
    re_path(rf"^usage_events/{_EVENT}/amendment/?$", UsageEventAmendmentView.as_view(), name="usage-event-amendment"),
    re_path(rf"^usage_events/{_EVENT}$", UsageEventView.as_view(), name="usage-event"),
    re_path(r"^mrr_movements/?$", MrrMovementsView.as_view(), name="mrr-movements"),
    *router.urls,
]
