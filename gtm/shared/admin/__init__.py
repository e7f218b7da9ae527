"""The back office of what all apps share: settings, people, keys, and the records of what happened."""

from gtm.shared.admin import people, records, settings

__all__ = ["people", "records", "settings"]
