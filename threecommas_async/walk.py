"""Walking over all pages of a list."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from threecommas_async.endpoints import PAGE_SIZE
from threecommas_async.errors import ThreeCommasError
from threecommas_async.models.account import ConnectedAccount
from threecommas_async.models.smart_trade import SmartTrade

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from threecommas_async.models.decoding import Malformed, Page

MAX_PAGES: Final = 10_000
"""Pages after which a walk is given up."""
MAX_PASSES: Final = 10
"""Passes over a list that does not come to rest, because trades are opened all the time."""


class Identified(Protocol):
    """What a list holds: something with an id."""

    @property
    def id(self) -> int: ...


E = TypeVar("E", bound=Identified)
E_co = TypeVar("E_co", bound=Identified, covariant=True)


class Walk(AsyncIterator[E_co], Generic[E_co]):
    """All elements of a list, page by page, each once: an asynchronous iterator.

    Args:
        what: Name of the elements, for an error.
        read_page: Reads one page.
        is_steady: Nothing drops out of the list while it is walked: one pass finds everything.
        **filters: Arguments of ``read_page``.
    """

    def __init__(
        self,
        what: str,
        read_page: Callable[..., Awaitable[Page[E_co]]],
        *,
        is_steady: bool,
        **filters: Any,
    ) -> None:
        self._what = what
        self._read_page = read_page
        self._is_steady = is_steady
        self._filters = filters
        self._malformed: dict[tuple[int | None, str], Malformed] = {}
        self._elements = self._walk()

    async def __anext__(self) -> E_co:
        return await anext(self._elements)

    async def aclose(self) -> None:
        """End the walk early."""
        await self._elements.aclose()

    @property
    def malformed(self) -> tuple[Malformed, ...]:
        """The elements passed by so far that could not be read."""
        return tuple(self._malformed.values())

    async def _walk(self) -> AsyncGenerator[E_co, None]:
        seen: set[int] = set()
        for _ in range(MAX_PASSES):
            number = found = 0
            async for page in pages(self._read_page, what=self._what, **self._filters):
                number += 1
                self._malformed |= {(bad.id, bad.fault): bad for bad in page.malformed}
                for element in page:
                    if element.id not in seen:
                        seen.add(element.id)
                        found += 1
                        yield element
            if not found or number == 1 or self._is_steady:
                return


async def pages(
    read_page: Callable[..., Awaitable[Page[E]]], *, what: str = "SmartTrades", **filters: Any
) -> AsyncGenerator[Page[E], None]:
    """Read all pages of a list once, from the first one.

    Args:
        read_page: Reads one page.
        what: Name of the elements, for an error.
        **filters: The other arguments of ``read_page``.

    Raises:
        ThreeCommasError: A page cannot be read, or the list does not end.
    """
    previous: tuple[int, ...] = ()
    for number in range(1, MAX_PAGES + 1):
        page = await read_page(page=number, per_page=PAGE_SIZE, **filters)
        yield page
        # A server that ignores the page number; pages of which nothing can be read say nothing.
        ids = tuple(element.id for element in page)
        if page.received < PAGE_SIZE or (ids and ids == previous):
            return
        previous = ids
    raise ThreeCommasError(f"the list of {what} does not end: gave up after {MAX_PAGES} pages")


class SmartTradeWalk(Walk[SmartTrade]):
    """All trades that match some filters: an asynchronous iterator. See ``SmartTrades.iterate``."""

    def __init__(self, read_page: Callable[..., Awaitable[Page[SmartTrade]]], **filters: Any) -> None:
        # Trades that end drop out of the list of active ones, and others move up.
        is_steady = filters["status"] != "active"
        super().__init__("SmartTrades", read_page, is_steady=is_steady, order_by="created_at", **filters)


class AccountWalk(Walk[ConnectedAccount]):
    """All connected accounts: an asynchronous iterator. See ``Accounts.iterate``."""

    def __init__(self, read_page: Callable[..., Awaitable[Page[ConnectedAccount]]]) -> None:
        super().__init__("accounts", read_page, is_steady=True)
