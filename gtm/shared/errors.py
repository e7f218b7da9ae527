"""What can go wrong in an expected way. Every error carries its HTTP status and a code that integrators may rely on.

DomainError
├── Invalid     400  the input cannot be used; ``attr`` names the field
│   └── Incomplete   several fields at once, each a part of its own
├── Forbidden   403  the caller may not do this
├── NotFound    404  unknown, or not the caller's
└── Conflict    409  the state does not allow it (now)
"""

from collections.abc import Sequence


class DomainError(Exception):
    """An anticipated refusal: nothing was written, and ``detail`` may be shown to the caller."""

    status = 400
    code = "error"

    def __init__(self, detail: str, *, code: str | None = None, attr: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.attr = attr


class Invalid(DomainError):
    status = 400
    code = "invalid"


class Incomplete(Invalid):
    """Several things are wrong or missing; ``parts`` tells each, so that nobody has to find them one after another."""

    code = "incomplete"

    def __init__(self, parts: Sequence[Invalid]) -> None:
        super().__init__(" ".join(part.detail for part in parts))
        self.parts = tuple(parts)


class Forbidden(DomainError):
    status = 403
    code = "permission_denied"


class NotFound(DomainError):
    status = 404
    code = "not_found"


class Conflict(DomainError):
    status = 409
    code = "conflict"
