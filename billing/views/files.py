"""Documents as files to look at or to take along."""

from django.http import HttpResponse

from billing.models import Document


def pdf(document: Document, *, to_keep: bool = False) -> HttpResponse:
    """A rendered document; shown by the browser, unless it is asked for ``to_keep``."""
    return _file(bytes(document.content), "application/pdf", document.filename, to_keep=to_keep)


def xml(content: bytes, name: str) -> HttpResponse:
    """An e-invoice, which browsers have nothing to show of."""
    return _file(content, "application/xml", name, to_keep=True)


def _file(content: bytes, kind: str, name: str, *, to_keep: bool) -> HttpResponse:
    disposition = f'{"attachment" if to_keep else "inline"}; filename="{name}"'
    return HttpResponse(content, content_type=kind, headers={"Content-Disposition": disposition})
