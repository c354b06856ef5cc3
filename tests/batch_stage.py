"""A batch on a bad day: a plan of what happens to it, the run, and what is wrong with its report."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from tests.fleet import NOT_BINDING, Fleet, LoopSandbox
from tests.virtual_time import PatientLoop
from threecommas_async import BatchInterruptedError, BatchReport, ThreeCommasError, Verdict
from threecommas_async.batch.engine import GRACE
from threecommas_async.limits import RateLimit
from threecommas_async.models.status import TERMINAL, UNFILLED, StatusCode
from threecommas_async.sandbox.faults import Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from threecommas_async import Outcome, SmartTrade, ThreeCommas
    from threecommas_async.batch import Batch
    from threecommas_async.batch.closing import OnUnfilled
    from threecommas_async.batch.items import ClosingOrder
    from threecommas_async.batch.progress import OnProgress
    from threecommas_async.sandbox.faults import AnyFault

How = Literal["close_many", "closing", "close_all", "cancel_many"]
Form = Literal["id", "text", "trade", "unknown id"]
Input = tuple[Form, int]
"""An item of the input: how it is written, and the number of its trade."""

ROOMY: Final = RateLimit(requests=100_000, period=1.0, lockout=1.0)
TIGHT: Final = RateLimit(requests=7, period=4.0, lockout=15.0)
NOWHERE: Final = 999_999_000_000
"""An id that no trade has, and the first of many."""
LONG: Final = 400.0
"""Seconds after which every trade that moves by itself has come to rest, and every ban of a test is over."""
MOMENT: Final = 0.01

_STALLS: Final = 40.0
"""Seconds that every fifth item of an asynchronous iterable is late."""

_SOLD: Final = frozenset(
    {StatusCode.PANIC_SELL_PENDING, StatusCode.PANIC_SELL_IN_PROGRESS, StatusCode.PANIC_SOLD}
)
_CANCELLED: Final = frozenset(
    {StatusCode.CANCELLATION_PENDING, StatusCode.CANCELLATION_IN_PROGRESS, StatusCode.CANCELLED}
)
_STILL: Final = frozenset({StatusCode.WAITING_TARGETS, *UNFILLED, *TERMINAL})
"""The states in which trades rest."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a batch is given, how it is run, and what happens meanwhile; times in seconds from its start.

    Args:
        how: The call.
        statuses: States of the trades that there are.
        inputs: The items; `close_all` has none.
        source: What the items come in.
        fails_after: Items after which an asynchronous iterable fails; None if it does not.
        order: Which comes first; with another one than ``given`` all items are trades.
        on_unfilled: What becomes of trades whose entry is not filled.
        concurrency: Calls in flight at most.
        deadline: Of the batch.
        wait: It follows the trades to their end.
        timeout: Of each call.
        budget: Repetitions that the client may make; None is its own.
        limit: What the server lets through.
        keeps_limit: The client knows.
        slowest: Seconds of the longest way there and back.
        every: Every such request suffers a fault.
        unreliable: Probability that one does.
        faults: Which ones.
        told: What becomes of the first requests.
        outage: When the server goes, and for how long; None if it stays.
        fall: When the market falls, which fills entries and stops trades out; None if it stands still.
        stop_after: Verdicts after which the batch is cancelled, or left where it is ``closing``.
        stop_at: When it is cancelled.
        again: Seconds from the first cancellation to a second one; None if there is none.
    """

    how: How = "close_many"
    statuses: Sequence[str] = ("waiting_targets",)
    inputs: Sequence[Input] = ()
    source: Literal["list", "iterator", "stream"] = "list"
    fails_after: int | None = None
    order: ClosingOrder = "given"
    on_unfilled: OnUnfilled = "cancel"
    concurrency: int = 4
    deadline: float | None = None
    wait: bool = False
    timeout: float = 30.0
    budget: int | None = None
    limit: RateLimit = ROOMY
    keeps_limit: bool = True
    slowest: float = 0.0
    every: int | None = None
    unreliable: float = 0.0
    faults: Sequence[AnyFault] = tuple(Fault)
    told: Sequence[AnyFault | None] = ()
    outage: tuple[float, float] | None = None
    fall: float | None = None
    stop_after: int | None = None
    stop_at: float | None = None
    again: float | None = None

    @property
    def is_calm(self) -> bool:
        """Nothing goes wrong on the way, and nobody is in a hurry."""
        trouble = self.every or self.unreliable or self.told or self.outage or self.again is not None
        return not trouble and self.timeout > 2 and (self.limit is ROOMY or self.keeps_limit)

    @property
    def leaves_unfilled(self) -> bool:
        """Trades whose entry is not filled are not to be cancelled."""
        return self.how != "cancel_many" and self.on_unfilled != "cancel"

    @property
    def is_ranked(self) -> bool:
        """The order of the report is another one than that of the input, which is read before all else."""
        return self.order != "given" and self.how != "cancel_many"


@dataclass(eq=False)
class Stage:
    """A plan, the sandbox that it is played on, and what came of it."""

    plan: Plan
    sandbox: LoopSandbox
    fleet: Fleet
    client: ThreeCommas
    ids: list[int]
    before: dict[int, StatusCode]
    inputs: list[int | str | SmartTrade] = field(default_factory=list[Any])
    given: int = 0
    """Items that an asynchronous iterable has yielded."""
    report: BatchReport | None = None
    began: float = 0.0
    stopped: list[float] = field(default_factory=list[float])
    """When the batch was cancelled."""
    ended_with: str = "its end"
    problems: list[str] = field(default_factory=list[str])

    @property
    def asked(self) -> list[int]:
        """The ids of the input, in its order."""
        return [int(item) if isinstance(item, int | str) else item.id for item in self.inputs]

    def status(self, id: int) -> StatusCode:
        return self.sandbox.exchange.trades[id].status

    def orders(self, since: int = 0) -> dict[int, Counter[str]]:
        """What the ledger has of each trade, from an entry on."""
        orders: dict[int, Counter[str]] = defaultdict(Counter)
        for entry in self.sandbox.ledger[since:]:
            orders[entry.smart_trade_id][entry.action] += 1
        return orders

    async def read_inputs(self) -> None:
        """Make the input, while the network is calm."""
        trades = {trade.id: trade async for trade in self.client.smart_trades.iterate(status="all")}
        for form, number in self.plan.inputs:
            id = self.ids[number % len(self.ids)]
            if form == "trade" or self.plan.is_ranked:
                self.inputs.append(trades[id])
            elif form == "unknown id":
                self.inputs.append(NOWHERE + number)
            else:
                self.inputs.append(id if form == "id" else str(id))

    async def stream(self) -> AsyncIterator[int | str | SmartTrade]:
        for number, item in enumerate(self.inputs):
            await asyncio.sleep(_STALLS if number % 5 == 4 else 0.05 * (number % 3))
            if number == self.plan.fails_after:
                raise OSError("the list ended early")
            self.given += 1
            yield item

    @property
    def source(self) -> Any:
        match self.plan.source:
            case "stream":
                return self.stream()
            case "iterator":
                return iter(self.inputs)
            case "list":
                return self.inputs


async def set_up(plan: Plan, *, seed: int = 0) -> Stage:
    sandbox = LoopSandbox(
        trades=len(plan.statuses),
        statuses=tuple(plan.statuses) or ("waiting_targets",),
        seed=seed,
        time_scale=1.0,
        limit=plan.limit,
        faults=plan.faults,
        latency=(0.0, plan.slowest),
    )
    sandbox.network.late = 3.0
    await sandbox.start()
    fleet = Fleet(sandbox)
    limits = plan.limit if plan.keeps_limit else NOT_BINDING
    client = fleet.add_client(budget=plan.budget, limits=limits)
    before = {id: trade.status for id, trade in sandbox.exchange.trades.items()}
    stage = Stage(plan, sandbox, fleet, client.with_options(timeout=plan.timeout), list(before), before)
    if plan.how != "close_all":
        await stage.read_inputs()
    return stage


def play(plan: Plan, *, seed: int = 0) -> Stage:
    """Run a batch as planned and a second one when all is calm again, and look for what is wrong."""

    async def main() -> Stage:
        stage = await set_up(plan, seed=seed)
        try:
            await first_run(stage)
            await settle(stage)
            check_report(stage)
            await second_run(stage)
        finally:
            await stage.fleet.close()
        for _ in range(3):
            await asyncio.sleep(0)
        if left := asyncio.all_tasks() - {asyncio.current_task()}:
            stage.problems.append(f"leaked: {left}")
        return stage

    with asyncio.Runner(loop_factory=PatientLoop) as runner:
        return runner.run(main())


async def first_run(stage: Stage) -> None:
    plan, network = stage.plan, stage.sandbox.network
    network.every, network.unreliable = plan.every, plan.unreliable
    network.next(*plan.told)
    stage.began = asyncio.get_running_loop().time()
    weather = asyncio.create_task(_weather(stage))
    enough = asyncio.Event()
    batch = asyncio.create_task(_run(stage, enough))
    stopper = asyncio.create_task(_stop(stage, batch, enough))
    await asyncio.wait([batch])
    ended = asyncio.get_running_loop().time()
    if stage.stopped and ended > min(stage.stopped[0] + GRACE, *stage.stopped[1:], math.inf) + MOMENT:
        stage.problems.append(f"hung: stopped at {stage.stopped}, and ended at {ended}")
    stopper.cancel()
    await asyncio.wait([stopper, weather])
    weather.result()
    running = [task for task in asyncio.all_tasks() if "Batch" in f"{task.get_coro()}"]
    if running:
        stage.problems.append(f"leaked: {running}")
    if batch.cancelled():
        stage.ended_with = "a cancellation"
    elif problem := batch.exception():
        raise problem


async def _run(stage: Stage, enough: asyncio.Event) -> None:
    plan = stage.plan

    def on_progress(done: int, _total: int | None, _outcome: Outcome) -> None:
        if plan.stop_after is not None and done >= plan.stop_after:
            enough.set()

    try:
        await _call(stage, on_progress)
    except BatchInterruptedError as interrupted:
        stage.report, stage.ended_with = interrupted.report, "an iterable that failed"
    except OSError:
        assert plan.is_ranked
        stage.ended_with = "an iterable that failed"
    except ThreeCommasError:
        assert plan.how == "close_all"
        stage.ended_with = "a first list that cannot be read"
    except asyncio.CancelledError as cancelled:
        stage.report = stage.report or BatchReport.of(cancelled)
        raise


async def _call(stage: Stage, on_progress: OnProgress) -> None:
    plan, smart_trades = stage.plan, stage.client.smart_trades
    common: dict[str, Any] = {"concurrency": plan.concurrency, "deadline": plan.deadline}
    closing: dict[str, Any] = {"order": plan.order, "on_unfilled": plan.on_unfilled, **common}
    more: dict[str, Any] = {"wait": plan.wait, "on_progress": on_progress}
    match plan.how:
        case "cancel_many":
            stage.report = await smart_trades.cancel_many(stage.source, on_progress=on_progress, **common)
        case "closing":
            await _close_and_leave(stage, smart_trades.closing(stage.source, **closing))
        case "close_all":
            stage.report = await smart_trades.close_all(**closing, **more)
        case "close_many":
            stage.report = await smart_trades.close_many(stage.source, **closing, **more)


async def _close_and_leave(stage: Stage, batch: Batch) -> None:
    fallen: list[Outcome] = []
    try:
        async with batch:
            async for outcome in batch:
                fallen.append(outcome)
                if len(fallen) == stage.plan.stop_after:
                    stage.ended_with = "a break"
                    return
    finally:
        if batch._is_begun:
            stage.report = batch.report
    if Counter(map(id, fallen)) != Counter(map(id, batch.report)):
        stage.problems.append(f"brought were {fallen}, and the report has {batch.report}")


async def _stop(stage: Stage, batch: asyncio.Task[None], enough: asyncio.Event) -> None:
    plan, clock = stage.plan, asyncio.get_running_loop().time
    if plan.stop_at is not None:
        await asyncio.sleep(plan.stop_at)
    elif plan.stop_after is not None and plan.how != "closing":
        await enough.wait()
    else:
        return
    stage.stopped.append(clock())
    batch.cancel()
    if plan.again is not None:
        await asyncio.sleep(plan.again)
        stage.stopped.append(clock())
        batch.cancel()


async def _weather(stage: Stage) -> None:
    events: list[tuple[float, str]] = []
    if stage.plan.outage is not None:
        at, seconds = stage.plan.outage
        events += [(at, "down"), (at + seconds, "up")]
    if stage.plan.fall is not None:
        events.append((stage.plan.fall, "fall"))
    now = 0.0
    for at, event in sorted(events):
        await asyncio.sleep(at - now)
        now = at
        match event:
            case "down":
                await stage.sandbox.stop()
            case "up":
                await stage.sandbox.start()
            case _:
                for pair, ticker in list(stage.sandbox.exchange.tickers.items()):
                    stage.sandbox.set_price(pair, last=ticker.last * 97 / 100)


async def settle(stage: Stage) -> None:
    stage.sandbox.network.calm()
    await stage.sandbox.all_arrived()
    await asyncio.sleep(LONG)


def check_report(stage: Stage) -> None:
    """Hold the report against the input, the ledger and the trades."""
    report, orders = stage.report, stage.orders()
    if report is None:
        if stage.ended_with == "its end" or orders:
            stage.problems.append(f"no report, and {dict(orders)} in the ledger")
        return
    stage.problems += _check_order(stage, report)
    verdicts: dict[int | None, Outcome] = {}
    for outcome in report:
        if verdicts.setdefault(outcome.id, outcome).verdict is not outcome.verdict:
            stage.problems.append(f"two verdicts: {outcome} and {verdicts[outcome.id]}")
    for id, outcome in verdicts.items():
        assert id is not None
        done = orders.get(id, Counter())
        if not _is_right(stage, outcome, done):
            was, now = stage.before.get(id), id in stage.before and stage.status(id)
            stage.problems.append(f"wrong: {outcome}, from {was} to {now}, the ledger has {dict(done)}")
    if lost := orders.keys() - verdicts.keys():
        stage.problems.append(f"lost: {lost} have orders and no verdict")
    if stage.plan.is_calm and Verdict.UNKNOWN in report.counts:
        stage.problems.append(f"nothing went wrong, and not all is known: {report}")
    if stage.plan.deadline is not None:
        stage.problems += _check_deadline(stage, report, stage.plan.deadline)


def _check_deadline(stage: Stage, report: BatchReport, deadline: float) -> Iterator[str]:
    plan = stage.plan
    latest = deadline + plan.slowest + stage.sandbox.network.late + MOMENT
    late = [entry for entry in stage.sandbox.ledger if entry.at - stage.began > latest]
    if late:
        yield f"ordered after the deadline: {late}"
    # With a tight limit the looks at what is in flight wait for it.
    if plan.limit is ROOMY and report.elapsed > deadline + plan.timeout + MOMENT:
        yield f"hung: {report.elapsed} s, and the deadline was {deadline} s"


def _check_order(stage: Stage, report: BatchReport) -> Iterator[str]:
    """Every item has one verdict, in the order of the input."""
    plan, ids = stage.plan, [outcome.id for outcome in report]
    if plan.how == "close_all":
        if len(set(ids)) != len(ids):
            yield f"two verdicts for a trade: {ids}"
        terminal = {id for id, status in stage.before.items() if status in TERMINAL}
        if stage.ended_with == "its end" and not stage.before.keys() - terminal >= set(ids):
            yield f"verdicts on trades that had ended: {ids}"
        return
    asked = _asked(stage, report)
    if plan.is_ranked:
        if not ids and stage.ended_with == "a cancellation":
            return  # It was cancelled while it read its input: nothing was ordered.
        ids, asked = sorted(ids, key=str), sorted(asked, key=str)
    if ids != asked:
        yield f"verdicts on {ids}, and asked for were {asked}"


def _asked(stage: Stage, report: BatchReport) -> list[int]:
    """The ids of the input, as far as the batch has read it."""
    is_all_read = stage.ended_with == "its end" and stage.plan.deadline is None and not _was_stopped(report)
    if stage.plan.source != "stream" or is_all_read:
        return stage.asked
    return stage.asked[: stage.given]


def _was_stopped(report: BatchReport) -> bool:
    """Whether a refusal that all would meet stopped the batch."""
    return any(type(outcome.error).__name__ == "BannedError" for outcome in report)


def _is_right(stage: Stage, outcome: Outcome, done: Counter[str]) -> bool:
    """Whether a verdict is what the ledger and the trade say.

    Who told a trade to end cannot be told once an answer is lost: it may have been on its way before.
    """
    plan, id, verdict = stage.plan, outcome.id or 0, outcome.verdict
    if id >= NOWHERE:
        return verdict in {Verdict.REFUSED, Verdict.SKIPPED, Verdict.UNKNOWN} and not done
    closes, cancels = done["close_by_market"], done["cancel"]
    was, now, is_held = stage.before[id], stage.status(id), stage.sandbox.exchange.trades[id].is_entered
    is_right = {
        Verdict.CLOSING: now is StatusCode.PANIC_SOLD and (closes == 1 or (was in _SOLD and not done)),
        Verdict.CANCELLED: now is StatusCode.CANCELLED
        and (cancels == 1 or (was in _CANCELLED and not done))
        and (plan.how == "cancel_many" or was in _CANCELLED or not is_held),
        Verdict.ALREADY_CLOSED: now in TERMINAL and (not done or plan.how == "close_all"),
        Verdict.REFUSED: not done,
        Verdict.SKIPPED: not done,
        Verdict.UNKNOWN: True,
    }
    is_right[Verdict.CLOSED] = is_right[Verdict.CLOSING]
    if "still held" in str(outcome.error):
        is_right[Verdict.REFUSED] = is_held and (cancels == 1 or was in _CANCELLED)
    is_meant = not (closes if plan.how == "cancel_many" else plan.leaves_unfilled and cancels)
    return is_right.get(verdict, False) and closes + cancels <= 1 and is_meant


async def second_run(stage: Stage) -> None:
    """When all is calm, close exactly what is left."""
    plan, before = stage.plan, {id: stage.status(id) for id in stage.ids}
    ids = list(dict.fromkeys(id for id in stage.asked if id < NOWHERE))
    if plan.how == "close_all":
        ids = stage.ids
    assert not set(before.values()) - _STILL, before
    mark = len(stage.sandbox.ledger)
    client = stage.fleet.clients[0]
    if plan.limit is not ROOMY and not plan.keeps_limit:  # Whoever does not know the limit has no calm.
        client = stage.fleet.add_client(limits=plan.limit)
    calm = client.smart_trades
    if plan.how == "cancel_many":
        report = await calm.cancel_many(ids)
    else:
        report = await calm.close_many(ids, on_unfilled=plan.on_unfilled)
    orders = stage.orders(since=mark)
    for outcome in report:
        assert outcome.id is not None
        verdict, order = _due(plan, before[outcome.id])
        done = dict(orders.get(outcome.id, Counter()))
        if outcome.verdict is not verdict or done != ({order: 1} if order else {}):
            stage.problems.append(f"again: {outcome}, from {before[outcome.id]}, the ledger has {done}")
    if [outcome.id for outcome in report] != ids:
        stage.problems.append(f"again: verdicts on {report.outcomes}, and asked for were {ids}")
    for id, done in stage.orders().items():
        if done["close_by_market"] + done["cancel"] > 1:
            stage.problems.append(f"ended twice: {id} has {done}")
    await asyncio.sleep(LONG)
    stage.problems += _check_rest(stage, ids)
    limits = stage.client.limits.snapshot()
    if (limits.used, limits.waiting) != (0, 0):
        stage.problems.append(f"leaked permits: {limits}")


def _due(plan: Plan, status: StatusCode) -> tuple[Verdict, str | None]:
    """Return what a calm run says of a trade at rest, and what it orders."""
    if status in TERMINAL:
        return Verdict.ALREADY_CLOSED, None
    if plan.how == "cancel_many":
        return Verdict.CANCELLED, "cancel"
    if status not in UNFILLED:
        return Verdict.CLOSING, "close_by_market"
    match plan.on_unfilled:
        case "cancel":
            return Verdict.CANCELLED, "cancel"
        case "skip":
            return Verdict.SKIPPED, None
        case "close":
            return Verdict.REFUSED, None


def _check_rest(stage: Stage, ids: Iterable[int]) -> Iterator[str]:
    for id in ids:
        status = stage.status(id)
        if status not in TERMINAL and not (status in UNFILLED and stage.plan.leaves_unfilled):
            yield f"left: {id} is {status}"
