"""What the sandbox trades: exchange rules and prices for a few pairs, and how the prices move.

Prices stand still until somebody sets them, or walk at random in fixed steps of time. Between two
changes they are constant, so that what happens depends on the seed and on instants only.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from threecommas_async.models.order_groups import exact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from threecommas_async.models.order_groups import Number


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


@dataclass(frozen=True, slots=True)
class PairRules:
    """What the exchange accepts for a pair.

    Args:
        limits: The limits by the names of the API: of prices and totals in quote, of sizes in base. One that
            is not there, and a step of 0, is none.
    """

    limits: Mapping[str, Decimal]

    @property
    def price_step(self) -> Decimal | None:
        """Step of prices; None is none."""
        return self.limits.get("priceStep") or None

    @property
    def lot_step(self) -> Decimal | None:
        """Step of sizes; None is none."""
        return self.limits.get("lotStep") or None

    @property
    def tick(self) -> Decimal:
        """The price step, and what the sandbox itself counts in where there is none."""
        return self.price_step or _FINEST

    @property
    def lot(self) -> Decimal:
        """The amount step, and what the sandbox itself counts in where there is none."""
        return self.lot_step or _FINEST

    @property
    def min_total(self) -> Decimal:
        """Smallest order, in quote."""
        return self.least("minTotal")

    @property
    def max_total(self) -> Decimal:
        """Largest order, in quote."""
        return self.most("maxTotal")

    @property
    def min_units(self) -> Decimal:
        """Smallest order, in base."""
        return self.least("minLotSize")

    @property
    def max_units(self) -> Decimal:
        """Largest order, in base."""
        return self.most("maxLotSize")

    def least(self, name: str) -> Decimal:
        """Return a lower bound; 0 where there is none."""
        return self.limits.get(name, Decimal(0))

    def most(self, name: str) -> Decimal:
        """Return an upper bound; infinite where there is none."""
        return self.limits.get(name, _NO_BOUND)

    def changed(self, limits: Mapping[str, Number | None]) -> PairRules:
        """Return these rules with some limits set anew, by the names of the API; None takes one away.

        Raises:
            ValueError: There is no such limit, or it cannot be one.
        """
        if unknown := sorted(limits.keys() - LIMITS):
            raise ValueError(f"there are no such limits: {', '.join(unknown)}; there are {', '.join(LIMITS)}")
        given = {name: _limit(name, value) for name, value in limits.items() if value is not None}
        kept = {name: value for name, value in self.limits.items() if name not in limits}
        return PairRules(MappingProxyType(kept | given))


LIMITS: Final = (
    "minPrice",
    "maxPrice",
    "priceStep",
    "minLotSize",
    "maxLotSize",
    "lotStep",
    "minMarketBuyAmount",
    "maxMarketBuyAmount",
    "minMarketSellAmount",
    "maxMarketSellAmount",
    "minTotal",
    "minMarketTotal",
    "maxTotal",
    "max_leverage",
)
"""The limits that are enforced, by the names that the API has for them."""

_NO_BOUND: Final = Decimal("Infinity")
# Decimals of the longest documented amount.
_FINEST: Final = Decimal("1E-27")


def _limit(name: str, value: Number) -> Decimal:
    if value in {"Infinity", _NO_BOUND} and name.startswith("max"):
        return _NO_BOUND
    number = exact(name, value)
    if number < 0 or (number == 0 and name.startswith("max")):
        raise ValueError(f"{name} must be positive, not {value!r}")
    return number


def _ticker(bid: str, ask: str, last: str, quote_volume: str, day_change_percent: str) -> Ticker:
    return Ticker(
        bid=Decimal(bid),
        ask=Decimal(ask),
        last=Decimal(last),
        quote_volume=Decimal(quote_volume),
        day_change_percent=Decimal(day_change_percent),
    )


def _rules(tick: str, lot: str, min_total: str, max_units: str) -> PairRules:
    limits = {
        "minPrice": tick,
        "maxPrice": "10000000.0",
        "priceStep": tick,
        "minLotSize": lot,
        "maxLotSize": max_units,
        "lotStep": lot,
        "maxMarketBuyAmount": max_units,
        "maxMarketSellAmount": max_units,
        "minTotal": min_total,
        "minMarketTotal": min_total,
        "maxTotal": "9000000.0",
        "max_leverage": "125.0",
    }
    return PairRules(MappingProxyType({name: Decimal(value) for name, value in limits.items()}))


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
        "BTC_1INCH": _rules("0.00000001", "0.1", "0.0001", "9000000.0"),
    }
)
"""Exchange rules, by pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """A random walk of all prices.

    The steps that are due are taken when somebody looks: with 100 open trades and the default step, a day
    of simulated time is caught up with in several seconds.

    Args:
        step: Time between two moves, in simulated seconds.
        swing: Bound of one move up or down, in basis points of the price (100 are one percent). A move of
            one price step is always possible.

    Raises:
        ValueError: A number is not positive.
    """

    step: float = 5.0
    swing: int = 10

    def __post_init__(self) -> None:
        if not (self.step > 0 and self.swing > 0):
            raise ValueError(f"step and swing must be positive, not {self.step!r} and {self.swing!r}")


class Market:
    """The prices of all pairs at the present instant.

    Args:
        tickers: Prices at the start, by pair.
        walk: How they move by themselves; None keeps them where they are.
        step: Seconds between two moves, on the clock of whoever calls.
        seed: Seed of the walk.
    """

    def __init__(
        self, tickers: Mapping[str, Ticker], *, walk: Walk | None = None, step: float = 0.0, seed: int = 0
    ) -> None:
        self._tickers = dict(tickers)
        self._walk = walk
        self._step = step
        self._moves = 0
        # One generator for each pair: the path of a pair does not depend on which others there are.
        pairs = sorted(tickers.keys() & RULES.keys())
        self._random = {pair: random.Random(f"{seed} {pair}") for pair in pairs}
        self.tickers: Mapping[str, Ticker] = MappingProxyType(self._tickers)
        """Prices now, by pair."""

    @property
    def next_move(self) -> float:
        """Instant of the next move of the walk, in seconds; infinite without a walk."""
        return float("inf") if self._walk is None else (self._moves + 1) * self._step

    def set(self, pair: str, *, last: Number, bid: Number | None = None, ask: Number | None = None) -> None:
        """Set the prices of a pair.

        Args:
            pair: QUOTE_BASE.
            last: Last price, in quote.
            bid: Best bid; None takes the last price.
            ask: Best ask; None takes one price step above the higher of the two others.

        Raises:
            ValueError: There is no such pair, or the prices are not positive, or the bid is above the ask.
        """
        if pair not in self._random:
            raise ValueError(f"pair must be one of {', '.join(self._random)}, not {pair!r}")
        new_last = exact("last", last)
        new_bid = new_last if bid is None else exact("bid", bid)
        new_ask = max(new_last, new_bid) + RULES[pair].tick if ask is None else exact("ask", ask)
        if not (new_last > 0 and 0 < new_bid <= new_ask):
            raise ValueError(f"prices must be positive and the bid not above the ask: {last}, {bid}, {ask}")
        self._tickers[pair] = replace(self._tickers[pair], last=new_last, bid=new_bid, ask=new_ask)

    def move(self) -> Iterable[str]:
        """Take every price one step on, and return the pairs."""
        self._moves += 1
        for pair, rng in self._random.items():
            last, tick = self._tickers[pair].last, RULES[pair].tick
            swing = 0 if self._walk is None else self._walk.swing
            bound = max(1, int(last * swing / 10_000 / tick))
            self.set(pair, last=max(tick, last + rng.randint(-bound, bound) * tick))
        return self._random
