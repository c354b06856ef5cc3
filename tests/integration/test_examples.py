"""The examples run as they stand, without a warning, and do what they say."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import re
import signal
import sys
from asyncio.subprocess import PIPE
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.fault_stage import until
from tests.integration.conftest import BINARY, NEEDS_SERVER
from tests.processes import PATIENCE, end_of, environment_of, running
from tests.valkey import Valkey, held_port
from threecommas_async import Permission, ThreeCommas
from threecommas_async.sandbox import Sandbox
from threecommas_async.testing import Faults

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncGenerator, AsyncIterator
    from contextlib import AbstractAsyncContextManager

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def start(*arguments: str, **environment: str) -> AbstractAsyncContextManager[Process]:
    """Start Python in a process of its own, from the root of the repository."""
    return running(
        *(sys.executable, "-W", "error", *arguments),
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment},
        stdout=PIPE,
        stderr=PIPE,
    )


async def run(*arguments: str, **environment: str) -> tuple[str, str]:
    """Run it to its end; return what it printed on stdout and stderr."""
    async with start(*arguments, **environment) as process:
        out, err = await end_of(process)
    assert process.returncode == 0, (out + err).decode()
    return out.decode(), err.decode()


async def line_with(text: str, process: Process) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        async for line in process.stdout:
            if text in line.decode():
                return
    pytest.fail(f"it ended before it printed {text!r}")


def load(example: str) -> Any:
    """The module of an example, to be run against a sandbox of the test."""
    spec = importlib.util.spec_from_file_location(f"example_{example}", ROOT / "examples" / f"{example}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ordered(sandbox: Sandbox) -> list[tuple[str, int]]:
    return [(entry.action, entry.smart_trade_id) for entry in sandbox.ledger]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_says_what_it_shows(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    header = ast.get_docstring(ast.parse(text)) or ""
    assert header.splitlines()[0].endswith((".", ":"))
    assert f"python examples/{path.name}" in header
    assert f'"examples/{path.name}"' in Path(__file__).read_text(encoding="utf-8"), "it is not run here"


async def test_close_all_closes_the_trades_of_an_account() -> None:
    async with Sandbox(trades=3, time_scale=100) as sandbox:
        account = next(iter(sandbox.exchange.trades.values())).account.id
        out, err = await run("examples/close_all.py", str(account), **environment_of(sandbox))
        assert len(sandbox.ledger) == 3
    assert out.count("panic_sold") == 3
    assert err.splitlines()[-1].startswith("3/")


async def test_lifecycle_ends_with_the_whole_position_closed() -> None:
    out, err = await run("examples/lifecycle.py")
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == "ordered: created, entered 0.0, closed 0.0"
    assert "funds added: waiting_targets, entered 0.014985, closed 0.0" in lines
    assert lines[-2] == "closed: panic_sold, entered 0.014985, closed 0.014985"
    assert lines[-1].startswith("realised: 13.")


@pytest.mark.parametrize("mode", ["strict", "auto"])
async def test_the_breakeven_bot_passes_its_own_tests(mode: str) -> None:
    options = ("-p", "no:cacheprovider", "-o", f"asyncio_mode={mode}")
    out, err = await run("-m", "pytest", "-q", *options, "examples/breakeven_bot")
    assert (out.splitlines()[-1][:8], err) == ("7 passed", "")


@NEEDS_SERVER
async def test_two_bots_keep_one_limit(tmp_path: Path) -> None:
    server = Valkey(str(BINARY), tmp_path).start()
    try:
        out, err = await run("examples/two_bots.py", STORE_URL=server.url)
    finally:
        server.kill()
    assert err == ""
    assert out.count("75 closing") == 2
    assert "of 100, refused 0" in out


async def test_the_trading_bot_buys_twice_and_closes_the_one_that_loses() -> None:
    out, err = await run("examples/trading_bot.py")
    assert err == ""
    assert "6 turn-1.5: 33.680560000 turn-1.2: 98.680560000" in out
    assert "7 turn-1.5: -21.209495000 turn-1.2: 43.790505000" in out
    assert "realised -21" in out or "closing              1" in out
    assert out.splitlines()[-2:] == ["8 turn-1.2: 42.792504000", "still to look at: nothing"]


async def test_the_trading_bot_stops_cleanly_on_ctrl_c() -> None:
    async with start("examples/trading_bot.py") as process:
        await line_with("3 turn-1.2", process)
        process.send_signal(signal.SIGINT)
        out, err = await end_of(process)
    assert (process.returncode, err.decode()) == (0, "")
    assert out.decode().splitlines()[-1] == "still to look at: nothing"


STOP = re.compile(rb'"stop_loss":\{.*?"value":"([^"]*)"')


async def in_order(*prices: str) -> AsyncIterator[tuple[str, Decimal]]:
    for minute, price in enumerate(prices):
        yield str(minute), Decimal(price)


async def prices_of(sandbox: Sandbox, *prices: int) -> AsyncIterator[tuple[str, Decimal]]:
    for minute, price in enumerate(prices):
        sandbox.set_price("USDT_BTC", last=price)
        yield str(minute), Decimal(price)
        await asyncio.sleep(0.05)


async def test_the_trading_bot_keeps_what_loses_on_an_ordinary_day() -> None:
    async with Sandbox(time_scale=200) as sandbox, ThreeCommas(**sandbox.credentials()) as client:
        feed = prices_of(sandbox, 60000, 59000, 59500, 58500, 58000)
        await load("trading_bot").run(client, next(iter(sandbox.exchange.accounts)), feed)
        assert [entry.action for entry in sandbox.ledger] == ["create"]


async def test_the_trading_bot_leaves_trades_alone_that_are_not_its_own() -> None:
    async with Sandbox(trades=40, time_scale=200) as sandbox, ThreeCommas(**sandbox.credentials()) as client:
        feed = prices_of(sandbox, 60000, 55000, 56000, 62500, 51000, 50000)
        await load("trading_bot").run(client, next(iter(sandbox.exchange.accounts)), feed)
        bought = next(entry.smart_trade_id for entry in sandbox.ledger)
        assert ordered(sandbox) == [("create", bought), ("close_by_market", bought)]


async def test_the_trading_bot_goes_on_after_a_refusal_and_does_not_ask_again() -> None:
    async with Sandbox() as sandbox:
        reads_only = sandbox.credentials(permissions=[Permission.SMART_TRADES_READ], mode="real")
        async with ThreeCommas(**reads_only) as client:
            feed = prices_of(sandbox, 60000, 55000, 56000, 57000, 58000)
            await load("trading_bot").run(client, next(iter(sandbox.exchange.accounts)), feed)
        assert (sandbox.requests, ordered(sandbox)) == (5 + 1, [])


async def test_the_trading_bot_asks_again_after_what_passes_by_itself() -> None:
    async with Sandbox(time_scale=200) as sandbox, ThreeCommas(**sandbox.credentials()) as client:

        async def feed() -> AsyncIterator[tuple[str, Decimal]]:
            async for minute, price in prices_of(sandbox, 60000, 59000, 59500, 59600):
                if minute == "2":  # With the signal, and at each of three attempts.
                    Faults(sandbox).server_error(of="list", times=3)
                yield minute, price

        await load("trading_bot").run(client, next(iter(sandbox.exchange.accounts)), feed())
        assert [trade.reference for trade in await client.smart_trades.list()] == ["turn-1.2"]


async def test_the_stop_of_the_trading_bot_suits_a_pair_whose_price_is_below_1() -> None:
    bot, stops = load("trading_bot"), list[bytes]()
    bot.PAIR = "USDT_DOGE"
    async with Sandbox() as sandbox, ThreeCommas(**sandbox.credentials()) as client:
        with client.listening(lambda exchange: stops.extend(STOP.findall(exchange.body))):
            feed = in_order("0.12", "0.115", "0.118")
            await bot.run(client, next(iter(sandbox.exchange.accounts)), feed)
    assert stops == [b"0.1003"]


SECRET = "a-secret-of-the-tests"
BEARER = {"Authorization": f"Bearer {SECRET}"}


@asynccontextmanager
async def webhook_service(sandbox: Sandbox) -> AsyncGenerator[aiohttp.ClientSession, None]:
    with held_port() as port:
        async with start(
            "examples/webhook_service.py", WEBHOOK_SECRET=SECRET, PORT=str(port), **environment_of(sandbox)
        ) as process:
            await line_with("Running on", process)
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
                yield session
            process.send_signal(signal.SIGINT)
            _, err = await end_of(process)
            assert (process.returncode, err.decode()) == (0, "")


async def post(session: aiohttp.ClientSession, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
    async with session.post("/close", json=body, headers=headers) as answer:
        text = await answer.text()
        return answer.status, await answer.json() if answer.content_type == "application/json" else text


async def test_the_webhook_service_closes_a_pair_and_answers_the_report() -> None:
    async with Sandbox(trades=20, latency=(0.1, 0.1)) as sandbox, webhook_service(sandbox) as session:
        doges = {id for id, trade in sandbox.exchange.trades.items() if trade.order.pair == "USDT_DOGE"}
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {SECRET}x"}):
            assert (await post(session, {"pair": "USDT_DOGE"}, headers))[0] == 401
        unusable: list[Any] = [{}, [], None, {"pair": ""}, {"pair": "usdt_doge"}, {"pair": 1}, {"all": None}]
        unusable += [{"pair": "BTC/USDT"}, {"pair": "USDT_A B"}]
        for body in unusable:
            assert (await post(session, body, BEARER))[0] == 400
        assert sandbox.requests == 0

        first = asyncio.create_task(post(session, {"pair": "USDT_DOGE"}, BEARER))
        await until(lambda: sandbox.requests)
        assert await post(session, {"pair": None}, BEARER) == (409, "a batch is running")
        status, report = await first
        assert (status, report["ok"], report["counts"]) == (200, True, {"closing": len(doges)})
        assert {outcome["id"] for outcome in report["outcomes"]} == doges
        assert sorted(ordered(sandbox)) == sorted(("close_by_market", id) for id in doges)


async def test_the_webhook_service_goes_on_when_the_caller_hangs_up() -> None:
    async with Sandbox(trades=20, latency=(0.1, 0.1)) as sandbox, webhook_service(sandbox) as session:
        caller = asyncio.create_task(post(session, {"pair": None}, BEARER))
        await until(lambda: sandbox.requests)
        caller.cancel()
        await asyncio.wait([caller])
        async with asyncio.timeout(PATIENCE):
            while (answer := await post(session, {"pair": None}, BEARER))[0] == 409:
                await asyncio.sleep(0.02)
        assert (answer[0], answer[1]["outcomes"]) == (200, [])
        assert sorted(ordered(sandbox)) == sorted(("close_by_market", id) for id in sandbox.exchange.trades)


async def test_the_webhook_service_says_that_nothing_was_ordered() -> None:
    async with Sandbox(trades=2) as sandbox:
        credentials = sandbox.credentials(permissions=[])
        app = load("webhook_service").make_app(lambda: ThreeCommas(**credentials), SECRET)
        async with TestClient(TestServer(app)) as client:
            answer = await client.post("/close", json={"pair": None}, headers=BEARER)
            assert answer.status == 502
            assert (await answer.text()).startswith("nothing was ordered: ")


def test_the_webhook_service_refuses_a_secret_that_is_none() -> None:
    with pytest.raises(ValueError, match="16 characters"):
        load("webhook_service").make_app(ThreeCommas.from_env, "")


async def test_the_alert_handler_plays_its_chat() -> None:
    out, err = await run("examples/alerts.py")
    assert err == ""
    assert out.splitlines()[:2] == ["> /help", "/status, /close PAIR, /closeall or /panic"]
    assert "25 open, 0 unreadable, 99 requests free" in out
    assert "10 of 11: " in out
    assert "\n0 open, 0 unreadable, " in out


async def test_the_alert_handler_closes_what_the_command_says() -> None:
    answer, said = load("alerts").answer, list[str]()
    sandbox = Sandbox(trades=40, statuses=("waiting_targets", "waiting_position"))
    async with sandbox, ThreeCommas(**sandbox.credentials()) as client:
        trades = sandbox.exchange.trades
        doges = {id for id, trade in trades.items() if trade.order.pair == "USDT_DOGE"}
        filled = {id for id, trade in trades.items() if trade.status == "waiting_targets"}
        for text in ("", "/close", "/close a b", "/panic now", "panic", "/closeall USDT_DOGE"):
            assert await answer(text, client, said.append) == "/status, /close PAIR, /closeall or /panic"
        assert (sandbox.requests, said) == (0, [])

        assert await answer("/close BTC/USDT", client, said.append) == (
            "ValueError: pair must be given as QUOTE_BASE, such as USDT_BTC, not 'BTC/USDT'"
        )
        assert (sandbox.requests, said) == (0, [])

        await answer("/close usdt_doge", client, said.append)
        assert {id for _, id in ordered(sandbox)} == doges
        await answer("/closeall", client, said.append)
        assert {id for _, id in ordered(sandbox)} == doges | filled
        await answer("/panic", client, said.append)
        assert len(sandbox.ledger) == 40
        assert {id for action, id in ordered(sandbox) if action == "close_by_market"} == filled
        assert {id for action, id in ordered(sandbox) if action == "cancel"} == set(trades) - filled
        assert said[0].startswith("10 of ")


async def test_the_alert_handler_answers_what_went_wrong() -> None:
    async with Sandbox(trades=1) as sandbox, ThreeCommas(**sandbox.credentials(permissions=[])) as client:
        said = list[str]()
        assert (await load("alerts").answer("/panic", client, said.append)).startswith(
            "PermissionDeniedError: "
        )
