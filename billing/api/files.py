"""How the API's document describes what is no JSON."""

from drf_spectacular.types import OpenApiTypes

PDF = {(200, "application/pdf"): OpenApiTypes.BINARY}
XML = {(200, "application/xml"): OpenApiTypes.STR}
