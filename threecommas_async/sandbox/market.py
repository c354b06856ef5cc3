"""What the sandbox trades: prices and exchange rules for a few pairs.

Prices and rules are two mappings by pair. The exchange looks a price up each time it needs one, so
whoever owns the mapping of prices moves the market.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticker:
    """Prices of a pair at one moment, in quote.

    Args:
        bid: Best bid: what a market sell gets.
        ask: Best ask: what a market buy pays.
        last: Last price.
        quote_volume: Volume of the day, in quote.
        day_change_percent: Change over 24 hours, in percent.
    """

    bid: Decimal
    ask: Decimal
    last: Decimal
    quote_volume: Decimal
    day_change_percent: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRules:
    """What the exchange accepts for a pair.

    Args:
        tick: Price step, in quote.
        lot: Amount step, in base.
        min_total: Smallest order, in quote.
        max_total: Largest order, in quote.
        max_units: Largest order, in base.
    """

    tick: Decimal
    lot: Decimal
    min_total: Decimal
    max_total: Decimal = Decimal("9000000.0")
    max_units: Decimal


def _ticker(bid: str, ask: str, last: str, quote_volume: str, day_change_percent: str) -> Ticker:
    return Ticker(
        bid=Decimal(bid),
        ask=Decimal(ask),
        last=Decimal(last),
        quote_volume=Decimal(quote_volume),
        day_change_percent=Decimal(day_change_percent),
    )


def _rules(tick: str, lot: str, min_total: str, max_units: str) -> PairRules:
    return PairRules(
        tick=Decimal(tick), lot=Decimal(lot), min_total=Decimal(min_total), max_units=Decimal(max_units)
    )


# Prices that the documented answers of these pairs show.
TICKERS: Final[Mapping[str, Ticker]] = MappingProxyType(
    {
        "USDT_BTC": _ticker("56283.72", "56283.73", "56282.73", "3870508107.5406402", "3.947"),
        "USDT_ETH": _ticker("3282.46", "3282.47", "3282.46", "3523687887.023767", "-1.248"),
        "USDT_DOGE": _ticker("0.10938", "0.10953", "0.10937", "86807.20699", "2.32"),
        "USDT_1INCH": _ticker("0.2624", "0.2625", "0.2622", "2534772.74421", "4.213"),
        "BTC_ETH": _ticker("0.03702", "0.03703", "0.03703", "1626.01355238", "-0.162"),
    }
)
"""Prices at the start, by pair."""

# 9000.0 and 9000000.0 are the bounds in the documented 422 answer to a create on USDT_BTC.
RULES: Final[Mapping[str, PairRules]] = MappingProxyType(
    {
        "USDT_BTC": _rules("0.01", "0.00001", "5.0", "9000.0"),
        "USDT_ETH": _rules("0.01", "0.0001", "5.0", "9000.0"),
        "USDT_DOGE": _rules("0.00001", "1", "1.0", "9000000.0"),
        "USDT_1INCH": _rules("0.0001", "0.1", "1.0", "9000000.0"),
        "BTC_ETH": _rules("0.00001", "0.0001", "0.0001", "9000.0"),
    }
)
"""Exchange rules, by pair."""
