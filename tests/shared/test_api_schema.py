import pytest
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from openapi_spec_validator import validate

from tests.shared import api_world

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.shared.api_world")]


@pytest.fixture(scope="module")
def document():
    return SchemaGenerator(patterns=api_world.urlpatterns).get_schema(request=None, public=True)


def operations(document):
    return [(path, verb, operation) for path, verbs in document["paths"].items() for verb, operation in verbs.items()]


class TestDocument:
    def test_is_valid_and_made_without_a_warning(self, document, capsys):
        validate(document)
        assert "Warning" not in capsys.readouterr().err

    def test_writes_addresses_as_the_contract_does(self, document):
        assert {"/api/v1/clocks", "/api/v1/clocks/{id}", "/api/v1/clocks/{id}/charge"} <= set(document["paths"])

    def test_documents_the_errors_of_every_operation_in_one_shape(self, document):
        for path, verb, operation in operations(document):
            if path.endswith("/schema"):
                continue
            for status in ("400", "401", "403", "404", "409", "429"):
                content = operation["responses"][status]["content"]["application/json"]
                assert content["schema"] == {"$ref": "#/components/schemas/Error"}, (path, verb)
            assert "Retry-After" in operation["responses"]["429"]["headers"]

    def test_documents_both_ways_to_sign_in(self, document):
        schemes = document["components"]["securitySchemes"]
        assert schemes["ApiKey"]["scheme"] == "bearer"
        assert schemes["StaffSession"]["in"] == "cookie"
        assert document["paths"]["/api/v1/clocks"]["get"]["security"] == [{"ApiKey": []}, {"StaffSession": []}]

    def test_documents_the_headers_of_writes(self, document):
        def headers(path, verb):
            return {p["name"] for p in document["paths"][path][verb].get("parameters", []) if p["in"] == "header"}

        assert headers("/api/v1/clocks", "post") == {"Idempotency-Key"}
        assert headers("/api/v1/clocks/{id}/charge", "post") == {"Idempotency-Key", "If-Match"}
        assert headers("/api/v1/clocks/{id}", "patch") == {"If-Match"}
        assert headers("/api/v1/clocks/{id}", "get") == set()
        answers = document["paths"]["/api/v1/clocks"]["post"]["responses"]["201"]["headers"]
        assert set(answers) == {"ETag", "Idempotency-Replayed"}

    def test_documents_lists_with_their_envelope_and_filters(self, document):
        operation = document["paths"]["/api/v1/clocks"]["get"]
        names = {parameter["name"] for parameter in operation["parameters"]}
        assert names >= {"limit", "cursor", "status", "external_id", "updated_at[gte]", "created_at[lt]"}
        reference = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
        envelope = document["components"]["schemas"][reference.rsplit("/", 1)[1]]
        assert list(envelope["properties"]) == ["results", "next", "previous"]

    def test_says_that_unknown_fields_are_refused_and_how_objects_are_named(self, document):
        schemas = document["components"]["schemas"]
        assert schemas["ClockRequest"]["additionalProperties"] is False
        assert set(schemas["ClockRequest"]["properties"]) == {
            "external_id", "name", "frozen_time", "hands", "twin", "metadata",
        }  # fmt: skip
        assert "external_id" in schemas["ClockRequest"]["properties"]["twin"]["description"]
        (parameter,) = document["paths"]["/api/v1/clocks/{id}"]["get"]["parameters"]
        assert (parameter["in"], parameter["schema"]) == ("path", {"type": "string"})

    def test_is_tagged_by_resource(self, document):
        for path, _, operation in operations(document):
            assert operation["tags"] == [path.split("/")[3]]


def test_the_document_is_no_strangers_business():
    assert Client().get("/api/v1/schema/").status_code == 401
