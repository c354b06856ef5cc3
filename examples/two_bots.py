"""Two bots, each with a client of its own, share the request limit of their key through a Redis or Valkey.

Usage: ``python examples/two_bots.py`` closes trades of the embedded sandbox, with the store at ``STORE_URL``
(redis://127.0.0.1:6379 unless set). In earnest, each bot is a process, on one machine or on several, and its
client is ``ThreeCommas.from_env(limits=SharedLimiter(STORE, api_key, share=0.5))``.
"""

import asyncio
import os
from collections.abc import Iterable

from threecommas_async import ThreeCommas
from threecommas_async.limits_redis import SharedLimiter
from threecommas_async.sandbox import Sandbox

STORE = os.environ.get("STORE_URL", "redis://127.0.0.1:6379")


async def bot(name: str, client: ThreeCommas, trades: Iterable[int]) -> None:
    async with client:
        report = await client.smart_trades.close_many(trades)
    print(f"{name}: {report!r} in {report.elapsed:.1f} s")


def client_of(sandbox: Sandbox) -> ThreeCommas:
    key = sandbox.credentials()["api_key"]
    limiter = SharedLimiter(STORE, key, limit=sandbox.limit, share=0.5)  # Half of it while the store is gone.
    return ThreeCommas(**sandbox.credentials(limits=limiter))


async def demo() -> None:
    async with Sandbox(trades=150) as sandbox:
        ids = list(sandbox.exchange.trades)
        await asyncio.gather(
            bot("first", client_of(sandbox), ids[:75]), bot("second", client_of(sandbox), ids[75:])
        )
        print(f"worst window {sandbox.worst_window} of {sandbox.limit.requests}, refused {sandbox.refused}")


if __name__ == "__main__":
    asyncio.run(demo())
