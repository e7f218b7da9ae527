"""Make an API key from the shell; the last line printed is the key alone."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from gtm.shared import keys
from gtm.shared.errors import DomainError
from gtm.shared.models import ApiKey, User


class Command(BaseCommand):
    help = "Make an API key. It is shown once, on the last line."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True, help="what the key is for")
        parser.add_argument("--scope", choices=ApiKey.Scope.values, default=ApiKey.Scope.WRITE)
        parser.add_argument("--user", metavar="EMAIL", help="bind the key to this member of staff")

    def handle(self, *args: Any, **options: Any) -> None:
        user = self._user(options["user"]) if options["user"] else None
        try:
            key, plaintext = keys.issue(name=options["name"], scope=options["scope"], user=user)
        except DomainError as error:
            raise CommandError(error.detail) from error
        reach = f"bound to {user.email}" if user else "the installation's"
        self.stdout.write(f"{key.name}: scope {key.scope}, {reach}. Keep it safe: it is not shown again.")
        self.stdout.write(plaintext)

    def _user(self, email: str) -> User:
        user = User.objects.filter(email=email.strip().lower()).first()
        if user is None:
            raise CommandError(f"Nobody signs in as {email}.")
        return user
