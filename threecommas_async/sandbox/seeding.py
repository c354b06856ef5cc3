"""Trades that exist from the start, in any state."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Final

from threecommas_async.models.status import CLOSEABLE, CLOSING, TERMINAL, UNFILLED, StatusCode
from threecommas_async.sandbox.market import RULES, TICKERS
from threecommas_async.sandbox.orders import Funds, Order, Stop, Target, Trigger

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from threecommas_async.sandbox.leg_maker import LegMaker
    from threecommas_async.sandbox.market import Ticker
    from threecommas_async.sandbox.trades import Trade

EVERY_STATUS: Final[tuple[str, ...]] = tuple(
    status.value for status in StatusCode if status in UNFILLED | CLOSEABLE | CLOSING | TERMINAL
)
"""The 15 states that a SmartTrade can be in."""

SEED_SPACING: Final = 61.007
"""Seconds between the creation of two seeded trades."""

_PLACED_AFTER: Final = 1.234
_FILLED_AFTER: Final = 2.345
_LEFT_AFTER: Final = 40.678
_VOLUMES: Final = (("100",), ("50", "50"), ("50", "25", "25"))
_NOTES: Final = ("Place for your note.", "R&D: <tight> stop, 'no' rush")
_FAILURE: Final = "You need to pass KYC on the exchange to trade on this pair"
_STOPPED: Final = frozenset({StatusCode.STOP_LOSS_IN_PROGRESS, StatusCode.STOP_LOSS_FINISHED})
_STRIPPED: Final = frozenset({StatusCode.PANIC_SELL_IN_PROGRESS, StatusCode.CANCELLATION_IN_PROGRESS})
_NEVER_OWN_FUNDS: Final = UNFILLED | {StatusCode.FAILED, StatusCode.CANCELLED}


def random_order(
    rng: random.Random, tickers: Mapping[str, Ticker], account_id: int, status: StatusCode
) -> Order:
    """Return an order, worth 20 to 500 USDT, that a trade in this state may have begun with."""
    pair = rng.choice(sorted(RULES.keys() & tickers.keys()))
    tick, lot = RULES[pair].tick, RULES[pair].lot
    worth = Decimal(rng.randint(2000, 50000)) / 100
    if pair.startswith("BTC_"):
        worth /= TICKERS["USDT_BTC"].last
    side = rng.choice(("buy", "buy", "buy", "sell"))
    # Stops and targets lie on either side of the entry.
    sign = 1 if side == "buy" else -1
    # An entry that waits is one that the market has yet to come to.
    offset = -sign * rng.randint(1, 20) if status in UNFILLED else rng.randint(-20, 20)
    price = _share(tickers[pair].last, 1000 + offset, tick)
    order_type = rng.choice(("limit", "conditional") if status in UNFILLED else ("market", "market", "limit"))
    instant = status is StatusCode.FINISHED and rng.random() < 0.3
    targets = () if instant else _targets(rng, price, sign, tick, needed=status is StatusCode.FINISHED)
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


def furnish(trade: Trade, status: StatusCode, ticker: Ticker, maker: LegMaker) -> None:
    """Take a new trade through its past, up to a state.

    Args:
        trade: The trade, just created.
        status: State to reach.
        ticker: Prices of its pair.
        maker: Makes and numbers orders.
    """
    left_at = trade.created_at + _LEFT_AFTER
    if status is StatusCode.CREATED:
        return
    trade.place(ticker, trade.created_at + _PLACED_AFTER)
    if status is StatusCode.FAILED:
        trade.end(status, left_at, _FAILURE)
    elif status is StatusCode.CANCELLED and trade.order.order_type == "limit":
        trade.end(status, left_at)
    elif status is not StatusCode.WAITING_POSITION:
        if not trade.order.skip_enter_step:
            trade.fill(trade.price, trade.created_at + _FILLED_AFTER)
        if status is not StatusCode.WAITING_TARGETS and not trade.order.instant:
            _leave_targets(trade, status, ticker, left_at, maker)


def _leave_targets(trade: Trade, status: StatusCode, ticker: Ticker, at: float, maker: LegMaker) -> None:
    market = trade.exit_price(ticker)
    match status:
        case StatusCode.STOP_LOSS_IN_PROGRESS:
            trade.fire_stop(at)
        case StatusCode.PENDING_REDUCE_FUNDS | StatusCode.REDUCE_FUNDS_IN_PROGRESS:
            funds = Funds(order_type="market", units=trade.order.units / 10, price=None)
            leg = maker.funds(trade.order, funds, "reduce_funds", market, at)
            trade.order_reduction(leg, at)
            if status is StatusCode.REDUCE_FUNDS_IN_PROGRESS:
                trade.send_reduction(at)
        case StatusCode.PANIC_SOLD:
            trade.sell_all(market, at)
        case StatusCode.FINISHED:
            for step in trade.open_steps:
                trade.close_step(step, step.price, at)
        case StatusCode.STOP_LOSS_FINISHED:
            trade.stop_out(market if trade.stop is None else trade.stop.price, at)
        case StatusCode.CANCELLED:
            trade.end(status, at)
        case _:
            trade.leave(status, at)
            if status in _STRIPPED:
                trade.strip(at)


def _targets(
    rng: random.Random, price: Decimal, sign: int, tick: Decimal, *, needed: bool
) -> tuple[Target, ...]:
    volumes = rng.choice(_VOLUMES if needed else ((), *_VOLUMES))
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
