"""Faults that follow one another, looks that fail, and limits, bans and budgets on the way."""

from __future__ import annotations

import asyncio
import itertools
import re
from typing import Final

import aiohttp
import pytest
from msgspec.structs import replace

from tests import virtual_time
from tests.fault_server import GOOD, Break, Fault, FaultServer, Handshake, Point, answers, kind_of
from tests.fault_stage import (
    ASYNCIO,
    ASYNCIO_TLS,
    CALLS,
    LOCKOUT,
    ORDER,
    UVLOOP,
    UVLOOP_TLS,
    End,
    Setting,
    client_of,
    end_of,
    until,
)
from threecommas_async import (
    BannedError,
    OutcomeUnknownError,
    RateLimit,
    SmartTrade,
    ThreeCommas,
    ThreeCommasError,
    TransportError,
)
from threecommas_async.transport import Transport, read_base_url
from threecommas_async.wire import Failure, Request

LATE: Final = 0.02
"""Virtual seconds by which a call may be late."""
BOTH_LOOPS: Final = pytest.mark.parametrize("setting", [ASYNCIO, UVLOOP], ids=str)
EVERYWHERE: Final = pytest.mark.parametrize("setting", [ASYNCIO, UVLOOP, ASYNCIO_TLS, UVLOOP_TLS], ids=str)
WRITES: Final = [name for name, call in CALLS.items() if call.is_write]

LOST: Final = Fault(carried_out=False, at=Point.NO_ANSWER, then=Break.CLOSE)
DONE: Final = Fault(at=Point.NO_ANSWER, then=Break.CLOSE)
SILENT: Final = Fault(carried_out=False, at=Point.NO_ANSWER, then=Break.SILENCE)
LIMITED: Final = answers(b'{"error":"Rate limit exceeded"}', "429 Too Many Requests")
REFUSED: Final = answers(b'{"error":"record_invalid"}', "422 Unprocessable Entity")
FORBIDDEN: Final = answers(b'{"error":"Forbidden"}', "403 Forbidden")
NOT_FOUND: Final = answers(b'{"error":"Not found"}', "404 Not Found")
PAGE_502: Final = answers(b"<html>Bad gateway</html>", "502 Bad Gateway")


async def ends_with(name: str, *faults: Fault, looks: int = 0) -> tuple[End, FaultServer]:
    """Make one call that meets these faults; so many reads show nothing of what was done."""
    async with FaultServer() as server, client_of(server.base_url) as client:
        server.exchange.hidden = looks
        server.plan(CALLS[name].kind, faults)
        return await end_of(name, client), server


@virtual_time.patient
async def test_a_429_that_says_when_is_waited_out_until_then() -> None:
    limited = answers(b'{"error":"limit"}', "429 Too Many Requests", "Retry-After: 1\r\n")

    async def end(name: str) -> tuple[int, int, bool, bool]:
        kind = CALLS[name].kind
        async with (
            FaultServer() as server,
            client_of(server.base_url, limits=RateLimit(10, 1.0, 30.0)) as client,
        ):
            server.plan(kind, [limited])
            end = await end_of(name, client)
        in_time = 1.0 <= end.elapsed < 1.0 + LATE
        return server.seen(kind), server.exchange.carried_out[kind], isinstance(end.what, SmartTrade), in_time

    ends = dict(zip(CALLS, await asyncio.gather(*map(end, CALLS)), strict=True))
    assert ends == {"get": (2, 0, True, True)} | dict.fromkeys(WRITES, (2, 1, True, True))


@pytest.mark.parametrize("name", CALLS)
@virtual_time.patient
async def test_a_429_without_a_time_stops_every_call_for_the_lockout(name: str) -> None:
    async with FaultServer() as server, client_of(server.base_url) as client:
        server.plan(CALLS[name].kind, [LIMITED])
        clock = asyncio.get_running_loop().time
        began = clock()
        with client.with_raw() as answered:
            task = asyncio.create_task(end_of(name, client))
            await until(lambda: answered)
        assert (await client.smart_trades.get(8)).id == 8
        assert clock() >= began + LOCKOUT
        end = await task
    assert isinstance(end.what, SmartTrade)
    assert end.elapsed >= LOCKOUT


async def test_after_a_418_nothing_is_sent() -> None:
    async with FaultServer() as server, client_of(server.base_url) as client:
        server.plan("get", [answers(b"", "418 I'm a teapot", "Retry-After: 3600\r\n")])
        ends = [(await end_of(name, client)).what for name in CALLS]
    assert [type(end) for end in ends] == [BannedError] * len(CALLS)
    assert None not in {end.until for end in ends if isinstance(end, BannedError)}
    assert len(server.received) == 1


@EVERYWHERE
def test_no_create_meets_an_idle_connection_that_the_server_is_closing(setting: Setting) -> None:
    async def main() -> None:
        number = 150 if setting.tls is None else 50
        async with FaultServer(setting.tls, stale=True) as server:
            async with client_of(server.base_url, limits=RateLimit(200, 1.0, 1.0)) as client:
                await client.smart_trades.get(7)
                ends = [await end_of("create", client) for _ in range(number)]
            assert [type(end.what) for end in ends] == [SmartTrade] * number
            assert (server.exchange.carried_out["create"], server.partial) == (number, [])

            # The same on kept connections, to see that there is a race.
            transport = Transport(read_base_url(server.base_url), session=None, proxy=None)
            request = Request("POST", "/public/api/v2/smart_trades/7/set_note", b'{"note":"x"}', {})
            kept = [await transport.send(request, timeout=2) for _ in range(number)]
            await transport.close()
        assert [isinstance(end, Failure) and end.sent for end in kept] == [False, True] * (number // 2)

    setting.run(main())


@pytest.mark.parametrize("carried_out", [True, False], ids=["carried out", "lost"])
@pytest.mark.parametrize(
    "look",
    [LOST, PAGE_502, NOT_FOUND, answers(b""), answers(b"[{}")],
    ids=["no answer", "502", "404", "no body", "truncated"],
)
@pytest.mark.parametrize("name", ["close_by_market", "create r1"])
async def test_a_write_whose_looks_fail_too_is_sent_once_and_unknown(
    name: str, look: Fault, carried_out: bool
) -> None:
    call = CALLS[name]
    async with FaultServer() as server, client_of(server.base_url) as client:
        server.plan(call.kind, [DONE if carried_out else LOST])
        server.plan(call.look, itertools.repeat(look))
        end = await end_of(name, client)
    assert type(end.what) is OutcomeUnknownError
    assert (end.what.endpoint, end.what.attempts) == (call.row, 1)
    assert server.seen(call.kind) == 1
    assert 1 <= server.seen(call.look) <= 9


@EVERYWHERE
def test_what_a_lost_answer_leads_to_on_a_borrowed_session(setting: Setting) -> None:
    async def main() -> None:
        seen: dict[str, tuple[int, int, str]] = {}
        async with aiohttp.ClientSession() as session:
            for name, call in CALLS.items():
                async with (
                    FaultServer(setting.tls) as server,
                    client_of(server.base_url, session=session) as client,
                ):
                    server.plan(call.kind, [DONE])
                    end = await end_of(name, client)
                done = server.exchange.carried_out[call.kind]
                seen[name] = (server.seen(call.kind), done, type(end.what).__name__)
        assert seen == {
            "get": (2, 0, "SmartTrade"),
            "set_note": (2, 2, "SmartTrade"),
            "close_by_market": (1, 1, "SmartTrade"),
            "create r1": (1, 1, "SmartTrade"),
            "create": (1, 1, "OutcomeUnknownError"),
            "add_funds": (1, 1, "OutcomeUnknownError"),
        }

    setting.run(main())


@BOTH_LOOPS
@pytest.mark.parametrize("handshake", [Handshake.CLOSE_AT_ONCE, Handshake.RESET_AT_ONCE])
def test_a_connection_that_ends_as_soon_as_it_is_made_leaves_writes_unknown(
    setting: Setting, handshake: Handshake
) -> None:
    async def main() -> None:
        ends: dict[str, tuple[str, int]] = {}
        for name in CALLS:
            async with FaultServer(handshake=handshake) as server, client_of(server.base_url) as client:
                end = await end_of(name, client)
            assert isinstance(end.what, TransportError)
            ends[name] = (type(end.what).__name__, end.what.attempts)
            assert (server.received, server.partial) == ([], [])
        assert ends == {
            "get": ("TransportError", 3),
            "set_note": ("OutcomeUnknownError", 3),
            "close_by_market": ("OutcomeUnknownError", 1),
            "create r1": ("OutcomeUnknownError", 1),
            "create": ("OutcomeUnknownError", 1),
            "add_funds": ("OutcomeUnknownError", 1),
        }

    setting.run(main())


@pytest.mark.parametrize("looks", [0, 1, 2])
async def test_a_trade_that_the_list_shows_late_is_found_and_not_ordered_again(looks: int) -> None:
    end, server = await ends_with("create r1", DONE, looks=looks)
    assert isinstance(end.what, SmartTrade)
    assert end.what.id == max(server.exchange.trades)
    assert (server.seen("create"), server.seen("list")) == (1, looks + 1)


@pytest.mark.parametrize(
    "last", [LOST, answers(b'[{"id":"x"}]')], ids=["is lost", "shows a trade that cannot be read"]
)
async def test_an_order_whose_last_look_fails_is_not_sent_again(last: Fault) -> None:
    async with FaultServer() as server, client_of(server.base_url) as client:
        server.plan("create", [LOST])
        server.plan("list", [GOOD, GOOD, *[last] * 9])
        end = await end_of("create r1", client)
    assert type(end.what) is OutcomeUnknownError
    assert server.seen("create") == 1


@virtual_time.patient
async def test_an_order_whose_deadline_cuts_the_looks_short_is_not_sent_again() -> None:
    async with FaultServer() as server, client_of(server.base_url) as client:
        client._session._policy = replace(client._session._policy, settle=(0.001, 0.002, 60.0))
        server.plan("create", [LOST])
        end = await end_of("create r1", client)
    assert type(end.what) is OutcomeUnknownError
    assert (server.seen("create"), server.seen("list")) == (1, 2)
    assert end.elapsed < LATE


async def test_a_look_for_a_create_reads_the_newest_trades_of_its_account_and_pair() -> None:
    _, server = await ends_with("create r1", DONE)
    order, look = server.received
    assert re.search(rb'"note":"\[ref:r1:[0-9a-f]{6}\] mine"', order.body)
    query = kind_of(look.request_line)[2]
    assert {name: query[name] for name in query if name not in {"page", "status"}} == {
        "account_id": ["1"],
        "pair": ["USDT_BTC"],
        "order_by": ["created_at"],
        "order_direction": ["DESC"],
        "per_page": ["100"],
    }


async def test_the_trade_of_another_order_with_the_same_reference_is_no_answer() -> None:
    async with FaultServer() as server, client_of(server.base_url) as client:
        other = server.exchange.add({"account_id": 1, "pair": "USDT_BTC", "note": "mine [ref:r1:0a0a0a]"})
        server.plan("create", [LOST])
        trade = await client.smart_trades.create(ORDER, reference="r1")
    assert trade.id != other["id"]
    assert (server.seen("create"), server.exchange.carried_out["create"]) == (2, 1)


async def test_two_trades_with_the_marker_leave_a_create_unknown() -> None:
    async with FaultServer() as server, client_of(server.base_url) as client:

        def twice(good: bytes) -> bytes:
            server.exchange.carry_out("create", 0, server.received[-1].body)
            return good

        server.plan("create", [Fault(answer=twice, at=Point.NO_ANSWER, then=Break.CLOSE)])
        end = await end_of("create r1", client)
    assert type(end.what) is OutcomeUnknownError
    assert (server.seen("create"), server.exchange.carried_out["create"]) == (1, 2)


@pytest.mark.parametrize(
    ("name", "looks"), [("close_by_market", 1), ("create r1", 3)], ids=["close_by_market", "create r1"]
)
async def test_a_write_that_shows_late_is_the_answer_when_its_repetition_is_refused(
    name: str, looks: int
) -> None:
    call = CALLS[name]
    end, server = await ends_with(name, DONE, REFUSED, looks=looks)
    assert isinstance(end.what, SmartTrade)
    kinds = [kind_of(received.request_line)[0] for received in server.received]
    assert kinds == [call.kind, *[call.look] * looks, call.kind, call.look]
    assert server.exchange.carried_out[call.kind] == 1


@pytest.mark.parametrize("name", ["close_by_market", "create r1"])
@pytest.mark.parametrize(("refusal", "status"), [(REFUSED, 422), (FORBIDDEN, 403), (NOT_FOUND, 404)])
async def test_a_refused_repetition_of_a_write_without_effect_is_the_refusal(
    name: str, refusal: Fault, status: int
) -> None:
    end, server = await ends_with(name, LOST, refusal)
    assert getattr(end.what, "status", None) == status
    # Before the repetition one look, or a settle time of three; after it one at once and a settle time.
    looks = {"close_by_market": 1 + 4, "create r1": 3 + 4}[name]
    assert (server.seen(CALLS[name].kind), server.seen(CALLS[name].look)) == (2, looks)


async def test_a_refused_repetition_of_a_close_is_unknown_when_the_look_fails() -> None:
    async with FaultServer() as server, client_of(server.base_url) as client:
        server.plan("close_by_market", [LOST, REFUSED])
        server.plan("get", [GOOD, *[LOST] * 12])
        end = await end_of("close_by_market", client)
    assert type(end.what) is OutcomeUnknownError
    assert server.seen("close_by_market") == 2


async def test_a_close_that_shows_only_after_its_repetition_was_refused_is_the_answer() -> None:
    end, server = await ends_with("close_by_market", DONE, looks=3)
    assert isinstance(end.what, SmartTrade)
    assert (server.seen("close_by_market"), server.seen("get")) == (2, 4)
    assert server.exchange.carried_out["close_by_market"] == 1


@pytest.mark.parametrize("name", ["set_note", "close_by_market", "create r1"])
async def test_a_write_that_was_lost_and_then_limited_is_sent_a_third_time(name: str) -> None:
    end, server = await ends_with(name, LOST, LIMITED)
    assert isinstance(end.what, SmartTrade)
    kind = CALLS[name].kind
    assert (server.seen(kind), server.exchange.carried_out[kind]) == (3, 1)


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        ([DONE, REFUSED], OutcomeUnknownError),
        ([DONE, LIMITED, LIMITED], OutcomeUnknownError),
        ([DONE, PAGE_502, PAGE_502], OutcomeUnknownError),
    ],
    ids=["refused", "limited", "502"],
)
async def test_what_an_idempotent_write_ends_with_after_it_was_lost(
    faults: list[Fault], error: type[ThreeCommasError]
) -> None:
    end, server = await ends_with("set_note", *faults)
    assert type(end.what) is error
    assert server.seen("set_note") == len(faults)


@pytest.mark.parametrize("name", CALLS)
async def test_a_server_that_is_gone_after_a_request_leaves_a_write_unknown(name: str) -> None:
    async with FaultServer() as server, client_of(server.base_url) as client:

        def go(good: bytes) -> bytes:
            server.stop_listening()
            return good

        server.plan(CALLS[name].kind, [Fault(answer=go, at=Point.NO_ANSWER, then=Break.RESET)])
        end = await end_of(name, client)
    assert type(end.what) is (OutcomeUnknownError if CALLS[name].is_write else TransportError)
    assert len(server.received) == 1


@pytest.mark.parametrize("name", ["create", "add_funds"])
async def test_an_order_that_was_limited_and_then_lost_is_unknown_at_once(name: str) -> None:
    end, server = await ends_with(name, LIMITED, LOST)
    assert type(end.what) is OutcomeUnknownError
    assert end.what.attempts == 2
    assert server.seen(CALLS[name].kind) == 2


@virtual_time.patient
async def test_an_order_is_given_the_whole_deadline_and_a_close_half_of_it() -> None:
    elapsed: dict[str, float] = {}
    for name in ("create", "close_by_market"):
        async with FaultServer() as server, client_of(server.base_url, timeout=0.4) as client:
            server.plan(CALLS[name].kind, [SILENT])
            elapsed[name] = (await end_of(name, client)).elapsed
    assert 0.39 <= elapsed["create"] < 0.4 + LATE
    assert 0.19 <= elapsed["close_by_market"] < 0.39


async def test_a_client_has_ten_retries_and_a_tenth_for_each_success() -> None:
    async def fail(times: int, client: ThreeCommas, server: FaultServer) -> int:
        server.received.clear()
        server.plan("get", itertools.repeat(LOST))
        for _ in range(times):
            assert isinstance((await end_of("get", client)).what, TransportError)
        server.plan("get", ())
        return server.seen("get")

    async with FaultServer() as server, client_of(server.base_url) as client:
        assert await fail(7, client, server) == 7 + 10
        for _ in range(11):
            await client.smart_trades.get(7)
        assert await fail(1, client, server) == 1 + 1
