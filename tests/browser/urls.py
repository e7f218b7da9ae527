"""All addresses, and what else is there by chance alone: the style page, and the page of each error."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import include, path

from gtm.urls import handler400, handler403, handler404, handler500
from gtm.urls import urlpatterns as everything

__all__ = ["handler400", "handler403", "handler404", "handler500"]


def error(request: HttpRequest, name: str) -> HttpResponse:
    return render(request, f"{name}.html")


urlpatterns = [
    *everything,
    path("styleguide/", include("gtm.shared.styleguide")),
    path("error/<str:name>/", error),
]
