"""Trades that exist from the start, in any state."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Final

from threecommas_async.models.status import CLOSEABLE, CLOSING, TERMINAL, UNFILLED, StatusCode
from threecommas_async.sandbox.market import RULES, TICKERS
from threecommas_async.sandbox.orders import Order, Stop, Target, Trigger
from threecommas_async.sandbox.trades import Reduction

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from threecommas_async.sandbox.market import Ticker
    from threecommas_async.sandbox.trades import Trade

EVERY_STATUS: Final[tuple[str, ...]] = tuple(
    status.value for status in StatusCode if status in UNFILLED | CLOSEABLE | CLOSING | TERMINAL
)
"""The 15 states that a SmartTrade can be in."""

SEED_SPACING: Final = 61.007
"""Seconds between the creation of two seeded trades."""

_FILLED_AFTER: Final = 2.345
_LEFT_AFTER: Final = 40.678
_VOLUMES: Final = (("100",), ("50", "50"), ("50", "25", "25"))
_NOTES: Final = ("Place for your note.", "R&D: <tight> stop, 'no' rush")
_FAILURE: Final = "You need to pass KYC on the exchange to trade on this pair"
_STOPPED: Final = frozenset({StatusCode.STOP_LOSS_IN_PROGRESS, StatusCode.STOP_LOSS_FINISHED})
_NEVER_OWN_FUNDS: Final = UNFILLED | {StatusCode.FAILED, StatusCode.CANCELLED}


def random_order(
    rng: random.Random, tickers: Mapping[str, Ticker], account_id: int, status: StatusCode
) -> Order:
    """Return an order, worth 20 to 500 USDT, that a trade in this state may have begun with."""
    pair = rng.choice(sorted(RULES.keys() & tickers.keys()))
    tick, lot = RULES[pair].tick, RULES[pair].lot
    price = _share(tickers[pair].last, rng.randint(980, 1020), tick)
    worth = Decimal(rng.randint(2000, 50000)) / 100
    if pair.startswith("BTC_"):
        worth /= TICKERS["USDT_BTC"].last
    side = rng.choice(("buy", "buy", "buy", "sell"))
    # Stops and targets lie on either side of the entry.
    sign = 1 if side == "buy" else -1
    order_type = rng.choice(("limit", "conditional") if status in UNFILLED else ("market", "market", "limit"))
    instant = status is StatusCode.FINISHED and rng.random() < 0.3
    targets = () if instant else _targets(rng, price, sign, tick)
    stopped = not instant and (status in _STOPPED or rng.random() < 0.5)
    return Order(
        account_id=account_id,
        pair=pair,
        side=side,
        order_type=order_type,
        units=(worth / price).quantize(lot, rounding=ROUND_DOWN),
        price=price,
        instant=instant,
        skip_enter_step=not instant and status not in _NEVER_OWN_FUNDS and rng.random() < 0.15,
        conditional=(
            Trigger(order_type="limit", price=price, watched="bid") if order_type == "conditional" else None
        ),
        take_profit=bool(targets),
        targets=targets,
        stop=(
            Stop(order_type="market", watched="last", trigger=_share(price, 1000 - 60 * sign, tick))
            if stopped
            else None
        ),
        note=rng.choice((None, None, None, *_NOTES)),
    )


def furnish(trade: Trade, status: StatusCode, ticker: Ticker, next_id: Callable[[], int]) -> None:
    """Take a new trade through its past, up to a state.

    Args:
        trade: The trade, just created.
        status: State to reach.
        ticker: Prices of its pair.
        next_id: Gives ids to orders.
    """
    left_at = trade.created_at + _LEFT_AFTER
    if status is StatusCode.CREATED:
        return
    trade.place()
    if status is StatusCode.FAILED:
        trade.end(status, left_at, _FAILURE)
    elif status is StatusCode.CANCELLED and trade.order.order_type == "limit":
        trade.end(status, left_at)
    elif status is not StatusCode.WAITING_POSITION:
        if not trade.order.skip_enter_step:
            trade.fill(trade.price, trade.created_at + _FILLED_AFTER)
        _leave_targets(trade, status, ticker, left_at, next_id)


def _leave_targets(
    trade: Trade, status: StatusCode, ticker: Ticker, at: float, next_id: Callable[[], int]
) -> None:
    market = trade.exit_price(ticker)
    match status:
        case StatusCode.STOP_LOSS_IN_PROGRESS:
            trade.stop_status = StatusCode.ORDER_PLACED
        case StatusCode.PENDING_REDUCE_FUNDS | StatusCode.REDUCE_FUNDS_IN_PROGRESS:
            units = trade.order.units / 10
            trade.reductions.append(Reduction(next_id(), units, market))
        case StatusCode.PANIC_SELL_IN_PROGRESS | StatusCode.CANCELLATION_IN_PROGRESS:
            trade.strip()
        case StatusCode.PANIC_SOLD:
            trade.sell(trade.rest, market)
        case StatusCode.FINISHED if not trade.order.instant:
            trade.sell(trade.rest, trade.steps[-1].price if trade.steps else market)
        case StatusCode.STOP_LOSS_FINISHED:
            trade.sell(trade.rest, trade.stop_price or market)
        case _:
            pass
    if status in TERMINAL:
        trade.end(status, at)
    elif status is not StatusCode.WAITING_TARGETS:
        trade.leave(status, at)


def _targets(rng: random.Random, price: Decimal, sign: int, tick: Decimal) -> tuple[Target, ...]:
    volumes = rng.choice(((), *_VOLUMES))
    return tuple(
        Target(
            order_type=rng.choice(("limit", "market")),
            volume=Decimal(volume),
            watched="last",
            price=_share(price, 1000 + sign * 50 * number, tick),
        )
        for number, volume in enumerate(volumes, start=1)
    )


def _share(price: Decimal, thousandths: int, tick: Decimal) -> Decimal:
    return (price * thousandths / 1000).quantize(tick, rounding=ROUND_DOWN)
