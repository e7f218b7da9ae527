"""Whom a portal lets in: a member who has signed in, or who came from the vendor's product by a portal session."""

from uuid import UUID

from django.http import HttpRequest

from billing import portal_sessions
from billing.models import Member, PortalSession
from billing.queries import portal
from gtm.shared import db
from gtm.shared.models import User

KEY = "portal_session"


def member_of(request: HttpRequest, customer: str) -> Member | None:
    """The reader's membership of the customer of that public id. What somebody signed in for comes first."""
    if isinstance(request.user, User) and (member := portal.membership(request.user, customer)):
        return member
    opened = visit(request)
    if opened is None or opened.customer.public_id != customer:
        return None
    return portal_sessions.acting_member(opened)


def visit(request: HttpRequest) -> PortalSession | None:
    """The portal session that this browser has opened and that isn't over."""
    key = request.session.get(KEY)
    return portal_sessions.running(UUID(key), at=db.now()) if key else None
