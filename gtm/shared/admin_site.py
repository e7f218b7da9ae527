"""The founders' back office: Unfold's site, opened to the roles that run the business."""

from django.http import HttpRequest
from unfold.sites import UnfoldAdminSite

from gtm.shared.models import Role


class TandemAdminSite(UnfoldAdminSite):
    def has_permission(self, request: HttpRequest) -> bool:
        """Founders, and finance, whose pages are read-only where money is concerned."""
        user = request.user
        return bool(user.is_authenticated and user.is_active and (user.is_superuser or user.has_role(Role.FOUNDER, Role.FINANCE)))
