"""The back office of what all apps share: settings, people, keys, webhooks, and the records of what happened."""

from gtm.shared.admin import people, records, settings, webhooks

__all__ = ["people", "records", "settings", "webhooks"]
