"""A lost deal is omitted from the forecast, and a won one closed: what was lost was counted as booked."""

from django.db import migrations, models
from django.db.models import Q

CHECKS = (
    ("crm_stage", "crm_stage_closed_is_won_or_lost"),
    ("crm_opportunity", "crm_opportunity_closed_when_not_open"),
)
# A table can't be altered while a check of its rows waits for the end of the transaction.
# An open stage or deal that was kept out of the forecast counts by its phase again.
FORWARD = """
UPDATE crm_stage SET category = CASE WHEN type = 'lost' THEN 'omitted' WHEN phase = 'conversation' THEN 'pipeline'
        WHEN phase = 'funded_project' THEN 'best_case' ELSE 'commit' END, version = version + 1, updated_at = now()
    WHERE type = 'lost' AND category <> 'omitted' OR type = 'open' AND category = 'omitted';
UPDATE crm_opportunity SET category = 'omitted', category_overridden = false, version = version + 1, updated_at = now()
    WHERE state = 'lost' AND category <> 'omitted';
UPDATE crm_opportunity AS deal SET category = stage.category, category_overridden = false,
        version = deal.version + 1, updated_at = now()
    FROM crm_stage AS stage WHERE stage.id = deal.stage_id AND deal.state = 'open' AND deal.category = 'omitted';
SET CONSTRAINTS ALL IMMEDIATE;
"""
BACKWARD = """
UPDATE crm_stage SET category = 'closed' WHERE type = 'lost';
UPDATE crm_opportunity SET category = 'closed' WHERE state = 'lost';
SET CONSTRAINTS ALL IMMEDIATE;
"""
STAGE = (
    Q(type="open", category__in=["pipeline", "best_case", "commit"]) & ~Q(phase="closed")
    | Q(type="won", phase="closed", category="closed", is_redlining=False)
    | Q(type="lost", phase="closed", category="omitted", is_redlining=False)
)
OPPORTUNITY = (
    Q(state="open", closed_on=None) & ~Q(category__in=["closed", "omitted"])
    | Q(state="won", closed_on__isnull=False, category="closed")
    | Q(state="lost", closed_on__isnull=False, category="omitted")
)


class Migration(migrations.Migration):
    dependencies = [("crm", "0013_stopped_jobs")]
    operations = [
        migrations.RemoveConstraint("stage", "crm_stage_closed_is_won_or_lost"),
        migrations.RemoveConstraint("opportunity", "crm_opportunity_closed_when_not_open"),
        migrations.RunSQL(FORWARD, BACKWARD),
        migrations.AddConstraint(
            "stage",
            models.CheckConstraint(
                condition=STAGE,
                name="crm_stage_closed_is_won_or_lost",
                violation_error_message="Won stages count as closed and lost ones as omitted; no other does.",
            ),
        ),
        migrations.AddConstraint(
            "opportunity",
            models.CheckConstraint(condition=OPPORTUNITY, name="crm_opportunity_closed_when_not_open"),
        ),
    ]
