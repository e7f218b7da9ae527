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
        except OverflowError as error:
            detail = f"The year must lie between {fields.FIRST_YEAR} and {fields.LAST_YEAR}."
            raise serializers.ValidationError(detail, code="out_of_range") from error
        except ValueError as error:
            detail = "Write period_end, now, or an instant with its offset."
            raise serializers.ValidationError(detail, code="invalid") from error
