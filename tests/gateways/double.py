"""Stripe for the tests, as a process of its own: localstripe, with a proxy before it that knows what it lacks.

The proxy keeps the answer to each idempotency key, cuts connections after the call has taken effect, serves objects
that localstripe doesn't have, and says what a declined charge is. It is told what to do at ``/_double/...``.
"""

import asyncio
import json
import sys
from typing import Any
from urllib.parse import parse_qsl, urlencode

import aiohttp
from aiohttp import web
from localstripe import resources
from localstripe.server import app as localstripe

resources.Store.dump_to_disk = lambda self: None
LEAST = 50  # of a charge, in minor units, as Stripe has it for the dollar
UNKNOWN_TO_LOCALSTRIPE = ("use_stripe_sdk", "usage", "created[gte]", "customer")
routes = web.RouteTableDef()


class State:
    """What the tests have told it, and what it has seen."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[str, int, bytes]] = {}
        self.calls: list[dict[str, Any]] = []
        self.cuts: dict[str, int] = {}
        self.objects: dict[str, tuple[int, Any]] = {}
        self.decline_code = ""
        self.declined: dict[str, str] = {}
        self.inbox: list[dict[str, str]] = []


state = State()


@routes.delete("/_double")
async def reset(request: web.Request) -> web.Response:
    state.__init__()  # type: ignore[misc]
    resources.store.clear()
    return web.Response()


@routes.post("/_double/cuts")
async def cut(request: web.Request) -> web.Response:
    """``{"POST /v1/payment_intents": 2}``: that many answers are lost, after the call has taken effect."""
    state.cuts |= await request.json()
    return web.Response()


@routes.post("/_double/objects")
async def keep(request: web.Request) -> web.Response:
    """``{"GET /v1/disputes/dp_1": {...}}``; with a status as ``[429, {...}]``."""
    for path, body in (await request.json()).items():
        state.objects[path] = tuple(body) if isinstance(body, list) else (200, body)
    return web.Response()


@routes.post("/_double/decline")
async def decline(request: web.Request) -> web.Response:
    state.decline_code = (await request.json())["code"]
    return web.Response()


@routes.get("/_double/behind")
async def behind(request: web.Request) -> web.Response:
    """Where a browser finds localstripe itself, with its script: it answers to pages of any origin."""
    return web.Response(text=request.app["behind"])


@routes.get("/_double/calls")
async def calls(request: web.Request) -> web.Response:
    return web.json_response(state.calls)


@routes.post("/_double/inbox")
async def receive(request: web.Request) -> web.Response:
    """Where localstripe sends its own signed events."""
    body = (await request.read()).decode()
    state.inbox.append({"body": body, "signature": request.headers["Stripe-Signature"]})
    return web.Response()


@routes.get("/_double/inbox")
async def inbox(request: web.Request) -> web.Response:
    return web.json_response(state.inbox)


@routes.route("*", "/{path:.*}")
async def pass_on(request: web.Request) -> web.StreamResponse:
    name, body = f"{request.method} {request.path}", (await request.read()).decode()
    key = request.headers.get("Idempotency-Key", "")
    state.calls.append({"call": name, "key": key, "body": body, "version": request.headers.get("Stripe-Version", "")})
    status, answer = await _answer(request, name, key, body)
    if state.cuts.get(name, 0) > 0:
        state.cuts[name] -= 1
        assert request.transport is not None
        request.transport.abort()
    return web.Response(status=status, body=answer, content_type="application/json")


async def _answer(request: web.Request, name: str, key: str, body: str) -> tuple[int, bytes]:
    if "sk_test_wrong" in request.headers.get("Authorization", ""):
        return 401, json.dumps({"error": {"message": "Invalid API Key provided"}}).encode()
    if name in state.objects:
        status, found = state.objects[name]
        return status, json.dumps(found).encode()
    if request.method == "POST" and key in state.answers:
        known, status, answer = state.answers[key]
        if known != body:
            return 400, json.dumps({"error": {"type": "idempotency_error"}}).encode()
        return status, answer
    status, answer = await _asked(request, name, body)
    if request.method == "POST" and key:
        state.answers[key] = (body, status, answer)
    return status, answer


async def _asked(request: web.Request, name: str, body: str) -> tuple[int, bytes]:
    if not request.path.startswith("/v1/"):
        return await _forward(request, request.path_qs, body, request.content_type)
    if name == "POST /v1/payment_intents" and int(dict(parse_qsl(body)).get("amount", LEAST)) < LEAST:
        error = {
            "type": "invalid_request_error",
            "code": "amount_too_small",
            "message": "Too small",
        }
        return 400, json.dumps({"error": error}).encode()
    query = parse_qsl(request.query_string)
    wanted, dropped = _understood(query)
    form = urlencode(_understood(parse_qsl(body))[0] if name == "POST /v1/payment_intents" else parse_qsl(body))
    path = f"{request.path}?{urlencode(wanted if name == 'GET /v1/payment_intents' else query)}"
    status, text = await _forward(request, path, form, "application/x-www-form-urlencoded" if form else "")
    found = json.loads(text)
    if name == "POST /v1/payment_intents" and status == 402:
        found = _refused(found, dict(parse_qsl(body)))
    if name == "GET /v1/payment_intents":
        found["data"] = [one for one in found["data"] if one["customer"] == dropped.get("customer", one["customer"])]
    return status, json.dumps(_with_decline_codes(found)).encode()


async def _forward(request: web.Request, path: str, body: str, content_type: str) -> tuple[int, bytes]:
    headers = {"Authorization": request.headers.get("Authorization", "")}
    if content_type:
        headers["Content-Type"] = content_type
    url = request.app["behind"] + path
    async with request.app["session"].request(request.method, url, data=body or None, headers=headers) as answer:
        return answer.status, await answer.read()


def _understood(pairs: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], dict[str, str]]:
    is_charge = any(name == "amount" for name, _value in pairs)
    unknown = tuple(name for name in UNKNOWN_TO_LOCALSTRIPE if not (is_charge and name == "customer"))
    return [pair for pair in pairs if pair[0] not in unknown], dict(pair for pair in pairs if pair[0] in unknown)


def _refused(found: Any, asked: dict[str, str]) -> Any:
    """A refusal as Stripe gives it: with the bank's reason and the charge."""
    attempt = asked.get("metadata[attempt]")
    ours = [one for one in resources.store.values() if getattr(one, "metadata", {}).get("attempt") == attempt]
    intent = next(one for one in ours if one.object == "payment_intent")
    if state.decline_code:
        state.declined[intent.id] = state.decline_code
    error = {"type": "card_error", "code": "card_declined", "decline_code": state.decline_code or "generic_decline"}
    return {"error": {**found["error"], **error, "payment_intent": intent._export()}}


def _with_decline_codes(found: Any) -> Any:
    for one in found.get("data", [found]) if isinstance(found.get("data", []), list) else [found]:
        if isinstance(one, dict) and one.get("id") in state.declined and one.get("last_payment_error"):
            one["last_payment_error"]["decline_code"] = state.declined[one["id"]]
    return found


async def main(port: int) -> None:
    behind = web.AppRunner(localstripe)
    await behind.setup()
    site = web.TCPSite(behind, "127.0.0.1", 0)
    await site.start()
    app = web.Application()
    app.add_routes(routes)
    app["behind"] = f"http://127.0.0.1:{behind.addresses[0][1]}"
    app["session"] = aiohttp.ClientSession()
    before = web.AppRunner(app)
    await before.setup()
    await web.TCPSite(before, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
