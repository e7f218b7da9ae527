"""The back office of billing, a module for each noun."""

from billing.admin import plans

__all__ = ["plans"]
