"""Teams, and the vendor's people with theirs."""

from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from crm.models import Team, TeamMembership
from gtm.shared.api import fields
from gtm.shared.api.filters import ReferenceFilter
from gtm.shared.api.resources import ResourceSerializer, ResourceViewSet, resource_fields
from gtm.shared.api.users import UserFilter, UserSerializer, UserViewSet
from gtm.shared.models import User


class TeamSerializer(ResourceSerializer):
    """A team. A manager sees everything of the team and of those right below it."""

    parent = fields.ReferenceField(Team, read_only=True, allow_null=True)  # type: ignore[assignment]  # the API's name
    members = serializers.SerializerMethodField()
    managers = serializers.SerializerMethodField()

    class Meta:
        model = Team
        fields = resource_fields("code", "name", "parent", "members", "managers")
        read_only_fields = fields

    def get_members(self, team: Team) -> list[str]:
        return [row.user.public_id for row in team.memberships.all()]

    def get_managers(self, team: Team) -> list[str]:
        return [row.user.public_id for row in team.memberships.all() if row.is_manager]


class TeamViewSet(ResourceViewSet):
    """Who works together."""

    model = Team
    serializer_class = TeamSerializer

    def get_queryset(self) -> QuerySet[Team]:
        members = TeamMembership.objects.select_related("user").order_by("user_id")
        return Team.objects.prefetch_related(Prefetch("memberships", queryset=members))


class StaffSerializer(UserSerializer):
    teams = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = (*UserSerializer.Meta.fields, "teams")
        read_only_fields = fields

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_teams(self, user: User) -> list[str]:
        return [team.public_id for team in user.teams.all()]


class StaffFilter(UserFilter):
    team = ReferenceFilter(Team, field_name="teams")


class StaffViewSet(UserViewSet):
    """The vendor's people, with their roles and teams. Customers' members are no users of the API."""

    serializer_class = StaffSerializer
    filterset_class = StaffFilter

    def get_queryset(self) -> QuerySet[User]:
        return super().get_queryset().prefetch_related(Prefetch("teams", queryset=Team.objects.order_by("code")))
