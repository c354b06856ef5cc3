"""What of an answer says that a call took effect."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tests.conftest import SAMPLES
from threecommas_async import SmartTrade, endpoints
from threecommas_async.endpoints import Endpoint, Replay
from threecommas_async.models.decoding import Malformed, Page
from threecommas_async.models.trade import Trade

READ_BACK = [row for row in endpoints.TABLE if row.replay is Replay.READ_BACK]
NONE: Page[Trade] = Page()
PATH = {"id": 7, "smart_trade_id": 7, "trade_id": 9}


def shows(row: Endpoint[Any], trade: bytes, orders: Page[Trade] = NONE) -> bool:
    assert row.read_back is not None
    assert row.read_back.shows is not None
    return row.read_back.shows(msgspec.json.decode(trade, type=SmartTrade), orders, PATH)


def in_state(status: str, position: str = "finished") -> bytes:
    return json.dumps(
        {"id": 7, "status": {"basic_type": status}, "position": {"status": {"basic_type": position}}}
    ).encode()


def orders(**states: str) -> Page[Trade]:
    return Page(
        tuple(msgspec.convert({"id": int(id[1:]), "status": state}, Trade) for id, state in states.items())
    )


@pytest.mark.parametrize("row", READ_BACK, ids=str)
def test_every_row_that_is_read_back_says_what_shows_its_effect(row: Endpoint[Any]) -> None:
    assert row.read_back is not None
    assert row.read_back.shows is not None


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (endpoints.CLOSE_BY_MARKET, "close_by_market/201"),
        (endpoints.CANCEL_SMART_TRADE, "cancel/200"),
        (endpoints.FORCE_START, "force_start/201"),
    ],
    ids=str,
)
def test_the_documented_answer_of_a_call_shows_its_effect(row: Endpoint[Any], name: str) -> None:
    assert shows(row, (SAMPLES / f"smart_trades.{name}.json").read_bytes())


@pytest.mark.parametrize(
    ("status", "closed", "cancelled"),
    [
        ("panic_sell_pending", True, False),
        ("panic_sell_in_progress", True, False),
        ("panic_sold", True, False),
        ("cancellation_pending", False, True),
        ("cancellation_in_progress", False, True),
        ("cancelled", False, True),
        ("waiting_targets", False, False),
        ("finished", False, False),
        ("stop_loss_finished", False, False),
        ("failed", False, False),
        ("what_comes_next", False, False),
    ],
)
def test_only_its_own_end_shows_that_a_trade_was_closed_or_cancelled(
    status: str, closed: bool, cancelled: bool
) -> None:
    assert shows(endpoints.CLOSE_BY_MARKET, in_state(status)) is closed
    assert shows(endpoints.CANCEL_SMART_TRADE, in_state(status)) is cancelled


@pytest.mark.parametrize(
    ("position", "started"),
    [
        ("panic_sell_pending", True),
        ("finished", True),
        ("order_placed", False),
        ("to_process", False),
        ("trailing_activated", False),
        ("failed", False),
    ],
)
def test_an_entry_on_its_way_to_the_market_shows_that_a_trade_was_started(
    position: str, started: bool
) -> None:
    assert shows(endpoints.FORCE_START, in_state("waiting_position", position)) is started


@pytest.mark.parametrize(
    ("states", "closed", "cancelled"),
    [
        ({"_9": "panic_sell_pending"}, True, False),
        ({"_9": "finished"}, True, False),
        ({"_9": "order_placed", "_8": "finished"}, False, False),
        ({"_9": "pending_cancellation"}, False, True),
        ({"_9": "cancelled"}, False, True),
        ({"_8": "order_placed"}, False, False),  # It may never have been there.
    ],
)
def test_the_list_of_orders_shows_what_became_of_one(
    states: dict[str, str], closed: bool, cancelled: bool
) -> None:
    trade = in_state("waiting_targets")
    assert shows(endpoints.CLOSE_TRADE, trade, orders(**states)) is closed
    assert shows(endpoints.CANCEL_TRADE, trade, orders(**states)) is cancelled


def test_an_order_that_cannot_be_read_is_not_taken_for_gone() -> None:
    unreadable: Page[Trade] = Page((), (Malformed(0, 9, "status"),))
    assert not shows(endpoints.CANCEL_TRADE, in_state("waiting_targets"), unreadable)


def test_without_its_last_order_the_whole_trade_is_cancelled() -> None:
    assert shows(endpoints.CANCEL_TRADE, in_state("cancellation_pending"), orders(_9="order_placed"))
