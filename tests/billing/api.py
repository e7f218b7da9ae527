"""A caller of the API, and what its errors must look like."""

from typing import Any

from rest_framework.test import APIClient

from gtm.shared import keys
from gtm.shared.models import User

BASE = "/api/v1"


def caller(*, scope: str = "write", user: User | None = None) -> APIClient:
    """Somebody with a key."""
    _key, plaintext = keys.issue(name=scope, scope=scope, user=user)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {plaintext}")
    return client


def problem(response: Any, *, status: int) -> tuple[str, str | None]:
    """The code and the field of an error that holds exactly one, in the shape that all of them have."""
    assert response.status_code == status, (response.status_code, response.content)
    content = response.json()
    assert set(content) == {"type", "errors"}
    (error,) = content["errors"]
    assert error["detail"]
    return error["code"], error["attr"]
