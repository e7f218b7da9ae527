"""``manage.py demo``: fill an empty installation with a living company."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from gtm import demo
from gtm.shared import db


class Command(BaseCommand):
    help = "Make a living demonstration company in an empty database, by running the real engine through four months."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--if-empty", action="store_true", help="do nothing where the database is in use")

    def handle(self, *args: Any, **options: Any) -> None:
        if not demo.is_empty():
            if options["if_empty"]:
                return
            raise CommandError("The database is in use; the demonstration needs an empty one (another DATA_DIR).")
        if reason := demo.refusal():
            raise CommandError(reason)
        self.stdout.write("Making the demonstration company (some 15 seconds) …")
        began = time.monotonic()
        made = demo.load(at=db.now())
        self.stdout.write(
            f"{made.customers} customers, {made.invoices} invoices, {made.leads} leads and "
            f"{made.open_alerts} open alerts after {time.monotonic() - began:.0f} s."
        )
