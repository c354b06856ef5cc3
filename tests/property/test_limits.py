"""The limiter under random calls, latencies, cancellations and pauses: on a virtual clock."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tests import virtual_time
from threecommas_async import Limiter, RateLimit

PERIOD = 60.0
MOMENT = 1e-6


@dataclass(frozen=True)
class Caller:
    """One request, and what happens to it; all in seconds."""

    at: float
    is_exit: bool
    way_in: float
    way_back: float
    gives_up_after: float | None
    answered: bool


@dataclass(frozen=True)
class Plan:
    requests: int
    reserve: int
    callers: list[Caller]
    pauses: list[tuple[float, float]]


@dataclass
class Record:
    """What happened: numbers of the callers, and instants."""

    asked: dict[int, float] = field(default_factory=dict)
    granted: list[tuple[float, int]] = field(default_factory=list)
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    ended: dict[int, float] = field(default_factory=dict)
    gave_up: set[int] = field(default_factory=set)
    free: int = 0


seconds = st.floats(0, 90, allow_nan=False).map(lambda value: round(value, 3))
latency = st.sampled_from((0.0, 0.02, 0.4, 4.0))
callers = st.builds(
    Caller,
    at=seconds,
    is_exit=st.booleans(),
    way_in=latency,
    way_back=latency,
    gives_up_after=st.none() | seconds,
    answered=st.sampled_from((True, True, True, False)),
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    requests = draw(st.integers(1, 6))
    return Plan(
        requests,
        draw(st.integers(0, requests - 1)),
        draw(st.lists(callers, min_size=1, max_size=40)),
        draw(st.lists(st.tuples(seconds, seconds.map(lambda length: length + 0.001)), max_size=2)),
    )


async def carry_out(plan: Plan) -> Record:
    limiter = Limiter(RateLimit(plan.requests, PERIOD, 300.0), reserve=plan.reserve)
    loop, record = asyncio.get_running_loop(), Record()

    async def request(number: int, caller: Caller) -> None:
        record.asked[number] = loop.time()
        await limiter.acquire(is_exit=caller.is_exit)
        record.granted.append((loop.time(), number))
        try:
            await asyncio.sleep(caller.way_in)
            record.arrivals.append((loop.time(), number))
            await asyncio.sleep(caller.way_back)
        finally:
            record.ended[number] = loop.time()
            limiter.release(answered=caller.answered)

    async def come(number: int, caller: Caller) -> None:
        # Whoever comes at the same instant comes in the order of the numbers.
        await asyncio.sleep(caller.at + number * MOMENT)
        call = asyncio.create_task(request(number, caller))
        if caller.gives_up_after is None:
            await call
            return
        await asyncio.wait([call], timeout=caller.gives_up_after)
        if not call.done():
            record.gave_up.add(number)
            del record.asked[number]
            call.cancel()
            await asyncio.wait([call])

    async def pause(at: float, length: float) -> None:
        await asyncio.sleep(at)
        limiter.pause(length)

    await asyncio.gather(
        *(come(number, caller) for number, caller in enumerate(plan.callers)),
        *(pause(at, length) for at, length in plan.pauses),
    )
    await asyncio.sleep(2 * PERIOD + max((length for _, length in plan.pauses), default=0) + 1)
    record.free = limiter.snapshot().free
    return record


@settings(max_examples=300)
@given(plans())
def test_the_limiter_keeps_its_promises(plan: Plan) -> None:
    record = virtual_time.run(carry_out(plan))
    instants = sorted(at for at, _ in record.arrivals)
    # Nobody's window holds too many: the request that is a whole limit later is a period later.
    for first, later in zip(instants, instants[plan.requests :], strict=False):
        assert later - first >= PERIOD - MOMENT
    reads = sorted(at for at, number in record.arrivals if not plan.callers[number].is_exit)
    for first, later in zip(reads, reads[plan.requests - plan.reserve :], strict=False):
        assert later - first >= PERIOD - MOMENT
    # Nobody is left behind, and nobody took a permit along.
    served = {number for _, number in record.granted}
    assert served | record.gave_up == set(range(len(plan.callers)))
    assert record.free == plan.requests
    # First come, first served.
    for is_exit in (True, False):
        order = [number for _, number in record.granted if plan.callers[number].is_exit is is_exit]
        came = sorted(order, key=lambda number: plan.callers[number].at + number * MOMENT)
        assert order == came
    # No read goes while an exit waits.
    waits = {
        number: (record.asked[number], at)
        for at, number in record.granted
        if plan.callers[number].is_exit and number in record.asked
    }
    for at, number in record.granted:
        if not plan.callers[number].is_exit:
            assert not [other for other, (asked, granted) in waits.items() if asked < at < granted - MOMENT]
    # Nothing is sent in a pause.
    for began, length in plan.pauses:
        assert not [at for at, _ in record.granted if began < at < began + length - MOMENT]
    # After it one request at a time, until one is answered.
    over = max((began + length for began, length in plan.pauses), default=math.inf)
    proofs = [end for number, end in record.ended.items() if plan.callers[number].answered and end >= over]
    probes = [number for at, number in record.granted if over <= at < min(proofs, default=math.inf)]
    for number, following in pairwise(probes):
        stale = [end for other, end in record.ended.items() if other not in probes and end >= over]
        began = next(at for at, other in record.granted if other == following)
        assert began >= min([record.ended[number], *stale]) - MOMENT


@dataclass(frozen=True)
class Moment:
    """What falls into a few turns of the loop, once permits are free that nobody has taken yet.

    Each step is a name and a number: a waiter is cancelled, a pause begins, a permit is released or the loop
    makes a turn.
    """

    requests: int
    waiters: list[bool]
    """Whether each of them is an exit."""
    steps: list[tuple[str, int]]


moments = st.builds(
    Moment,
    requests=st.integers(1, 3),
    waiters=st.lists(st.booleans(), min_size=2, max_size=5),
    steps=st.lists(
        st.tuples(
            st.sampled_from(("cancel", "cancel", "turn", "turn", "pause", "release")), st.integers(0, 4)
        ),
        max_size=10,
    ),
)


async def live_through(moment: Moment) -> int:
    """Return how many permits are free when all is over."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, virtual_time.VirtualTimeLoop)
    limiter = Limiter(RateLimit(moment.requests, PERIOD, 300.0), reserve=0)
    for _ in range(moment.requests):
        await limiter.acquire()
        limiter.release()
    held = 0

    async def wait(is_exit: bool) -> None:
        nonlocal held
        await limiter.acquire(is_exit=is_exit)
        held += 1

    waiters = [asyncio.create_task(wait(is_exit)) for is_exit in moment.waiters]
    await asyncio.sleep(1)
    loop.block(PERIOD)
    for step, number in moment.steps:
        match step:
            case "cancel":
                waiters[number % len(waiters)].cancel()
            case "pause":
                limiter.pause(PERIOD / 2 + number)
            case "release" if held:
                held -= 1
                limiter.release(answered=number > 0)
            case _:
                await asyncio.sleep(0)
    while not all(waiter.done() for waiter in waiters):
        await asyncio.sleep(PERIOD / 4)
        assert loop.time() < 20 * PERIOD, f"nobody is served any more: {waiters}"
        for _ in range(held):
            held -= 1
            limiter.release()
    for _ in range(held):
        limiter.release()
    async with asyncio.timeout(3 * PERIOD):
        await limiter.acquire()
    limiter.release()
    async with asyncio.timeout(3 * PERIOD):
        await limiter.acquire(is_exit=True)
    limiter.release()
    await asyncio.sleep(2 * PERIOD)
    return limiter.snapshot().free


@settings(max_examples=500)
@given(moments)
def test_whatever_falls_into_one_moment_leaves_nobody_waiting(moment: Moment) -> None:
    assert virtual_time.run(live_through(moment)) == moment.requests
