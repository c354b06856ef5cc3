"""What the benchmarks stand on: that they compare like with like. How fast anything is, no test says."""

from __future__ import annotations

from itertools import count

from benchmarks.pages import FIRST_ID, page
from benchmarks.rounds import Spread, ratio, take_turns
from threecommas_async.endpoints import LIST_SMART_TRADES


def test_a_page_has_as_many_different_trades_as_asked_for_and_all_can_be_read() -> None:
    trades = LIST_SMART_TRADES.decode(page(30))
    assert trades.malformed == ()
    assert [trade.id for trade in trades] == list(range(FIRST_ID, FIRST_ID + 30))
    assert len({trade.data.current_price.last for trade in trades}) == 30
    assert page(30) == page(30)


def test_a_different_side_begins_each_round_and_the_warm_up_does_not_count() -> None:
    turns = count()
    took = take_turns({"a": lambda: next(turns), "b": lambda: next(turns)}, rounds=3, warm_up=1)
    assert took == {"a": [3, 4, 7], "b": [2, 5, 6]}


def test_a_ratio_is_taken_round_by_round() -> None:
    slow_moment = 100.0
    assert ratio([2, 2 * slow_moment, 3], [1, slow_moment, 1]) == Spread(median=2, lower=2, upper=2.5)
