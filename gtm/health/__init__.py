"""Whether all of it works: the checks of ``manage.py doctor``, the probes of a load balancer, the founders' page."""

from django.urls import path

from gtm.health import views

urlpatterns = [
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
    path("health/", views.health, name="health"),
]
