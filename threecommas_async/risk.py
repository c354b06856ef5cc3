"""Bounds that a client keeps of its own accord: how many trades, how much money, where.

They hold for what this client sends by ``create`` and ``add_funds``. What cannot be checked is refused. They
are a belt for a program that goes astray, no insurance: other programs and the web interface do not know
them, ``update`` and ``force_start`` are not held against them, and prices move between check and fill.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, InvalidOperation, localcontext
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import force_setattr

from threecommas_async import errors
from threecommas_async.deadline import loop_time
from threecommas_async.endpoints import (
    ADD_FUNDS,
    CREATE_SMART_TRADE,
    GET_SMART_TRADE,
    LIST_SMART_TRADES,
    PAGE_SIZE,
)
from threecommas_async.models.order import FundsOrder, SmartTradeOrder
from threecommas_async.models.order_groups import Number, exact
from threecommas_async.models.smart_trade import SmartTrade

if TYPE_CHECKING:
    import msgspec

    from threecommas_async.endpoints import Endpoint
    from threecommas_async.mode import Reader

HOUR: Final = 3600.0
"""Seconds of the sliding window of ``max_quote_per_hour``."""
LOOK_EVERY: Final = 60.0
"""Seconds after which the open trades are counted anew before a create."""
LOOK_AGAIN: Final = 5.0
"""Seconds after which they are counted anew where there would be too many."""
_SETTLED: Final = errors.SETTLED.total_seconds()
# Whatever the caller's context is. No number of an order is longer, and no price that can be one.
_EXACT: Final = Context(prec=1000, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[InvalidOperation])


class RiskLimits(Struct, frozen=True, kw_only=True):
    """What the orders of a client must stay within; None is no bound.

    Args:
        max_open_trades: SmartTrades of the key that have not ended, the new one included. They are counted in
            the list of active trades, at most a minute before an order is sent: a trade that somebody else
            opens meanwhile is not seen.
        max_quote_per_order: Units times price of one order, in the quote currency of its pair; leverage does
            not change it. A number holds for any currency. A mapping such as ``{"USDT": 500}`` names the
            currencies that there may be.
        max_quote_per_hour: The same for all orders of any 60 minutes; each currency is counted by itself. An
            order of unknown outcome counts, one that was refused or never left does not.
        pairs: The pairs that may be traded, QUOTE_BASE.
        accounts: The accounts that may be traded on.
        price_of: Your own source of prices: takes a pair, returns a price in quote, or None where it has
            none; it must return at once, and an order for which it raises is refused. It is asked for market
            orders: where nobody knows a price, an order cannot be held against a bound of quote, and is
            refused. It is asked for limit orders to sell, too, which are valued at the market's price where
            that is known and higher. Orders with a trigger are valued at the trigger's price, added funds at
            the trade's own ticker; a position that is held already costs nothing.

    Example::

        prices = {"USDT_BTC": Decimal(65000)}  # The bot keeps them up to date.
        RiskLimits(max_open_trades=20, max_quote_per_order={"USDT": 500}, price_of=prices.get)

    Raises:
        ValueError: A bound cannot be one.
    """

    max_open_trades: int | None = None
    max_quote_per_order: Number | Mapping[str, Number] | None = None
    max_quote_per_hour: Number | Mapping[str, Number] | None = None
    pairs: Collection[str] | None = None
    accounts: Collection[int] | None = None
    price_of: Callable[[str], Decimal | None] | None = None

    def __post_init__(self) -> None:
        most = self.max_open_trades
        if most is not None and (type(most) is not int or most < 0):
            raise ValueError(f"max_open_trades must be a whole number from 0, not {most!r}")
        for name in ("max_quote_per_order", "max_quote_per_hour"):
            force_setattr(self, name, _bound(name, getattr(self, name)))
        for name in ("pairs", "accounts"):
            force_setattr(self, name, _allowed(name, getattr(self, name)))
        if self.price_of is not None and (not callable(self.price_of) or iscoroutinefunction(self.price_of)):
            raise ValueError(f"price_of must be a plain function, not {self.price_of!r}")

    @property
    def values_orders(self) -> bool:
        """What an order is worth has to be known."""
        return self.max_quote_per_order is not None or self.max_quote_per_hour is not None

    @property
    def need_the_trade(self) -> bool:
        """What added funds are added to has to be known."""
        return self.values_orders or self.pairs is not None or self.accounts is not None


def _bound(name: str, bound: Any) -> Decimal | Mapping[str, Decimal] | None:
    if bound is None:
        return None
    if isinstance(bound, Mapping):
        return {currency: _positive(f"{name}[{currency!r}]", number) for currency, number in bound.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - callers may be untyped
    return _positive(name, bound)


def _allowed(name: str, allowed: Any) -> frozenset[Any] | None:
    if allowed is None:
        return None
    kind, example = (int, 32199203) if name == "accounts" else (str, "USDT_BTC")
    is_collection = isinstance(allowed, Iterable) and not isinstance(allowed, str | bytes)
    elements: list[Any] = list(allowed) if is_collection else [None]  # pyright: ignore[reportUnknownArgumentType] - callers may be untyped
    if any(not isinstance(element, kind) or isinstance(element, bool) for element in elements):
        raise ValueError(f"{name} must be a collection such as [{example!r}], not {allowed!r:.80}")
    return frozenset(elements)


def _positive(name: str, number: Number) -> Decimal:
    value = exact(name, number)
    if value <= 0:
        raise ValueError(f"{name} must be above 0, not {value}")
    return value


class Exposure(Struct, frozen=True):
    """What an order puts at stake.

    Args:
        pair: Its pair; None where the trade does not say.
        account_id: Its account; None where the trade does not say.
        quote: Units times price, in quote; None where no price is known.
    """

    pair: str | None
    account_id: int | None
    quote: Decimal | None

    @property
    def currency(self) -> str:
        """The quote currency."""
        return (self.pair or "").partition("_")[0]


def price_of_order(order: SmartTradeOrder) -> Decimal | None:
    """Return the price of a new order: its own if it is a limit order, else that of its trigger.

    The higher of the two for an order to sell. None for a market order, whatever price stands in it.
    """
    position = order.position
    trigger = position.conditional if position.order_type == "conditional" else None
    fires_at = None if trigger is None else trigger.price.value
    if (position if trigger is None else trigger).order_type == "limit" and position.price is not None:
        return _price(position.price.value, fires_at, sells=position.type == "sell")
    return fires_at


def price_of_funds(funds: FundsOrder, trade: SmartTrade) -> Decimal | None:
    """Return the price of added funds: their own of a limit order, else what the trade's ticker says.

    The higher of the two for a limit order to sell.
    """
    ticker, sells = trade.data.current_price, trade.side == "sell"
    market = (ticker.bid if sells else ticker.ask) or ticker.last
    if funds.order_type == "limit" and funds.price is not None:
        return _price(funds.price.value, market, sells=sells)
    return market


def _price(limit: Decimal | None, market: Decimal | None, *, sells: bool) -> Decimal | None:
    # Who sells gets the limit at least, and from the market whatever is more.
    if limit and not sells:
        return limit
    return max((price for price in (limit, market) if price and price.is_finite()), default=None)


def worth(units: Decimal, price: Decimal | None) -> Decimal | None:
    """Return units times price, exactly; None without a usable price."""
    if price is None or not price.is_finite() or price <= 0:
        return None
    with localcontext(_EXACT):
        return abs(units * price)


class Reservation(Struct, eq=False):
    """The share of the bounds that one order takes.

    Args:
        exposure: What it puts at stake.
        opens: It opens a trade that the list of open trades may not show yet.
        ended: When its call ended; None while it is under way.
        trade_id: The trade that it opened; None where that is not known.
    """

    exposure: Exposure
    opens: bool
    ended: float | None = None
    trade_id: int | None = None

    @property
    def settled(self) -> float | None:
        """When it was carried out at the latest; None while that is open."""
        if self.ended is None:
            return None
        return self.ended if self.trade_id is not None else self.ended + _SETTLED


class Rails:
    """Keeps a client within its limits: an order takes its share before it is sent.

    Args:
        limits: The bounds.
        clock: Seconds of a clock that never goes back.
    """

    def __init__(self, limits: RiskLimits, *, clock: Callable[[], float] = loop_time) -> None:
        self._limits = limits
        self._clock = clock
        self._taken: list[Reservation] = []
        self._open: frozenset[int] = frozenset()
        self._unreadable = 0
        self._looked_at: float | None = None
        self._turnstile = asyncio.Lock()

    async def reserve(
        self, endpoint: Endpoint[Any], path: Mapping[str, int], body: msgspec.Struct | None, read: Reader
    ) -> Reservation | None:
        """Take the share of an order, if there is room for it; None for a call that has none.

        Raises:
            RiskLimitError: It would pass a bound, or that cannot be told.
            ThreeCommasError: A look-up failed.
        """
        exposure = await self._exposure(endpoint, path, body, read)
        if exposure is None:
            return None
        most = self._limits.max_open_trades if endpoint is CREATE_SMART_TRADE else None
        self._check(endpoint, exposure)
        if most:
            await self._look(read, most, older_than=LOOK_EVERY)
            if self.open_trades >= most:
                await self._look(read, most, older_than=LOOK_AGAIN)
        # Nothing is awaited from here: between the check and the share nobody else can take it.
        self._check(endpoint, exposure)
        if most is not None and self.open_trades >= most:
            raise _passed(endpoint, "max_open_trades", self.open_trades + 1, most)
        reservation = Reservation(exposure, opens=most is not None)
        self._taken = [taken for taken in self._taken if taken.opens or self._is_recent(taken)]
        self._taken.append(reservation)
        return reservation

    def settle(self, reservation: Reservation, trade: object) -> None:
        """Keep the share of an order that was carried out, or may have been.

        Args:
            reservation: Its share.
            trade: The answer; None if it was lost.
        """
        reservation.ended = self._clock()
        reservation.trade_id = trade.id if isinstance(trade, SmartTrade) else None

    def give_back(self, reservation: Reservation) -> None:
        """Give the share of an order back that was certainly not carried out."""
        self._taken.remove(reservation)

    @property
    def open_trades(self) -> int:
        """How many trades there are that have not ended, as far as is known; those under way count."""
        opening = [taken for taken in self._taken if taken.opens]
        ids = self._open | {taken.trade_id for taken in opening if taken.trade_id is not None}
        return len(ids) + self._unreadable + sum(taken.trade_id is None for taken in opening)

    def spent(self, currency: str) -> Decimal:
        """Return what the orders of the last hour put at stake in one currency, those under way included."""
        with localcontext(_EXACT):
            return sum(
                (
                    taken.exposure.quote or Decimal(0)
                    for taken in self._taken
                    if taken.exposure.currency == currency and self._is_recent(taken)
                ),
                Decimal(0),
            )

    def _is_recent(self, taken: Reservation) -> bool:
        return taken.settled is None or self._clock() - taken.settled < HOUR

    async def _exposure(
        self, endpoint: Endpoint[Any], path: Mapping[str, int], body: msgspec.Struct | None, read: Reader
    ) -> Exposure | None:
        if endpoint is CREATE_SMART_TRADE and isinstance(body, SmartTradeOrder):
            if body.skip_enter_step is True and not body.instant:  # It is held already: nothing is spent.
                return Exposure(body.pair, body.account_id, Decimal(0))
            price = self._price_of_order(body)
            return Exposure(body.pair, body.account_id, worth(body.position.units.value, price))
        if endpoint is not ADD_FUNDS or not isinstance(body, FundsOrder) or not self._limits.need_the_trade:
            return None
        trade = await read(GET_SMART_TRADE, path=path)
        price = price_of_funds(body, trade) or self._price_of(trade.pair)
        return Exposure(trade.pair, trade.account.id, worth(body.units.value, price))

    def _price_of_order(self, order: SmartTradeOrder) -> Decimal | None:
        price, position = price_of_order(order), order.position
        if price and not (position.type == "sell" and position.order_type == "limit"):
            return price
        return _price(price, self._price_of(order.pair), sells=True)

    def _price_of(self, pair: str | None) -> Decimal | None:
        if pair is None or self._limits.price_of is None or not self._limits.values_orders:
            return None
        try:
            price = self._limits.price_of(pair)
        except Exception as problem:
            raise errors.RiskLimitError(
                f"nothing was sent: price_of raised {type(problem).__name__} for {pair}, so what the "
                "order is worth is not known",
                limit="price_of",
            ) from problem
        return None if price is None else exact("what price_of returns", price)

    def _check(self, endpoint: Endpoint[Any], exposure: Exposure) -> None:
        limits = self._limits
        if limits.pairs is not None and exposure.pair not in limits.pairs:
            raise _passed(endpoint, "pairs", exposure.pair, sorted(limits.pairs))
        if limits.accounts is not None and exposure.account_id not in limits.accounts:
            raise _passed(endpoint, "accounts", exposure.account_id, sorted(limits.accounts))
        for name, bound, before in (
            ("max_quote_per_order", limits.max_quote_per_order, Decimal(0)),
            ("max_quote_per_hour", limits.max_quote_per_hour, self.spent(exposure.currency)),
        ):
            if bound is None:
                continue
            most = bound.get(exposure.currency) if isinstance(bound, Mapping) else bound
            if most is None:
                raise _passed(endpoint, name, exposure.currency, bound)
            if exposure.quote is None:
                raise _unvalued(endpoint, name, most)
            with localcontext(_EXACT):
                value = before + exposure.quote
            if value > Decimal(most):
                raise _passed(endpoint, name, value, most)

    async def _look(self, read: Reader, most: int, *, older_than: float) -> None:
        """Count the open trades, as far as a bound asks for, unless that was done lately."""
        async with self._turnstile:
            began = self._clock()
            if self._looked_at is not None and began - self._looked_at < older_than:
                return
            ids: set[int] = set()
            unreadable = 0
            # Oldest first, so that one that opens meanwhile moves no other to a page that has been read; and
            # from the last page that matters to the first, as one that ends moves others up.
            for number in range(-(-most // PAGE_SIZE), 0, -1):
                page = await read(LIST_SMART_TRADES, query=_ACTIVE | {"page": number})
                ids |= {trade.id for trade in page}
                unreadable += len(page.malformed)
            self._open, self._unreadable, self._looked_at = frozenset(ids), unreadable, began
            for taken in self._taken:
                # What had ended by then is in the list, or is no open trade any more.
                taken.opens = taken.opens and (taken.settled is None or taken.settled > began)


_ACTIVE: Final = {
    "status": "active",
    "order_by": "created_at",
    "order_direction": "ASC",
    "per_page": PAGE_SIZE,
}


def _passed(endpoint: Endpoint[Any], limit: str, value: object, bound: object) -> errors.RiskLimitError:
    return errors.RiskLimitError(
        f"nothing was sent: {endpoint} would break RiskLimits.{limit}: {value} where {bound} is allowed",
        endpoint=endpoint,
        limit=limit,
        value=value,
        bound=bound,
    )


def _unvalued(endpoint: Endpoint[Any], limit: str, bound: object) -> errors.RiskLimitError:
    return errors.RiskLimitError(
        f"nothing was sent: what {endpoint} is worth is not known, so {limit} ({bound}) cannot be kept: give "
        "a market order's price by RiskLimits(price_of=…), or make it a limit order",
        endpoint=endpoint,
        limit=limit,
        bound=bound,
    )
