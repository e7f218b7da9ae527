"""The OpenAPI document: what drf-spectacular can't read from the views by itself.

Every operation documents the errors that any of them may answer with, and the headers that all writes share.
"""

from typing import Any, cast

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import build_basic_type
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from gtm.shared.api import fields, idempotency, preconditions, references
from gtm.shared.api.resources import StrictSerializer

ERRORS = {
    "400": "The input can't be used: validation, bad JSON.",
    "401": "No key, or one that is unknown or revoked.",
    "403": "The key lacks the scope for this.",
    "404": "Unknown, or not yours.",
    "409": "The state does not allow it, the version is stale, or the idempotency key is taken or still running.",
    "429": "Too many requests; `Retry-After` says for how many seconds.",
}


class ErrorDetailSerializer(serializers.Serializer):
    """One thing that went wrong. `attr` is the dotted path of the field, such as `items.0.price`."""

    code = serializers.CharField()
    detail = serializers.CharField()
    attr = serializers.CharField(allow_null=True)


class ErrorSerializer(serializers.Serializer):
    """The one shape of every error."""

    type = serializers.ChoiceField(choices=["validation_error", "client_error", "server_error"])
    errors = ErrorDetailSerializer(many=True)  # type: ignore[assignment]


class TandemSchema(AutoSchema):
    def get_override_parameters(self) -> list[Any]:
        return [*super().get_override_parameters(), *self._path_parameters(), *self._header_parameters()]

    def _path_parameters(self) -> list[OpenApiParameter]:
        model = getattr(self.view, "model", None)
        if model is None or "{id}" not in self.path:
            return []
        return [OpenApiParameter("id", str, "path", description=references.ways(model))]

    def _header_parameters(self) -> list[OpenApiParameter]:
        """Of the request and, where ``response`` names statuses, of the answer."""
        succeeded = ["200", "201"]
        parameters = []
        if self.method == "POST":
            detail = "The same key and body give the first answer again for 24 hours."
            key = {"type": "string", "minLength": 1, "maxLength": 255}
            parameters += [
                OpenApiParameter(idempotency.HEADER, key, "header", description=detail),
                OpenApiParameter(idempotency.REPLAYED, str, "header", enum=["true"], response=succeeded),
            ]
        if self.method != "GET" and "{id}" in self.path:
            detail = "Refuse the write unless the object is at this version."
            parameters.append(OpenApiParameter(preconditions.HEADER, str, "header", description=detail))
        if not self._is_list_view():
            parameters.append(OpenApiParameter("ETag", str, "header", description="The version.", response=succeeded))
        return parameters

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        bodies = cast("dict[str, Any]", super()._get_response_bodies(direction))
        for status, description in ERRORS.items():
            if status not in bodies:
                error = OpenApiResponse(ErrorSerializer, description=description)
                bodies[status] = self._get_response_for_code(error, status, ["application/json"])
        bodies["429"]["headers"] = {"Retry-After": {"schema": build_basic_type(OpenApiTypes.INT)}}
        return bodies

    def _postprocess_serializer_schema(self, schema: dict[str, Any], serializer: Any, direction: Any) -> dict[str, Any]:
        schema = super()._postprocess_serializer_schema(schema, serializer, direction)
        if direction == "request" and isinstance(serializer, StrictSerializer):
            schema["additionalProperties"] = False
        return schema


def without_trailing_slash(endpoints: list[tuple[str, str, str, Any]]) -> list[tuple[str, str, str, Any]]:
    """Preprocessing hook: addresses as the contract writes them, though a slash at the end is taken too."""
    return [(path.rstrip("/"), regex, method, callback) for path, regex, method, callback in endpoints]


class ApiKeyScheme(OpenApiAuthenticationExtension):
    target_class = "gtm.shared.api.authentication.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer <key>`"}


class StaffSessionScheme(OpenApiAuthenticationExtension):
    target_class = "gtm.shared.api.authentication.StaffSessionAuthentication"
    name = "StaffSession"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        detail = "Staff signed in to the site; writes need the CSRF token in `X-CSRFToken`."
        return {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": detail}


class RateScheme(OpenApiSerializerFieldExtension):
    target_class = fields.RateField

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        text = {"type": "string", "pattern": fields.RATE_PATTERN}
        return {"oneOf": [text, {"type": "number"}]} if direction == "request" else text


class QuantityScheme(OpenApiSerializerFieldExtension):
    target_class = fields.QuantityField

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        text = {"type": "string", "pattern": fields.RATE_PATTERN}
        return {"oneOf": [{"type": "number"}, text]} if direction == "request" else {"type": "number"}


class ReferenceScheme(OpenApiSerializerFieldExtension):
    target_class = fields.ReferenceField

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        model = self.target.model
        return {"type": "string"} | (
            {"description": references.ways(model)} if model and direction == "request" else {}
        )
