"""With what somebody comes to a checkout: by the words of a link, or by a session that an integrator has begun."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from django.http import HttpRequest

from billing import checkout_sessions, returns
from billing.forms import MAX_QUANTITY
from billing.models import Checkout, Customer, PlanVersion, Price
from billing.queries import shop
from gtm.shared import db, links
from gtm.shared.models import Vendor


@dataclass(frozen=True)
class Arrival:
    """What is wished for. Only a session's word on who the customer is counts; a link's may be anybody's."""

    checkout_id: UUID | None = None
    session: Checkout | None = None
    token: str = ""
    interval: str = ""
    quantity: int = 1
    currency: str = ""
    coupon: str = ""
    email: str = ""
    external_id: str = ""
    return_url: str = ""
    add_ons: Mapping[str, int] = field(default_factory=dict)

    @property
    def customer(self) -> Customer | None:
        """Whom the integrator has named; nobody where the visitor signs up or in."""
        return self.session.customer if self.session and not self.session.user_id else None


def of_request(request: HttpRequest, version: PlanVersion, vendor: Vendor) -> Arrival:
    """Raises LinkInvalid and LinkExpired for a session's link."""
    if token := request.GET.get("session", ""):
        return _of_session(token, version)
    asked = request.GET
    price = _price(version, asked.get("price", ""))
    return_url = asked.get("return_url", "")[:2000]
    return Arrival(
        checkout_id=key(asked.get("resume", "")),
        interval=price.interval if price else asked.get("interval", ""),
        quantity=quantity(asked.get("quantity", "")),
        currency=price.currency if price else asked.get("currency", "").upper(),
        coupon=asked.get("coupon", "")[:60],
        email=asked.get("email", "")[:254],
        external_id=asked.get("external_id", "").replace("\0", "")[:200],
        return_url=return_url if returns.is_allowed(return_url, vendor.return_hosts) else "",
    )


def _of_session(token: str, version: PlanVersion) -> Arrival:
    at = db.now()
    found = checkout_sessions.read(token, at=at)
    if found.plan_version.plan_id != version.plan_id:
        raise links.LinkInvalid
    if found.expires_at is not None and found.expires_at <= at and found.status != Checkout.Status.COMPLETED:
        raise links.LinkExpired(found.pk)
    return Arrival(
        checkout_id=found.pk,
        session=found,
        token=token,
        interval=found.detail["interval"],
        quantity=found.quantity,
        currency=found.price.currency,
        coupon=found.detail.get("coupon", ""),
        email=found.email,
        external_id=found.external_id,
        return_url=found.return_url,
        add_ons=found.detail.get("add_ons", {}),
    )


def _price(version: PlanVersion, named: str) -> Price | None:
    """The published price of that code or id; none where the plan has no such one (any more)."""
    prices = [price for code in shop.currencies(version) for price in shop.published(version, code)]
    return next((price for price in prices if named in (price.code, price.public_id)), None) if named else None


def key(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def quantity(text: str) -> int:
    """As many as were asked for, within bounds; 1 for what is no number."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_QUANTITY))
    return min(max(int(text), 1), MAX_QUANTITY) if is_number else 1
