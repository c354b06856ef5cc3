from __future__ import annotations

import json
import pickle
from string import Formatter

import pytest

from tests.conftest import SAMPLES
from threecommas_async import endpoints
from threecommas_async.endpoints import Permission, Replay

# (method, path, permission) of the calls of this table, from the official documentation of 2026-05.
DOCUMENTED = {
    ("GET", "/v2/smart_trades", "SMART_TRADES_READ"),
    ("GET", "/v2/smart_trades/{id}", "SMART_TRADES_READ"),
    ("POST", "/v2/smart_trades", "SMART_TRADES_WRITE"),
    ("DELETE", "/v2/smart_trades/{id}", "SMART_TRADES_WRITE"),
    ("POST", "/v2/smart_trades/{id}/close_by_market", "SMART_TRADES_WRITE"),
    ("POST", "/v2/smart_trades/{id}/force_start", "SMART_TRADES_WRITE"),
    ("POST", "/v2/smart_trades/{smart_trade_id}/trades/{trade_id}/close_by_market", "SMART_TRADES_WRITE"),
}


def test_the_table_is_the_documented_one() -> None:
    assert {(row.method, row.path, row.permission) for row in endpoints.TABLE} == DOCUMENTED


def test_the_table_holds_every_row_of_the_module() -> None:
    rows = {value for value in vars(endpoints).values() if isinstance(value, endpoints.Endpoint)}
    assert rows == set(endpoints.TABLE)


@pytest.mark.parametrize("row", endpoints.TABLE, ids=str)
def test_reads_are_safe_and_writes_are_not(row: endpoints.Endpoint[object]) -> None:
    assert (row.replay is Replay.SAFE) == (row.method == "GET")
    assert (row.permission is Permission.SMART_TRADES_READ) == (row.method == "GET")


@pytest.mark.parametrize("row", endpoints.TABLE, ids=str)
def test_what_is_read_back_is_named_by_a_value_of_the_path(row: endpoints.Endpoint[object]) -> None:
    assert (row.read_back is not None) == (row.replay is Replay.READ_BACK)
    if row.read_back:
        assert row.read_back.parameter in {name for _, name, _, _ in Formatter().parse(row.path)}
        assert row.read_back.endpoint is endpoints.GET_SMART_TRADE


def test_a_row_is_found_by_its_call_and_survives_pickling() -> None:
    row = endpoints.find("POST", "/v2/smart_trades/{id}/force_start")
    assert row is endpoints.FORCE_START
    assert pickle.loads(pickle.dumps(row)) is row
    with pytest.raises(KeyError):
        endpoints.find("PUT", "/v2/smart_trades")


def test_list_decodes_the_documented_page() -> None:
    body = (SAMPLES / "smart_trades.list/200.json").read_bytes()
    page = endpoints.LIST_SMART_TRADES.decode(body)
    assert [trade.id for trade in page] == [entry["id"] for entry in json.loads(body)]
    assert page.malformed == ()
