"""Whatever the network does to a fleet of bots: no order is made twice, and none is lost from sight."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable  # noqa: TC003 - the type of a field
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pytest
import tenacity
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.fleet import NOWHERE, PLACES, Fleet, Kind, LoopSandbox
from tests.virtual_time import PatientLoop
from threecommas_async.limits import RateLimit
from threecommas_async.retry import RetryPolicy
from threecommas_async.sandbox.faults import Fault, RareFault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.fleet import Intent, Place
    from threecommas_async.sandbox.faults import AnyFault

FAULTS: tuple[AnyFault, ...] = (*Fault, *RareFault)
ROOMY = RateLimit(requests=100_000, period=1.0, lockout=1.0)
SEEDED = ("waiting_targets", "waiting_position")
CREATES = (Kind.CREATE, Kind.CREATE_REFERENCED)
ENDS = (Kind.CLOSE, Kind.CANCEL)
CHANGES = (Kind.ADD_FUNDS, Kind.FORCE_START, Kind.SET_NOTE)


@dataclass(frozen=True)
class Course:
    """What meets the next requests, and how far a call is followed.

    Args:
        faults: What becomes of the next requests; None lets one through.
        turns: Turns of the loop for which the call is followed.
        seconds: For how long after that, from the arrival of a request; None ends it with the turns.
        is_cancelled: It is cancelled then.
    """

    faults: list[AnyFault | None]
    turns: int
    seconds: float | None
    is_cancelled: bool


numbers = st.integers(0, 20)
places = st.sampled_from([*PLACES[:3], NOWHERE])
timeouts = st.sampled_from([30.0, 30.0, 6.0, 1.0])
one_fault = st.sampled_from(FAULTS).map(lambda fault: [fault])
some_faults = st.lists(st.sampled_from([None, *FAULTS]), max_size=5)
no_looks = st.sampled_from(FAULTS).map(lambda fault: [fault, *[Fault.SERVER_ERROR] * 9])
courses = st.builds(
    Course,
    faults=st.one_of(st.just([]), one_fault, one_fault, some_faults, no_looks),
    turns=st.integers(0, 60),
    seconds=st.sampled_from([None, 0.0, 0.0, 0.3, 2.5]),
    is_cancelled=st.sampled_from([False, False, False, True]),
)


class Bots(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=PatientLoop)
        self.fleet: Fleet | None = None

    @initialize(
        budgets=st.lists(st.sampled_from([None, 1000]), min_size=2, max_size=4),
        slowest=st.sampled_from([0.0, 1.0]),
        late=st.sampled_from([3.0, 9.0]),
    )
    def begin(self, budgets: list[int | None], slowest: float, late: float) -> None:
        async def make() -> Fleet:
            sandbox = LoopSandbox(
                trades=4, statuses=SEEDED, time_scale=1.0, limit=ROOMY, latency=(0.0, slowest)
            )
            sandbox.network.late = late
            await sandbox.start()
            fleet = Fleet(sandbox)
            for budget in budgets:
                fleet.add_client(budget=budget)
            return fleet

        self.fleet = self.runner.run(make())

    @property
    def bots(self) -> Fleet:
        assert self.fleet is not None
        return self.fleet

    def follow(self, course: Course, begin: Callable[[], Intent]) -> None:
        async def main() -> None:
            if not self.bots.running:
                sandbox.network._told.clear()
            sandbox.network.next(*course.faults)
            before, intent = sandbox.requests, begin()
            for _ in range(course.turns):
                await asyncio.sleep(0)
            if course.seconds is not None:
                while sandbox.requests == before and sandbox.is_up and intent.is_running:
                    await asyncio.sleep(0.1)
                await asyncio.sleep(course.seconds)
            if course.is_cancelled:
                await self.bots.cancel(intent)

        sandbox = self.bots.sandbox
        self.runner.run(main())

    @rule(bot=numbers, place=places, timeout=timeouts, course=courses)
    def open_a_trade(self, bot: int, place: Place, timeout: float, course: Course) -> None:
        begin = partial(self.bots.begin, bot, Kind.CREATE, place=place, timeout=timeout)
        self.follow(course, begin)

    @rule(bot=numbers, place=places, timeout=timeouts, course=courses)
    def open_a_trade_with_a_reference(self, bot: int, place: Place, timeout: float, course: Course) -> None:
        begin = partial(self.bots.begin, bot, Kind.CREATE_REFERENCED, place=place, timeout=timeout)
        self.follow(course, begin)

    @rule(bot=numbers, trade=numbers, kind=st.sampled_from(ENDS), timeout=timeouts, course=courses)
    def end_a_trade(self, bot: int, trade: int, kind: Kind, timeout: float, course: Course) -> None:
        target = pick(self.bots, kind, trade)
        self.follow(course, partial(self.bots.begin, bot, kind, target=target, timeout=timeout))

    @rule(bot=numbers, trade=numbers, kind=st.sampled_from(CHANGES), timeout=timeouts, course=courses)
    def change_a_trade(self, bot: int, trade: int, kind: Kind, timeout: float, course: Course) -> None:
        target = pick(self.bots, kind, trade)
        self.follow(course, partial(self.bots.begin, bot, kind, target=target, timeout=timeout))

    @rule(call=numbers, timeout=timeouts, course=courses)
    def repeat_a_create(self, call: int, timeout: float, course: Course) -> None:
        repeatable = self.bots.repeatable
        if repeatable:
            intent = repeatable[call % len(repeatable)]
            again = partial(self.bots.join, timeout=timeout) if intent.is_running else self.bots.repeat
            self.follow(course, partial(again, intent))

    @rule(call=numbers)
    def cancel_a_call(self, call: int) -> None:
        running = self.bots.running
        if running:
            self.runner.run(self.bots.cancel(running[call % len(running)]))

    @rule(seconds=st.sampled_from([0.5, 2.0, 8.0, 40.0, 150.0]))
    def time_passes(self, seconds: float) -> None:
        self.runner.run(asyncio.sleep(seconds))

    @rule(unreliable=st.sampled_from([0.0, 0.2, 0.6]))
    def the_weather_changes(self, unreliable: float) -> None:
        self.bots.sandbox.network.unreliable = unreliable

    @rule()
    def the_server_goes_or_comes(self) -> None:
        sandbox = self.bots.sandbox
        self.runner.run(sandbox.stop() if sandbox.is_up else sandbox.start())

    @rule(bot=numbers)
    def a_bot_starts_anew(self, bot: int) -> None:
        self.runner.run(self.bots.replace_client(bot))

    @rule()
    def the_server_answers_again(self) -> None:
        self.runner.run(self.bots.settle())
        assert not self.bots.problems, "\n".join(self.bots.problems)

    @invariant()
    def no_call_is_two_orders(self) -> None:
        doubled = self.bots.doubled()
        assert not doubled, "\n".join(doubled)

    def teardown(self) -> None:
        with contextlib.closing(self.runner):
            if self.fleet is None:
                return
            try:
                self.runner.run(self.fleet.settle())
                self.fleet.verdict()
                assert not self.fleet.problems, "\n".join(self.fleet.problems)
            finally:
                self.runner.run(self.fleet.close())


def pick(fleet: Fleet, kind: Kind, number: int) -> int:
    """A trade for a call; what starts by itself is not started, so that each start shown was ordered."""
    ids = [id for id, place in fleet.known.items() if place.waits or kind is not Kind.FORCE_START]
    return ids[number % len(ids)]


TestBots = Bots.TestCase
TestBots.settings = settings(max_examples=40, stateful_step_count=25)


@dataclass(frozen=True)
class Pace:
    """How time goes in a run of many calls.

    Args:
        loop: Makes the event loop.
        policy: The clients' policy; None is their own.
        timeout: Seconds for a call.
        late: Seconds from a 504 to the processing.
        slowest: Seconds of the longest way there and back.
        patience: Seconds after which the most patient of those who cancel does it.
        time_scale: Of the sandbox.
    """

    loop: Callable[[], asyncio.AbstractEventLoop]
    policy: RetryPolicy | None
    timeout: float
    late: float
    slowest: float
    patience: float
    time_scale: float


QUICK = RetryPolicy(
    stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_fixed(0.001), settle=(0.001, 0.002, 0.004)
)
REAL_TIME = Pace(asyncio.SelectorEventLoop, QUICK, 1.0, 0.05, 0.004, 0.02, 100.0)
VIRTUAL_TIME = Pace(PatientLoop, None, 30.0, 9.0, 1.0, 3.0, 1.0)
MIX = {
    Kind.CREATE: 20,
    Kind.CREATE_REFERENCED: 30,
    Kind.ADD_FUNDS: 15,
    Kind.CLOSE: 15,
    Kind.CANCEL: 5,
    Kind.FORCE_START: 5,
    Kind.SET_NOTE: 10,
}
WORKERS = 32
NEWEST = 60


async def work(fleet: Fleet, numbers: Iterable[int], outage: int, pace: Pace, rng: random.Random) -> None:
    for number in numbers:
        if number == outage:
            await fleet.sandbox.stop()
            await fleet.sandbox.start()
        if not fleet.sandbox.is_up and rng.random() < 0.8:
            await asyncio.sleep(pace.late)
        [kind] = rng.choices(list(MIX), list(MIX.values()))
        place, target = rng.choice(PLACES), None
        if kind not in CREATES:
            target = pick(fleet, kind, -rng.randint(1, NEWEST))
        intent = fleet.begin(rng.randrange(4), kind, place=place, target=target, timeout=pace.timeout)
        if rng.random() < 0.1:
            await fleet.cancel(intent, after=rng.uniform(0.0, pace.patience))
        await fleet.end([intent])


async def fly(calls: int, pace: Pace, seed: int) -> Counter[str]:
    """Make many calls with a fault on every third request and one outage; count how they ended."""
    sandbox = LoopSandbox(
        trades=4,
        statuses=SEEDED,
        seed=seed,
        time_scale=pace.time_scale,
        limit=ROOMY,
        latency=(0.0, pace.slowest),
        every=3,
        faults=FAULTS,
    )
    sandbox.network.late = pace.late
    await sandbox.start()
    fleet, rng, numbers = Fleet(sandbox, policy=pace.policy), random.Random(seed), iter(range(calls))
    try:
        for budget in (None, None, calls, calls):
            fleet.add_client(budget=budget)
        await asyncio.gather(*(work(fleet, numbers, calls // 2, pace, rng) for _ in range(WORKERS)))
        assert len(sandbox.network.incidents) > 0.3 * sandbox.requests
        await fleet.settle()
        ends = fleet.verdict()
        assert not fleet.problems, "\n".join(fleet.problems)
    finally:
        await fleet.close()
    return ends


def check_runs(runs: int, calls: int, pace: Pace) -> Counter[str]:
    ends: Counter[str] = Counter()
    for seed in range(runs):
        with asyncio.Runner(loop_factory=pace.loop) as runner:
            ends += runner.run(fly(calls, pace, seed))
    assert ends.total() == runs * calls
    assert set(ends) >= {"answered", "cancelled", "refused", "unknown"}
    return ends


PACES = pytest.mark.parametrize("pace", [REAL_TIME, VIRTUAL_TIME], ids=["real", "virtual"])


@PACES
def test_300_calls_with_a_fault_on_every_third_request(pace: Pace) -> None:
    check_runs(1, 300, pace)


@pytest.mark.long
@PACES
def test_10_000_calls_with_a_fault_on_every_third_request(pace: Pace) -> None:
    check_runs(10, 1000, pace)
