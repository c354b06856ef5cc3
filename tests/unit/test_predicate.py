from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests import virtual_time
from tests.scripted_api import Script, new_session
from threecommas_async import SmartTrade, SmartTrades
from threecommas_async.batch.predicate import check_predicate, holds
from threecommas_async.models.status import Status, StatusCode
from threecommas_async.wire import Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

ACTIVE = Response(200, {}, b'[{"id":8,"pair":"USDT_DOGE","status":{"basic_type":"waiting_targets"}}]')
TRADE = SmartTrade(id=8, status=Status(basic_type=StatusCode.CREATED))


def yielding(trade: SmartTrade) -> Iterator[bool]:
    yield trade.id == 0


async def yielding_later(trade: SmartTrade) -> AsyncIterator[bool]:
    yield trade.id == 0


class LikeNumpy:
    """True or false as ``numpy.bool`` is: an object of its own that equals 1 or 0."""

    def __init__(self, *, is_true: bool) -> None:
        self.is_true = is_true

    def __bool__(self) -> bool:
        return self.is_true

    def __eq__(self, other: object) -> bool:
        return other == int(self.is_true)

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("predicate", [yielding, yielding_later])
def test_a_generator_function_is_no_predicate(predicate: Any) -> None:
    with pytest.raises(ValueError, match="a generator is true whatever it yields"):
        check_predicate(predicate)


@pytest.mark.parametrize(
    "predicate",
    [
        lambda trade: trade.pair.startswith,
        lambda _: yielding,
        lambda trade: (trade.id == id for id in (1, 2)),
        lambda trade: trade.pair,
        lambda _: re.match("a", "a"),
        lambda _: [0],
        lambda _: Decimal("-3.5"),
        lambda _: object(),
    ],
)
def test_an_answer_that_is_true_by_accident_closes_nothing(predicate: Any) -> None:
    script = Script([ACTIVE])

    async def main() -> None:
        smart_trades = SmartTrades(new_session(script))
        for is_dry in (True, False):
            with pytest.raises(ValueError, match=r"must answer with True or False, not .* for trade 8"):
                await smart_trades.close_all(predicate=predicate, dry_run=is_dry)

    virtual_time.run(main())
    assert {request.method for _, request in script.sent} == {"GET"}


@pytest.mark.parametrize("answer", [True, 1, LikeNumpy(is_true=True)])
def test_a_yes_is_a_yes(answer: Any) -> None:
    assert holds(lambda _: answer, TRADE)


@pytest.mark.parametrize("answer", [False, 0, None, "", Decimal(0), LikeNumpy(is_true=False)])
def test_what_is_empty_says_no(answer: Any) -> None:
    assert not holds(lambda _: answer, TRADE)
