"""The back office of crm, a module for each noun."""

from crm.admin import (
    accounts,
    answers,
    desk,
    lead_forms,
    pipelines,
    policies,
    pools,
    rulesets,
    runs,
    scopes,
    teams,
    work,
)

__all__ = [
    "accounts",
    "answers",
    "desk",
    "lead_forms",
    "pipelines",
    "policies",
    "pools",
    "rulesets",
    "runs",
    "scopes",
    "teams",
    "work",
]
