"""Every way to make an order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from threecommas_async import SmartTradeOrder

if TYPE_CHECKING:
    from collections.abc import Callable

CONSTRUCTORS: tuple[Callable[..., SmartTradeOrder], ...] = (
    SmartTradeOrder.simple_buy,
    SmartTradeOrder.simple_sell,
    SmartTradeOrder.smart_trade,
    SmartTradeOrder.smart_cover,
    SmartTradeOrder.smart_sell,
    SmartTradeOrder.smart_buy,
)
