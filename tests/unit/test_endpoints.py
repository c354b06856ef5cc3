from __future__ import annotations

import json
import pickle
from pathlib import Path
from string import Formatter
from typing import Any, get_args

import pytest
from msgspec import Struct

from tests.conftest import SAMPLES
from threecommas_async import endpoints
from threecommas_async.endpoints import Endpoint, Replay
from threecommas_async.models import order, order_groups
from threecommas_async.models.order import FundsOrder, Note, SmartTradeOrder, SmartTradeUpdate
from threecommas_async.resources.filters import Kind, OrderBy, StatusFilter
from threecommas_async.resources.market_data import LimitType

DOCUMENTED: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parents[1] / "facts" / "endpoints.json").read_text(encoding="utf-8")
)
FACTS = [*DOCUMENTED["smart_trades"], *DOCUMENTED["accounts"], *DOCUMENTED["market_data"]]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact["name"])
def test_every_documented_call_has_its_row(fact: dict[str, Any]) -> None:
    row = endpoints.find(fact["method"], fact["path"])
    assert row.permission == fact["permission"]
    assert row.is_signed == (fact.get("security") != "NONE")


def test_the_only_other_row_is_the_one_that_was_documented_until_2024() -> None:
    documented = {(fact["method"], fact["path"]) for fact in FACTS}
    others = {(row.method, row.path, row.permission) for row in endpoints.TABLE} - {
        (method, path, permission) for method, path in documented for permission in endpoints.Permission
    }
    others -= {("GET", "/ver1/accounts/{account_id}", "ACCOUNTS_READ")}
    assert others == {("POST", "/v2/smart_trades/{id}/force_process", "SMART_TRADES_WRITE")}


def test_the_table_holds_every_row_of_the_module() -> None:
    rows = {value for value in vars(endpoints).values() if isinstance(value, Endpoint)}
    assert rows == set(endpoints.TABLE)


def test_what_may_be_sent_again_is_decided_for_each_row() -> None:
    by_replay = {
        replay: {row for row in endpoints.TABLE if row.replay is replay and row.method != "GET"}
        for replay in Replay
    }
    assert all(row.replay is Replay.SAFE for row in endpoints.TABLE if row.method == "GET")
    assert by_replay == {
        Replay.SAFE: {endpoints.LEVERAGE_DATA, endpoints.PIE_CHART_DATA, endpoints.TABLE_DATA},
        Replay.IDEMPOTENT: {endpoints.SET_NOTE, endpoints.LOAD_BALANCES, endpoints.RENAME_ACCOUNT},
        Replay.READ_BACK: {
            endpoints.CANCEL_SMART_TRADE,
            endpoints.CLOSE_BY_MARKET,
            endpoints.FORCE_START,
            endpoints.CLOSE_TRADE,
            endpoints.CANCEL_TRADE,
        },
        Replay.ONCE: {
            endpoints.CREATE_SMART_TRADE,
            endpoints.UPDATE_SMART_TRADE,
            endpoints.ADD_FUNDS,
            endpoints.REDUCE_FUNDS,
            endpoints.FORCE_PROCESS,
        },
    }


@pytest.mark.parametrize("row", endpoints.TABLE, ids=str)
def test_every_write_with_an_id_says_how_its_effect_is_read(row: Endpoint[object]) -> None:
    names = {name for _, name, _, _ in Formatter().parse(row.path) if name}
    assert (row.read_back is not None) == (row.replay is not Replay.SAFE and bool(names))
    if row.read_back:
        assert row.read_back.parameter in names
        read = endpoints.GET_ACCOUNT if row.path.startswith("/ver1/accounts") else endpoints.GET_SMART_TRADE
        assert row.read_back.endpoint is read
        assert row.read_back.path(7) == {"account_id" if read is endpoints.GET_ACCOUNT else "id": 7}


def test_a_row_is_found_by_its_call_and_survives_pickling() -> None:
    row = endpoints.find("POST", "/v2/smart_trades/{id}/force_start")
    assert row is endpoints.FORCE_START
    assert pickle.loads(pickle.dumps(row)) is row
    with pytest.raises(KeyError):
        endpoints.find("PUT", "/v2/smart_trades")


@pytest.mark.parametrize(
    ("parameter", "values"), [("status", StatusFilter), ("type", Kind), ("order_by", OrderBy)]
)
def test_filters_take_every_documented_value(parameter: str, values: object) -> None:
    [fact] = [fact for fact in FACTS if fact["name"] == "smart_trades.list"]
    older = {"successfully_finished"} if parameter == "status" else set()
    assert set(get_args(values)) == set(fact["query_params"][parameter]) | older


def test_limits_are_asked_for_by_every_documented_type() -> None:
    [fact] = [fact for fact in FACTS if fact["name"] == "market_data.currency_rates"]
    assert list(get_args(LimitType)) == fact["query_params"]["limit_type"]


REQUEST_STRUCTS = {**vars(order_groups), **vars(order)}


def paths(struct: Any, prefix: str = "") -> set[str]:
    """The dotted names that a request Struct can send, as the documentation writes them."""
    found: set[str] = set()
    for name, annotation in struct.__annotations__.items():
        path = f"{prefix}{name}"
        found.add(path)
        for word in str(annotation).replace("[", " ").replace(",", " ").replace("]", " ").split():
            nested = REQUEST_STRUCTS.get(word)
            if isinstance(nested, type) and issubclass(nested, Struct):
                found |= paths(nested, f"{path}[]." if "tuple" in str(annotation) else f"{path}.")
    return found


@pytest.mark.parametrize(
    ("call", "struct"),
    [
        ("smart_trades.create", SmartTradeOrder),
        ("smart_trades.update", SmartTradeUpdate),
        ("smart_trades.add_funds", FundsOrder),
        ("smart_trades.reduce_funds", FundsOrder),
        ("smart_trades.set_note", Note),
    ],
)
def test_every_documented_body_parameter_has_its_field(call: str, struct: type) -> None:
    [fact] = [fact for fact in FACTS if fact["name"] == call]
    # The create page alone nests the entry's trailing below the trigger price; the other page does not.
    documented = {
        name.replace("conditional.price.trailing", "conditional.trailing") for name in fact["body_params"]
    }
    assert documented - paths(struct) == set()


def test_list_decodes_the_documented_page() -> None:
    body = (SAMPLES / "smart_trades.list/200.json").read_bytes()
    page = endpoints.LIST_SMART_TRADES.decode(body)
    assert [trade.id for trade in page] == [entry["id"] for entry in json.loads(body)]
    assert page.malformed == ()
    assert repr(page) == f"<Page of {len(page)}, 0 malformed>"
