from django.apps import AppConfig


class SharedConfig(AppConfig):
    name = "gtm.shared"
    label = "shared"
    verbose_name = "Settings"
