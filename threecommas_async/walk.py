"""Walking over all pages of a list."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from threecommas_async.errors import ThreeCommasError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from threecommas_async.models.decoding import Malformed, Page
    from threecommas_async.models.smart_trade import SmartTrade

PAGE_SIZE: Final = 100
"""The most trades that one page can hold."""
MAX_PAGES: Final = 10_000
"""Pages after which a walk is given up."""
MAX_PASSES: Final = 10
"""Passes over a list that does not come to rest, because trades are opened all the time."""


class SmartTradeWalk(AsyncIterator["SmartTrade"]):
    """All trades that match some filters: an asynchronous iterator. See ``SmartTrades.iterate``."""

    def __init__(self, read_page: Callable[..., Awaitable[Page[SmartTrade]]], **filters: Any) -> None:
        self._read_page = read_page
        self._filters = filters
        self._malformed: dict[tuple[int | None, str], Malformed] = {}
        self._trades = self._walk()

    async def __anext__(self) -> SmartTrade:
        return await anext(self._trades)

    async def aclose(self) -> None:
        """End the walk early."""
        await self._trades.aclose()

    @property
    def malformed(self) -> tuple[Malformed, ...]:
        """The trades passed by so far that could not be read."""
        return tuple(self._malformed.values())

    async def _walk(self) -> AsyncGenerator[SmartTrade, None]:
        seen: set[int] = set()
        for _ in range(MAX_PASSES):
            number = found = 0
            async for page in pages(self._read_page, **self._filters):
                number += 1
                self._malformed |= {(bad.id, bad.fault): bad for bad in page.malformed}
                for trade in page:
                    if trade.id not in seen:
                        seen.add(trade.id)
                        found += 1
                        yield trade
            if not found or number == 1 or self._filters["status"] != "active":
                return


async def pages(
    read_page: Callable[..., Awaitable[Page[SmartTrade]]], *, order_by: str = "created_at", **filters: Any
) -> AsyncGenerator[Page[SmartTrade], None]:
    """Read all pages of a list once, from the first one.

    Args:
        read_page: ``SmartTrades.list``.
        order_by: Sort key.
        **filters: The other arguments of ``SmartTrades.list``.

    Raises:
        ThreeCommasError: A page cannot be read, or the list does not end.
    """
    previous: tuple[int, ...] = ()
    for number in range(1, MAX_PAGES + 1):
        page = await read_page(page=number, per_page=PAGE_SIZE, order_by=order_by, **filters)
        yield page
        # A server that ignores the page number; pages of which nothing can be read say nothing.
        ids = tuple(trade.id for trade in page)
        if page.received < PAGE_SIZE or (ids and ids == previous):
            return
        previous = ids
    raise ThreeCommasError(f"the list of SmartTrades does not end: gave up after {MAX_PAGES} pages")
