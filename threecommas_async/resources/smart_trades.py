"""SmartTrades: list, read, create, start, cancel and close them."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Final, Literal

from threecommas_async import batch, endpoints

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping
    from datetime import datetime

    from threecommas_async.batch import BatchReport, IdsOrTrades, OnUnfilled, Verdict
    from threecommas_async.models.decoding import Malformed, Page
    from threecommas_async.models.order import SmartTradeOrder
    from threecommas_async.models.smart_trade import SmartTrade
    from threecommas_async.session import Session

Kind = Literal["simple_buy", "simple_sell", "smart_trade", "smart_cover", "smart_buy", "smart_sell"]
StatusFilter = Literal[
    "all", "active", "finished", "successfully_finish", "successfully_finished", "cancelled", "failed"
]
"""The fourth one is spelled both ways: the documentation changed after 2024-11 and no example settles it."""
OrderBy = Literal["created_at", "updated_at", "closed_at", "status", "profit", "profit_percentage"]

PAGE_SIZE: Final = 100
"""The most trades that one page can hold."""
MAX_PAGES: Final = 10_000
"""Pages after which a walk is given up: a million trades."""

_log = logging.getLogger("threecommas_async.decoding")


class SmartTrades:
    """The calls on SmartTrades: ``client.smart_trades``.

    All of them can raise the errors of `threecommas_async.errors`; docstrings name those that are
    particular to the call. Ids are positional; durations are seconds.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    async def list(
        self,
        *,
        page: int = 1,
        per_page: int = PAGE_SIZE,
        account_id: int | None = None,
        pair: str | None = None,
        type: Kind | None = None,
        status: StatusFilter | None = None,
        order_by: OrderBy | None = None,
        order_direction: Literal["ASC", "DESC"] | None = None,
        from_: datetime | None = None,
        to: datetime | None = None,
        base: str | None = None,
        quote: str | None = None,
    ) -> Page[SmartTrade]:
        """Read one page of SmartTrades.

        The API orders by status unless told otherwise, so pages shift while trades change state:
        `iterate` walks all pages in an order that does not.

        Args:
            page: Page number, from 1.
            per_page: Trades per page, 1 to 100. A page with fewer is the last one.
            account_id: Only this account.
            pair: Only this pair, QUOTE_BASE.
            type: Only this kind.
            status: Only these states; what the API takes for None is not documented.
            order_by: Sort key; None is the API's default, the status.
            order_direction: Sort direction; None is the API's default, DESC.
            from_: Created at or after this instant, aware.
            to: Created at or before this instant, aware.
            base: Only this base currency.
            quote: Only this quote currency.

        Returns:
            The trades that could be read; ``malformed`` names those that could not.

        Raises:
            ValueError: ``page`` or ``per_page`` is out of range, or an instant is naive.
        """
        if page < 1 or not 1 <= per_page <= PAGE_SIZE:
            raise ValueError(f"page must be at least 1 and per_page 1 to {PAGE_SIZE}: {page!r}, {per_page!r}")
        query = {
            "page": page,
            "per_page": per_page,
            "account_id": account_id,
            "pair": pair,
            "type": type,
            "status": status,
            "order_by": order_by,
            "order_direction": order_direction,
            "from": from_,
            "to": to,
            "base": base,
            "quote": quote,
        }
        found = await self._session.call(endpoints.LIST_SMART_TRADES, query=query)
        for bad in found.malformed:
            _log.warning(
                "SmartTrade %s on page %d cannot be read: %s", bad.id or "without id", page, bad.fault
            )
        return found

    def iterate(
        self,
        *,
        account_id: int | None = None,
        pair: str | None = None,
        type: Kind | None = None,
        status: StatusFilter | None = None,
        order_direction: Literal["ASC", "DESC"] = "DESC",
        from_: datetime | None = None,
        to: datetime | None = None,
        base: str | None = None,
        quote: str | None = None,
    ) -> SmartTradeWalk:
        """Walk over all SmartTrades, page by page, each trade once.

        Pages are ordered by creation, which does not change. With ``status="active"`` trades still drop
        out of the list while it is walked (you may be closing them), and others move up past the page
        that is read next: after the last page the walk begins anew until it finds nothing new.

        Args:
            account_id: Only this account.
            pair: Only this pair, QUOTE_BASE.
            type: Only this kind.
            status: Only these states.
            order_direction: ``DESC`` begins with the newest trade.
            from_: Created at or after this instant, aware.
            to: Created at or before this instant, aware.
            base: Only this base currency.
            quote: Only this quote currency.

        Returns:
            An asynchronous iterable of trades; its ``malformed`` names those that could not be read.
        """
        return SmartTradeWalk(
            self.list,
            account_id=account_id,
            pair=pair,
            type=type,
            status=status,
            order_direction=order_direction,
            from_=from_,
            to=to,
            base=base,
            quote=quote,
        )

    async def get(self, id: int, /) -> SmartTrade:
        """Read one SmartTrade.

        Raises:
            NotFoundError: No such trade for this key. (The API answers 400 here, not 404.)
        """
        return await self._session.call(endpoints.GET_SMART_TRADE, path={"id": id})

    async def create(self, order: SmartTradeOrder, /) -> SmartTrade:
        """Create a SmartTrade.

        Accepted is not filled: the trade comes back as ``created`` or ``waiting_position``. The order is
        sent again only if it provably never left.

        Raises:
            InvalidRequestError: The order was refused; ``attributes`` say which value and why.
            PermissionDeniedError: The account is not yours, or the key may not trade.
            OutcomeUnknownError: The answer was lost: list the newest trades before you repeat the order.
        """
        return await self._session.call(endpoints.CREATE_SMART_TRADE, body=order)

    async def cancel(self, id: int, /) -> SmartTrade:
        """Cancel a SmartTrade; what was bought or sold stays as it is.

        Accepted is not finished: the trade comes back as ``cancellation_pending``. A part of the entry may
        still be filled on the exchange meanwhile.

        Args:
            id: SmartTrade id.

        Raises:
            NotFoundError: No such trade for this key.
            InvalidRequestError: The trade cannot be cancelled in its state.
            OutcomeUnknownError: The answer was lost: `get` shows whether the trade is being cancelled.
        """
        return await self._session.call(endpoints.CANCEL_SMART_TRADE, path={"id": id})

    async def close_by_market(self, id: int, /) -> SmartTrade:
        """Order a SmartTrade to be closed at market price.

        Accepted is not finished: the trade comes back as ``panic_sell_pending`` and reaches ``panic_sold``
        later; `wait_closed` follows it there. A trade whose entry is not filled is refused: `cancel` it.

        Args:
            id: SmartTrade id (not the id of one of its targets).

        Raises:
            NotFoundError: No such trade for this key.
            InvalidRequestError: The trade cannot be closed in its state.
            OutcomeUnknownError: The answer was lost: `get` shows whether the trade is closing.
        """
        return await self._session.call(endpoints.CLOSE_BY_MARKET, path={"id": id})

    async def force_start(self, id: int, /) -> SmartTrade:
        """Open the position at market price now, instead of waiting for the entry's price.

        Possible while the entry is ``to_process``, ``order_placed`` or ``trailing_activated``.

        Args:
            id: SmartTrade id.

        Raises:
            NotFoundError: No such trade for this key.
            InvalidRequestError: The entry is in no such state.
            OutcomeUnknownError: The answer was lost: `get` shows the state of the entry.
        """
        return await self._session.call(endpoints.FORCE_START, path={"id": id})

    async def close_trade_by_market(self, smart_trade_id: int, trade_id: int, /) -> SmartTrade:
        """Close one take-profit target at market price.

        Possible while the target is ``to_process``, ``order_placed`` or ``trailing_activated``; the
        others stay.

        Args:
            smart_trade_id: SmartTrade id.
            trade_id: Id of the target, as in ``take_profit.steps``.

        Raises:
            NotFoundError: No such trade or target for this key.
            InvalidRequestError: The target is in no such state.
            OutcomeUnknownError: The answer was lost: `get` shows the state of the target.
        """
        return await self._session.call(
            endpoints.CLOSE_STEP, path={"smart_trade_id": smart_trade_id, "trade_id": trade_id}
        )

    async def close_many(
        self,
        trades: IdsOrTrades,
        /,
        *,
        on_unfilled: OnUnfilled = "cancel",
        concurrency: int = 16,
        on_progress: Callable[[int, int | None, Verdict], object] | None = None,
    ) -> BatchReport:
        """Close many SmartTrades at market price, as fast as the request limit allows.

        One trade never costs the others: each gets a verdict. The batch stops when every further call would
        meet the same refusal (401, 418, the plan, a closed client), and the rest is ``SKIPPED``. It is
        safe to run it again: what is closed is ``ALREADY_CLOSED``.

        Args:
            trades: Ids or trades, from any iterable or asynchronous iterable; closed in its order. A trade
                that has been read already saves a request where it has ended or its entry is not filled.
            on_unfilled: What to do with a trade whose entry is not filled, which cannot be closed.
            concurrency: Calls in flight at most.
            on_progress: Called after each verdict with the number of verdicts so far, the number of trades
                (None if the iterable does not know) and the verdict.

        Raises:
            ValueError: An item of a list is no id and no trade; nothing was sent. From an iterator such
                an item is ``REFUSED``.
        """
        return await batch.close_many(
            self, trades, on_unfilled=on_unfilled, concurrency=concurrency, on_progress=on_progress
        )

    async def wait_closed(
        self, ids: Iterable[int], /, *, timeout: float, poll_every: float = 2.0
    ) -> Mapping[int, SmartTrade]:
        """Follow trades until all of them have ended.

        Polls list pages: one request for 100 trades, not one for each.

        Args:
            ids: SmartTrade ids.
            timeout: Seconds after which to give up.
            poll_every: Seconds between two walks over the list.

        Returns:
            The ended trades by id.

        Raises:
            TimeoutError: Some trades have not ended in time.
            NotFoundError: An id is not in the list of this key's trades.
        """
        wanted = set(ids)
        ended: dict[int, SmartTrade] = {}
        give_up_at = time.monotonic() + timeout
        while True:
            if len(ended) == len(wanted):
                return ended
            found = await self._look_up(wanted - ended.keys())
            ended |= {trade.id: trade for trade in found if trade.is_terminal}
            if time.monotonic() + poll_every > give_up_at:
                raise TimeoutError(
                    f"{len(wanted) - len(ended)} of {len(wanted)} trades have not ended in time"
                )
            await asyncio.sleep(poll_every)

    async def _look_up(self, ids: set[int]) -> tuple[SmartTrade, ...]:
        found: dict[int, SmartTrade] = {}
        async for trade in self.iterate(status="all"):
            if trade.id in ids:
                found[trade.id] = trade
            if len(found) == len(ids):
                break
        return (*found.values(), *[await self.get(missing) for missing in ids - found.keys()])


class SmartTradeWalk:
    """All trades that match some filters: an asynchronous iterable. See `SmartTrades.iterate`."""

    def __init__(self, read_page: Callable[..., Any], **filters: Any) -> None:
        self._read_page = read_page
        self._filters = filters
        self._malformed: dict[tuple[int | None, str], Malformed] = {}

    @property
    def malformed(self) -> tuple[Malformed, ...]:
        """The trades passed by so far that could not be read."""
        return tuple(self._malformed.values())

    async def __aiter__(self) -> AsyncIterator[SmartTrade]:
        seen: set[int] = set()
        while True:
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

    async def _pages(self) -> AsyncIterator[Page[SmartTrade]]:
        previous: Page[SmartTrade] | None = None
        for number in range(1, MAX_PAGES + 1):
            page: Page[SmartTrade] = await self._read_page(
                page=number, per_page=PAGE_SIZE, order_by="created_at", **self._filters
            )
            self._malformed |= {(bad.id, bad.fault): bad for bad in page.malformed}
            yield page
            if page.received < PAGE_SIZE or (previous and _ids(page) == _ids(previous)):
                return
            previous = page


def _ids(page: Page[SmartTrade]) -> tuple[int, ...]:
    return tuple(trade.id for trade in page)
