"""Requests that never leave: what each call ends with, and that nothing of it arrives anywhere."""

from __future__ import annotations

import asyncio
import itertools
import socket
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec.structs import replace
from tenacity.wait import wait_base

from tests.fault_server import Break, Fault, FaultServer, Handshake, Point, answers
from tests.fault_stage import (
    ASYNCIO,
    CALLS,
    UVLOOP,
    Certificate,
    End,
    Setting,
    client_of,
    end_of,
    never_accepting,
    until,
)
from threecommas_async import NotSentError, SmartTrade

if TYPE_CHECKING:
    from tenacity import RetryCallState

TIMEOUT: Final = 0.2
BOTH_LOOPS: Final = pytest.mark.parametrize("setting", [ASYNCIO, UVLOOP], ids=str)


async def all_ends(
    base_url: str, *, timeout: float = 5.0, session: aiohttp.ClientSession | None = None
) -> dict[str, End]:
    """Make each call with a client of its own, all at the same time."""

    async def end(name: str) -> End:
        async with client_of(base_url, timeout=timeout, session=session) as client:
            return await end_of(name, client)

    return dict(zip(CALLS, await asyncio.gather(*map(end, CALLS)), strict=True))


def not_sent(ends: dict[str, End], *, within: float) -> dict[str, tuple[int, bool]]:
    """Attempts and permanence, of calls that all ended so."""
    found: dict[str, tuple[int, bool]] = {}
    for name, end in ends.items():
        assert type(end.what) is NotSentError, f"{name} ended with {end.what!r}"
        assert (end.what.endpoint, end.what.path) == (CALLS[name].row, CALLS[name].path)
        assert end.elapsed < within, name
        found[name] = (end.what.attempts, end.what.permanent)
    return found


@BOTH_LOOPS
def test_a_refused_connection_is_tried_three_times_whatever_the_call(setting: Setting) -> None:
    async def main() -> None:
        async with FaultServer(listening=False) as server:
            ends = await all_ends(server.base_url)
        assert not_sent(ends, within=setting.slack) == dict.fromkeys(CALLS, (3, False))

    setting.run(main())


class _NoNames(AbstractResolver):
    """Knows no name, without asking the resolver of this machine."""

    def __init__(self, *_args: object, **_options: object) -> None:
        pass

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        raise OSError(f"{host} ({port}, {family}) is not known")

    async def close(self) -> None:
        pass


@BOTH_LOOPS
def test_a_name_that_does_not_resolve_is_tried_three_times_whatever_the_call(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiohttp.connector.DefaultResolver", _NoNames)

    async def main() -> None:
        ends = await all_ends("https://no-such-host.invalid/public/api")
        assert not_sent(ends, within=setting.slack) == dict.fromkeys(CALLS, (3, False))
        assert all("no connection to no-such-host.invalid" in str(end.what) for end in ends.values())

    setting.run(main())


class _Listen(wait_base):
    """A wait during which the server begins to listen."""

    def __init__(self, server: FaultServer) -> None:
        self._server = server

    def __call__(self, retry_state: RetryCallState) -> float:
        self._server.listen()
        return 0.001 * retry_state.attempt_number


@BOTH_LOOPS
@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_is_refused_at_first_is_sent_once(setting: Setting, name: str) -> None:
    async def main() -> None:
        async with FaultServer(listening=False) as server, client_of(server.base_url) as client:
            client._session._policy = replace(client._session._policy, wait=_Listen(server))
            end = await end_of(name, client)
        assert isinstance(end.what, SmartTrade)
        assert (server.seen(CALLS[name].kind), len(server.received)) == (1, 1)

    setting.run(main())


@BOTH_LOOPS
def test_a_connection_that_is_never_made_ends_unsent_at_the_deadline(setting: Setting) -> None:
    async def main() -> None:
        with never_accepting() as port:
            ends = await all_ends(f"http://127.0.0.1:{port}/public/api", timeout=setting.patience)
        # An attempt may take half of what is left of the deadline, and all of it where nothing can follow.
        assert not_sent(ends, within=setting.patience + setting.slack) == {
            "get": (3, False),
            "set_note": (3, False),
            "close_by_market": (3, False),
            "create r1": (3, False),
            "create": (1, False),
            "add_funds": (1, False),
        }

    setting.run(main())


@BOTH_LOOPS
def test_waiting_for_the_busy_connection_of_a_borrowed_session_ends_unsent_at_the_deadline(
    setting: Setting,
) -> None:
    async def main() -> None:
        async with (
            FaultServer() as server,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session,
        ):
            server.plan("get", [Fault(at=Point.NO_ANSWER, then=Break.SILENCE)])
            busy = asyncio.create_task(session.get(f"{server.base_url}/v2/smart_trades/8"))
            await until(lambda: server.received)
            ends = await all_ends(server.base_url, timeout=TIMEOUT, session=session)
            assert {
                permanent for _, permanent in not_sent(ends, within=TIMEOUT + setting.slack).values()
            } == {False}
            assert (len(server.received), len(server.partial), server.connections) == (1, 0, 1)
            busy.cancel()
            await asyncio.gather(busy, return_exceptions=True)

    setting.run(main())


@BOTH_LOOPS
@pytest.mark.parametrize("handshake", [Handshake.SILENCE, Handshake.CLOSE])
def test_what_is_still_shaking_hands_has_not_left(setting: Setting, handshake: Handshake) -> None:
    async def main() -> None:
        async with FaultServer(handshake=handshake) as server:
            ends = await all_ends(server.base_url, timeout=TIMEOUT)
        assert {permanent for _, permanent in not_sent(ends, within=TIMEOUT + setting.slack).values()} == {
            False
        }
        assert (server.received, server.partial) == ([], [])

    setting.run(main())


@BOTH_LOOPS
def test_a_refused_handshake_ends_every_call_at_once(setting: Setting) -> None:
    async def main() -> None:
        async with FaultServer(handshake=Handshake.ALERT) as server:
            ends = await all_ends(server.base_url)
        assert not_sent(ends, within=setting.slack) == dict.fromkeys(CALLS, (1, True))
        assert server.connections == len(CALLS)

    setting.run(main())


@BOTH_LOOPS
@pytest.mark.parametrize("fault", ["untrusted", "expired", "of another host"])
def test_a_refused_certificate_ends_every_call_at_once(setting: Setting, fault: str) -> None:
    name = "elsewhere.example" if fault == "of another host" else None
    certificate = Certificate(expired=fault == "expired", name=name)

    async def main() -> None:
        with nullcontext() if fault == "untrusted" else certificate.is_trusted():
            async with FaultServer(certificate.server) as server:
                ends = await all_ends(server.base_url)
        assert not_sent(ends, within=setting.slack) == dict.fromkeys(CALLS, (1, True))
        assert all("certificate" in str(end.what) for end in ends.values())
        assert (server.received, server.partial) == ([], [])
        # One each at most: the server counts those whose handshake it has seen to its end.
        assert server.connections <= len(CALLS)

    setting.run(main())


@BOTH_LOOPS
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent"])
def test_another_host_that_a_redirect_names_sees_nothing(setting: Setting, status: str) -> None:
    async def main() -> None:
        seen: dict[str, tuple[int, str]] = {}
        async with FaultServer() as other:
            location = f"Location: http://localhost:{other.port}/public/api/v2/smart_trades/7\r\n"
            for name, call in CALLS.items():
                async with FaultServer() as server, client_of(server.base_url) as client:
                    server.plan(call.kind, itertools.repeat(answers(b"", status, location)))
                    end = await end_of(name, client)
                seen[name] = (server.seen(call.kind), type(end.what).__name__)
        assert other.connections == 0
        assert seen == {
            "get": (3, "ServerError"),
            "set_note": (3, "OutcomeUnknownError"),
            "close_by_market": (3, "OutcomeUnknownError"),
            "create r1": (3, "OutcomeUnknownError"),
            "create": (1, "OutcomeUnknownError"),
            "add_funds": (1, "OutcomeUnknownError"),
        }

    setting.run(main())


@BOTH_LOOPS
def test_a_call_whose_deadline_passes_while_it_is_connecting_is_not_sent(setting: Setting) -> None:
    async def linger(*_args: Any) -> None:
        await asyncio.sleep(TIMEOUT * 2)

    async def main() -> None:
        hooks = aiohttp.TraceConfig()
        hooks.on_connection_create_end.append(linger)
        async with FaultServer() as server, aiohttp.ClientSession(trace_configs=[hooks]) as session:
            ends = await all_ends(server.base_url, timeout=TIMEOUT, session=session)
            assert set(not_sent(ends, within=TIMEOUT + setting.slack)) == set(CALLS)
            assert (server.received, server.partial) == ([], [])

    setting.run(main())
