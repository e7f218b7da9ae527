"""The frame of the back office: its menu, its colours, and the front page with what is left to set up."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

from billing.models import Customer, Dispute, GatewayEvent, Invoice, LegalEntity, Plan, TaxRate
from crm.models import Queue
from gtm.shared import vendors
from gtm.shared.admin_base import is_founder
from gtm.shared.models import ApiKey, Mail, PendingFact, WebhookEndpoint

# A shade of grey or of the accent: its lightness, the most colour it may have, and where neutral its hue.
_GREYS = {
    "50": "98% 0.003 95",
    "100": "95.5% 0.004 95",
    "200": "91% 0.004 95",
    "300": "83% 0.005 95",
    "400": "66% 0.008 265",
    "500": "53% 0.011 265",
    "600": "42% 0.014 265",
    "700": "34% 0.012 265",
    "800": "28% 0.009 265",
    "900": "18.5% 0.006 265",
    "950": "14% 0.006 265",
}
_ACCENTS = {
    "50": "97.5% min(c, 0.015)",
    "100": "95.5% min(c, 0.022)",
    "200": "90% min(c, 0.05)",
    "300": "84% min(c, 0.08)",
    "400": "78% min(c, 0.11)",
    "500": "76% min(c, 0.11)",
    "600": "46% min(c, 0.16)",
    "700": "38% min(c, 0.15)",
    "800": "32% min(c, 0.12)",
    "900": "27% min(c, 0.09)",
    "950": "20% min(c, 0.06)",
}


def site_title(request: HttpRequest) -> str:
    return vendors.current().name


def favicon(request: HttpRequest) -> str:
    return static("gtm/favicon.svg")


def stylesheet(request: HttpRequest) -> str:
    return static("gtm/css/admin.css")


def tokens(request: HttpRequest) -> str:
    return static("gtm/css/tokens.css")


def badges(request: HttpRequest) -> str:
    return static("gtm/css/badge.css")


def colors(request: HttpRequest) -> dict[str, dict[str, str]]:
    """Ink on paper, and the vendor's own accent held to lightnesses that stay readable."""
    return {
        "base": {shade: f"oklch({value})" for shade, value in _GREYS.items()},
        "primary": {shade: f"oklch(from var(--brand) {value} h)" for shade, value in _ACCENTS.items()},
        "font": {
            "subtle-light": "var(--color-base-500)",
            "subtle-dark": "var(--color-base-400)",
            "default-light": "var(--color-base-600)",
            "default-dark": "var(--color-base-300)",
            "important-light": "var(--color-base-900)",
            "important-dark": "var(--color-base-100)",
        },
    }


def account_links(request: HttpRequest) -> list[dict[str, str]]:
    return [
        {"title": "Change password", "link": reverse("account_change_password")},
        {"title": "Two-step sign-in", "link": reverse("mfa_index")},
    ]


# --- the menu ----------------------------------------------------------------------------------
MENU: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("", (("Overview", "index"),)),
    (
        "Plans",
        (
            ("Plans", "billing_plan_changelist"),
            ("Create Plan", "billing_plan_add"),
            ("Features", "billing_feature_changelist"),
            ("Meters", "billing_meter_changelist"),
            ("Coupons", "billing_coupon_changelist"),
        ),
    ),
    (
        "Customers",
        (
            ("Customers", "billing_customer_changelist"),
            ("Subscriptions", "billing_subscription_changelist"),
            ("Discounts", "billing_discount_changelist"),
            ("Quote requests", "billing_quoterequest_changelist"),
            ("Invoices", "billing_invoice_changelist"),
            ("Credit notes", "billing_creditnote_changelist"),
            ("Payments", "billing_payment_changelist"),
            ("Refunds", "billing_refund_changelist"),
            ("Disputes", "billing_dispute_changelist"),
            ("Gateway events", "billing_gatewayevent_changelist"),
            ("Balances", "billing_balanceentry_changelist"),
            ("Charges", "billing_charge_changelist"),
            ("Usage", "billing_usage_events"),
            ("Usage corrections", "billing_usagecorrection_changelist"),
            ("Dunning", "billing_dunningcase_changelist"),
            ("Dunning policies", "billing_dunningpolicy_changelist"),
            ("Bill runs", "billing_billingrun_changelist"),
            ("Documents", "billing_document_changelist"),
        ),
    ),
    (
        "Revenue",
        (
            ("Revenue movements", "billing_subscriptionchange_movements"),
            ("Subscription changes", "billing_subscriptionchange_changelist"),
        ),
    ),
    (
        "Sales",
        (
            ("Accounts", "crm_account_changelist"),
            ("Target list", "crm_targetdomain_changelist"),
            ("Own fields", "crm_customfield_changelist"),
            ("Leads", "crm_lead_changelist"),
            ("Held messages", "crm_heldlead_changelist"),
            ("Lead forms", "crm_leadform_changelist"),
            ("Acceptance terms", "crm_acceptanceterms_changelist"),
            ("Reject reasons", "crm_rejectreason_changelist"),
            ("Opportunities", "crm_opportunity_changelist"),
            ("Pipelines", "crm_pipeline_changelist"),
            ("Stages", "crm_stage_changelist"),
            ("Loss reasons", "crm_lossreason_changelist"),
            ("Alerts", "crm_alert_changelist"),
            ("Mail with customers", "crm_emailmessage_changelist"),
            ("Mail templates", "crm_mailtemplate_changelist"),
            ("Signals", "signals_signal_changelist"),
            ("Trigger rules", "signals_triggerrule_changelist"),
            ("Segment policies", "crm_segmentpolicy_changelist"),
            ("Rule sets", "crm_ruleset_changelist"),
            ("Answers in time", "crm_slapolicy_changelist"),
            ("Runs of policies", "crm_policyrun_changelist"),
            ("Routing anew", "crm_routingrun_changelist"),
        ),
    ),
    (
        "People",
        (
            ("Users and roles", "shared_user_changelist"),
            ("What roles see and work", "crm_rolescope_changelist"),
            ("Teams", "crm_team_changelist"),
            ("Queues", "crm_queue_changelist"),
            ("Pools", "crm_pool_changelist"),
            ("Leave", "crm_leave_changelist"),
            ("Working hours", "crm_workinghours_changelist"),
            ("Holidays", "crm_holidaycalendar_changelist"),
        ),
    ),
    (
        "Settings",
        (
            ("General", "shared_vendor_changelist"),
            ("Payments", "shared_vendor_payments"),
            ("Legal entities", "billing_legalentity_changelist"),
            ("Tax rates", "billing_taxrate_changelist"),
            ("Exchange rates", "shared_exchangerate_changelist"),
            ("API keys", "shared_apikey_changelist"),
            ("Webhooks", "shared_webhookendpoint_changelist"),
        ),
    ),
    (
        "Records",
        (
            ("Events", "shared_event_changelist"),
            ("Waiting facts", "shared_pendingfact_changelist"),
            ("Webhook deliveries", "shared_webhookdelivery_changelist"),
            ("Mail", "shared_mail_changelist"),
            ("Test clocks", "shared_testclock_changelist"),
        ),
    ),
)
FOUNDERS_ONLY = frozenset({"billing_plan_add", "shared_mail_changelist"})


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The menu for this reader, with the entry open that this page belongs to."""
    addresses = {page: _page(page) for _title, entries in MENU for _name, page in entries}
    here = max((a for a in addresses.values() if request.path.startswith(a)), key=len, default="")
    may_see = {page for page in addresses if page not in FOUNDERS_ONLY or is_founder(request)}
    return [
        {
            "title": title,
            "items": [
                {"title": name, "link": addresses[page], "active": addresses[page] == here}
                for name, page in entries
                if page in may_see
            ],
        }
        for title, entries in MENU
    ]


# --- the front page ----------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Task:
    """Something to set up: whether it is done, why it matters, and where it is done."""

    title: str
    why: str
    done: bool
    address: str


@dataclass(frozen=True, slots=True)
class Concern:
    """How many things wait for a person, and where."""

    count: int
    words: str
    address: str


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What is left to set up, and what waits for a person."""
    tasks = [*_to_sell(), *_to_run()]
    return context | {
        "title": "Overview",
        "tasks": tasks,
        "tasks_left": sum(not task.done for task in tasks),
        "concerns": [concern for concern in _concerns(request) if concern.count],
    }


def _to_sell() -> list[Task]:
    entities = LegalEntity.objects.exclude(country="")
    return [
        Task(
            "Who sells",
            "Name, address and country stand on every invoice, and the country decides the tax.",
            entities.exists(),
            _page("billing_legalentity_changelist"),
        ),
        Task(
            "Tax rates",
            "Where you charge tax, a customer whose rate is missing is held up rather than billed without it.",
            TaxRate.objects.exists(),
            _page("billing_taxrate_changelist"),
        ),
        Task(
            "A plan on the price page",
            "Make it with its prices and limits on one page, look at the preview, and publish it.",
            Plan.objects.for_sale().exists(),
            _page("billing_plan_changelist" if Plan.objects.exists() else "billing_plan_add"),
        ),
        Task(
            "A team for whoever asks",
            "Requests that no rule takes wait in the catch-all queue, which a team watches.",
            Queue.objects.filter(is_catch_all=True, team__memberships__isnull=False).exists(),
            _page("crm_team_changelist"),
        ),
    ]


def _to_run() -> list[Task]:
    return [
        Task(
            "A key for your product",
            "Your product sends usage and asks for entitlements with an API key.",
            ApiKey.objects.filter(revoked_at=None).exists(),
            _page("shared_apikey_changelist"),
        ),
        Task(
            "Mail",
            "Set EMAIL_URL. Until then every mail waits under Mail, where you can read it.",
            bool(settings.EMAIL_URL),
            _page("shared_mail_changelist"),
        ),
        Task(
            "Real payments",
            "Set STRIPE_SECRET_KEY. Until then the sandbox takes test cards and no money.",
            bool(settings.STRIPE_SECRET_KEY),
            _page("shared_vendor_payments"),
        ),
    ]


def _concerns(request: HttpRequest) -> list[Concern]:
    parked = Customer.objects.filter(parked_at__isnull=False, test_clock=None).count()
    failing = PendingFact.objects.filter(attempts__gt=0).count()
    disputed = Dispute.objects.filter(status=Dispute.Status.NEEDS_RESPONSE).count()
    untold = GatewayEvent.objects.filter(status=GatewayEvent.Status.FAILED).count()
    deaf = WebhookEndpoint.objects.filter(Q(warned_at__isnull=False) | Q(disabled_reason="failing")).count()
    waiting = Invoice.objects.filter(status=Invoice.Status.OPEN, payment_status=Invoice.PaymentStatus.DEFERRED)
    deferred = waiting.filter(test_clock=None).count()
    events = f"{_page('billing_gatewayevent_changelist')}?status__exact=failed"
    concerns = [
        Concern(
            parked, "Customers whose billing is held up", f"{_page('billing_customer_changelist')}?parked_at__isempty=0"
        ),
        Concern(failing, "Facts that a handler failed at", _page("shared_pendingfact_changelist")),
        Concern(disputed, "Disputes to answer", f"{_page('billing_dispute_changelist')}?status__exact=needs_response"),
        Concern(
            deferred,
            "Invoices that the card's next charge pays",
            f"{_page('billing_invoice_changelist')}?payment_status__exact=deferred&status__exact=open",
        ),
        Concern(untold, "Events of payment gateways that failed", events),
        Concern(deaf, "Webhook endpoints that have failed for days", _page("shared_webhookendpoint_changelist")),
    ]
    if is_founder(request):
        lost = Mail.objects.filter(status__in=[Mail.Status.UNKNOWN, Mail.Status.FAILED]).count()
        concerns.append(Concern(lost, "Mails that may not have arrived", _page("shared_mail_changelist")))
    return concerns


def _page(name: str) -> str:
    return reverse(f"admin:{name}")
