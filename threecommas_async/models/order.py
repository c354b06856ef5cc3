"""The requests that create a SmartTrade, change it, and add or give up funds.

What they are made of is in `threecommas_async.models.order_groups`.
"""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from threecommas_async.models.order_groups import (
    EntryOrderType,
    MarketOrLimit,
    Number,
    OrderConditional,
    OrderLeverage,
    OrderPosition,
    OrderStopLoss,
    OrderTakeProfit,
    OrderValue,
    Side,
    exact,
)


class SmartTradeOrder(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A SmartTrade to be created.

    The constructors named after the six kinds set ``instant``, ``skip_enter_step`` and
    ``position.type`` so that the ``data.type`` of the trade comes out as named. The account must have
    ``smart_trading_supported``.
    """

    account_id: int
    """Account to trade on."""
    pair: str
    """QUOTE_BASE: ``USDT_BTC`` is BTC priced in USDT."""
    position: OrderPosition
    """The entry; for ``skip_enter_step`` the position that is held already."""
    instant: bool | None = None
    """Make a simple buy or simple sell: an order without targets and stop."""
    skip_enter_step: bool | None = None
    """The position is held already: make a smart sell or smart buy."""
    leverage: OrderLeverage | None = None
    """Leverage, on contract accounts."""
    take_profit: OrderTakeProfit | None = None
    """Targets."""
    stop_loss: OrderStopLoss | None = None
    """Stop."""
    note: str | None = None
    """Note of 1 to 300 characters."""

    @classmethod
    def simple_buy(
        cls,
        *,
        account_id: int,
        pair: str,
        units: Number,
        order_type: EntryOrderType = "market",
        price: Number | None = None,
        conditional: OrderConditional | None = None,
        leverage: OrderLeverage | None = None,
        note: str | None = None,
    ) -> SmartTradeOrder:
        """Return the order that buys, with neither targets nor stop.

        Args:
            account_id: Account to trade on.
            pair: QUOTE_BASE, such as ``USDT_BTC``.
            units: Amount in base.
            order_type: Kind of the order.
            price: Price in quote, for a limit order.
            conditional: Trigger, for a conditional order.
            leverage: Leverage, on contract accounts.
            note: Note of 1 to 300 characters.

        Raises:
            ValueError: A number is a float, no number or not finite.
        """
        position = _position("buy", units, order_type, price, conditional)
        return cls._simple(account_id=account_id, pair=pair, position=position, leverage=leverage, note=note)

    @classmethod
    def simple_sell(
        cls,
        *,
        account_id: int,
        pair: str,
        units: Number,
        order_type: EntryOrderType = "market",
        price: Number | None = None,
        conditional: OrderConditional | None = None,
        leverage: OrderLeverage | None = None,
        note: str | None = None,
    ) -> SmartTradeOrder:
        """Return the order that sells, with neither targets nor stop; arguments as in `simple_buy`."""
        position = _position("sell", units, order_type, price, conditional)
        return cls._simple(account_id=account_id, pair=pair, position=position, leverage=leverage, note=note)

    @classmethod
    def smart_trade(
        cls,
        *,
        account_id: int,
        pair: str,
        units: Number,
        order_type: EntryOrderType = "market",
        price: Number | None = None,
        conditional: OrderConditional | None = None,
        leverage: OrderLeverage | None = None,
        take_profit: OrderTakeProfit | None = None,
        stop_loss: OrderStopLoss | None = None,
        note: str | None = None,
    ) -> SmartTradeOrder:
        """Return the order for a long: buy, then wait for the targets and the stop.

        Args:
            account_id: Account to trade on.
            pair: QUOTE_BASE, such as ``USDT_BTC``.
            units: Amount in base.
            order_type: Kind of the entry order.
            price: Entry price in quote, for a limit order.
            conditional: Trigger, for a conditional order.
            leverage: Leverage, on contract accounts.
            take_profit: Targets, made by `take_profit`; None for none.
            stop_loss: Stop, made by `stop_loss`; None for none.
            note: Note of 1 to 300 characters.

        Raises:
            ValueError: A number is a float, no number or not finite.
        """
        position = _position("buy", units, order_type, price, conditional)
        return cls._smart(
            account_id=account_id,
            pair=pair,
            held=False,
            position=position,
            leverage=leverage,
            take_profit=take_profit,
            stop_loss=stop_loss,
            note=note,
        )

    @classmethod
    def smart_cover(
        cls,
        *,
        account_id: int,
        pair: str,
        units: Number,
        order_type: EntryOrderType = "market",
        price: Number | None = None,
        conditional: OrderConditional | None = None,
        leverage: OrderLeverage | None = None,
        take_profit: OrderTakeProfit | None = None,
        stop_loss: OrderStopLoss | None = None,
        note: str | None = None,
    ) -> SmartTradeOrder:
        """Return the order for a short: sell, then wait to buy back; arguments as in `smart_trade`."""
        position = _position("sell", units, order_type, price, conditional)
        return cls._smart(
            account_id=account_id,
            pair=pair,
            held=False,
            position=position,
            leverage=leverage,
            take_profit=take_profit,
            stop_loss=stop_loss,
            note=note,
        )

    @classmethod
    def smart_sell(
        cls,
        *,
        account_id: int,
        pair: str,
        units: Number,
        price: Number | None = None,
        leverage: OrderLeverage | None = None,
        take_profit: OrderTakeProfit | None = None,
        stop_loss: OrderStopLoss | None = None,
        note: str | None = None,
    ) -> SmartTradeOrder:
        """Return the order for a long that is held already: only the targets and the stop are new.

        On futures it is refused unless such a position is open on the exchange.

        Args:
            account_id: Account that holds the position.
            pair: QUOTE_BASE, such as ``USDT_BTC``.
            units: Amount held, in base.
            price: What it was bought for, in quote; None takes the market price.
            leverage: Leverage, on contract accounts.
            take_profit: Targets, made by `take_profit`; None for none.
            stop_loss: Stop, made by `stop_loss`; None for none.
            note: Note of 1 to 300 characters.

        Raises:
            ValueError: A number is a float, no number or not finite.
        """
        position = _position("buy", units, "market", price, None)
        return cls._smart(
            account_id=account_id,
            pair=pair,
            held=True,
            position=position,
            leverage=leverage,
            take_profit=take_profit,
            stop_loss=stop_loss,
            note=note,
        )

    @classmethod
    def smart_buy(
        cls,
        *,
        account_id: int,
        pair: str,
        units: Number,
        price: Number | None = None,
        leverage: OrderLeverage | None = None,
        take_profit: OrderTakeProfit | None = None,
        stop_loss: OrderStopLoss | None = None,
        note: str | None = None,
    ) -> SmartTradeOrder:
        """Return the order for a short that is held already; arguments as in `smart_sell`."""
        position = _position("sell", units, "market", price, None)
        return cls._smart(
            account_id=account_id,
            pair=pair,
            held=True,
            position=position,
            leverage=leverage,
            take_profit=take_profit,
            stop_loss=stop_loss,
            note=note,
        )

    @classmethod
    def _simple(
        cls,
        *,
        account_id: int,
        pair: str,
        position: OrderPosition,
        leverage: OrderLeverage | None,
        note: str | None,
    ) -> SmartTradeOrder:
        return cls(
            account_id=account_id,
            pair=pair,
            instant=True,
            skip_enter_step=False,
            leverage=leverage,
            position=position,
            note=note,
        )

    @classmethod
    def _smart(
        cls,
        *,
        account_id: int,
        pair: str,
        held: bool,
        position: OrderPosition,
        leverage: OrderLeverage | None,
        take_profit: OrderTakeProfit | None,
        stop_loss: OrderStopLoss | None,
        note: str | None,
    ) -> SmartTradeOrder:
        return cls(
            account_id=account_id,
            pair=pair,
            instant=False,
            skip_enter_step=held,
            leverage=leverage,
            position=position,
            take_profit=take_profit or OrderTakeProfit(enabled=False),
            stop_loss=stop_loss or OrderStopLoss(enabled=False),
            note=note,
        )


class UpdatePosition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes of the entry; what is left UNSET stays as it is."""

    units: OrderValue | UnsetType = UNSET
    """Amount in base, where ``position.units.editable`` allows."""
    price: OrderValue | UnsetType | None = UNSET
    """Price in quote, where ``position.price.editable`` allows."""
    conditional: OrderConditional | UnsetType | None = UNSET
    """Trigger of a conditional entry."""


class SmartTradeUpdate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes of a SmartTrade: only what is set is sent.

    None is sent as null; what the API makes of it is not documented. To take something away, say that it is
    off: ``OrderStopLoss(enabled=False)``, ``OrderTakeProfit(enabled=False)``.

    Where ``take_profit`` is sent, a target that is not repeated in its ``steps`` is removed, and the answer
    gives new ids to all of them (documented example). Whether what else a group leaves out stays as it was
    is not documented, nor what becomes of a target that is finished already: send groups whole, as
    `take_profit` and `stop_loss` make them, and look at the answer.
    """

    leverage: OrderLeverage | UnsetType | None = UNSET
    """Leverage, on contract accounts."""
    position: UpdatePosition | UnsetType = UNSET
    """Entry, while it is not filled."""
    take_profit: OrderTakeProfit | UnsetType = UNSET
    """Targets: all that there shall be."""
    stop_loss: OrderStopLoss | UnsetType = UNSET
    """Stop; made by `stop_loss`, or ``OrderStopLoss(enabled=False)`` to take it away."""


class FundsOrder(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An order that adds to the position or gives up a part of it."""

    order_type: MarketOrLimit
    """Kind of the order."""
    units: OrderValue
    """Amount in base."""
    price: OrderValue | None = None
    """Price in quote, for a limit order."""


class Note(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new note for a SmartTrade."""

    note: str
    """1 to 300 characters."""


def _position(
    side: Side,
    units: Number,
    order_type: EntryOrderType,
    price: Number | None,
    conditional: OrderConditional | None,
) -> OrderPosition:
    return OrderPosition(
        type=side,
        order_type=order_type,
        units=OrderValue(value=exact("units", units)),
        price=None if price is None else OrderValue(value=exact("price", price)),
        conditional=conditional,
    )
