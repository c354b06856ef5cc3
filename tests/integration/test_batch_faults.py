"""Batches with a fault on every third request: the report against the ledger, trade by trade."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.batch_stage import Plan, play
from threecommas_async import Verdict
from threecommas_async.sandbox import EVERY_STATUS
from threecommas_async.sandbox.faults import Fault, RareFault

if TYPE_CHECKING:
    from tests.batch_stage import How

MIX = (*EVERY_STATUS, *["waiting_targets"] * 15, *["waiting_position"] * 5)
HOWS: tuple[How, ...] = ("close_many", "close_all", "cancel_many")


def check(how: How, trades: int, *, budget: int | None, seed: int = 0) -> None:
    plan = Plan(
        how=how,
        statuses=[MIX[number % len(MIX)] for number in range(trades)],
        inputs=[("id" if number % 2 else "trade", number) for number in range(trades)],
        concurrency=16,
        budget=budget,
        slowest=0.4,
        every=3,
        faults=(*Fault, *RareFault),
    )
    stage = play(plan, seed=seed)
    assert not stage.problems, "\n".join(stage.problems)
    report = stage.report
    assert report is not None
    assert len(stage.sandbox.network.incidents) >= report.requests // 3 > trades // 5
    if how != "close_all":
        assert [outcome.id for outcome in report] == stage.asked
        assert {Verdict.ALREADY_CLOSED, Verdict.CANCELLED} < report.counts.keys()


def test_the_report_on_300_trades_is_right_for_each_of_them() -> None:
    check("close_many", 300, budget=10_000)


@pytest.mark.parametrize("how", HOWS)
def test_the_report_is_right_when_the_retry_budget_is_used_up(how: How) -> None:
    check(how, 50, budget=None)


@pytest.mark.long
@pytest.mark.parametrize("how", HOWS)
def test_the_report_on_1000_trades_is_right_for_each_of_them(how: How) -> None:
    check(how, 1000, budget=10_000, seed=1)
