"""Where a lead came from first, and who is credited with it. Pure.

A company that has used the product before it asks is the product's lead, whatever form it asks by: marketing is not
credited for it. What a colleague took in by hand, or found by going out, is sales'. The rest is marketing's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

PRODUCT, SALES, MARKETING = "product", "sales", "marketing"
OF_SALES = ("outbound", "sales", "sdr", "rep")


@dataclass(frozen=True, slots=True)
class Touch:
    """Something by which a company came to us; ``credit`` is set for an earlier lead's, or use of the product."""

    source: str
    at: datetime
    credit: str = ""


def first(touches: Iterable[Touch], *, this: Touch) -> Touch:
    """The earliest touch that is known; at one instant the one that was known already."""
    return min([*touches, this], key=lambda touch: touch.at)


def credit(touches: Iterable[Touch], *, this: Touch, by_hand: bool) -> str:
    """Product over sales over marketing. ``by_hand``: a colleague wrote the lead down."""
    if any(touch.credit == PRODUCT and touch.at <= this.at for touch in touches):
        return PRODUCT
    return SALES if by_hand or _names_sales(this.source) else MARKETING


def _names_sales(source: str) -> bool:
    return source.lower().replace("-", "_").replace(":", "_").split("_")[0] in OF_SALES
