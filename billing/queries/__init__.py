"""What other apps and interfaces may ask billing: set-based reads, each in a constant number of queries."""

from billing.queries.entitlements import EntitlementState, LimitState, entitlements_of, limits_of
from billing.queries.usage import Window, totals

__all__ = ["EntitlementState", "LimitState", "Window", "entitlements_of", "limits_of", "totals"]
