"""The back office of crm, a module for each noun."""

from crm.admin import desk, policies, pools, scopes, teams

__all__ = ["desk", "policies", "pools", "scopes", "teams"]
