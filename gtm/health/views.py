"""The probes, which tell strangers no more than what is out of order, and the page that tells founders why."""

from typing import Any

from django.db.models import Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_safe

from crm.views import desk
from gtm.health import checks, servers, work
from gtm.health.findings import worst
from gtm.shared import db
from gtm.shared.guards import founders_only
from gtm.shared.models import Mail, PendingFact, Pulse


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process is up. Asks nobody."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when database, broker and migrations are in order, else 503 and which of them is not."""
    in_order = checks.readiness()
    failing = [name for name, fine in in_order.items() if not fine]
    answer: dict[str, Any] = {
        "status": "unavailable" if failing else "ready",
        "checks": {name: "ok" if fine else "failing" for name, fine in in_order.items()},
    }
    response = JsonResponse(answer | ({"failing": failing} if failing else {}), status=503 if failing else 200)
    add_never_cache_headers(response)
    return response


@require_safe
@founders_only
def health(request: HttpRequest) -> HttpResponse:
    """Heartbeats, queue depth, the last success of each job and the last error in words."""
    findings = checks.diagnose()
    context = {
        "findings": findings,
        "overall": worst(findings),
        "heartbeats": Pulse.objects.filter(Q(name="beat") | Q(name__startswith="worker:")).order_by("name"),
        "jobs": [_job(pulse) for pulse in Pulse.objects.filter(name__startswith="job:").order_by("name")],
        "queues": servers.queue_depths(),
        "waiting": {
            "facts": PendingFact.objects.filter(test_clock_id=None).count(),
            "webhooks": work.undelivered(),
            "mail": Mail.objects.filter(status=Mail.Status.QUEUED).count(),
        },
        "at": db.now(),
    }
    return desk.page(request, "reports/health.html", context, active="health")


def _job(pulse: Pulse) -> dict[str, Any]:
    return {
        "name": pulse.name.removeprefix("job:"),
        "state": "error" if work.is_failing(pulse) else "ok",
        "last_succeeded_at": pulse.last_succeeded_at,
        "last_failed_at": pulse.last_failed_at,
        "last_error": pulse.last_error,
    }
