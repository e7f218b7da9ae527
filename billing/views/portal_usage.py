"""What a customer uses: each counted feature against its limit, its course, and the lines of invoices by their days."""

from typing import Any
from zoneinfo import ZoneInfo

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from billing.models import Customer, InvoiceLine, Member
from billing.queries import entitlements_of, line_usage, usage_courses
from billing.queries.usage_courses import Course
from billing.views import portal_parts as parts
from billing.views.portal_documents import invoice_of
from billing.views.portal_parts import member_only, page
from gtm.shared import db, ids
from gtm.shared.templatetags.tandem import day_text, quantity


@require_safe
@member_only
def usage(request: HttpRequest, member: Member) -> HttpResponse:
    customer = member.customer
    at = db.time_of(customer)
    states = entitlements_of(customer_id=customer.pk, at=at)
    courses = usage_courses.of_customer(customer, states, at=at)
    plan_url = reverse("portal_plan", args=[customer.public_id]) if member.may_buy else ""
    context = {"usage": [_course_row(customer, course) for course in courses], "plan_url": plan_url}
    return page(request, "billing/portal/usage.html", member, context)


def _course_row(customer: Customer, course: Course) -> dict[str, Any]:
    """A course with its words; what doesn't add up is drawn as a bar for each day."""
    (row,) = parts.usage_rows(customer, [course.state])
    return {
        **row,
        "feature": course.state.feature,
        "days": course.days,
        "slots": course.slots,
        "adds_up": course.adds_up,
        "values": [day.total for day in course.days] if course.adds_up else [],
        "bars": [] if course.adds_up else [(day_text(day.day), day.quantity) for day in course.days],
        "projected": course.projected,
        "ahead": _ahead(customer, course),
        "is_over": course.state.limit is not None and (course.projected or 0) > course.state.limit,
    }


def _ahead(customer: Customer, course: Course) -> str:
    """Where it leads, in words."""
    if not course.projected:
        return ""
    values = {
        "number": quantity(course.projected),
        "unit": course.state.unit,
        "day": day_text(course.reaches, customer.timezone),
    }
    if course.reaches is not None:
        return _("At this pace you reach the limit on %(day)s, and come to %(number)s %(unit)s.") % values
    return _("At this pace you come to %(number)s %(unit)s by the end of the period.") % values


@require_safe
@member_only
def line(request: HttpRequest, member: Member, invoice: str, line: str) -> HttpResponse:
    """The days that a usage line of an invoice is made of."""
    found = invoice_of(member, invoice)
    try:
        key = ids.decode(line, prefix=InvoiceLine.PREFIX)
    except ValueError as error:
        raise Http404 from error
    one = InvoiceLine.objects.filter(invoice=found, pk=key).select_related("meter", "customer").first()
    if one is None:
        raise Http404
    if one.meter_id is None:
        return redirect("portal_invoice", member.customer.public_id, invoice)
    shown = line_usage.of_line(one)
    zone = ZoneInfo(one.customer.timezone)
    context = {
        "line": one,
        "unit": shown.meter.unit,
        "total": shown.total,
        "billed": shown.billed,
        "days": [(bucket.start.astimezone(zone).date(), bucket.quantity) for bucket in shown.buckets],
        "invoice": found,
        "invoice_url": reverse("portal_invoice", args=[member.customer.public_id, found.public_id]),
    }
    return page(request, "billing/portal/line.html", member, context)
