"""The sandbox over HTTP: the way in, limits, faults, signatures, routes, permissions, the way back."""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import msgspec
from aiohttp import web

from threecommas_async import endpoints
from threecommas_async.endpoints import Permission
from threecommas_async.sandbox.account_calls import (
    active_entities,
    balance_shares,
    balance_table,
    get_account,
    leverage_data,
    page_of_accounts,
    rename_account,
)
from threecommas_async.sandbox.context import in_own_context
from threecommas_async.sandbox.faults import Fault, RareFault
from threecommas_async.sandbox.keys import FORM
from threecommas_async.sandbox.parameters import from_form, merged
from threecommas_async.sandbox.refusals import Refusal, not_in_plan
from threecommas_async.sandbox.routes import path_values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from threecommas_async.endpoints import Endpoint
    from threecommas_async.sandbox.exchange import Exchange
    from threecommas_async.sandbox.faults import AnyFault, Network
    from threecommas_async.sandbox.keys import Grant, KeyRing
    from threecommas_async.sandbox.window import Judgement, Window

_log = logging.getLogger("threecommas_async.sandbox")
_MODES: Final = ("real", "paper")
# Digits with a fraction or an exponent become Decimal: money never passes through a float.
_JSON: Final = msgspec.json.Decoder(float_hook=Decimal)

Ids: TypeAlias = "tuple[int, ...]"
Call: TypeAlias = "Callable[[Exchange, float, Ids, Mapping[str, object]], object]"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer before it is sent.

    Args:
        status: HTTP status.
        body: Body.
        content_type: Its type.
    """

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
        clock: Seconds on the exchange's clock.
    """

    def __init__(
        self,
        *,
        exchange: Exchange,
        keys: KeyRing,
        window: Window,
        network: Network,
        clock: Callable[[], float],
    ) -> None:
        self.requests: int = 0
        self.forced_mode: str | None = None
        self.in_flight: set[asyncio.Task[Any]] = set()
        self.late: set[asyncio.Task[None]] = set()
        self._exchange = exchange
        self._keys = keys
        self._window = window
        self._network = network
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
        judgement = self._window.judge(self._clock())
        self.requests += 1
        number, fault = self.requests, None
        try:
            body = await request.read()
        except ConnectionError:
            # The sender left in the middle of the body: nobody reads this answer.
            return web.Response(status=400)
        if judgement.status != 200:
            answer = self._refuse(judgement)
        else:
            fault = self._network.fault(number, request.method, request.raw_path)
            answer = self._through(fault, request, body)
            if fault in (Fault.LOST_REQUEST, Fault.LOST_ANSWER) and request.transport is not None:
                request.transport.abort()
            if fault is RareFault.SILENCE:
                await asyncio.Event().wait()
        headers = {
            # By the clock that the answer's instants are on: a client reads waits off the difference.
            "Date": format_datetime(self._exchange.epoch + timedelta(seconds=self._clock()), usegmt=True),
            "X-Request-Id": str(uuid.uuid4()),
            "X-Runtime": f"{time.perf_counter() - began:.6f}",
        }
        await asyncio.sleep(way_back)
        body, ends_early = answer.body, fault is RareFault.TRUNCATED
        if ends_early:
            headers["Content-Length"] = str(len(body))
            body = body[: len(body) // 2]
        response = web.Response(
            status=answer.status, body=body, content_type=answer.content_type, headers=headers
        )
        if ends_early:
            response.force_close()
        return response

    def _refuse(self, judgement: Judgement) -> Answer:
        until = datetime.fromtimestamp(
            math.ceil((self._exchange.epoch + timedelta(seconds=judgement.until)).timestamp()), UTC
        )
        reason = "Rate limit exceeded" if judgement.status == 429 else "IP address banned"
        return _answer(
            judgement.status, {"error": f"{reason}. Next request at {until:%Y-%m-%d %H:%M:%S} UTC"}
        )

    def _through(self, fault: AnyFault | None, request: web.BaseRequest, body: bytes) -> Answer:
        match fault:
            case Fault() if not fault.is_processed:
                return _UNKNOWN_ERROR
            case RareFault.GATEWAY_TIMEOUT:
                task = asyncio.create_task(self._process_late(request, body))
                self.late.add(task)
                task.add_done_callback(self.late.discard)
                return _gateway_page(504, "504 Gateway Time-out")
            case _:
                answer = self._process(request, body)
        match fault:
            case Fault():
                return _gateway_page(502, "502 Bad Gateway")
            case RareFault.EMPTY:
                return Answer(answer.status, b"")
            case _:
                return answer

    async def _process_late(self, request: web.BaseRequest, body: bytes) -> None:
        await asyncio.sleep(self._network.late)
        self._process(request, body)

    def _process(self, request: web.BaseRequest, body: bytes) -> Answer:
        try:
            entity = self._call(request, body)
            return _answer(201 if request.method == "POST" else 200, entity)
        except Refusal as refusal:
            return _answer(refusal.status, refusal.body())
        except Exception:  # noqa: BLE001 - a server answers whatever happens
            _log.exception("a %s request was answered with 500", request.method)
            return _UNKNOWN_ERROR

    @in_own_context
    def _call(self, request: web.BaseRequest, body: bytes) -> object:
        path, _, query = request.raw_path.partition("?")
        route = _route(request.method, path)
        if route is None or route[0].is_signed:
            grant = self._authenticate(request, body)
            request_type = "read" if request.method == "GET" else "write"
            if route is not None and request_type not in grant.plan_allows:
                raise not_in_plan(request_type)
            if route is not None and route[0].permission not in {Permission.NONE, *grant.permissions}:
                raise Refusal(403, "access_denied", "Api key not authorized for this action")
        if route is None:
            raise Refusal(404, "not_found", "Not Found")
        _, call, ids = route
        self._note_mode(request)
        parameters = merged(_read_body(body, request.content_type), from_form(query))
        return call(self._exchange, self._clock(), ids, parameters)

    def _authenticate(self, request: web.BaseRequest, body: bytes) -> Grant:
        api_key, signature = request.headers.get("Apikey", ""), request.headers.get("Signature", "")
        if not self._keys.verifies(api_key, signature, request.raw_path, body, request.content_type):
            raise Refusal(401, "signature_invalid", "Provided signature is invalid")
        return self._keys.grant(api_key)

    def _note_mode(self, request: web.BaseRequest) -> None:
        mode = request.headers.get("Forced-Mode")
        if mode is not None and mode not in _MODES:
            raise Refusal(400, "Wrong param(s)", "Forced-Mode must be real or paper")
        self.forced_mode = mode


def _answer(status: int, body: object) -> Answer:
    return Answer(status, msgspec.json.encode(body))


def _gateway_page(status: int, text: str) -> Answer:
    page = f"<html><head><title>{text}</title></head><body>{text}</body></html>"
    return Answer(status, page.encode(), "text/html")


_UNKNOWN_ERROR: Final = _answer(500, {"error": "unknown_error", "error_description": "Internal server error"})


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


_CALLS: Final[Mapping[Endpoint[Any], Call]] = {
    endpoints.LIST_SMART_TRADES: lambda exchange, now, _, sent: exchange.page(now, sent),
    endpoints.GET_SMART_TRADE: lambda exchange, now, ids, _: exchange.get(now, *ids),
    endpoints.CREATE_SMART_TRADE: lambda exchange, now, _, sent: exchange.create(now, sent),
    endpoints.UPDATE_SMART_TRADE: lambda exchange, now, ids, sent: exchange.update(now, ids[0], sent),
    endpoints.CANCEL_SMART_TRADE: lambda exchange, now, ids, _: exchange.cancel(now, *ids),
    endpoints.ADD_FUNDS: lambda exchange, now, ids, sent: exchange.add_funds(now, ids[0], sent),
    endpoints.REDUCE_FUNDS_INFO: lambda exchange, now, ids, _: exchange.reduce_funds_info(now, *ids),
    endpoints.REDUCE_FUNDS: lambda exchange, now, ids, sent: exchange.reduce_funds(now, ids[0], sent),
    endpoints.CLOSE_BY_MARKET: lambda exchange, now, ids, _: exchange.close_by_market(now, *ids),
    endpoints.SET_NOTE: lambda exchange, now, ids, sent: exchange.set_note(now, ids[0], sent),
    endpoints.FORCE_START: lambda exchange, now, ids, _: exchange.force_start(now, *ids),
    endpoints.FORCE_PROCESS: lambda exchange, now, ids, _: exchange.force_process(now, *ids),
    endpoints.LIST_TRADES: lambda exchange, now, ids, _: exchange.list_trades(now, *ids),
    endpoints.CLOSE_TRADE: lambda exchange, now, ids, _: exchange.close_trade(now, *ids),
    endpoints.CANCEL_TRADE: lambda exchange, now, ids, _: exchange.cancel_trade(now, *ids),
    endpoints.LIST_MARKETS: lambda exchange, _now, _ids, _sent: exchange.markets(),
    endpoints.LIST_PAIRS: lambda exchange, _now, _ids, sent: exchange.pairs(sent),
    endpoints.CURRENCY_RATES: lambda exchange, now, _, sent: exchange.rates(now, sent, leverage=False),
    endpoints.LEVERAGE_RATES: lambda exchange, now, _, sent: exchange.rates(now, sent, leverage=True),
    endpoints.LIST_ACCOUNTS: lambda exchange, now, _, sent: page_of_accounts(exchange, now, sent),
    endpoints.GET_ACCOUNT: lambda exchange, now, ids, _: get_account(exchange, now, *ids),
    endpoints.ACTIVE_ENTITIES: lambda exchange, now, ids, _: active_entities(exchange, now, *ids),
    endpoints.LEVERAGE_DATA: lambda exchange, now, ids, _: leverage_data(exchange, now, *ids),
    endpoints.PIE_CHART_DATA: lambda exchange, now, ids, _: balance_shares(exchange, now, *ids),
    endpoints.TABLE_DATA: lambda exchange, now, ids, _: balance_table(exchange, now, *ids),
    endpoints.LOAD_BALANCES: lambda exchange, now, ids, _: get_account(exchange, now, *ids),
    endpoints.RENAME_ACCOUNT: lambda exchange, now, ids, sent: rename_account(exchange, now, ids[0], sent),
}
_NUMBER: Final = re.compile(r"\d{1,18}", re.ASCII)


def _route(method: str, path: str) -> tuple[Endpoint[Any], Call, Ids] | None:
    for row, call in _CALLS.items():
        if (values := path_values(row, method, path)) is not None:
            # Ids count from 1: what is not a number is an id that nothing has.
            return row, call, tuple(int(part) if _NUMBER.fullmatch(part) else 0 for part in values)
    return None
