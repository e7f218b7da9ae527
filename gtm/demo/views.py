"""The demonstration's saved views: one for everybody, one of the sales team's, one that is a founder's own."""

from crm.models import SavedView, Team
from crm.policies import SALES_TEAM
from gtm.shared.models import Role, User

VIEWS = (
    ("account", "Big and unowned", "owner=none&employees_min=100&sort=-employee_count", "everybody"),
    ("opportunity", "Commit this month", "category=commit&closes_in=30", "team"),
    ("account", "Targets", "target_list=1&column=segment&column=owner&column=next_step", "own"),
)


def make() -> None:
    founder = User.objects.filter(roles__contains=[Role.FOUNDER]).order_by("pk").first()
    team = Team.objects.filter(code=SALES_TEAM).first()
    if founder is None or team is None:
        return
    for position, (entity, name, query, audience) in enumerate(VIEWS):
        SavedView.objects.get_or_create(
            owner=founder,
            entity=entity,
            name=name,
            defaults={
                "query": query,
                "audience": audience,
                "team": team if audience == SavedView.Audience.TEAM else None,
                "position": position,
            },
        )
