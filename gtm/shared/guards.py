"""Who may see a page. Strangers are sent to sign-in; whoever may not see it gets a 404, as if it weren't there."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse

from gtm.shared.models import User

View = Callable[..., HttpResponse]


def only(allowed: Callable[[User], bool]) -> Callable[[View], View]:
    """Let a view be seen by the users for whom ``allowed`` is true."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            if not allowed(request.user):
                raise Http404
            return view(request, *args, **kwargs)

        return guarded

    return decorate


staff_only = only(lambda user: bool(user.is_active and user.roles))
desk_only = only(lambda user: user.sells or user.sees_all)
founders_only = only(lambda user: user.sees_all)
