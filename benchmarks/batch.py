"""What a batch of closes takes: time beside the floor of the limit, memory, and the loop's longest turn.

Run: ``python -m benchmarks.batch`` from the root of the repository. The server is another process on loopback
that answers each close with the documented answer. The limit is 100 requests in 3 s, a twentieth of the
published one, for 100, 500 and 1 000 closes, and 10 000 with ``--long`` (five minutes). Memory and turns of
the loop are those of 10 000 closes without a limit to wait for. Turns are counted in CPU time of the thread:
others on the machine do not count.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import re
import sys
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from threecommas_async import RateLimit, SmartTrade, ThreeCommas
from threecommas_async.models.status import Status, StatusCode

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from multiprocessing.connection import Connection

    from threecommas_async import BatchReport

SIZES: Final = (100, 500, 1000)
MANY: Final = 10_000
FIRST: Final = 5_000_000_000
LIMIT: Final = RateLimit(requests=100, period=3.0, lockout=15.0)
NEVER_REACHED: Final = RateLimit(requests=1000, period=0.001, lockout=1)
ANSWER: Final = Path(__file__).parents[1] / "tests" / "samples" / "smart_trades.close_by_market" / "201.json"


def serve(port: Connection) -> None:
    """Answer every close with the documented answer, for the id that was asked for."""
    body = re.sub(rb'("id": ?)12345678\b', rb"\g<1>@@@@@@@@@@", ANSWER.read_bytes(), count=1)
    head = f"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    answer = head.encode() + body

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                writer.write(answer.replace(b"@@@@@@@@@@", request.split(b"/", 6)[5]))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def client_of(origin: str, limit: RateLimit) -> ThreeCommas:
    """Return a client of the server."""
    return ThreeCommas("the-key", "the-secret", mode="real", base_url=origin, limits=limit)


async def close(client: ThreeCommas, count: int) -> BatchReport:
    """Close this many trades, each of another id."""
    ids = list(range(FIRST, FIRST + count))
    report = await asyncio.create_task(client.smart_trades.close_many(ids))  # Its turns alone.
    report.raise_for_failures()
    return report


async def against_the_floor(origin: str, count: int) -> None:
    """Print how long a batch takes under the limit."""
    async with client_of(origin, LIMIT) as client:
        report = await close(client, count)
    ratio = f"{report.elapsed / report.floor:.4f}" if report.floor else "-"
    print(f"{count:>6} closes: {report.elapsed:8.2f} s, floor {report.floor:6.1f} s, ratio {ratio}")


async def memory(origin: str) -> None:
    """Print what a batch keeps in its report, and what it needs beside it."""
    async with client_of(origin, NEVER_REACHED) as client:
        await close(client, 100)
        ids = list(range(FIRST, FIRST + MANY))
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        report = await client.smart_trades.close_many(ids)
        gc.collect()
        after, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    print(f"{MANY:>6} closes: report {(after - before) / len(report):.0f} bytes a trade,")
    print(f"{'':>6}         beside it {(peak - after) / 1e6:.2f} MB at most")


async def turns(origin: str) -> None:
    """Print the CPU time of the longest turns of the loop: of closes, and of what costs no request."""
    trade = msgspec.json.decode(ANSWER.read_bytes(), type=SmartTrade)
    ids = range(FIRST, FIRST + MANY)
    closing = [msgspec.structs.replace(trade, id=id) for id in ids]
    held = Status(basic_type=StatusCode.WAITING_TARGETS)
    open_trades = [msgspec.structs.replace(trade, id=id, status=held) for id in ids]
    async with client_of(origin, NEVER_REACHED) as client:
        close_many = client.smart_trades.close_many
        await close(client, 100)
        for name, batch in (
            ("closes", close(client, MANY)),
            ("closes cut short by a deadline", close_many(ids, deadline=0.05)),
            ("trades that are closing already", close_many(closing)),
            ("trades in a plan", close_many(open_trades, order="loss", dry_run=True)),
        ):
            slow = ", ".join(f"{turn * 1e3:.2f}" for turn in sorted(await turns_of(batch))[-3:])
            print(f"{MANY:>6} {name}: longest turns of the loop {slow} ms")


async def turns_of(batch: Coroutine[Any, Any, BatchReport]) -> list[float]:
    """Return the CPU seconds of each turn of the loop while a batch is at work."""
    turns: list[float] = []
    run: Any = asyncio.events.Handle._run  # noqa: SLF001 - there is no other way to time a turn

    def timed(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        run(handle)
        turns.append(time.thread_time() - began)

    gc.collect()
    gc.freeze()
    asyncio.events.Handle._run = timed  # type: ignore[method-assign, assignment]  # noqa: SLF001
    try:
        await asyncio.create_task(batch)
    finally:
        asyncio.events.Handle._run = run  # type: ignore[method-assign]  # noqa: SLF001
    return turns


def main() -> None:
    """Print all of it."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    try:
        origin = f"http://127.0.0.1:{ours.recv()}/public/api"
        asyncio.run(turns(origin))
        asyncio.run(memory(origin))
        for count in (*SIZES, MANY) if "--long" in sys.argv else SIZES:
            asyncio.run(against_the_floor(origin, count))
    finally:
        server.terminate()


if __name__ == "__main__":
    main()
