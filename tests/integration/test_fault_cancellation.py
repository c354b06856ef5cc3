"""Calls that are cancelled or given up, and the answers that come when nobody waits for them any more."""

from __future__ import annotations

import asyncio
import itertools
from typing import Final

import pytest

from tests.fault_server import Break, Fault, FaultServer, Handshake, Point
from tests.fault_stage import (
    ASYNCIO,
    ASYNCIO_TLS,
    CALLS,
    UVLOOP,
    UVLOOP_TLS,
    Setting,
    client_of,
    end_of,
    until,
)
from threecommas_async import OutcomeUnknownError, RateLimit, TransportError

BOTH_LOOPS: Final = pytest.mark.parametrize("setting", [ASYNCIO, UVLOOP], ids=str)
EVERYWHERE: Final = pytest.mark.parametrize("setting", [ASYNCIO, UVLOOP, ASYNCIO_TLS, UVLOOP_TLS], ids=str)

LOST: Final = Fault(carried_out=False, at=Point.NO_ANSWER, then=Break.CLOSE)
SILENT: Final = Fault(carried_out=False, at=Point.NO_ANSWER, then=Break.SILENCE)
LATE: Final = Fault(at=Point.NO_ANSWER, then=Break.LATE)


@BOTH_LOOPS
@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_is_cancelled_before_it_left_is_not_remembered(setting: Setting, name: str) -> None:
    """In the handshake, and in the queue for a permit."""

    async def main() -> None:
        async with (
            FaultServer(handshake=Handshake.SILENCE) as server,
            FaultServer() as limited,
            client_of(server.base_url) as shaking_hands,
            client_of(limited.base_url, limits=RateLimit(1, 20.0, 20.0)) as queueing,
        ):
            await queueing.smart_trades.get(8)
            tasks = [asyncio.create_task(end_of(name, client)) for client in (shaking_hands, queueing)]
            await until(lambda: server.connections)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(result) for result in results] == [asyncio.CancelledError] * 2
            assert (shaking_hands.in_flight_unknown(), queueing.in_flight_unknown()) == ((), ())
            assert (len(server.received), len(limited.received)) == (0, 1)

    setting.run(main())


@EVERYWHERE
@pytest.mark.parametrize("way", ["timed out", "cancelled"])
def test_a_late_answer_reaches_no_other_call(setting: Setting, way: str) -> None:
    async def late(name: str) -> None:
        call = CALLS[name]
        async with FaultServer(setting.tls) as server, client_of(server.base_url) as client:
            await client.smart_trades.get(8)
            server.received.clear()
            for kind in {call.kind, call.look}:
                server.plan(kind, itertools.repeat(LATE))
            if way == "timed out":
                end = await end_of(name, client.with_options(timeout=setting.patience))
                assert isinstance(end.what, TransportError)
                assert end.elapsed < setting.patience + setting.slack
            else:
                task = asyncio.create_task(end_of(name, client))
                await until(lambda: server.seen(call.kind))
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            connections = {received.connection for received in server.received}
            assert connections
            server.release.set()
            for kind in {call.kind, call.look}:
                server.plan(kind, ())
            server.received.clear()
            assert (await client.smart_trades.get(8)).id == 8
            assert (await client.smart_trades.close_by_market(8)).id == 8
            assert not connections & {received.connection for received in server.received}

    async def main() -> None:
        await asyncio.gather(*map(late, CALLS))

    setting.run(main())


@EVERYWHERE
@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_is_cancelled_after_it_left_is_remembered_if_it_is_a_write(
    setting: Setting, name: str
) -> None:
    async def main() -> None:
        call = CALLS[name]
        async with FaultServer(setting.tls) as server, client_of(server.base_url) as client:
            server.plan(call.kind, [SILENT])
            task = asyncio.create_task(end_of(name, client))
            await until(lambda: server.seen(call.kind))
            assert client.in_flight_unknown() == ()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: server.hung_up)
            unknown = client.in_flight_unknown()
        assert [type(error) for error in unknown] == [OutcomeUnknownError] * call.is_write
        assert [(error.endpoint, error.path, error.attempts) for error in unknown] == [
            (call.row, call.path, 1)
        ] * call.is_write
        assert (len(server.received), server.connections) == (1, 1)

    setting.run(main())


@pytest.mark.parametrize("name", ["set_note", "close_by_market", "create r1"])
async def test_a_write_that_is_cancelled_after_its_first_attempt_was_lost_is_remembered_once(
    name: str,
) -> None:
    call = CALLS[name]
    async with FaultServer() as server, client_of(server.base_url) as client:
        server.plan(call.kind, [LOST, SILENT])
        server.plan(call.look, [SILENT])
        task = asyncio.create_task(end_of(name, client))
        await until(lambda: len(server.received) == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [error.endpoint for error in client.in_flight_unknown()] == [call.row]


async def test_a_cancelled_write_is_remembered_until_it_is_forgotten() -> None:
    async with FaultServer() as server, client_of(server.base_url) as client:
        server.plan("add_funds", [SILENT, SILENT])
        tasks = [asyncio.create_task(client.smart_trades.add_funds(id, units="0.1")) for id in (7, 8)]
        await until(lambda: server.seen("add_funds") == 2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        first, second = client.in_flight_unknown()
        for _ in range(2):  # The second time there is nothing to forget.
            client.forget_unknown(first)
            assert client.in_flight_unknown() == (second,)
        client.forget_unknown(second)
        assert client.in_flight_unknown() == ()
