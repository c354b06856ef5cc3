from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests import virtual_time
from tests.cancelled_batches import report_of_cancelled
from threecommas_async import errors
from threecommas_async.batch.items import Item
from threecommas_async.batch.report import BatchReport, Outcome, Verdict
from threecommas_async.batch.sweep import Mark, Survey, Sweep, survey
from threecommas_async.errand import Errand
from threecommas_async.models.decoding import Malformed, Page
from threecommas_async.models.smart_trade import SmartTrade
from threecommas_async.models.smart_trade_groups import SmartTradeData
from threecommas_async.models.status import Status, StatusCode
from threecommas_async.models.summary import TradeSummary

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

START = datetime(2026, 1, 1, tzinfo=UTC)


def trade(id: int, state: str = "waiting_targets", *, at: int | None = None) -> SmartTrade:
    created_at = None if at is None else START + timedelta(seconds=at)
    status = Status(basic_type=StatusCode(state))
    return SmartTrade(id=id, status=status, data=SmartTradeData(created_at=created_at))


async def listed(*pages: Page[SmartTrade]) -> AsyncGenerator[Page[SmartTrade], None]:
    for page in pages:
        yield page


def look(*pages: Page[SmartTrade], mark: Mark | None = None) -> Survey:
    return virtual_time.run(survey(listed(*pages), predicate=None, order="given", mark=mark))


def test_a_survey_finds_what_is_open_and_marks_the_newest_trade() -> None:
    found = look(
        Page((trade(5, at=50), trade(4, "panic_sell_pending", at=40))), Page((trade(3, "created", at=30),))
    )
    assert [item.id for item in found.items] == [5, 3]
    assert found.mark == Mark(START + timedelta(seconds=50), 5)


def test_what_is_newer_than_the_mark_was_opened_meanwhile() -> None:
    mark = Mark(START + timedelta(seconds=50), 5)
    found = look(Page((trade(9, at=60), trade(2, at=51), trade(8, at=50), trade(7), trade(4))), mark=mark)
    assert found.opened == [9, 2, 7]
    assert [item.id for item in found.items] == [8, 4]


def test_an_instant_without_a_time_zone_is_one_in_utc() -> None:
    naive = SmartTradeData(created_at=datetime(2026, 1, 1, 0, 0, 45))
    other = SmartTrade(id=4, status=Status(basic_type=StatusCode.CREATED), data=naive)
    found = look(Page((trade(5, at=50), other)))
    assert found.mark == Mark(START + timedelta(seconds=50), 5)
    mark = Mark(START + timedelta(seconds=44), 9)
    assert look(Page((other, trade(3, at=43))), mark=mark).opened == [4]


def test_a_trade_that_cannot_be_read_is_closed_by_its_id_unless_a_predicate_has_a_say() -> None:
    page = Page((trade(3),), (Malformed(1, 77, "bad"), Malformed(2, None, "worse")))
    found = look(page)
    assert [item.id for item in found.items] == [3, 77]
    assert [(outcome.id, outcome.verdict) for outcome in found.unreadable] == [(None, Verdict.SKIPPED)]
    chosen = virtual_time.run(survey(listed(page), predicate=lambda _: True, order="given", mark=None))
    assert [item.id for item in chosen.items] == [3]
    assert [outcome.id for outcome in chosen.unreadable] == [77, None]


def test_what_cannot_be_read_and_was_opened_meanwhile_is_left_alone() -> None:
    begun = look(Page((), (Malformed(0, 77, "bad"),)))
    assert begun.mark == Mark(None, 77)
    found = look(Page((trade(79),), (Malformed(0, 77, "bad"), Malformed(1, 78, "bad"))), mark=begun.mark)
    assert [item.id for item in found.items] == [77]
    assert found.opened == [79, 78]


def test_a_trade_that_moves_to_the_next_page_is_found_once() -> None:
    found = look(
        Page((trade(3), trade(2)), (Malformed(2, 77, "bad"),)),
        Page((trade(2), trade(1)), (Malformed(0, 77, "bad"),)),
    )
    assert [item.id for item in found.items] == [3, 2, 1, 77]


@pytest.mark.parametrize("id", [0, -5])
def test_a_row_with_an_id_that_is_none_costs_the_others_nothing(id: int) -> None:
    found = look(Page((trade(3), trade(id)), (Malformed(2, id - 9, "bad"),)))
    assert [item.id for item in found.items] == [3]
    assert [outcome.verdict for outcome in found.unreadable] == [Verdict.SKIPPED, Verdict.SKIPPED]


class Market:
    """Open trades, some of which are closed only at the n-th try."""

    def __init__(self, tries: dict[int, int], *, bad_looks: int = 0, is_bad_at_once: bool = False) -> None:
        self.tries = tries
        self.bad_looks = bad_looks
        self.is_bad_at_once = is_bad_at_once
        self.rounds: list[list[int]] = []
        self.looks = 0
        self.errand = Errand()
        self.stops_at: Exception | None = None

    async def look(self, mark: Mark | None) -> Survey:
        self.looks += 1
        if self.bad_looks and (mark is not None or self.is_bad_at_once):
            self.bad_looks -= 1
            raise errors.TransportError("no answer")
        items = [Item(id) for id, tries in self.tries.items() if tries > 0]
        return Survey(items=items, mark=Mark(None, 10**9))

    async def close(self, items: list[Item]) -> BatchReport:
        self.rounds.append([item.id for item in items])
        await asyncio.sleep(1)
        if self.stops_at is not None:
            self.errand.call_off(self.stops_at)
        outcomes: list[Outcome] = []
        for item in items:
            self.tries[item.id] -= 1
            done = self.tries[item.id] <= 0
            error = None if done else errors.InvalidRequestError("not yet")
            outcomes.append(Outcome(item.id, Verdict.CLOSING if done else Verdict.REFUSED, error=error))
        return BatchReport(tuple(outcomes), 1.0)

    async def sweep(self, deadline: float | None) -> BatchReport:
        return await Sweep(
            self.look,
            self.close,
            BatchReport,
            errand=self.errand,
            skips_unfilled=False,
            deadline=deadline,
        ).run()


def test_a_sweep_goes_on_with_what_is_left() -> None:
    market = Market({1: 1, 2: 3, 3: 2})
    report = virtual_time.run(market.sweep(None))
    assert market.rounds == [[1, 2, 3], [2, 3], [2]]
    assert report.counts == {Verdict.CLOSING: 3}
    assert [outcome.id for outcome in report] == [1, 2, 3]


def test_without_a_deadline_three_rounds_in_vain_are_enough() -> None:
    market = Market({1: 1, 2: 99})
    report = virtual_time.run(market.sweep(None))
    assert market.rounds == [[1, 2], [2], [2], [2]]
    assert report.counts == {Verdict.CLOSING: 1, Verdict.REFUSED: 1}


def test_with_a_deadline_it_is_tried_until_then() -> None:
    market = Market({2: 99})
    report = virtual_time.run(market.sweep(60.0))
    assert len(market.rounds) == 8  # Pauses of 2, 4, 8, 8, ... seconds between rounds of 1 s.
    assert 59.0 <= report.elapsed <= 61.0


LOST = errors.OutcomeUnknownError("lost")
REFUSAL = errors.InvalidRequestError("wrong state")
SEEN = TradeSummary.of(trade(1))


@pytest.mark.parametrize(
    ("first", "second", "stays"),
    [
        (Outcome(1, Verdict.UNKNOWN, error=LOST), Outcome(1, Verdict.SKIPPED), True),
        (Outcome(1, Verdict.UNKNOWN, error=LOST), Outcome(1, Verdict.REFUSED, error=REFUSAL), True),
        (Outcome(1, Verdict.UNKNOWN, SEEN, LOST), Outcome(1, Verdict.REFUSED, SEEN, REFUSAL), False),
        (Outcome(1, Verdict.UNKNOWN, error=LOST), Outcome(1, Verdict.ALREADY_CLOSED, SEEN), False),
        (Outcome(1, Verdict.UNKNOWN, error=LOST), Outcome(1, Verdict.CLOSING, SEEN), False),
        (Outcome(1, Verdict.CLOSING, SEEN), Outcome(1, Verdict.ALREADY_CLOSED, SEEN), True),
        (Outcome(1, Verdict.CLOSING, SEEN), Outcome(1, Verdict.SKIPPED), True),
        (Outcome(1, Verdict.SKIPPED), Outcome(1, Verdict.UNKNOWN, error=LOST), False),
        (Outcome(1, Verdict.REFUSED, error=REFUSAL), Outcome(1, Verdict.SKIPPED), False),
    ],
)
def test_a_round_that_says_nothing_of_an_earlier_order_does_not_hide_it(
    first: Outcome, second: Outcome, *, stays: bool
) -> None:
    """A list that is behind shows a trade as open that was told to close."""
    rounds = iter([(first,), (second,)])
    given: list[Item] = []

    class Told(Market):
        async def look(self, mark: Mark | None) -> Survey:
            await super().look(mark)
            return Survey(items=[Item(1, SEEN)] if self.looks <= 2 else [], mark=Mark(None, 10**9))

        async def close(self, items: list[Item]) -> BatchReport:
            given.extend(items)
            return BatchReport(next(rounds, ()), 1.0)

    async def main() -> BatchReport:
        market = Told({})
        sweep = asyncio.create_task(market.sweep(None))
        while market.looks < 3:
            await asyncio.sleep(0.1)
        market.errand.call_off(errors.BatchStoppedError("enough"))
        return await sweep

    assert virtual_time.run(main()).outcomes == (first if stays else second,)
    was_ordered = first.verdict in {Verdict.UNKNOWN, Verdict.CLOSING}
    assert given[:2] == [Item(1, SEEN), Item(1) if was_ordered else Item(1, SEEN)]


def test_the_lists_keep_the_deadline_too() -> None:
    """The limit lets no list through for an hour: the sweep ends at its deadline all the same."""

    class Slow(Market):
        async def look(self, mark: Mark | None) -> Survey:
            if mark is not None:
                await self.errand.wait_for(partial(asyncio.sleep, 3600))
            return await super().look(mark)

    async def main() -> float:
        market = Slow({1: 1, 2: 99})
        await market.sweep(60.0)
        assert market.rounds == [[1, 2]]
        assert str(market.errand.called_off) == "the deadline of 60 s had passed"
        return asyncio.get_running_loop().time()

    assert virtual_time.run(main()) == pytest.approx(60)


def test_a_list_that_cannot_be_read_is_read_again() -> None:
    market = Market({1: 1, 2: 2}, bad_looks=2)
    report = virtual_time.run(market.sweep(None))
    assert report.ok
    assert market.looks == 5


def test_a_refusal_that_all_would_meet_ends_the_sweep() -> None:
    market = Market({1: 99})
    market.stops_at = errors.BannedError("418")
    virtual_time.run(market.sweep(60.0))
    assert len(market.rounds) == 1


FORBIDDEN = errors.PermissionDeniedError("403", error="access_denied", description="Api key not authorized")


def mismatch(cause: Exception | None, *, is_known: bool = False) -> errors.ModeMismatchError:
    refusal = errors.ModeMismatchError("real", is_known=is_known)
    refusal.__cause__ = cause
    return refusal


@pytest.mark.parametrize(
    ("refusal", "tries"),
    [
        (errors.ReadOnlyError("no"), 1),
        (mismatch(None, is_known=True), 1),
        (mismatch(FORBIDDEN), 1),
        (mismatch(errors.TransportError("no answer")), 4),
        (FORBIDDEN, 1),
        (errors.PermissionDeniedError("403", error="access_denied"), 1),
        (errors.PermissionDeniedError("403", error="Forbidden", description="not in this state"), 4),
        (errors.InvalidRequestError("not yet"), 4),
    ],
)
def test_what_is_refused_for_good_is_tried_once(refusal: Exception, tries: int) -> None:
    market = Market({1: 1, 2: 99})

    async def close(items: list[Item]) -> BatchReport:
        market.rounds.append([item.id for item in items])
        market.tries[1] = 0
        done = Outcome(1, Verdict.CLOSING), Outcome(2, Verdict.REFUSED, error=refusal)
        return BatchReport(done if len(items) == 2 else done[1:], 1.0)

    market.close = close  # type: ignore[method-assign]
    report = virtual_time.run(market.sweep(None))
    assert market.rounds == [[1, 2]] + [[2]] * (tries - 1)
    assert report.counts == {Verdict.CLOSING: 1, Verdict.REFUSED: 1}


def test_a_look_for_ends_that_fails_costs_no_report() -> None:
    async def fail(_outcomes: dict[int, Outcome]) -> None:
        raise ConnectionError("the store is gone")

    async def main() -> BatchReport:
        market = Market({1: 1, 2: 99})
        return await Sweep(
            market.look,
            market.close,
            BatchReport,
            errand=market.errand,
            skips_unfilled=False,
            deadline=30.0,
            settle=fail,
        ).run()

    assert virtual_time.run(main()).counts == {Verdict.CLOSING: 1, Verdict.REFUSED: 1}


def test_a_sweep_that_is_cancelled_before_it_has_its_list_says_so(caplog: pytest.LogCaptureFixture) -> None:
    class Slow(Market):
        async def look(self, mark: Mark | None) -> Survey:
            await asyncio.sleep(3600)
            return await super().look(mark)

    async def main() -> BatchReport:
        task = asyncio.create_task(Slow({1: 1}).sweep(None))
        await asyncio.sleep(1)
        task.cancel()
        return await report_of_cancelled(task)

    report = virtual_time.run(main())
    assert (len(report), report.ok, report.unread) == (0, False, "the open trades")
    assert caplog.text.count("a batch was cancelled") == 1


@pytest.mark.parametrize("after", [0.5, 2.0])
def test_a_sweep_that_is_cancelled_holds_what_it_knows(after: float) -> None:
    async def main() -> BatchReport:
        task = asyncio.create_task(Market({1: 1, 2: 99}).sweep(60.0))
        await asyncio.sleep(after)
        task.cancel()
        return await report_of_cancelled(task)

    report = virtual_time.run(main())
    assert len(report) == (0 if after < 1 else 2)


def test_a_first_list_that_cannot_be_read_is_an_error() -> None:
    market = Market({1: 1}, bad_looks=1, is_bad_at_once=True)
    with pytest.raises(errors.TransportError):
        virtual_time.run(market.sweep(None))
    assert market.rounds == []


@pytest.mark.parametrize(
    ("first", "then", "last"),
    [
        (Verdict.UNKNOWN, Verdict.SKIPPED, Verdict.UNKNOWN),
        (Verdict.CLOSING, Verdict.SKIPPED, Verdict.CLOSING),
        (Verdict.REFUSED, Verdict.SKIPPED, Verdict.REFUSED),
        (Verdict.SKIPPED, Verdict.CLOSING, Verdict.CLOSING),
        (Verdict.UNKNOWN, Verdict.ALREADY_CLOSED, Verdict.ALREADY_CLOSED),
    ],
)
def test_a_round_that_orders_nothing_for_a_trade_hides_no_earlier_order(
    first: Verdict, then: Verdict, last: Verdict
) -> None:
    market = Market({1: 99})
    verdicts = iter([first, then])

    async def close(items: list[Item]) -> BatchReport:
        verdict = next(verdicts)
        if verdict is then:
            market.tries.clear()
            market.errand.call_off(errors.BatchStoppedError("enough"))
        error = None if verdict is Verdict.CLOSING else errors.ThreeCommasError("so")
        return BatchReport(tuple(Outcome(item.id, verdict, error=error) for item in items), 1.0)

    market.close = close  # type: ignore[method-assign]
    report = virtual_time.run(market.sweep(None))
    assert report.counts == {last: 1}


def test_a_list_that_never_forgets_what_has_ended_does_not_keep_a_sweep_going() -> None:
    market = Market({1: 1})

    async def close(items: list[Item]) -> BatchReport:
        market.rounds.append([item.id for item in items])
        return BatchReport(tuple(Outcome(item.id, Verdict.ALREADY_CLOSED) for item in items), 1.0)

    market.close = close  # type: ignore[method-assign]
    report = virtual_time.run(asyncio.wait_for(market.sweep(None), 100))
    assert report.counts == {Verdict.ALREADY_CLOSED: 1}
    assert len(market.rounds) == 4


def test_a_sweep_can_be_in_vain_for_hours() -> None:
    report = virtual_time.run(Market({2: 9999}).sweep(10_000.0))
    assert report.counts == {Verdict.REFUSED: 1}


def test_what_fails_in_a_later_list_costs_no_report() -> None:
    market = Market({1: 1})

    async def look(mark: Mark | None) -> Survey:
        if mark is not None:
            raise TypeError("a predicate that met a trade without a profit")
        return await Market.look(market, mark)

    market.look = look  # type: ignore[method-assign]
    assert virtual_time.run(market.sweep(None)).counts == {Verdict.CLOSING: 1}
