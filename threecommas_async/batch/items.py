"""What a batch is given: ids and trades, from any iterable, in the order in which they are to be closed."""

from __future__ import annotations

import asyncio
import math
import reprlib
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Sized,
)
from contextlib import aclosing, suppress
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar, get_args

from msgspec import Struct, field

from threecommas_async.errors import BatchStoppedError
from threecommas_async.models.smart_trade import SmartTrade
from threecommas_async.models.summary import TradeSummary

if TYPE_CHECKING:
    from threecommas_async.errand import Errand

T = TypeVar("T")

IdsOrTrades: TypeAlias = Iterable[int | str | SmartTrade] | AsyncIterable[int | str | SmartTrade]
"""Ids, also as texts of digits, and trades."""
ClosingOrder = Literal["given", "loss", "size"]
"""Which trade comes first: as given, the one that loses most, or the one that is worth most."""

TRADES: Final = "all trades"
"""What most batches are given, as a text says it."""

_DIGITS: Final = 19
"""Digits of the longest id that is believed: those of a 64-bit number."""
_CHUNK: Final = 100
"""Items that are read in one turn of the event loop."""


class Item(Struct, frozen=True, gc=False):
    """One item of a batch.

    Args:
        id: SmartTrade id; 0 for an item that is something else.
        seen: The trade, where one was given.
        value: The item itself, where it is something else.
        fault: Why the item cannot be one.
    """

    id: int
    seen: TradeSummary | None = None
    value: object = None
    fault: ValueError | None = None


class Input(Struct):
    """What a batch is given, as far as it has been read.

    Args:
        what: What it is, as a text says it.
        items: The items.
        stream: Yields more of them while the batch works; None where nothing does.
        is_whole: Nothing more is to come.
    """

    what: str = TRADES
    items: list[Item] = field(default_factory=list[Item])
    stream: AsyncGenerator[Item, None] | None = None
    is_whole: bool = False

    @property
    def unread(self) -> str:
        """What was not read to its end; empty where all of it was."""
        return "" if self.is_whole else self.what


Read: TypeAlias = Callable[[Input], Awaitable[None]]
"""Reads what a batch is given. What it was cancelled after is in there, too."""


def read_item(item: object) -> Item:
    """Return an item of a batch of trades.

    Raises:
        ValueError: It is no SmartTrade, no positive whole number and no text of digits.
    """
    if isinstance(item, SmartTrade) and item.id > 0:
        return Item(item.id, TradeSummary.of(item))
    if isinstance(item, str) and item.isascii() and item.isdecimal():
        item = int(item) if len(item) <= _DIGITS else 0
    if isinstance(item, bool) or not isinstance(item, int) or not 0 < item < 10**_DIGITS:
        raise ValueError(f"not a SmartTrade and not the id of one: {reprlib.repr(item)}")
    return Item(item)


def check_iterable(
    items: object, *, can_be_async: bool = True, what: str = "ids or trades, such as [42]"
) -> None:
    """Raise unless it is an iterable that can hold the items of a batch.

    Args:
        items: What a caller gave.
        can_be_async: It may be an asynchronous one.
        what: What the caller was to give, for the error.

    Raises:
        ValueError: It is not.
    """
    kinds = (Iterable, AsyncIterable) if can_be_async else (Iterable,)
    if isinstance(items, str | bytes) or not isinstance(items, kinds):
        raise ValueError(f"give an iterable of {what}, not {reprlib.repr(items)}")


async def read_items(
    trades: Iterable[object] | AsyncIterable[object], given: Input, *, order: ClosingOrder, errand: Errand
) -> None:
    """Read what a batch is given.

    An asynchronous iterable is read while the batch works, unless the order needs all of it first: then it is
    read until the errand is called off.

    Args:
        trades: Ids and trades.
        given: Where they are read to.
        order: Which comes first.
        errand: What they are read for.

    Raises:
        ValueError: It is no iterable of ids and trades, or an order needs trades and there are ids.
    """
    check_order(order)
    check_iterable(trades)
    if order == "given" and isinstance(trades, AsyncIterable):
        given.stream = _stream(trades)
        return
    ranked: list[tuple[float, Item]] = []

    def take(trade: object) -> None:
        if order == "given":
            ranked.append((0.0, read_item(trade)))
        elif isinstance(trade, SmartTrade):
            ranked.append((rank(trade, order), read_item(trade)))
        else:
            raise ValueError(f'order="{order}" needs trades, not {reprlib.repr(trade)}: list them first')

    try:
        if isinstance(trades, AsyncIterable):
            given.is_whole = await _take_until_called_off(trades, take, errand)
        else:
            await take_all(trades, take, given)
    finally:
        given.items = in_order(ranked)


async def take_all(trades: Iterable[T], take: Callable[[T], None], given: Input) -> None:
    """Take all items of an iterable.

    When it is cancelled meanwhile, those that are left are taken too if the iterable has a length. One that
    has none may be endless or slow: of that nothing more is read.
    """
    rest = iter(trades)
    try:
        async for trade in each(rest):
            take(trade)
    except asyncio.CancelledError:
        if isinstance(trades, Sized):
            with suppress(Exception):  # What fails here hides no cancellation.
                for trade in rest:
                    take(trade)
                given.is_whole = True
        raise
    given.is_whole = True


async def _take_until_called_off(
    trades: AsyncIterable[object], take: Callable[[object], None], errand: Errand
) -> bool:
    """Return whether it was read to its end."""
    async with aclosing(each(trades)) as source:
        while True:
            try:
                trade = await errand.wait_for(partial(anext, source))
            except StopAsyncIteration:
                return True
            except BatchStoppedError:
                return False
            take(trade)


def in_order(ranked: list[tuple[float, Item]]) -> list[Item]:
    """Return items by their rank, the lowest first; those of equal rank stay as they are."""
    return [item for _, item in sorted(ranked, key=itemgetter(0))]


async def each(items: Iterable[T] | AsyncIterable[T]) -> AsyncGenerator[T, None]:
    """Yield the items of an iterable of either kind, letting others work in between."""
    if isinstance(items, AsyncIterable):
        taken = 0
        async for item in items:
            yield item
            taken += 1
            if taken % _CHUNK == 0:  # It need not wait for anything itself.
                await asyncio.sleep(0)
        return
    for number, item in enumerate(items, start=1):
        yield item
        if number % _CHUNK == 0:
            await asyncio.sleep(0)


async def _stream(trades: AsyncIterable[object]) -> AsyncGenerator[Item, None]:
    async with aclosing(each(trades)) as source:
        async for trade in source:
            try:
                item = read_item(trade)
            except ValueError as problem:
                item = Item(0, fault=problem)
            yield item


def check_order(order: object) -> None:
    """Raise unless it is one of the orders.

    Raises:
        ValueError: It is not.
    """
    if order not in get_args(ClosingOrder):
        raise ValueError(f"order must be one of {', '.join(get_args(ClosingOrder))}, not {order!r}")


def rank(trade: SmartTrade, order: ClosingOrder) -> float:
    """Return a number that is lower the earlier a trade is to be closed, infinite where it cannot be told."""
    if order == "given":
        return 0.0
    try:
        value = _loss(trade) if order == "loss" else _size(trade)
    except (ArithmeticError, ValueError):
        return math.inf
    return math.inf if math.isnan(value) else value


def _loss(trade: SmartTrade) -> float:
    """Profit in USD; infinite where there is none."""
    usd = trade.profit.usd
    return math.inf if usd is None else float(usd)


def _size(trade: SmartTrade) -> float:
    """What was spent for what is not closed yet, less than 0: in USD, or in quote.

    The rate is what the profit in quote and in USD implies; infinite where nothing is held.
    """
    data, profit = trade.data, trade.profit
    if not data.entered_amount or not data.entered_total:
        return math.inf
    held = 1 - float(data.closed_amount or 0) / float(data.entered_amount)
    rate = float(profit.usd) / float(profit.volume) if profit.usd and profit.volume else 1.0
    return -float(data.entered_total) * held * rate
