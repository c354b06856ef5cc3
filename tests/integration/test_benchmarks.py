"""What the benchmarks stand on: that they compare like with like. How fast anything is, no test says."""

from __future__ import annotations

import importlib
import re
from itertools import count
from pathlib import Path

import msgspec

import benchmarks
from benchmarks.__main__ import PAGE, SECTIONS
from benchmarks.clients import over_aiohttp, this_client
from benchmarks.pages import FIRST_ID, close_answer, page
from benchmarks.rounds import Spread, ratio, take_turns
from benchmarks.server import TRADES, serving
from tests.raw_server import RawServer, answer
from threecommas_async import SmartTrade
from threecommas_async.endpoints import LIST_SMART_TRADES


def test_the_page_has_a_section_for_every_module_that_measures() -> None:
    modules = {path.stem for path in Path(benchmarks.__path__[0]).glob("[a-z]*.py")}
    measuring = {name for name in modules if hasattr(importlib.import_module(f"benchmarks.{name}"), "main")}
    assert measuring == set(SECTIONS)
    written = re.findall(r"^## (.+)\n\n`python -m benchmarks\.(\w+)", PAGE.read_text("utf-8"), re.MULTILINE)
    assert written == [(heading, module) for module, heading in SECTIONS.items()]


def test_a_page_has_as_many_different_trades_as_asked_for_and_all_can_be_read() -> None:
    trades = LIST_SMART_TRADES.decode(page(30))
    assert trades.malformed == ()
    assert [trade.id for trade in trades] == list(range(FIRST_ID, FIRST_ID + 30))
    assert len({trade.data.current_price.last for trade in trades}) == 30
    assert page(30) == page(30)


def test_a_different_side_begins_each_round_and_the_warm_up_does_not_count() -> None:
    turns = count()
    took = take_turns({"a": lambda: next(turns), "b": lambda: next(turns)}, rounds=3, warm_up=1)
    assert took == {"a": [3, 4, 7], "b": [2, 5, 6]}


def test_a_ratio_is_taken_round_by_round() -> None:
    slow_moment = 100.0
    assert ratio([2, 2 * slow_moment, 3], [1, slow_moment, 1]) == Spread(median=2, lower=2, upper=2.5)


async def test_by_hand_and_the_client_get_the_same_answers_from_the_server() -> None:
    with serving() as origin:
        async with over_aiohttp(origin) as by_hand, this_client(origin) as client:
            closed = await by_hand.close_by_market(FIRST_ID + 7)
            assert closed == await client.close_by_market(FIRST_ID + 7)
            assert closed == msgspec.json.decode(close_answer(b"5000000007"), type=SmartTrade)
            listed = await by_hand.list()
            assert listed == list(await client.list())
            assert listed == list(LIST_SMART_TRADES.decode(page(TRADES)))


async def test_by_hand_and_the_client_send_the_same_requests_signed_the_same() -> None:
    names = ("apikey", "signature", "forced-mode")
    sent: list[list[tuple[str, ...]]] = []
    for way in (over_aiohttp, this_client):
        async with (
            RawServer(answer(), answer(b"[]")) as server,
            way(f"http://127.0.0.1:{server.port}") as calls,
        ):
            await calls.close_by_market(FIRST_ID)
            await calls.list()
        sent.append([(one.request_line, *(one.headers[name] for name in names)) for one in server.received])
    by_hand, client = sent
    assert len(by_hand) == 2
    assert by_hand == client
