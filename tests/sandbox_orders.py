"""Orders, exchanges and refusals that the tests of the sandbox begin with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import SAMPLES
from threecommas_async.sandbox import Refusal
from threecommas_async.sandbox.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable


PAPER, REAL = 32199203, 32884189
FOREVER = 1e9
UNFILLED = {"created", "waiting_position"}
TERMINAL = {"panic_sold", "finished", "stop_loss_finished", "cancelled", "failed"}


def order(
    kind: str = "market",
    side: str = "buy",
    *,
    units: object = "100",
    price: object = None,
    targets: list[dict[str, Any]] | None = None,
    stop: dict[str, Any] | None = None,
    **more: object,
) -> dict[str, Any]:
    position: dict[str, Any] = {"type": side, "order_type": kind, "units": {"value": units}}
    if price is not None:
        position["price"] = {"value": price}
    return {
        "account_id": PAPER,
        "pair": "USDT_DOGE",
        "position": position,
        "take_profit": {"enabled": targets is not None, "steps": targets or []},
        "stop_loss": stop or {"enabled": False},
        **more,
    }


def target(price: str, volume: str = "100", kind: str = "limit") -> dict[str, Any]:
    return {"order_type": kind, "volume": volume, "price": {"type": "last", "value": price}}


def stop_at(price: str) -> dict[str, Any]:
    conditional = {"price": {"type": "last", "value": price}}
    return {"enabled": True, "order_type": "market", "conditional": conditional}


def exchange_with(status: str, **options: Any) -> tuple[Exchange, int]:
    exchange = Exchange(**options)
    (smart_id,) = exchange.seed(1, [status])
    return exchange, smart_id


def opened(exchange: Exchange, **what: Any) -> int:
    smart_id: Any = exchange.create(0.0, order(**what))["id"]
    return int(smart_id)


def filled(**what: Any) -> tuple[Exchange, int]:
    exchange = Exchange()
    smart_id = opened(exchange, **what)
    exchange.advance(10.0)
    return exchange, smart_id


def refusal(call: Callable[[], object]) -> tuple[int, dict[str, Any]]:
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value.status, caught.value.body()


def status_of(exchange: Exchange, now: float, smart_id: int) -> str:
    trade: Any = exchange.get(now, smart_id)
    return str(trade["status"]["basic_type"])


def documented(name: str) -> Any:
    return json.loads((SAMPLES / name).read_bytes())


def conditional(order_type: str | None = "market", **price: str) -> dict[str, Any]:
    parameters = order("conditional")
    parameters["position"]["conditional"] = {"order_type": order_type, "price": price}
    return parameters


def trailing_entry(price: str, percent: str = "1", **what: Any) -> dict[str, Any]:
    parameters = order("conditional", **what)
    parameters["position"]["conditional"] = {
        "order_type": "market",
        "price": {"value": price},
        "trailing": {"enabled": True, "percent": percent},
    }
    return parameters
