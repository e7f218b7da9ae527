#!/usr/bin/env python
"""Tandem's commands. Without DATABASE_URL / REDIS_URL the embedded servers are found, or started for this command."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gtm.settings")
    from gtm import embedded

    with embedded.for_command(sys.argv):
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
