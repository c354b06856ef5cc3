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
            pages = found = 0
            async for page in self._pages():
                pages += 1
                for trade in page:
                    if trade.id not in seen:
                        seen.add(trade.id)
                        found += 1
                        yield trade
            if not found or pages == 1 or self._filters["status"] != "active":
                return

    async def _pages(self) -> AsyncGenerator[Page[SmartTrade], None]:
        previous: tuple[int, ...] = ()
        for number in range(1, MAX_PAGES + 1):
            page = await self._read_page(
                page=number, per_page=PAGE_SIZE, order_by="created_at", **self._filters
            )
            self._malformed |= {(bad.id, bad.fault): bad for bad in page.malformed}
            yield page
            # A server that ignores the page number; pages of which nothing can be read say nothing.
            ids = tuple(trade.id for trade in page)
            if page.received < PAGE_SIZE or (ids and ids == previous):
                return
            previous = ids
        raise ThreeCommasError(f"the list of SmartTrades does not end: gave up after {MAX_PAGES} pages")
