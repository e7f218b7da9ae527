"""``manage.py doctor``: is everything in order, and if not, what to do."""

import sys
from typing import Any

from django.core.management import BaseCommand

from gtm.health.checks import diagnose
from gtm.health.findings import ERROR, OK, Finding, worst

WORDS = {"ok": "ok", "warning": "warn", "error": "FAIL"}


class Command(BaseCommand):
    help = "Look at everything Tandem stands on and say, in a sentence each, whether it is in order and what to do."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        findings = diagnose(afresh=True)
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            self._tell(finding, width)
        if worst(findings) == ERROR:
            sys.exit(1)

    def _tell(self, finding: Finding, width: int) -> None:
        self.stdout.write(f"{WORDS[finding.state]:<4}  {finding.name:<{width}}  {finding.sentence}")
        if finding.state != OK:
            self.stdout.write(f"{'':<4}  {'':<{width}}  -> {finding.remedy}")
