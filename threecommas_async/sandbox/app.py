"""The sandbox over HTTP: the way in, limits, faults, signatures, routes, permissions, the way back."""

from __future__ import annotations

import asyncio
import math
import re
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from threecommas_async.endpoints import BASE_URL, TABLE, Permission
from threecommas_async.sandbox.faults import Fault
from threecommas_async.sandbox.keys import FORM
from threecommas_async.sandbox.parameters import from_form, merged
from threecommas_async.sandbox.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from threecommas_async.endpoints import Endpoint
    from threecommas_async.sandbox.exchange import Exchange
    from threecommas_async.sandbox.faults import Network
    from threecommas_async.sandbox.keys import KeyRing
    from threecommas_async.sandbox.window import Verdict, Window

BASE_PATH: Final = urlsplit(BASE_URL).path
"""Path of the base URL, the same as the real one's: it is part of what is signed."""

_GATEWAY_PAGE: Final = b"<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"
_MODES: Final = ("real", "paper")
# Digits with a fraction or an exponent become Decimal: money never passes through a float.
_JSON: Final = msgspec.json.Decoder(float_hook=Decimal)

Ids: TypeAlias = "tuple[int, ...]"
Call: TypeAlias = "Callable[[Exchange, float, Ids, Mapping[str, object]], object]"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer before it is sent."""

    status: int
    body: bytes
    content_type: str = "application/json"


class App:
    """Answers requests for an exchange.

    Args:
        exchange: Who carries the orders out.
        keys: Who may ask.
        window: How often.
        network: How reliably.
        permissions: What the keys are allowed to do.
        clock: Seconds on the exchange's clock.
    """

    def __init__(
        self,
        *,
        exchange: Exchange,
        keys: KeyRing,
        window: Window,
        network: Network,
        permissions: Collection[Permission],
        clock: Callable[[], float],
    ) -> None:
        self.requests = 0
        self.forced_mode: str | None = None
        self.in_flight: set[asyncio.Task[Any]] = set()
        self._exchange = exchange
        self._keys = keys
        self._window = window
        self._network = network
        self._permissions = permissions
        self._clock = clock

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer a request."""
        task = asyncio.current_task()
        if task is not None:
            self.in_flight.add(task)
            task.add_done_callback(self.in_flight.discard)
        way_in, way_back = self._network.delays()
        await asyncio.sleep(way_in)
        began = time.perf_counter()
        verdict = self._window.judge(self._clock())
        self.requests += 1
        number = self.requests
        try:
            body = await request.read()
        except ConnectionError:
            # The sender left in the middle of the body: nobody reads this answer.
            return web.Response(status=400)
        if verdict.status != 200:
            answer = self._refuse(verdict)
        else:
            fault = self._network.fault(number, request.method, request.raw_path)
            answer = self._through(fault, request, body)
            if fault in (Fault.LOST_REQUEST, Fault.LOST_ANSWER) and request.transport is not None:
                request.transport.abort()
        headers = {
            "X-Request-Id": str(uuid.uuid4()),
            "X-Runtime": f"{time.perf_counter() - began:.6f}",
        }
        await asyncio.sleep(way_back)
        return web.Response(
            status=answer.status, body=answer.body, content_type=answer.content_type, headers=headers
        )

    def _refuse(self, verdict: Verdict) -> Answer:
        until = datetime.fromtimestamp(
            math.ceil((self._exchange.epoch + timedelta(seconds=verdict.until)).timestamp()), UTC
        )
        reason = "Rate limit exceeded" if verdict.status == 429 else "IP address banned"
        return _answer(verdict.status, {"error": f"{reason}. Next request at {until:%Y-%m-%d %H:%M:%S} UTC"})

    def _through(self, fault: Fault | None, request: web.BaseRequest, body: bytes) -> Answer:
        if fault is not None and not fault.is_processed:
            return _answer(500, {"error": "unknown_error", "error_description": "Internal server error"})
        answer = self._process(request, body)
        return answer if fault is None else Answer(502, _GATEWAY_PAGE, "text/html")

    def _process(self, request: web.BaseRequest, body: bytes) -> Answer:
        try:
            entity = self._call(request, body)
        except Refusal as refusal:
            return _answer(refusal.status, refusal.body())
        return _answer(201 if request.method == "POST" else 200, entity)

    def _call(self, request: web.BaseRequest, body: bytes) -> object:
        self._authenticate(request, body)
        path, _, query = request.raw_path.partition("?")
        row, call, ids = _route(request.method, path)
        if row.permission not in {Permission.NONE, *self._permissions}:
            raise Refusal(403, "access_denied", "Api key not authorized for this action")
        self._note_mode(request)
        parameters = merged(_read_body(body, request.content_type), from_form(query))
        return call(self._exchange, self._clock(), ids, parameters)

    def _authenticate(self, request: web.BaseRequest, body: bytes) -> None:
        if not self._keys.verifies(
            request.headers.get("Apikey", ""),
            request.headers.get("Signature", ""),
            request.raw_path,
            body,
            request.content_type,
        ):
            raise Refusal(401, "signature_invalid", "Provided signature is invalid")

    def _note_mode(self, request: web.BaseRequest) -> None:
        mode = request.headers.get("Forced-Mode")
        if mode is not None and mode not in _MODES:
            raise Refusal(400, "Wrong param(s)", "Forced-Mode must be real or paper")
        self.forced_mode = mode


def _answer(status: int, body: object) -> Answer:
    return Answer(status, msgspec.json.encode(body))


def _read_body(body: bytes, content_type: str) -> dict[str, object]:
    if not body:
        return {}
    try:
        if content_type == FORM:
            return from_form(body.decode())
        values: object = _JSON.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise Refusal(400, "bad_request", "The body is not a JSON object")
    return cast("dict[str, object]", values)


_TRADES: Final = "/v2/smart_trades"
# By method and path template, the names of its ids left out.
_CALLS: Final[dict[tuple[str, str], Call]] = {
    ("GET", _TRADES): lambda exchange, now, _, parameters: exchange.page(now, parameters),
    ("GET", f"{_TRADES}/{{}}"): lambda exchange, now, ids, _: exchange.get(now, *ids),
    ("POST", _TRADES): lambda exchange, now, _, parameters: exchange.create(now, parameters),
    ("DELETE", f"{_TRADES}/{{}}"): lambda exchange, now, ids, _: exchange.cancel(now, *ids),
    ("POST", f"{_TRADES}/{{}}/close_by_market"): lambda exchange, now, ids, _: exchange.close_by_market(
        now, *ids
    ),
    ("POST", f"{_TRADES}/{{}}/force_start"): lambda exchange, now, ids, _: exchange.force_start(now, *ids),
    ("POST", f"{_TRADES}/{{}}/trades/{{}}/close_by_market"): lambda exchange, now, ids, _: (
        exchange.close_trade(now, *ids)
    ),
}
_NUMBER: Final = re.compile(r"\d{1,18}", re.ASCII)
_ID: Final = re.compile(r"\{\w+\}")
_ROUTES: Final = tuple(
    (row, call, re.compile(BASE_PATH + _ID.sub("([^/]+)", row.path)))
    for row in TABLE
    if (call := _CALLS.get((row.method, _ID.sub("{}", row.path)))) is not None
)


def _route(method: str, path: str) -> tuple[Endpoint[Any], Call, Ids]:
    for row, call, pattern in _ROUTES:
        if row.method == method and (match := pattern.fullmatch(path)) is not None:
            # Ids count from 1: what is not a number is an id that nothing has.
            return row, call, tuple(int(part) if _NUMBER.fullmatch(part) else 0 for part in match.groups())
    raise Refusal(404, "not_found", "Not Found")
