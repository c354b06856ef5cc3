from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.sandbox_orders import (
    PAPER,
    opened,
    target,
)
from threecommas_async.sandbox import Ledger, LedgerEntry
from threecommas_async.sandbox.exchange import Exchange


def test_the_ledger_has_one_entry_for_each_accepted_order() -> None:
    exchange = Exchange()
    smart_id = opened(exchange, kind="limit", price="0.1", targets=[target("0.2")])
    exchange.force_start(2.0, smart_id)
    exchange.advance(9.0)
    step = exchange.trades[smart_id].steps[0].id
    exchange.close_trade(9.0, smart_id, step)
    exchange.close_by_market(9.5, smart_id)

    def entry(at: float, action: Any, side: str, units: str, trade_id: int | None = None) -> LedgerEntry:
        return LedgerEntry(
            at=at,
            action=action,
            smart_trade_id=smart_id,
            trade_id=trade_id,
            account_id=PAPER,
            pair="USDT_DOGE",
            side=side,
            units=Decimal(units),
        )

    assert exchange.ledger == [
        entry(0.0, "create", "buy", "100"),
        entry(2.0, "force_start", "buy", "100"),
        entry(9.0, "close_trade_by_market", "sell", "99", step),
        entry(9.5, "close_by_market", "sell", "99.9"),
    ]


@pytest.mark.parametrize(
    ("now", "units"), [(1.5, Decimal(100)), (10.0, Decimal("99.9"))], ids=["before the fill", "after it"]
)
def test_the_ledger_has_a_cancel_with_what_it_is_about(now: float, units: Decimal) -> None:
    exchange = Exchange()
    smart_id = opened(exchange)
    exchange.cancel(now, smart_id)
    entry = exchange.ledger[1]
    assert (entry.action, entry.at, entry.side, entry.units) == ("cancel", now, "buy", units)


@pytest.mark.parametrize(
    ("action", "now"), [("cancel", 1.5), ("force_start", 1.5), ("close_by_market", 10.0)]
)
def test_an_order_meets_the_trade_as_it_stands_at_its_instant(action: str, now: float) -> None:
    exchange = Exchange()
    smart_id = opened(exchange)
    getattr(exchange, action)(now, smart_id)
    assert [(entry.at, entry.action) for entry in exchange.ledger] == [(0.0, "create"), (now, action)]


def test_an_order_to_close_a_target_meets_it_as_it_stands_and_counts_as_an_update() -> None:
    exchange = Exchange()
    smart_id = opened(exchange, targets=[target("0.2")])
    trade: Any = exchange.close_trade(10.0, smart_id, exchange.trades[smart_id].steps[0].id)
    assert trade["data"]["updated_at"] == "2025-01-01T00:00:10.000Z"


def some_entry(**fields: Any) -> LedgerEntry:
    given: dict[str, Any] = {
        "at": 0.0,
        "action": "create",
        "smart_trade_id": 1,
        "trade_id": None,
        "account_id": PAPER,
        "pair": "USDT_DOGE",
        "side": "buy",
        "units": Decimal(1),
    }
    return LedgerEntry(**given | fields)


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        ({}, (0, 1, 2, 3)),
        ({"action": "cancel"}, (1, 3)),
        ({"pair": "USDT_BTC"}, (2,)),
        ({"smart_trade_id": 2}, (2, 3)),
        ({"account_id": 7}, (3,)),
        ({"action": "cancel", "smart_trade_id": 1}, (1,)),
        ({"action": "cancel", "pair": "USDT_BTC"}, ()),
    ],
    ids=str,
)
def test_the_ledger_returns_the_orders_that_fit_everything(
    wanted: dict[str, Any], places: tuple[int, ...]
) -> None:
    ledger = Ledger(
        [
            some_entry(),
            some_entry(action="cancel"),
            some_entry(smart_trade_id=2, pair="USDT_BTC"),
            some_entry(smart_trade_id=2, action="cancel", account_id=7),
        ]
    )
    assert ledger.orders(**wanted) == tuple(ledger[place] for place in places)


def test_an_action_that_does_not_exist_is_refused_and_not_merely_absent() -> None:
    with pytest.raises(ValueError, match=r"action must be one of create, .*, not 'close'"):
        Ledger().orders(action="close")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
