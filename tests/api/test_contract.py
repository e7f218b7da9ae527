"""The API as a whole: its document is valid, nothing that one can send makes it fail, and strangers learn nothing."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import schemathesis
from django.db import transaction
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, settings
from openapi_spec_validator import validate
from schemathesis import Case
from schemathesis.generation.hypothesis.builder import HypothesisTestConfig, HypothesisTestMode, create_test
from schemathesis.generation.meta import CoveragePhaseData

from gtm.shared import keys
from gtm.shared.webhooks import endpoints
from tests import world
from tests.billing import makers

DOCUMENT: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
SCHEMA = schemathesis.openapi.from_dict(json.loads(json.dumps(DOCUMENT, default=str)))
OPERATIONS = [
    (method, path) for path, methods in DOCUMENT["paths"].items() for method in methods if method != "parameters"
]
PROMISED = [
    "test_clocks",
    "test_clocks/{id}",
    "test_clocks/{id}/advance",
    "customers",
    "customers/{id}",
    "customers/{id}/payment_methods",
    "customers/{id}/entitlements",
    "customers/{id}/usage",
    "customers/{id}/consumption",
    "plans",
    "plans/{id}",
    "prices",
    "prices/{id}",
    "features",
    "features/{id}",
    "meters",
    "meters/{id}",
    "tax_rates",
    "checkout_sessions",
    "checkout_sessions/{id}",
    "coupons",
    "coupons/{id}",
    "coupons/{id}/archive",
    "subscriptions/{id}/discounts",
    "subscriptions",
    "subscriptions/{id}",
    "subscriptions/{id}/cancellation",
    "subscriptions/{id}/change",
    "subscriptions/{id}/change/preview",
    "subscriptions/{id}/timeline",
    "mrr_movements",
    "simulations",
    "usage_events",
    "usage_events/{id}",
    "usage_events/{id}/void",
    "usage_events/{id}/amendment",
    "invoices",
    "invoices/{id}",
    "invoices/{id}/pdf",
    "invoices/{id}/xml",
    "invoices/{id}/ubl",
    "invoices/{id}/lines/{line}/usage",
    "invoices/{id}/finalization",
    "invoices/{id}/void",
    "invoices/{id}/payment",
    "invoices/{id}/collection",
    "invoices/{id}/write_off",
    "credit_notes",
    "credit_notes/{id}",
    "credit_notes/{id}/pdf",
    "credit_notes/{id}/xml",
    "credit_notes/{id}/ubl",
    "payments",
    "refunds",
    "refunds/{id}",
    "disputes",
    "disputes/{id}",
    "balance_entries",
    "payments/{id}/receipt",
    "leads",
    "leads/{id}",
    "leads/{id}/transition",
    "leads/{id}/acceptance",
    "leads/{id}/rejection",
    "accounts",
    "accounts/{id}",
    "accounts/{id}/routing",
    "accounts/{id}/timeline",
    "accounts/{id}/domains",
    "accounts/{id}/domains/{domain}",
    "accounts/{id}/merge",
    "accounts/{id}/merge/preview",
    "contacts",
    "contacts/{id}",
    "suggestions",
    "suggestions/{id}/dismissal",
    "stages",
    "stages/{id}",
    "opportunities",
    "opportunities/{id}",
    "opportunities/{id}/history",
    "alerts",
    "alerts/{id}",
    "alerts/{id}/transition",
    "tasks",
    "tasks/{id}",
    "tasks/{id}/transition",
    "notes",
    "notes/{id}",
    "calls",
    "calls/{id}",
    "emails",
    "emails/{id}",
    "events",
    "events/{id}",
    "webhook_endpoints",
    "webhook_endpoints/{id}",
    "webhook_endpoints/{id}/secret_rotation",
    "webhook_endpoints/{id}/replay",
    "webhook_endpoints/{id}/ping",
    "webhook_deliveries",
    "webhook_deliveries/{id}",
    "webhook_deliveries/{id}/redelivery",
    "users",
    "signals",
    "trigger_rules",
]


class TestDocument:
    def test_it_is_valid(self) -> None:
        validate(json.loads(json.dumps(DOCUMENT, default=str)))

    @pytest.mark.parametrize("path", PROMISED)
    def test_it_has_what_integrators_were_promised(self, path: str) -> None:
        assert f"/api/v1/{path}" in DOCUMENT["paths"]

    @pytest.mark.parametrize(("method", "path"), OPERATIONS)
    def test_every_operation_says_what_it_does(self, method: str, path: str) -> None:
        operation = DOCUMENT["paths"][path][method]
        assert operation.get("summary") or operation.get("description"), f"{method} {path} has no description"
        assert operation["tags"]

    @pytest.mark.django_db
    def test_it_is_served_to_staff_and_keys_with_a_page_to_browse(self, client: Client) -> None:
        addresses = ("/api/v1/schema/", "/api/v1/docs/")
        assert [client.get(address).status_code for address in addresses] == [401, 401]
        bearer = {"Authorization": f"Bearer {keys.issue(name='reader', scope='read')[1]}"}
        assert client.get("/api/v1/schema/", headers=bearer).status_code == 200
        client.force_login(world.fay())
        assert [client.get(address).status_code for address in addresses] == [200, 200]


@pytest.fixture(scope="module")
def world_of_all(django_db_setup: None, django_db_blocker: Any) -> Iterator[str]:
    """A little of everything to find, made once, around what each test does and takes back."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield _made()
        transaction.set_rollback(True)


@pytest.fixture
def key(world_of_all: str, db: None) -> str:
    """A key of the installation."""
    return world_of_all


def _made() -> str:
    makers.legal_entity()
    makers.published_plan()
    endpoint, _secret = endpoints.create(at=world.JAN_1, url="https://hooks.example.com/", external_id="acme")
    endpoints.ping(endpoint=endpoint, at=world.JAN_1)
    acme = makers.customer(external_id="acme")
    makers.card(acme)
    makers.paid(makers.invoiced(acme, 1000), 1200)
    return keys.issue(name="contract", scope="write")[1]


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_nothing_makes_it_fail(method: str, path: str, key: str) -> None:
    """Requests are made up by whoever sends them: ``SCHEMA.parametrize()`` would make up all in each worker, as one
    test to xdist, which then ran a single operation. Of one fault in one place one request is enough."""
    seen: set[object] = set()

    @settings(max_examples=1, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def is_answered(case: Case) -> None:
        if (fault := what_is_tried(case)) not in seen:
            seen.add(fault)
            is_understood(send(case, key))

    operation = SCHEMA[path][method.upper()]
    generated = HypothesisTestConfig(project=SCHEMA.config, modes=list(HypothesisTestMode))
    create_test(operation=operation, test_func=is_answered, config=generated)()


def what_is_tried(case: Case) -> object:
    """The kind of request and its place in the document; each random one is its own."""
    tried = case.meta.phase.data if case.meta else None
    if not isinstance(tried, CoveragePhaseData):
        return case.id
    return tried.scenario, tried.parameter_location, tried.parameter, tried.location


def is_understood(response: Any) -> None:
    assert response.status_code < 500, response.content
    assert response.status_code != 422
    if response.status_code >= 400:
        body = response.json()
        assert body["type"] in {"validation_error", "client_error"}
        assert body["errors"]
        assert all({"code", "detail", "attr"} == set(error) for error in body["errors"])


def send(case: Case, key: str) -> Any:
    """Send a generated case through Django's own client; what breaks answers 500 and doesn't raise."""
    client = Client(raise_request_exception=False)
    query = urlencode(list((case.query or {}).items()), doseq=True)
    body = case.body if isinstance(case.body, bytes | str) else json.dumps(case.body, default=str)
    has_body = case.body is not schemathesis.core.NOT_SET
    headers = {name: str(value) for name, value in (case.headers or {}).items() if str(value).isprintable()}
    headers.pop("Authorization", None)
    return client.generic(
        case.method,
        f"{case.formatted_path}?{query}",
        data=body if has_body else "",
        content_type="application/json",
        headers=headers | {"Authorization": f"Bearer {key}"},
    )


@pytest.mark.django_db
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_strangers_learn_nothing(method: str, path: str, client: Client) -> None:
    response = client.generic(
        method.upper(), path.replace("{id}", "x").replace("{line}", "x"), data="{}", content_type="application/json"
    )
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
