"""Why something was decided, in a form that can be stored, shown and compared."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Reason:
    """One step towards a decision: ``value`` of ``field``, against ``threshold``, under that version of the policy or
    rule set.
    """

    code: str
    field: str = ""
    value: str | int | None = None
    threshold: str | int | None = None
    policy_version: int | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
