"""The founders' back office: Unfold's site, for the roles that run the business; its pages call operations only."""

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.auth.views import LogoutView, redirect_to_login
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from unfold.sites import UnfoldAdminSite

from gtm.shared import guards
from gtm.shared.models import Role, User

View = Callable[..., HttpResponse]


def may_enter(user: User) -> bool:
    """Founders, and finance, who read everything and take the steps that concern money."""
    return bool(user.is_active and (user.is_superuser or user.has_role(Role.FOUNDER, Role.FINANCE)))


class TandemAdminSite(UnfoldAdminSite):
    enable_nav_sidebar = True

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self.disable_action("delete_selected")  # a deletion is an operation, one object at a time

    def register(
        self,
        model_or_iterable: type[Model] | Iterable[type[Model]],
        admin_class: type[ModelAdmin] | None = None,
        **options: Any,
    ) -> None:
        """Take only pages that go through operations: those that libraries bring along write tables by themselves."""
        from gtm.shared.admin_base import OperationAdmin  # it needs the site that it is registered with

        if admin_class is not None and issubclass(admin_class, OperationAdmin):
            super().register(model_or_iterable, admin_class, **options)

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_authenticated and may_enter(request.user))

    def admin_view(self, view: View, cacheable: bool = False) -> View:
        """Strangers sign in where everybody does, so that a second factor holds here too; others find nothing."""
        return guards.only(may_enter)(super().admin_view(view, cacheable))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect_to_login(request.GET.get("next") or reverse("admin:index"))
        if not may_enter(request.user):
            raise Http404
        return redirect("admin:index")

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return LogoutView.as_view(next_page="home")(request)

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseRedirect:
        return redirect("account_change_password")
