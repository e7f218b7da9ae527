"""The house keeps its shape: foreign keys and templates point down, like imports (which import-linter checks)."""

import re
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.db import models
from django.utils.module_loading import import_string

FLOORS = {"shared": 0, "billing": 1, "crm": 2, "signals": 3}
OURS = [model for model in apps.get_models() if model._meta.app_label in FLOORS]
TEMPLATE_FLOORS = FLOORS | {"components": 0, "account": 0, "allauth": 0, "documents": 1, "reports": 4, "help": 4}
TEMPLATES = sorted((settings.BASE_DIR / "templates").rglob("*.*"))
REFERENCE = re.compile(r"{%-?\s*(?:extends|include)\s+[\"']([^\"'#]+)")


def floor_of(template: str) -> int:
    """The floor of a template's folder; those at the top level (base, public, portal, desk) belong to everybody."""
    folder, _slash, rest = template.partition("/")
    return TEMPLATE_FLOORS.get(folder, 0) if rest else 0


@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.label)
def test_foreign_keys_point_down(model: type[models.Model]) -> None:
    for field in model._meta.get_fields():
        if isinstance(field, models.ForeignKey | models.ManyToManyField):
            target = field.related_model._meta.app_label  # type: ignore[union-attr]
            assert FLOORS.get(target, 0) <= FLOORS[model._meta.app_label], f"{field} points up"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.relative_to(settings.BASE_DIR).as_posix())
def test_templates_include_what_is_below(path: Path) -> None:
    name = path.relative_to(settings.BASE_DIR / "templates").as_posix()
    if name.startswith(("emails/", "admin/")):
        return  # written for one fact or one admin page, and included by nobody
    for used in REFERENCE.findall(path.read_text(encoding="utf-8")):
        assert floor_of(used) <= floor_of(name), f"{name} includes {used}, which stands above it"


def test_every_handler_of_the_wiring_exists() -> None:
    for fact, handlers in import_string(settings.OUTBOX_WIRING).items():
        assert re.fullmatch(r"[a-z_]+(\.[a-z_]+){1,2}", fact)
        for handler in handlers:
            assert callable(import_string(handler))


def test_every_fact_about_an_account_has_words_on_its_timeline() -> None:
    from crm.timeline import TEXTS

    named = re.compile(r'"(crm\.(?:account|alert|call|contact|email|lead|note|sla|task)\.[a-z_]+[a-z])"')
    told = {fact for path in (settings.BASE_DIR / "crm").rglob("*.py") for fact in named.findall(path.read_text())}
    assert told - TEXTS.keys() - {"crm.email.discarded"} == set()  # which nobody knew an account for


def test_every_periodic_task_exists() -> None:
    from gtm.celery import app

    app.loader.import_default_modules()
    for name, entry in settings.CELERY_BEAT_SCHEDULE.items():
        assert entry["task"] in app.tasks, name


def test_no_model_overrides_save() -> None:
    for model in OURS:
        assert "save" not in vars(model), f"{model._meta.label} overrides save()"


def test_no_tracked_file_is_a_drawer() -> None:
    names = {
        path.name for app in FLOORS for path in (settings.BASE_DIR / app.replace("shared", "gtm/shared")).rglob("*.py")
    }
    assert not names & {"utils.py", "helpers.py", "services.py", "misc.py"}
