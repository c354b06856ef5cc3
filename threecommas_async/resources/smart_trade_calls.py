"""SmartTrades: list, read, create, start, cancel and close them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Self

from threecommas_async import created, endpoints
from threecommas_async.endpoints import PAGE_SIZE
from threecommas_async.models import rules
from threecommas_async.models.order import FundsOrder, Note, SmartTradeOrder, SmartTradeUpdate
from threecommas_async.models.order_groups import OrderValue, exact
from threecommas_async.models.reference import check_reference
from threecommas_async.resources.filters import check_place, list_query
from threecommas_async.resources.market_data import MarketData
from threecommas_async.resources.order_rules import check_market_rules
from threecommas_async.walk import SmartTradeWalk

if TYPE_CHECKING:
    from datetime import datetime

    from threecommas_async.errors import OutcomeUnknownError
    from threecommas_async.models.decoding import Page
    from threecommas_async.models.order_groups import MarketOrLimit, Number
    from threecommas_async.models.smart_trade import SmartTrade
    from threecommas_async.models.trade import ReduceFundsInfo, Trade
    from threecommas_async.resources.filters import Kind, OrderBy, OrderDirection, StatusFilter
    from threecommas_async.session import Session


class SmartTradeCalls:
    """The calls on one SmartTrade, and the lists of them: a part of ``client.smart_trades``.

    All of them can raise the errors of `threecommas_async.errors`; docstrings name those that are
    particular to the call. What the client was told not to do (by ``mode``, ``read_only``, ``dry_run`` or
    ``risk`` of the constructor) is a `GuardError` before anything is sent. Ids are positional; durations are
    seconds.
    """

    def __init__(self, session: Session, market_data: MarketData | None = None) -> None:
        self._session = session
        self._market_data = market_data or MarketData(session)
        self._references = created.References()

    def with_session(self, session: Session) -> Self:
        """Return these calls over another session that shares everything with this one but its options."""
        view = copy.copy(self)
        view._session = session  # noqa: SLF001 - a copy of its own
        view._market_data = self._market_data.with_session(session)  # noqa: SLF001 - as above
        return view

    async def list(
        self,
        *,
        page: int = 1,
        per_page: int = PAGE_SIZE,
        account_id: int | None = None,
        pair: str | None = None,
        type: Kind | None = None,
        status: StatusFilter = "all",
        order_by: OrderBy | None = None,
        order_direction: OrderDirection | None = None,
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
            type: Only this kind, such as ``smart_trade``: the constructors of `SmartTradeOrder` have
                their names.
            status: Only these states: ``active`` has those that have not ended; ``finished``,
                ``successfully_finish``, ``successfully_finished``, ``cancelled`` and ``failed`` are what
                the API calls them.
            order_by: Sort key; None is the API's default, the status.
            order_direction: Sort direction; None is the API's default, DESC.
            from_: Created at or after this instant, aware.
            to: Created at or before this instant, aware.
            base: Only this base currency.
            quote: Only this quote currency.

        Returns:
            The trades that could be read; ``malformed`` names those that could not.

        Raises:
            ValueError: ``page`` or ``per_page`` is out of range, a filter has a value that the API does not
                know, or an instant is naive. Nothing was sent.
        """
        query = list_query(
            page=page,
            per_page=per_page,
            account_id=account_id,
            pair=pair,
            type=type,
            status=status,
            order_by=order_by,
            order_direction=order_direction,
            from_=from_,
            to=to,
            base=base,
            quote=quote,
        )
        return await self._session.call(endpoints.LIST_SMART_TRADES, query=query)

    def iterate(
        self,
        *,
        account_id: int | None = None,
        pair: str | None = None,
        type: Kind | None = None,
        status: StatusFilter = "all",
        order_direction: OrderDirection = "DESC",
        from_: datetime | None = None,
        to: datetime | None = None,
        base: str | None = None,
        quote: str | None = None,
    ) -> SmartTradeWalk:
        """Walk over all SmartTrades, page by page, each trade once.

        Pages are ordered by creation, which does not change. With ``status="active"`` trades still drop
        out of the list while it is walked (you may be closing them), and others move up past the page
        that is read next. So a walk over more than one page begins anew until it finds nothing new (ten
        times at most), which takes twice the requests at least. Trades that are opened meanwhile are found
        too.

        Args:
            account_id: Only this account.
            pair: Only this pair, QUOTE_BASE.
            type: As in `SmartTrades.list`.
            status: As in `SmartTrades.list`.
            order_direction: ``DESC`` begins with the newest trade.
            from_: Created at or after this instant, aware.
            to: Created at or before this instant, aware.
            base: Only this base currency.
            quote: Only this quote currency.

        Returns:
            An asynchronous iterator over trades; its ``malformed`` names those that could not be read.

        Raises:
            ThreeCommasError: While iterating: a call failed, or the list does not end (a million trades).
        """
        return SmartTradeWalk(
            self.with_session(self._session.patient()).list,
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

    async def create(
        self,
        order: SmartTradeOrder,
        /,
        *,
        reference: str | None = None,
        validate: bool = True,
        check_rules: bool = False,
    ) -> SmartTrade:
        """Create a SmartTrade.

        Accepted is not filled: the trade comes back as ``created`` or ``waiting_position``.

        The API knows no idempotency keys. So without a reference the order is sent again only if it provably
        never left, or the rate limit refused it unprocessed. With one, the note begins with a marker, and
        after a lost answer the newest trades of the account and pair are searched for it 1, 3 and 7 s later:
        found, it is the answer; else the order is sent again, unless the API may still be at work on it
        (silence, 408, 504, 524) or has answered about another order. An order that is carried out only
        after the last search is doubled; how late that can be is not documented. If two orders are worse than
        none, leave the reference out.

        For this client (and its views) a reference is one order of an account and a pair: who asks for it
        again, or at the same time, gets the same trade as it was when created. The newest 10 000 are
        remembered. If the first time ended unknown or was cancelled, the order is searched first, and sent
        again only two minutes after it was lost. Another process, or this one after a restart, knows nothing
        of that: search with `find_reference` before you ask for it there.

        Args:
            order: The order; `SmartTradeOrder` has a constructor for each of the six kinds.
            reference: Your name for this order: 1 to 64 letters, digits and ``_ . -``. The marker takes 13
                characters of the note besides, and a space before your text.
            validate: Hold the order against the documented rules first; False sends it as it is, for the day
                when the server's rules change.
            check_rules: Hold the order against the steps and bounds of its market, too, with `MarketRules`.
                The first time that takes two requests, each with a ``timeout`` of its own: for the account
                (the key needs ``ACCOUNTS_READ``), which is then known for as long as there is the client,
                and for the rates, which are kept for 60 s. An order whose reference has been sent already,
                or may have been, is not checked again.

        Raises:
            MarketRulesError: With ``check_rules``: the market would refuse the order, or its rules cannot be
                found out; nothing was sent.
            ValueError: The order breaks documented rules, the reference cannot be used, belongs to another
                order, or does not fit into the note; nothing was sent.
            AccountError: The account was read, now or before, and takes no SmartTrades, or the key has no
                such account; nothing was sent.
            InvalidRequestError: The order was refused; ``attributes`` say which value and why.
            PermissionDeniedError: The account is not yours, or the key may not trade.
            OutcomeUnknownError: The answer was lost, and looking for the order, if it has a reference, could
                not tell either: `find_created` lists what it may have made.
        """
        _check_request("the order", order, SmartTradeOrder)
        if reference is not None:
            check_reference(reference)
        if validate:
            rules.check_order(order)
        if check_rules and not (reference is not None and self._references.is_known(order, reference)):
            await check_market_rules(self._session, self._market_data, order)
        self._session.book.check_smart_trading(order.account_id)
        if reference is None:
            return await self._session.call(endpoints.CREATE_SMART_TRADE, body=order)
        placement = self._references.placement(order, reference, keep=not self._session.is_dry)
        return await created.place(self._session, placement)

    async def find_created(self, error: OutcomeUnknownError, /) -> tuple[SmartTrade, ...]:
        """List the trades that a `create` may have made whose answer was lost.

        With a reference that is the trade that carries its marker. Without one it is every trade of that
        account and pair that was created since an hour before the order left, with the side, the kind
        and the note of the order: look at the amounts. One request for 100 trades since then.

        Args:
            error: What `create` raised, or one of ``client.in_flight_unknown()``.

        Returns:
            The trades, the oldest first. None of them means that there is no order so far; after
            ``error.settled_at``, that there is none.

        Raises:
            ValueError: The error is about another call; nothing was sent.
            ThreeCommasError: Also where a trade of the list cannot be read: it may be the one.
        """
        return await created.candidates(self._session.patient(), error)

    async def find_reference(
        self, reference: str, /, *, account_id: int, pair: str, since: datetime
    ) -> tuple[SmartTrade, ...]:
        """List the trades that were created with a reference: after a restart, or from another process.

        Args:
            reference: As it was given to `create`.
            account_id: Account that the order was for.
            pair: Pair that the order was for, QUOTE_BASE.
            since: When the order was sent at the earliest, aware: the search ends at older trades.

        Returns:
            The trades, the oldest first; one request for 100 trades since then.

        Raises:
            ValueError: The reference cannot be one, no account or no pair is named, or ``since`` is
                naive; nothing was sent.
            ThreeCommasError: Also where a trade of the list cannot be read: it may be the one.
        """
        check_place(account_id, pair)
        return await created.with_reference(
            self._session.patient(), reference, account_id=account_id, pair=pair, since=since
        )

    async def update(self, id: int, update: SmartTradeUpdate, /, *, validate: bool = True) -> SmartTrade:
        """Change the leverage, the entry, the targets or the stop of a SmartTrade.

        Possible while it is ``waiting_position`` or ``waiting_targets``. Only what is set in ``update`` is
        sent. A target that is not repeated in ``take_profit.steps`` is gone, and the answer gives new ids to
        all of them; see `SmartTradeUpdate`.

        Args:
            id: SmartTrade id.
            update: The changes.
            validate: Hold the changes against the documented rules before they are sent.

        Raises:
            ValueError: The changes break documented rules; nothing was sent.
            NotFoundError: No such trade for this key.
            InvalidRequestError: The trade cannot be changed in its state, or a value was refused.
            OutcomeUnknownError: The answer was lost: `get` shows what the trade looks like now.
        """
        _check_request("the update", update, SmartTradeUpdate)
        if validate:
            rules.check_update(update)
        return await self._session.call(endpoints.UPDATE_SMART_TRADE, path={"id": id}, body=update)

    async def add_funds(
        self,
        id: int,
        /,
        *,
        units: Number,
        order_type: MarketOrLimit = "market",
        price: Number | None = None,
        validate: bool = True,
    ) -> SmartTrade:
        """Add to the position of a SmartTrade.

        Possible while it is ``waiting_position`` or ``waiting_targets`` and neither entry, targets nor stop
        trail, and not for simple buys and sells: see ``data.add_funds_available``. The answer is the
        SmartTrade; the order that was made is in `list_trades`, and `cancel_trade` cancels it.

        Args:
            id: SmartTrade id.
            units: Amount to add, in base.
            order_type: Kind of the order.
            price: Price in quote, for a limit order.
            validate: Hold the order against the documented rules before it is sent.

        Raises:
            ValueError: The order breaks documented rules; nothing was sent.
            NotFoundError: No such trade for this key.
            InvalidRequestError: The state does not allow it, or the exchange's bounds refuse the amount.
            OutcomeUnknownError: The answer was lost: `list_trades` shows whether there is a new order.
        """
        funds = _funds(units, order_type, price, validate=validate)
        return await self._session.call(endpoints.ADD_FUNDS, path={"id": id}, body=funds)

    async def reduce_funds_info(self, id: int, /) -> ReduceFundsInfo:
        """Read how much of a position can be given up.

        A read, yet the key needs the permission to write.

        Args:
            id: SmartTrade id.

        Raises:
            NotFoundError: No such trade for this key.
            InvalidRequestError: The trade is not ``waiting_targets``.
        """
        return await self._session.call(endpoints.REDUCE_FUNDS_INFO, path={"id": id})

    async def reduce_funds(
        self,
        id: int,
        /,
        *,
        units: Number,
        order_type: MarketOrLimit = "market",
        price: Number | None = None,
        validate: bool = True,
    ) -> SmartTrade:
        """Give up a part of the position of a SmartTrade.

        Possible while it is ``waiting_targets``. It comes back as ``pending_reduce_funds``.

        Args:
            id: SmartTrade id.
            units: Amount to give up in base, at most what `reduce_funds_info` says.
            order_type: Kind of the order.
            price: Price in quote, for a limit order.
            validate: Hold the order against the documented rules before it is sent.

        Raises:
            ValueError: The order breaks documented rules; nothing was sent.
            NotFoundError: No such trade for this key.
            InvalidRequestError: The trade is in another state, or the amount is refused.
            OutcomeUnknownError: The answer was lost: `list_trades` shows whether there is a new order.
        """
        funds = _funds(units, order_type, price, validate=validate)
        return await self._session.call(endpoints.REDUCE_FUNDS, path={"id": id}, body=funds)

    async def set_note(self, id: int, note: str, /, *, validate: bool = True) -> SmartTrade:
        """Replace the note of a SmartTrade.

        Sent again after a lost answer: twice has the effect of once.

        Args:
            id: SmartTrade id.
            note: 1 to 300 characters; it comes back as ``note_raw``, and HTML-escaped as ``note``.
            validate: Hold the note against the documented length before it is sent.

        Raises:
            ValueError: The note is empty, too long or cannot be sent; nothing was sent.
            NotFoundError: No such trade for this key.
            OutcomeUnknownError: No attempt was answered: `get` shows the note.
        """
        _check_request("the note", note, str)
        if validate:
            rules.check_note(note)
        return await self._session.call(endpoints.SET_NOTE, path={"id": id}, body=Note(note=note))

    async def cancel(self, id: int, /) -> SmartTrade:
        """Cancel a SmartTrade; what was bought or sold stays as it is.

        Accepted is not finished: the trade comes back as ``cancellation_pending``. A part of the entry may
        still be filled on the exchange meanwhile.

        Args:
            id: SmartTrade id.

        Raises:
            NotFoundError: No such trade for this key.
            InvalidRequestError: The trade cannot be cancelled in its state (or `PermissionDeniedError`: not
                documented).
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
            InvalidRequestError: The trade cannot be closed in its state (or `PermissionDeniedError`: not
                documented).
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
            InvalidRequestError: The entry is in no such state (or `PermissionDeniedError`: not documented).
            OutcomeUnknownError: The answer was lost: `get` shows the state of the entry.
        """
        return await self._session.call(endpoints.FORCE_START, path={"id": id})

    async def force_process(self, id: int, /) -> SmartTrade:
        """Have a SmartTrade carry out now what it is waiting for.

        The call has no page in the documentation any more (it was last published in 2024-11), yet answers
        still say whether it is possible: ``data.force_process_available``.

        Args:
            id: SmartTrade id.

        Raises:
            NotFoundError: No such trade for this key, or the call is gone.
            OutcomeUnknownError: The answer was lost: `get` shows the state of the trade.
        """
        return await self._session.call(endpoints.FORCE_PROCESS, path={"id": id})

    async def list_trades(self, smart_trade_id: int, /) -> Page[Trade]:
        """Read the orders of a SmartTrade: its entry, targets, stop and reductions, all of them.

        Args:
            smart_trade_id: SmartTrade id.

        Returns:
            The orders that could be read; ``malformed`` names those that could not.

        Raises:
            NotFoundError: No such trade for this key.
        """
        return await self._session.call(endpoints.LIST_TRADES, path={"smart_trade_id": smart_trade_id})

    async def close_trade_by_market(self, smart_trade_id: int, trade_id: int, /) -> SmartTrade:
        """Close one take-profit target at market price.

        Possible while the target is ``to_process``, ``order_placed`` or ``trailing_activated``; the
        others stay.

        Args:
            smart_trade_id: SmartTrade id.
            trade_id: Id of the target, as in ``take_profit.steps``.

        Raises:
            NotFoundError: No such trade or target for this key.
            InvalidRequestError: The target is in no such state (or `PermissionDeniedError`: not documented).
            OutcomeUnknownError: The answer was lost: `get` shows the state of the target.
        """
        return await self._session.call(
            endpoints.CLOSE_TRADE, path={"smart_trade_id": smart_trade_id, "trade_id": trade_id}
        )

    async def cancel_trade(self, smart_trade_id: int, trade_id: int, /) -> SmartTrade:
        """Cancel one order of a SmartTrade: a target, the stop, or an order of `add_funds`.

        Cancelling the last target or the stop cancels the whole SmartTrade. The answer may still list the
        order as it was: the cancellation is carried out later.

        Args:
            smart_trade_id: SmartTrade id.
            trade_id: Id of the order, as in `list_trades` and ``take_profit.steps``.

        Raises:
            NotFoundError: No such trade or order for this key.
            InvalidRequestError: The order cannot be cancelled in its state (or a `PermissionDeniedError`: not
                documented).
            OutcomeUnknownError: The answer was lost: `list_trades` shows the state of the order.
        """
        return await self._session.call(
            endpoints.CANCEL_TRADE, path={"smart_trade_id": smart_trade_id, "trade_id": trade_id}
        )


def _funds(units: Number, order_type: MarketOrLimit, price: Number | None, *, validate: bool) -> FundsOrder:
    funds = FundsOrder(
        order_type=order_type,
        units=OrderValue(value=exact("units", units)),
        price=None if price is None else OrderValue(value=exact("price", price)),
    )
    if validate:
        rules.check_funds(funds)
    return funds


def _check_request(what: str, request: object, kind: type) -> None:
    if not isinstance(request, kind):
        raise ValueError(f"{what} must be a {kind.__name__}, not {request!r:.80}")
