"""What a caller may do: the key's scope, and for staff the roles that a view asks for."""

from typing import Any

from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from gtm.shared.api.authentication import Installation
from gtm.shared.models import ApiKey, User


def principal(request: Request) -> User | None:
    """The member of staff whose rows are meant; None is the installation, which sees all of them.

    Raises NotAuthenticated for anybody else, so that a view open to visitors can't show all rows by mistake.
    """
    if isinstance(request.user, User):
        return request.user
    if isinstance(request.user, Installation):
        return None
    raise NotAuthenticated


class HasScope(BasePermission):
    """Reading takes ``read`` or ``write``, writing takes ``write``, views with ``usage_scope`` take ``usage`` as well.

    A view may say that it ``only_reads`` whatever the method, and name ``write_roles``: staff without one of them
    (founders and finance aside) only read there.
    """

    code = "lacks_scope"

    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user.is_authenticated:
            return False
        reads = request.method in SAFE_METHODS or getattr(view, "only_reads", False)
        return self._scope_allows(request, view, reads=reads) and (reads or self._role_allows(request, view))

    def _scope_allows(self, request: Request, view: Any, *, reads: bool) -> bool:
        if not isinstance(request.auth, ApiKey):
            return True
        allowed = {ApiKey.Scope.WRITE} | ({ApiKey.Scope.READ} if reads else set())
        if getattr(view, "usage_scope", False):
            allowed.add(ApiKey.Scope.USAGE)
        self.message = (
            f"This key lacks scope: it has {request.auth.scope}, and this takes {' or '.join(sorted(allowed))}."
        )
        return request.auth.scope in allowed

    def _role_allows(self, request: Request, view: Any) -> bool:
        roles, user = getattr(view, "write_roles", None), principal(request)
        self.message = "Your role does not allow this."
        return roles is None or user is None or user.sees_all or user.has_role(*roles)
