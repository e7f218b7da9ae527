from crm.models.accounts import Account, AccountCustomer, AccountDomain, Contact
from crm.models.activities import Alert
from crm.models.leads import Lead, LeadTransition
from crm.models.lists import BulkJob, BulkRow, Entity, ImportJob, ImportMapping, ImportRow, SavedView, SavedViewRow
from crm.models.opportunities import Confirmation, Opportunity, OpportunityEvent, Risk, Stakeholder
from crm.models.pipelines import Category, LossReason, LostCategory, Pipeline, Stage, StageRequirement
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
    "BulkJob",
    "BulkRow",
    "Category",
    "Confirmation",
    "Contact",
    "Engagement",
    "Entity",
    "ImportJob",
    "ImportMapping",
    "ImportRow",
    "Lead",
    "LeadTransition",
    "Leave",
    "LossReason",
    "LostCategory",
    "Motion",
    "MotionDecision",
    "Opportunity",
    "OpportunityEvent",
    "OwnerDecision",
    "Pipeline",
    "Pool",
    "PoolMember",
    "Queue",
    "Risk",
    "Rule",
    "Ruleset",
    "SavedView",
    "SavedViewRow",
    "SegmentPolicy",
    "Stage",
    "StageRequirement",
    "Stakeholder",
    "Team",
    "TeamMembership",
]
