"""All addresses in one place."""

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import include, path, re_path
from django.views.i18n import set_language
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from billing.models import Customer
from gtm import help as manual
from gtm import sign_up
from gtm.shared.api.errors import api_not_found, bad_request, page_not_found, permission_denied, server_error


def home(request: HttpRequest) -> HttpResponse:
    """Everybody's first page: the desk, the back office, the portal, or the prices."""
    user = request.user
    if not user.is_authenticated:
        return redirect("pricing")
    if user.sells:
        return redirect("today")
    if user.sees_all:
        return redirect("admin:index")
    customer = Customer.objects.of_member(user).order_by("-created_at").first()
    return redirect("portal_overview", customer.public_id) if customer else redirect("pricing")


handler400, handler403, handler404, handler500 = bad_request, permission_denied, page_not_found, server_error

admin.autodiscover()
urlpatterns = [
    path("", home, name="home"),
    path("account/", include(sign_up.urlpatterns)),  # before allauth's own, which would say who is known
    path("account/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("help/", include(manual.urlpatterns)),
    path("language/", set_language, name="set_language"),
    path("", include("billing.urls")),
    path("", include("crm.urls")),
    path("", include("gtm.health")),
    path("api/v1/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("api/v1/", include("gtm.api")),
    re_path(r"^api/", api_not_found),
]

if settings.DEBUG:
    urlpatterns += [path("styleguide/", include("gtm.shared.styleguide"))]
