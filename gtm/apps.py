from django.apps import AppConfig


class GtmConfig(AppConfig):
    """The composition root: commands, reports, health. It has no tables."""

    name = "gtm"
    label = "gtm"
