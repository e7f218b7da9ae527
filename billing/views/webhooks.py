"""Where gateways tell what has happened. Whoever calls proves by a signature that it is the gateway."""

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing import gateway_events
from billing.gateways import Forged

log = structlog.get_logger(__name__)
MOST_BYTES = 512 * 1024


@csrf_exempt
@require_POST
def stripe(request: HttpRequest) -> HttpResponse:
    """Write an event down and say so; what follows from it is done afterwards.

    503 while no secret is set: anybody could sign with none. 413 for what no event of Stripe's comes to; 400 where the
    signature is missing, forged or too old.
    """
    if not settings.STRIPE_WEBHOOK_SECRETS:
        return HttpResponse("STRIPE_WEBHOOK_SECRETS is not set.", status=503, content_type="text/plain")
    if int(request.META.get("CONTENT_LENGTH") or 0) > MOST_BYTES:
        return HttpResponse("That is too long.", status=413, content_type="text/plain")
    try:
        gateway_events.receive(body=request.body, signature=request.headers.get("Stripe-Signature", ""))
    except Forged as refusal:
        log.warning("webhook_refused", code=refusal.code)
        return HttpResponse(refusal.detail, status=400, content_type="text/plain")
    return HttpResponse("Thank you.", content_type="text/plain")
