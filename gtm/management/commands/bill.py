"""``manage.py bill``: run the bill run now, as beat does every minute."""

from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing import runs
from gtm.shared import db


class Command(BaseCommand):
    help = "Bill all that is due: subscriptions, drafts whose grace is over, cards not tried yet."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--at", metavar="ISO", help="bill what was due by then, such as 2026-03-01T00:00:00Z")

    def handle(self, *args: Any, **options: Any) -> None:
        now = db.now()
        at = _instant(options["at"]) if options["at"] else now
        if at > now:
            raise CommandError("A bill run is never dated ahead; to look into the future, advance a test clock.")
        run = runs.bill_due(at=at)
        self.stdout.write(f"{run.subscriptions} subscriptions, {run.invoices} invoices, {run.parked} parked.")


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"{text!r} is no instant; write it as 2026-03-01T00:00:00Z.") from error
    if at.tzinfo is None:
        raise CommandError("Give the offset too, such as 2026-03-01T00:00:00Z.")
    return at
