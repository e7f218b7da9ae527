"""The list of accounts."""

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from crm import wording
from crm.models import Account, Motion
from crm.policies import current_policy
from crm.queries import accounts as queries
from crm.queries import revenue
from crm.views import desk
from gtm.shared import db
from gtm.shared.guards import desk_only

PAGE = 50
FILTERS = ("q", "motion", "segment", "owner", "sort")


@require_safe
@desk_only
def listed(request: HttpRequest) -> HttpResponse:
    filters = {name: request.GET[name][:200].replace("\0", "") for name in FILTERS if name in request.GET}
    at = db.now()
    page = Paginator(queries.listed(desk.of(request), filters), PAGE).get_page(request.GET.get("page"))
    worth = revenue.arr_of(account_ids=[account.pk for account in page], at=at)
    segments = current_policy(at=at).segments
    context = {
        "page": page,
        "rows": [_row(account, worth.get(account.pk), segments) for account in page],
        "filters": filters,
        "filtered": any(filters.get(name) for name in FILTERS if name != "sort"),
        "motions": Motion.choices,
        "segments": [(segment["code"], segment["label"]) for segment in segments],
    }
    return desk.page(request, "crm/accounts.html", context, active="crm_accounts")


def _row(account: Account, worth: revenue.Revenue | None, segments: list[dict[str, Any]]) -> dict[str, Any]:
    domain = next(iter(account.domains.all()), None)
    return {
        "account": account,
        "url": reverse("crm_account", args=[account.public_id]),
        "domain": domain.domain if domain else "",
        "segment": wording.segment_label(segments, account.segment),
        "worth": worth,
    }
