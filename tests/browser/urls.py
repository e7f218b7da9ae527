"""All addresses, and the style page, which else is there in debug mode only."""

from django.urls import include, path

from gtm.urls import urlpatterns as everything

urlpatterns = [*everything, path("styleguide/", include("gtm.shared.styleguide"))]
