"""Whatever happens to a batch: its report is right for every trade, and a second run closes what is left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.batch_stage import TIGHT, Plan, Stage, play
from threecommas_async import Verdict
from threecommas_async.sandbox import EVERY_STATUS
from threecommas_async.sandbox.faults import Fault, RareFault

FAULTS = (*Fault, *RareFault)

Options: TypeAlias = st.SearchStrategy[dict[str, Any]]

forms = st.sampled_from(["id", "id", "text", "trade", "trade", "unknown id"])
states = st.sampled_from([*EVERY_STATUS, *["waiting_targets", "waiting_position"] * 4])
faults = st.sampled_from(FAULTS)
moments = st.sampled_from([0.0, 0.1, 0.3, 0.6, 1.1, 2.5, 9.0])

calm: Options = st.just({})
surprises = st.fixed_dictionaries({"told": st.lists(st.none() | faults, min_size=1, max_size=8)})
storms = st.fixed_dictionaries(
    {
        "every": st.sampled_from([3, 2]),
        "unreliable": st.sampled_from([0.0, 0.3, 0.8]),
        "faults": st.one_of(st.just(FAULTS), st.lists(faults, min_size=1, max_size=2)),
    }
)
outages = st.fixed_dictionaries({"outage": st.tuples(moments, st.sampled_from([0.5, 20.0]))})
crowds = st.fixed_dictionaries({"limit": st.just(TIGHT), "keeps_limit": st.booleans()})
falls = st.fixed_dictionaries({"fall": moments})
everything = st.builds(
    lambda *parts: {k: v for part in parts for k, v in part.items()},
    surprises,
    storms,
    outages,
    crowds,
    falls,
)

ways = st.one_of(
    st.fixed_dictionaries({"how": st.sampled_from(["close_many", "closing", "cancel_many"])}),
    st.fixed_dictionaries({"how": st.just("close_all")}),
)
stops: Options = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"stop_after": st.integers(1, 4)}),
    st.fixed_dictionaries({"stop_at": moments}),
    st.fixed_dictionaries({"stop_at": moments, "again": st.sampled_from([0.0, 0.4])}),
    st.fixed_dictionaries({"deadline": moments.map(lambda moment: moment + 0.1)}),
)


def plans(most: int) -> st.SearchStrategy[Plan]:
    """Plans for up to so many trades."""
    rest = st.fixed_dictionaries(
        {
            "statuses": st.lists(states, min_size=1, max_size=most),
            "inputs": st.lists(st.tuples(forms, st.integers(0, most)), min_size=1, max_size=most + 3),
            "source": st.sampled_from(["list", "iterator", "stream"]),
            "fails_after": st.sampled_from([None, None, None, 2]),
            "order": st.sampled_from(["given", "given", "loss", "size"]),
            "on_unfilled": st.sampled_from(["cancel", "cancel", "skip", "close"]),
            "concurrency": st.sampled_from([1, 3, 16]),
            "wait": st.booleans(),
            "timeout": st.sampled_from([30.0, 30.0, 6.0, 1.0]),
            "budget": st.sampled_from([None, 1000]),
            "slowest": st.sampled_from([0.0, 0.5, 0.5]),
        }
    )
    weather = st.one_of(calm, surprises, storms, outages, crowds, falls, everything)
    return st.builds(
        lambda *parts: Plan(**{k: v for part in parts for k, v in part.items()}), rest, ways, weather, stops
    )


def check(plan: Plan) -> Stage:
    stage = play(plan)
    assert not stage.problems, "\n".join(stage.problems)
    return stage


LOST = Fault.LOST_ANSWER
TWO_HELD = ("waiting_targets", "waiting_targets")
LOST_AT_FIRST = Plan(
    how="close_all", statuses=TWO_HELD, told=[None, LOST, LOST], timeout=1.0, concurrency=1, slowest=0.5
)
BAD_DAYS = {
    "an id that comes twice is cut off": Plan(
        inputs=[("id", 0), ("id", 0)], concurrency=1, told=[RareFault.SILENCE], stop_at=0.3, again=0.1
    ),
    "the second round is cancelled": replace(LOST_AT_FIRST, stop_at=3.2),
    "the deadline passes in the second round": replace(LOST_AT_FIRST, deadline=2.6),
    "a list does not come before the deadline": replace(
        LOST_AT_FIRST, timeout=30.0, deadline=1.0, told=[RareFault.SILENCE]
    ),
    "a trade is stopped out while its close is unknown": Plan(
        statuses=["stop_loss_in_progress"],
        inputs=[("id", 0)],
        told=[Fault.LOST_REQUEST] * 4,
        timeout=1.0,
        wait=True,
    ),
    "entries are filled while they are cancelled": Plan(
        statuses=["waiting_position"] * 8,
        inputs=[("trade", number) for number in range(8)],
        concurrency=8,
        slowest=0.5,
        fall=0.4,
    ),
    "a stream stalls beyond the deadline": Plan(
        statuses=["waiting_targets"] * 8,
        inputs=[("id", number) for number in range(8)],
        source="stream",
        deadline=5.0,
    ),
    "a stream that is to be ranked stalls beyond the deadline": Plan(
        statuses=["waiting_targets"] * 8,
        inputs=[("trade", number) for number in range(8)],
        source="stream",
        order="loss",
        deadline=5.0,
    ),
}


@pytest.mark.parametrize("plan", BAD_DAYS.values(), ids=BAD_DAYS)
def test_a_report_is_right_on_a_bad_day(plan: Plan) -> None:
    check(plan)


def test_close_all_goes_on_until_it_knows_what_became_of_every_close() -> None:
    report = check(LOST_AT_FIRST).report
    assert report is not None
    assert report.counts == {Verdict.ALREADY_CLOSED: 2}


@settings(max_examples=40)
@given(plan=plans(8))
def test_a_report_is_right_for_every_trade_and_a_second_run_closes_what_is_left(plan: Plan) -> None:
    check(plan)


@pytest.mark.long
@settings(max_examples=3000)
@given(plan=plans(40))
def test_a_report_is_right_for_many_trades_too(plan: Plan) -> None:
    check(plan)
