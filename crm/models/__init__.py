from crm.models.accounts import Account, AccountCustomer, AccountDomain, Contact
from crm.models.activities import Alert
from crm.models.leads import Lead, LeadTransition
from crm.models.routing import (
    Engagement,
    Motion,
    MotionDecision,
    OwnerDecision,
    Pool,
    PoolMember,
    Rule,
    Ruleset,
    SegmentPolicy,
)
from crm.models.teams import Leave, Queue, Team, TeamMembership

__all__ = [
    "Account",
    "AccountCustomer",
    "AccountDomain",
    "Alert",
    "Contact",
    "Engagement",
    "Lead",
    "LeadTransition",
    "Leave",
    "Motion",
    "MotionDecision",
    "OwnerDecision",
    "Pool",
    "PoolMember",
    "Queue",
    "Rule",
    "Ruleset",
    "SegmentPolicy",
    "Team",
    "TeamMembership",
]
