"""The whole road once, against the embedded sandbox: list what is open, close it all, follow it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from threecommas_async.batch import Verdict
from threecommas_async.client import ThreeCommas
from threecommas_async.commands.output import Shown
from threecommas_async.models.status import StatusCode
from threecommas_async.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping

    from threecommas_async.batch import BatchReport
    from threecommas_async.batch.progress import OnProgress
    from threecommas_async.models.smart_trade import SmartTrade

LATENCY: Final = (0.02, 0.08)
"""Bounds of the sandbox's random delay, in seconds."""
TIME_SCALE: Final = 20.0
"""Simulated seconds in a real one: the published minute takes three seconds."""

_FOLLOW: Final = 60.0
_SETTLE: Final = 0.2


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run of the demo came to.

    Args:
        report: The verdict on each trade.
        ended: The trades by id, as they ended.
        requests: Requests that the sandbox received.
        refused: How many of them were over the limit (429).
        worst_window: The largest number of requests that it received in any window of one period.
        limit: The number that a window may hold.
        elapsed: Seconds from the first request to the last.
        floor: The least number of seconds in which the limit lets that many requests through.
        orders: Accepted close orders for each trade, by id.
    """

    report: BatchReport
    ended: Mapping[int, SmartTrade]
    requests: int
    refused: int
    worst_window: int
    limit: int
    elapsed: float
    floor: float
    orders: Mapping[int, int]

    @property
    def as_it_should(self) -> bool:
        """Every trade was closed by one order, ended as ``panic_sold``, and no limit was exceeded."""
        ids = [outcome.id for outcome in self.report]
        return (
            bool(ids)
            and self.report.counts == {Verdict.CLOSING: len(ids)}
            and self.orders == dict.fromkeys(ids, 1)
            and all(self.ended[id].status.code is StatusCode.PANIC_SOLD for id in ids if id is not None)
            and self.refused == 0
            and self.worst_window <= self.limit
        )


async def close_everything(
    trades: int, *, time_scale: float, on_progress: OnProgress | None = None
) -> Figures:
    """Start a sandbox, close all of its trades and follow them to their end.

    Args:
        trades: Open trades to begin with.
        time_scale: Simulated seconds in a real one; 1 is the published minute.
        on_progress: Called after each verdict.
    """
    async with (
        Sandbox(trades=trades, time_scale=time_scale, latency=LATENCY) as sandbox,
        ThreeCommas(**sandbox.credentials()) as client,
    ):
        began = time.monotonic()
        open_trades = [trade async for trade in client.smart_trades.iterate(status="active")]
        report = await client.smart_trades.close_many(open_trades, on_progress=on_progress)
        await asyncio.sleep(_SETTLE)
        ended = await client.smart_trades.wait_closed(
            [trade.id for trade in open_trades], timeout=_FOLLOW + sandbox.limit.period, poll_every=_SETTLE
        )
        return Figures(
            report=report,
            ended=ended,
            requests=sandbox.requests,
            refused=sandbox.refused,
            worst_window=sandbox.worst_window,
            limit=sandbox.limit.requests,
            elapsed=time.monotonic() - began,
            floor=sandbox.limit.floor(sandbox.requests),
            orders=Counter(
                entry.smart_trade_id for entry in sandbox.ledger if entry.action == "close_by_market"
            ),
        )


def run(trades: int, *, real_time: bool) -> int:
    """Run the demo on the terminal; return its exit code, 0 only if every trade ended as it should.

    Raises:
        ValueError: There would be nothing to close.
    """
    if trades < 1:
        raise ValueError("the demo needs at least one trade")
    console = Console(file=Shown())
    time_scale = 1.0 if real_time else TIME_SCALE
    console.print(
        f"Closing {trades} SmartTrades in the embedded sandbox: 100 requests in {60 / time_scale:g} s, "
        f"{LATENCY[0] * 1000:g} to {LATENCY[1] * 1000:g} ms of latency. Nothing leaves this machine."
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # The console writes to standard output by itself: who redirects that to the console goes in a circle.
    with Progress(*columns, console=console, redirect_stdout=False, redirect_stderr=False) as progress:
        bar = progress.add_task("closing", total=trades)
        figures = asyncio.run(
            close_everything(
                trades,
                time_scale=time_scale,
                on_progress=lambda done, _total, _outcome: progress.update(bar, completed=done),
            )
        )
    console.print(_verdicts(figures))
    console.print(_figures(figures))
    console.print(
        "Every trade ended as it should." if figures.as_it_should else "NOT every trade ended as it should."
    )
    return 0 if figures.as_it_should else 1


def _verdicts(figures: Figures) -> Table:
    table = Table("verdict", "ended as", "trades")
    ways = Counter(
        (outcome.verdict, figures.ended[outcome.id].status.code if outcome.id in figures.ended else "")
        for outcome in figures.report
        if outcome.id
    )
    for (verdict, code), count in sorted(ways.items()):
        table.add_row(verdict, code, str(count))
    return table


def _figures(figures: Figures) -> Table:
    table = Table("figure", "value")
    for name, value in (
        ("requests sent", f"{figures.requests}"),
        ("429s seen", f"{figures.refused}"),
        ("most requests in any window", f"{figures.worst_window} of {figures.limit}"),
        ("elapsed, until all were closed", f"{figures.report.elapsed:.1f} s"),
        ("elapsed, until all had ended", f"{figures.elapsed:.1f} s"),
        ("floor for that many requests", f"{figures.floor:.1f} s"),
    ):
        table.add_row(name, value)
    return table
