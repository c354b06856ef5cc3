"""Two bots, each with a client of its own, share one request limit through a Redis or Valkey.

Without arguments it runs against the embedded sandbox, and against the store of ``STORE_URL``
(redis://127.0.0.1:6379 unless set). In earnest each bot is a process, on one machine or on several.
"""

import asyncio
import os
from typing import Any

from threecommas_async import RateLimit, ThreeCommas
from threecommas_async.limits_redis import SharedLimiter
from threecommas_async.sandbox import Sandbox


async def bot(name: str, options: dict[str, Any], limit: RateLimit, trades: list[int]) -> None:
    store = os.environ.get("STORE_URL", "redis://127.0.0.1:6379")
    limiter = SharedLimiter(store, options["api_key"], limit=limit, share=0.5)
    options = options | {"limits": limiter}
    async with ThreeCommas(**options) as client:
        report = await client.smart_trades.close_many(trades)
        print(f"{name}: {report!r} in {report.elapsed:.1f} s")
        assert report.ok


async def main() -> None:
    async with Sandbox(trades=150, time_scale=20) as sandbox:
        ids = list(sandbox.exchange.trades)
        options = sandbox.credentials()
        await asyncio.gather(
            bot("first", options, sandbox.limit, ids[:75]), bot("second", options, sandbox.limit, ids[75:])
        )
        print(f"worst window {sandbox.worst_window} of {sandbox.limit.requests}, refused {sandbox.refused}")
        assert sandbox.refused == 0


if __name__ == "__main__":
    asyncio.run(main())
