from __future__ import annotations

from typing import Any

import pytest

from tests import virtual_time
from threecommas_async import walk
from threecommas_async.errors import ThreeCommasError
from threecommas_async.models.decoding import Malformed, Page
from threecommas_async.models.smart_trade import SmartTrade
from threecommas_async.models.status import Status
from threecommas_async.walk import SmartTradeWalk


def trades(*ids: int) -> tuple[SmartTrade, ...]:
    return tuple(SmartTrade(id=id, status=Status()) for id in ids)


class Lists:
    """Answers pages from passes of pages; the last pass repeats."""

    def __init__(self, *passes: list[Page[SmartTrade]]) -> None:
        self.passes = passes
        self.asked: list[int] = []

    async def read(self, *, page: int, **_filters: Any) -> Page[SmartTrade]:
        self.asked.append(page)
        pages = self.passes[min(self.asked.count(1), len(self.passes)) - 1]
        return pages[page - 1] if page <= len(pages) else Page()


def walked(lists: Lists, status: str = "all") -> tuple[list[int], SmartTradeWalk]:
    path = SmartTradeWalk(lists.read, status=status)

    async def main() -> list[int]:
        return [trade.id async for trade in path]

    return virtual_time.run(main()), path


def test_a_walk_can_be_stepped_and_ended_early() -> None:
    async def main() -> list[int]:
        path = SmartTradeWalk(Lists([Page(trades(1, 2, 3))]).read, status="all")
        found = [(await anext(path)).id, (await anext(path)).id]
        await path.aclose()
        return found + [trade.id async for trade in path]

    assert virtual_time.run(main()) == [1, 2]


def test_a_short_page_ends_the_walk() -> None:
    lists = Lists([Page(trades(*range(1, 101))), Page(trades(101))])
    assert walked(lists)[0] == list(range(1, 102))
    assert lists.asked == [1, 2]


def test_a_trade_that_moves_to_the_next_page_comes_once() -> None:
    lists = Lists([Page(trades(*range(1, 101))), Page(trades(100, 101))])
    assert walked(lists)[0] == list(range(1, 102))


def test_active_trades_that_move_up_while_others_are_closed_are_found() -> None:
    """Page 1 is closed meanwhile: what was 101 to 200 is page 1 by then, and page 2 begins at 201."""
    lists = Lists(
        [Page(trades(*range(1, 101))), Page(trades(*range(201, 251)))],
        [Page(trades(*range(101, 201))), Page(trades(*range(201, 251)))],
    )
    assert sorted(walked(lists, "active")[0]) == list(range(1, 251))


def test_pages_of_which_nothing_can_be_read_do_not_end_the_walk() -> None:
    bad = [tuple(Malformed(index, page * 1000 + index, "$.x") for index in range(100)) for page in range(3)]
    lists = Lists(
        [
            Page((), bad[0]),
            Page((), bad[1]),
            Page(trades(*range(1, 101))),
            Page((), bad[2]),
            Page(trades(7000)),
        ]
    )
    ids, path = walked(lists)
    assert ids == [*range(1, 101), 7000]
    assert len(path.malformed) == 300


def test_a_server_that_ignores_the_page_number_is_not_asked_for_ever() -> None:
    lists = Lists([Page(trades(*range(1, 101)))] * 50)
    assert walked(lists)[0] == list(range(1, 101))
    assert lists.asked == [1, 2]


def test_a_list_without_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MAX_PAGES", 5)
    lists = Lists([Page(trades(*range(n * 100 + 1, n * 100 + 101))) for n in range(50)])
    with pytest.raises(ThreeCommasError, match="gave up after 5 pages"):
        walked(lists)


def test_a_list_that_does_not_come_to_rest_is_walked_ten_times() -> None:
    passes = [[Page(trades(*range(1, 100), 1000 + n)), Page(trades(101))] for n in range(50)]
    lists = Lists(*passes)
    ids, _ = walked(lists, "active")
    assert lists.asked.count(1) == 10
    assert {1000, 1009} <= set(ids)
