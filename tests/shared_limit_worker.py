"""One bot process of `tests/integration/test_limits_redis.py`: many tasks, and a clock that is wrong."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from contextlib import suppress

from threecommas_async.limits import RateLimit
from threecommas_async.limits_redis import SharedLimiter


async def work(limiter: SharedLimiter, port: int, until: float, jitter: random.Random) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while time.monotonic() < until:
            try:
                if jitter.random() < 0.2:
                    async with asyncio.timeout(jitter.uniform(0, 0.5)):
                        await limiter.acquire()
                else:
                    await limiter.acquire()
            except TimeoutError:
                continue
            try:
                # The way to the API: 1 to 20 ms, and in two cases of a hundred up to most of a period.
                is_straggler = jitter.random() < 0.02
                await asyncio.sleep(jitter.uniform(0.2, 1.2) if is_straggler else jitter.uniform(0.001, 0.02))
                writer.write(b"x")
                if not await reader.read(1):
                    return
            finally:
                limiter.release()
    finally:
        writer.close()


async def main(url: str, port: int, seed: int, requests: int, period: float, seconds: float) -> None:
    jitter = random.Random(seed)
    skew, clock = jitter.uniform(-1.5, 1.5), time.time
    time.time = lambda: clock() + skew
    limit = RateLimit(requests=requests, period=period, lockout=5)
    limiter = SharedLimiter(url, "the-key-of-all", limit=limit, share=0.25, reserve=0)
    until = time.monotonic() + seconds
    # Whoever still waits at the end is stopped.
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds + 0.2):
            await asyncio.gather(*(work(limiter, port, until, jitter) for _ in range(25)))
    await limiter.close()


if __name__ == "__main__":
    address, *numbers = sys.argv[1:]
    port_, seed_, requests_ = map(int, numbers[:3])
    asyncio.run(main(address, port_, seed_, requests_, float(numbers[3]), float(numbers[4])))
