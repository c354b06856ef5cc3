"""The fixtures as a user's tests have them: one line, whatever the mode of pytest-asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, get_args

import pytest

from tests import virtual_time
from tests.doc_pages import run_pytest
from tests.fleet import LoopSandbox
from threecommas_async import SmartTradeOrder, SmartTrades, ThreeCommas
from threecommas_async.endpoints import TABLE
from threecommas_async.sandbox import PAPER_ACCOUNT, Fault, Sandbox
from threecommas_async.testing import CallName, Faults, Market
from threecommas_async.testing.faults import CALLS

if TYPE_CHECKING:
    from pathlib import Path

CONFTEST = """
from threecommas_async.testing import Clock

pytest_plugins = ["threecommas_async.testing"]
"""
TESTS = """
import pytest
from decimal import Decimal
from threecommas_async import OutcomeUnknownError, SmartTradeOrder

pytestmark = pytest.mark.asyncio


@pytest.fixture
def sandbox_options():
    return {"trades": 2}


async def test_all_of_them_are_about_one_sandbox(sandbox, client, market, clock, faults):
    faults.lose_answer(of="close_by_market")
    ids = list(sandbox.exchange.trades)
    assert (await clock.run(client.smart_trades.close_many(ids))).ok
    await clock.advance(hours=1)
    assert {trade.status for trade in sandbox.exchange.trades.values()} == {"panic_sold"}
    assert len(faults.incidents) == 1
    market.set("USDT_BTC", 60000)
    market.move("USDT_BTC", percent="-2.5")
    assert market.price("USDT_BTC") == Decimal(58500) == sandbox.exchange.tickers["USDT_BTC"].last


async def test_each_test_has_its_own(sandbox, client):
    assert (sandbox.requests, sandbox.time_scale) == (0, 1.0)
    assert [trade.is_open async for trade in client.smart_trades.iterate()] == [True, True]


@pytest.mark.parametrize("sandbox_options", [{"trades": 3, "time_scale": 20}])
async def test_options_can_be_a_parameter(sandbox):
    assert (len(sandbox.exchange.trades), sandbox.time_scale) == (3, 20)
"""


INI = """
[pytest]
asyncio_mode = {mode}
asyncio_default_fixture_loop_scope = function
"""


async def test_one_line_in_conftest_gives_the_fixtures(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(INI.format(mode="auto"))
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_bot.py").write_text(TESTS.replace("pytestmark", "_"))
    assert (await run_pytest(tmp_path)).startswith("3 passed")


async def test_the_line_may_stand_in_a_test_module_and_the_mode_be_strict(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(INI.format(mode="strict"))
    (tmp_path / "test_bot.py").write_text(CONFTEST + TESTS)
    assert (await run_pytest(tmp_path)).startswith("3 passed")


ANYIO = """

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""
WITHOUT_PYTEST_ASYNCIO = 'import sys\n\nsys.modules["pytest_asyncio"] = None\n'


@pytest.mark.parametrize("without", ["", WITHOUT_PYTEST_ASYNCIO], ids=["beside pytest-asyncio", "alone"])
async def test_anyio_can_run_the_tests_and_the_fixtures(tmp_path: Path, without: str) -> None:
    (tmp_path / "pytest.ini").write_text("" if without else INI.format(mode="strict"))
    (tmp_path / "conftest.py").write_text(without + CONFTEST)
    (tmp_path / "test_bot.py").write_text(TESTS.replace("mark.asyncio", "mark.anyio") + ANYIO)
    options = ("-p", "no:asyncio") if without else ()
    assert (await run_pytest(tmp_path, *options)).startswith("3 passed")


def test_a_fault_can_be_for_each_call_there_is() -> None:
    assert set(CALLS) == set(get_args(CallName))
    assert set(CALLS) <= set(dir(SmartTrades))
    assert set(CALLS.values()) == {row for row in TABLE if row.path.startswith("/v2/smart_trades")}


@pytest.mark.parametrize(
    ("switch", "fault", "carried_out"),
    [
        ("lose_request", "lost request", False),
        ("lose_answer", "lost answer", True),
        ("server_error", "server error", False),
        ("bad_gateway", "bad gateway", True),
        ("gateway_timeout", "gateway timeout", True),
        ("silence", "silence", True),
        ("cut_answer", "truncated answer", True),
        ("empty_answer", "empty answer", True),
    ],
)
@virtual_time.patient
async def test_a_switch_breaks_what_it_says(switch: str, fault: str, carried_out: bool) -> None:
    async with (
        LoopSandbox(time_scale=100) as sandbox,
        ThreeCommas(**sandbox.credentials(timeout=0.2)) as client,
    ):
        faults = Faults(sandbox)
        getattr(faults, switch)(of="create")
        await client.smart_trades.list()
        with pytest.raises(Exception, match="POST /public/api/v2/smart_trades"):
            await client.smart_trades.create(
                SmartTradeOrder.smart_trade(account_id=PAPER_ACCOUNT.id, pair="USDT_BTC", units="0.01"),
                validate=False,
            )
        await asyncio.sleep(sandbox.network.late)
        await client.smart_trades.list()
        assert [incident.fault for incident in faults.incidents] == [fault]
    assert len(sandbox.ledger.orders(action="create")) == carried_out


async def test_a_switch_can_be_for_several_requests_and_taken_back() -> None:
    async with Sandbox(trades=1, time_scale=100) as sandbox, ThreeCommas(**sandbox.credentials()) as client:
        faults = Faults(sandbox)
        faults.server_error(times=2)
        assert len(await client.smart_trades.list()) == 1
        assert [incident.fault for incident in faults.incidents] == [Fault.SERVER_ERROR] * 2
        faults.server_error(times=5)
        faults.server_error(of="list", times=5)
        faults.calm()
        assert len(await client.smart_trades.list()) == 1
        assert len(faults.incidents) == 2


def test_what_cannot_be_switched_is_refused() -> None:
    sandbox = Sandbox()
    with pytest.raises(ValueError, match=r"of must be one of list, get, .* not 'close'"):
        Faults(sandbox).silence(of="close")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="times must be at least 1, not 0"):
        Faults(sandbox).silence(times=0)
    with pytest.raises(ValueError, match="pair must be one of USDT_BTC"):
        Market(sandbox).price("BTC_USDT")
