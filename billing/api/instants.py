"""When something is to happen: at a named moment of the subscription, or at an instant."""

from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from gtm.shared.api import fields


@extend_schema_field({"type": "string", "description": "`period_end`, `now`, or an instant with its offset."})
class WhenField(serializers.Field):
    def to_internal_value(self, data: Any) -> str | datetime:
        if data in ("period_end", "now"):
            return str(data)
        try:
            return fields.instant(data)
        except (ValueError, OverflowError) as error:
            detail = "Write period_end, now, or an instant with its offset."
            raise serializers.ValidationError(detail, code="invalid") from error
