"""Where a mail server passes messages on. Whoever calls proves by a signature that it is ours."""

import structlog
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from crm import inbound_mail, letters
from gtm.shared import db
from gtm.shared.errors import DomainError

log = structlog.get_logger(__name__)
MOST_BYTES = letters.MAX_BYTES + 64 * 1024  # a form around the message takes some room
FIELDS = ("message", "email", "body-mime", "rawEmail")  # as mail services call the message in their forms


@csrf_exempt
@require_POST
def receive(request: HttpRequest) -> HttpResponse:
    """A message as it is (``message/rfc822``), or in a form's field or file ``message``.

    503 while no secret is set; 413 for what is too long; 401 where the signature is missing, forged or too old; 400 for
    what can't be read. What came before, or to an address that is nobody's any more, is answered 200: a server that
    tries again would not change it.
    """
    if not settings.INBOUND_MAIL_SECRET or not settings.INBOUND_MAIL_ADDRESS:
        return _refused("not_set_up", 503)
    if int(request.META.get("CONTENT_LENGTH") or 0) > MOST_BYTES:
        return _refused("too_long", 413)
    try:
        body = request.body
    except RequestDataTooBig:
        return _refused("too_long", 413)
    envelope = request.headers.get("X-Envelope-To", "")[:2000]
    header = request.headers.get("X-Tandem-Signature", "")
    if not inbound_mail.is_genuine(header, envelope=envelope, body=body, now=db.now()):
        log.warning("inbound_mail_refused")
        return _refused("signature", 401)
    raw, named = _message(request, body)
    try:
        status, email = inbound_mail.take_in(raw=raw, envelope=envelope or named, at=db.now())
    except DomainError as error:
        return JsonResponse({"status": "refused", "code": error.code, "detail": error.detail}, status=400)
    return JsonResponse({"status": status, "id": email.public_id if email else None})


def _refused(code: str, status: int) -> HttpResponse:
    return JsonResponse({"status": "refused", "code": code}, status=status)


def _message(request: HttpRequest, body: bytes) -> tuple[bytes, str]:
    """The message, and the recipient that a form names."""
    if request.content_type != "multipart/form-data":
        return body, ""
    try:
        for name in FIELDS:
            if (file := request.FILES.get(name)) is not None:
                return file.read(), request.POST.get("recipient", "")[:2000]
            if name in request.POST:
                return request.POST[name].encode("utf-8", "surrogateescape"), request.POST.get("recipient", "")[:2000]
    except MultiPartParserError:
        return b"", ""
    return b"", ""
