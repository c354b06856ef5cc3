"""What a call costs beside one that is written by hand with aiohttp, hmac and a typed msgspec decoder.

Run: ``python benchmarks/calls.py``. The server is another process on loopback; the two sides take turns in
short rounds, each with 16 calls in flight, and the CPU time of this process is compared. The request limit is
set so that no call ever waits for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import multiprocessing
import statistics
import time
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import msgspec
from yarl import URL

from threecommas_async import RateLimit, SmartTrade, ThreeCommas

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from multiprocessing.connection import Connection

ROUNDS = 80
CALLS = 320
CONCURRENCY = 16
TRADE = 12345678  # The one of the documented answer.
KEY, SECRET = "the-key", "the-secret"
ANSWER = Path(__file__).parents[1] / "tests" / "samples" / "smart_trades.close_by_market" / "201.json"
NEVER_REACHED = RateLimit(requests=1000, period=0.001, lockout=1)


def serve(port: Connection) -> None:
    """Answer every request with the documented answer of a close."""
    body = ANSWER.read_bytes()
    head = f"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    answer = head.encode() + body

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


async def by_hand(session: aiohttp.ClientSession, origin: str, id: int) -> SmartTrade:
    """Close a trade with nothing but the libraries."""
    path = f"/public/api/v2/smart_trades/{id}/close_by_market"
    signature = hmac.new(SECRET.encode(), path.encode(), hashlib.sha256).hexdigest()
    headers = {"Apikey": KEY, "Signature": signature, "Forced-Mode": "real"}
    async with session.post(
        URL(origin + path, encoded=True), headers=headers, allow_redirects=False
    ) as response:
        body = await response.read()
        response.raise_for_status()
        return DECODER.decode(body)


DECODER = msgspec.json.Decoder(SmartTrade)


async def cpu(call: Callable[[int], Awaitable[object]]) -> float:
    """Return the CPU seconds of one round."""
    ids = repeat(TRADE, CALLS)

    async def work() -> None:
        for id in ids:
            await call(id)

    began = time.process_time()
    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
    return time.process_time() - began


async def compare(origin: str) -> list[tuple[float, float]]:
    """Return the CPU seconds of both sides, round by round."""
    async with (
        aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=30)
        ) as session,
        ThreeCommas(
            KEY, SECRET, mode="real", base_url=f"{origin}/public/api", limits=NEVER_REACHED
        ) as client,
    ):

        async def floor(id: int) -> object:
            return await by_hand(session, origin, id)

        rounds = [(await cpu(floor), await cpu(client.smart_trades.close_by_market)) for _ in range(ROUNDS)]
    return rounds[ROUNDS // 10 :]


def main() -> None:
    """Print CPU per call of both sides and their ratio."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    try:
        rounds = asyncio.run(compare(f"http://127.0.0.1:{ours.recv()}"))
    finally:
        server.terminate()
    floor, client = (statistics.median(column) / CALLS * 1e6 for column in zip(*rounds, strict=True))
    ratios = sorted(mine / hand for hand, mine in rounds)
    print(f"CPU per close_by_market, {CONCURRENCY} in flight: by hand {floor:.0f} us, client {client:.0f} us")
    print(
        f"ratio {statistics.median(ratios):.3f} (median of {len(ratios)} interleaved pairs; quartiles "
        f"{ratios[len(ratios) // 4]:.3f} to {ratios[3 * len(ratios) // 4]:.3f})"
    )


if __name__ == "__main__":
    main()
