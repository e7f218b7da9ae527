"""Bring the catalogues up to date with what the code marks, and compile them."""

from typing import Any

from django.core.management.base import BaseCommand

from gtm import catalogues


class Command(BaseCommand):
    help = (
        "Extract what customers read, update locale/*/LC_MESSAGES/django.po and compile it; say what isn't translated."
    )
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        for locale in catalogues.locales():
            missing = catalogues.untranslated(catalogues.update(locale))
            self.stdout.write(f"{locale}: {len(missing)} to translate")
            for message in missing:
                self.stdout.write(f"  {message.id!r}")
