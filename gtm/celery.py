"""The Celery application: queues by purpose, tasks found in each app's ``tasks`` module."""

import os

from celery import Celery
from celery.signals import setup_logging
from django_structlog.celery.steps import DjangoStructLogInitStep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gtm.settings")

app = Celery("tandem")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(DjangoStructLogInitStep)


@setup_logging.connect
def configure_logging(**kwargs: object) -> None:
    """Log like the web process does; Celery would otherwise replace the configuration."""
    import logging.config

    from django.conf import settings

    logging.config.dictConfig(settings.LOGGING)
