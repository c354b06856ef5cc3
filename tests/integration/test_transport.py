"""One attempt against a bare socket: what is sent how often, and what is known afterwards."""

from __future__ import annotations

import asyncio
import gzip
import traceback
from base64 import b64encode
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests import virtual_time
from tests.fault_stage import never_accepting, until
from tests.raw_server import Act, RawServer, Received, answer, drop, raw, refused_port, reset, silence
from threecommas_async import (
    ClientStateError,
    DecodeError,
    HmacCredentials,
    NotSentError,
    OutcomeUnknownError,
    ServerError,
    ThreeCommas,
    TransportError,
)
from threecommas_async.transport import MAX_BODY, Transport, read_base_url
from threecommas_async.wire import Failure, Request, Response

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace


def request(method: str = "POST", target: str = "/public/api/v2/smart_trades") -> Request:
    return Request(method, target, b"", {"Apikey": "k", "Signature": "s"})


async def attempt(
    server: RawServer,
    method: str = "POST",
    *,
    timeout: float = 60,
    first: int = 0,
    session: aiohttp.ClientSession | None = None,
) -> Response | Failure:
    """One attempt, after `first` good ones on the same connection."""
    transport = Transport(read_base_url(server.base_url), session=session, proxy=None)
    try:
        for _ in range(first):
            assert isinstance(await transport.send(request("POST"), timeout=60), Response)
        return await transport.send(request(method), timeout=timeout)
    finally:
        await transport.close()


async def attempt_at(port: int, *, timeout: float) -> Response | Failure:
    """One attempt where no server answers."""
    transport = Transport(read_base_url(f"http://127.0.0.1:{port}"), session=None, proxy=None)
    try:
        return await transport.send(request(), timeout=timeout)
    finally:
        await transport.close()


FAULTS: dict[str, Act] = {
    "close without a word": drop,
    "reset": reset,
    "half a status line": raw(b"HTTP/1.1 20"),
    "no HTTP": raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "half the headers": raw(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "half the body": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"),
    "bad chunk": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"),
    "bad gzip": raw(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd", then_close=False
    ),
}


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PATCH"])
@pytest.mark.parametrize("first", [0, 1], ids=["fresh", "reused"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_a_request_that_was_sent_arrives_once_and_is_known_to_have_left(
    method: str, first: int, fault: Act
) -> None:
    await assert_it_left_once(method, first, fault, timeout=60)


async def test_a_request_that_meets_silence_arrives_once_and_is_known_to_have_left() -> None:
    methods = ("GET", "POST", "DELETE", "PATCH")
    await asyncio.gather(
        *(assert_it_left_once(method, first, silence, timeout=1) for method in methods for first in (0, 1))
    )


async def assert_it_left_once(method: str, first: int, fault: Act, *, timeout: float) -> None:
    async with RawServer(*[answer()] * first, fault) as server:
        outcome = await attempt(server, method, first=first, timeout=timeout)
    assert isinstance(outcome, Failure)
    assert outcome.sent
    assert not outcome.permanent
    assert len(server.received) == first + 1


async def test_a_refused_connection_is_known_not_to_have_left() -> None:
    with refused_port() as port:
        outcome = await attempt_at(port, timeout=60)
    assert isinstance(outcome, Failure)
    assert not outcome.sent
    assert f"no connection to 127.0.0.1:{port}" in outcome.reason


@virtual_time.patient
async def test_a_connection_that_is_never_accepted_times_out_unsent() -> None:
    with never_accepting() as port:
        outcome = await attempt_at(port, timeout=0.2)
    assert outcome == Failure("no complete answer within 0.2 s", sent=False, timed_out=True)


@virtual_time.patient
async def test_a_connection_takes_ten_seconds_however_much_time_there_is() -> None:
    with never_accepting() as port:
        outcome = await attempt_at(port, timeout=300)
    assert 10 <= asyncio.get_running_loop().time() < 11.1  # aiohttp rounds up to a whole second.
    assert outcome == Failure("no connection within 10 s", sent=False)


@pytest.mark.parametrize("authority", ["", "me:hunter2@"], ids=["open", "with a password"])
async def test_a_proxy_gets_the_whole_url_and_the_signature_of_the_path(authority: str) -> None:
    with refused_port() as port:
        async with (
            RawServer() as proxy,
            ThreeCommas(
                "k",
                "s",
                base_url=f"http://127.0.0.1:{port}/public/api",
                proxy=f"http://{authority}127.0.0.1:{proxy.port}",
            ) as client,
        ):
            await client.smart_trades.get(7)  # A SAFE row, and one that takes a new connection.
            await client.smart_trades.add_funds(7, units="1")
    read, write = proxy.received
    at = f"http://127.0.0.1:{port}/public/api/v2/smart_trades/7"
    assert [read.request_line, write.request_line] == [
        f"GET {at} HTTP/1.1",
        f"POST {at}/add_funds HTTP/1.1",
    ]
    for received in proxy.received:
        path = received.target.removeprefix(f"http://127.0.0.1:{port}")
        assert received.headers["signature"] == HmacCredentials("k", "s").sign(path, received.body)
        given = b64encode(authority.rstrip("@").encode()).decode()
        assert received.headers.get("proxy-authorization", "Basic ") == f"Basic {given}"


async def test_the_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with RawServer() as proxy, RawServer() as server:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with ThreeCommas("k", "s", base_url=server.base_url) as client:
            await client.smart_trades.get(7)
            await client.smart_trades.add_funds(7, units="1")
    assert proxy.received == []
    assert len(server.received) == 2


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"]
)
async def test_a_redirect_is_not_followed(status: str) -> None:
    async with RawServer() as other:
        location = f"Location: http://127.0.0.1:{other.port}/public/api/v2/smart_trades\r\n"
        async with RawServer(answer(status=status, headers=location)) as server:
            outcome = await attempt(server)
    assert isinstance(outcome, Response)
    assert outcome.status == int(status[:3])
    assert other.received == []


async def test_a_body_beyond_the_cap_is_not_kept() -> None:
    bomb = gzip.compress(b" " * (MAX_BODY * 8))
    assert len(bomb) < 100_000
    async with RawServer(answer(bomb, headers="Content-Encoding: gzip\r\n")) as server:
        outcome = await attempt(server)
    assert outcome == Failure("the answer is larger than 8388608 bytes", sent=True)


@pytest.mark.parametrize("head", [f"Content-Length: {MAX_BODY + 1}", "Transfer-Encoding: chunked"])
async def test_a_long_answer_is_not_waited_for(head: str) -> None:
    beginning = f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode()
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    async with RawServer(raw(beginning, *[chunk] * 130, then_close=False)) as server:
        outcome = await attempt(server)
    assert outcome == Failure("the answer is larger than 8388608 bytes", sent=True)


async def test_an_answer_that_nobody_asked_for_is_not_that_to_the_next_read() -> None:
    is_in = asyncio.Event()

    async def answer_twice(received: Received, writer: asyncio.StreamWriter) -> None:
        await answer(b"[1]")(received, writer)
        await is_in.wait()
        await answer(b"[]")(received, writer)

    async with RawServer(answer_twice, answer(b"{}"), answer(b"[2]")) as server:
        transport = Transport(read_base_url(server.base_url), session=None, proxy=None)
        try:
            bodies = [await transport.send(request("GET"), timeout=60)]
            is_in.set()
            # While this one is on its way, the stray answer arrives.
            bodies.append(await transport.send(request("POST"), timeout=60, new_connection=True))
            bodies.append(await transport.send(request("GET"), timeout=60))
        finally:
            await transport.close()
    assert [outcome.body for outcome in bodies if isinstance(outcome, Response)] == [b"[1]", b"{}", b"[2]"]
    assert [received.connection for received in server.received] == [0, 1, 2]


async def test_a_read_gives_up_where_each_connection_brings_what_nobody_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accepted: list[asyncio.StreamWriter] = []
    connect = aiohttp.TCPConnector.connect

    def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")

    async def connect_and_hear(
        self: aiohttp.TCPConnector,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,
    ) -> Connection:
        connection = await connect(self, req, traces, timeout)
        protocol = connection.protocol
        assert protocol is not None
        await until(lambda: protocol.should_close)
        return connection

    monkeypatch.setattr(aiohttp.TCPConnector, "connect", connect_and_hear)
    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        transport = Transport(read_base_url(f"http://127.0.0.1:{port}"), session=None, proxy=None)
        try:
            outcome = await transport.send(request("GET"), timeout=2)
        finally:
            await transport.close()
            for writer in accepted:
                writer.close()
    assert outcome == Failure("the connection broke: ServerDisconnectedError", sent=False)
    assert len(accepted) == 3


@virtual_time.patient
async def test_a_slow_drip_ends_at_the_timeout() -> None:
    async def drip(_received: object, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with RawServer(drip) as server:
        outcome = await attempt(server, timeout=0.2)
        assert asyncio.get_running_loop().time() == pytest.approx(0.2, abs=0.02)
    assert isinstance(outcome, Failure)
    assert outcome.sent


async def test_cookies_of_the_gateway_are_not_kept() -> None:
    async with RawServer(answer(headers="Set-Cookie: __cf_bm=abc; Path=/\r\n")) as server:
        # By name: aiohttp's own jar keeps no cookies of bare addresses.
        transport = Transport(read_base_url(f"http://localhost:{server.port}"), session=None, proxy=None)
        for _ in range(2):
            assert isinstance(await transport.send(request(), timeout=60), Response)
        await transport.close()
    assert "cookie" not in server.received[1].headers


async def test_connections_are_reused() -> None:
    async with RawServer() as server:
        await attempt(server, first=3)
    assert {received.connection for received in server.received} == {0}


async def test_a_new_connection_carries_one_request_and_takes_no_answer_that_was_left_behind() -> None:
    async def answer_twice(received: Received, writer: asyncio.StreamWriter, /) -> None:
        await answer()(received, writer)
        await answer(b'{"error":"a stray answer"}', status="429 Too Many Requests")(received, writer)

    async with RawServer(answer_twice, answer()) as server:
        transport = Transport(read_base_url(server.base_url), session=None, proxy=None)
        await transport.send(request(), timeout=60)
        await asyncio.sleep(0.05)
        outcomes = [await transport.send(request(), timeout=60, new_connection=True) for _ in range(2)]
        await transport.close()
    assert [outcome.status for outcome in outcomes if isinstance(outcome, Response)] == [200, 200]
    assert [received.connection for received in server.received] == [0, 1, 2]


async def test_a_borrowed_session_that_raises_for_status_changes_nothing() -> None:
    async with (
        aiohttp.ClientSession(raise_for_status=True) as session,
        RawServer(answer(b'{"error":"record_invalid"}', status="422 Unprocessable Entity")) as server,
    ):
        outcome = await attempt(server, session=session)
    assert isinstance(outcome, Response)
    assert outcome.status == 422


async def test_what_a_hook_of_a_borrowed_session_raises_is_a_failure_that_shows_no_header() -> None:
    async def explode(*_args: object) -> None:
        raise ZeroDivisionError("a hook")

    hooks = aiohttp.TraceConfig()
    hooks.on_request_end.append(explode)
    async with aiohttp.ClientSession(trace_configs=[hooks]) as session, RawServer() as server:
        outcome = await attempt(server, session=session)
    assert outcome == Failure("ZeroDivisionError inside the aiohttp session", sent=True)


async def test_closing_under_a_call_that_waits_for_a_connection_is_no_cancellation() -> None:
    async with (
        RawServer(silence) as server,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session,
    ):
        transport = Transport(read_base_url(server.base_url), session=session, proxy=None)
        tasks = [asyncio.create_task(transport.send(request(), timeout=5)) for _ in range(3)]
        await until(lambda: server.received)
        await session.close()
        outcomes = await asyncio.gather(*tasks)
    assert [isinstance(outcome, Failure) and outcome.sent for outcome in outcomes] == [True, False, False]


async def test_a_cancelled_attempt_propagates_and_closes_its_connection() -> None:
    async with RawServer(silence, answer()) as server:
        transport = Transport(read_base_url(server.base_url), session=None, proxy=None)
        task = asyncio.create_task(transport.send(request(), timeout=5))
        await until(lambda: server.received)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert isinstance(await transport.send(request(), timeout=60), Response)
        await transport.close()
    assert [received.connection for received in server.received] == [0, 1]
    # The frames of aiohttp, which hold the headers, are not reachable from the exception.
    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(caught.tb)]
    assert not [name for name in files if "aiohttp" in name]


async def test_a_borrowed_session_is_used_left_open_and_left_as_it_was() -> None:
    async with RawServer() as server, aiohttp.ClientSession(headers={"X-Mine": "1"}) as session:
        async with ThreeCommas("k", "s", base_url=server.base_url, session=session) as client:
            await client.smart_trades.get(1)
            await (await session.get(server.base_url)).read()
        assert not session.closed
        assert session.trace_configs == []
        assert server.received[0].headers["x-mine"] == "1"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_borrowed_session_tells_too_whether_a_request_left(method: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with RawServer(drop) as server:
            sent = await attempt(server, method, session=session)
        unsent = await attempt(server, method, session=session)
    assert isinstance(sent, Failure)
    assert isinstance(unsent, Failure)
    assert (sent.sent, unsent.sent) == (True, False)
    assert len(server.received) == 1


async def test_a_borrowed_session_that_was_closed_is_a_clear_error() -> None:
    session = aiohttp.ClientSession()
    await session.close()
    async with RawServer() as server:
        client = ThreeCommas("k", "s", base_url=server.base_url, session=session)
        with pytest.raises(ClientStateError, match="session"):
            await client.smart_trades.get(1)
        await client.aclose()


@pytest.mark.parametrize("fault", [*FAULTS.values(), silence], ids=[*FAULTS, "silence"])
@virtual_time.patient
async def test_a_close_that_lost_its_answer_is_sent_once_and_reported_as_unknown(fault: Act) -> None:
    async with (
        RawServer(fault) as server,
        ThreeCommas("k", "s", base_url=server.base_url, timeout=0.3) as client,
    ):
        with pytest.raises(OutcomeUnknownError):
            await client.smart_trades.close_by_market(1)
        assert len(server.received) == 1


async def test_a_truncated_answer_without_a_length_leaves_an_order_unknown() -> None:
    head = b"HTTP/1.1 201 Created\r\nConnection: close\r\n\r\n"
    async with (
        RawServer(raw(head + b'{"id":7,"sta')) as server,
        ThreeCommas("k", "s", base_url=server.base_url) as client,
    ):
        with pytest.raises(OutcomeUnknownError) as caught:
            await client.smart_trades.add_funds(1, units="1")
    assert isinstance(caught.value.__cause__, DecodeError)
    assert len(server.received) == 1


@virtual_time.patient
async def test_a_read_is_repeated_until_it_is_answered() -> None:
    async with (
        RawServer(drop, answer(b"<html>", status="502 Bad Gateway"), answer()) as server,
        ThreeCommas("k", "s", base_url=server.base_url) as client,
    ):
        assert (await client.smart_trades.get(7)).id == 7
    assert len(server.received) == 3


@virtual_time.patient
async def test_what_a_read_ends_with_when_nothing_helps() -> None:
    async with RawServer(drop) as server, ThreeCommas("k", "s", base_url=server.base_url) as client:
        with pytest.raises(TransportError) as lost:
            await client.smart_trades.get(1)
    assert type(lost.value) is TransportError
    assert len(server.received) == 3
    async with (
        RawServer(answer(b"", status="503 Unavailable")) as server,
        ThreeCommas("k", "s", base_url=server.base_url) as client,
    ):
        with pytest.raises(ServerError):
            await client.smart_trades.get(1)
    with refused_port() as port:
        async with ThreeCommas("k", "s", base_url=f"http://127.0.0.1:{port}/public/api") as client:
            with pytest.raises(NotSentError):
                await client.smart_trades.close_by_market(1)
