"""The examples run as they stand, without a warning, and do what they say."""

from __future__ import annotations

import ast
import asyncio
import sys
from pathlib import Path

import pytest

from tests.valkey import Valkey, find_server
from threecommas_async.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


async def run(example: str, *arguments: str, **environment: str) -> tuple[str, str]:
    """Run an example in a process of its own; return what it printed on stdout and stderr."""
    return await python(str(ROOT / "examples" / example), *arguments, **environment)


async def python(*arguments: str, **environment: str) -> tuple[str, str]:
    process = await asyncio.create_subprocess_exec(
async def start(example: str, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
    """Start an example in a process of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        *arguments,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), **environment},
        env={"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(example: str, *arguments: str, **environment: str) -> tuple[str, str]:
    """Run an example to its end; return what it printed on stdout and stderr."""
    process = await start(example, *arguments, **environment)
    out, err = await process.communicate()
    assert process.returncode == 0, (out + err).decode()
    return out.decode(), err.decode()


def environment(sandbox: Sandbox) -> dict[str, str]:
    credentials = sandbox.credentials()
    return {
        "THREECOMMAS_API_KEY": credentials["api_key"],
        "THREECOMMAS_API_SECRET": credentials["api_secret"],
        "THREECOMMAS_MODE": "paper",
        "THREECOMMAS_BASE_URL": credentials["base_url"],
    }


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_says_what_it_shows(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    header = ast.get_docstring(ast.parse(text)) or ""
    assert header.splitlines()[0].endswith((".", ":"))
    assert f"python examples/{path.name}" in header
    assert f'"{path.name}"' in Path(__file__).read_text(encoding="utf-8"), "it is not run here"


async def test_close_all_closes_the_trades_of_an_account() -> None:
    async with Sandbox(trades=3, time_scale=100) as sandbox:
        account = next(iter(sandbox.exchange.trades.values())).account.id
        out, err = await run("close_all.py", str(account), **environment(sandbox))
        assert len(sandbox.ledger) == 3
    assert out.count("panic_sold") == 3
    assert err.splitlines()[-1].startswith("3/")


async def test_lifecycle_ends_with_the_whole_position_closed() -> None:
    out, err = await run("lifecycle.py")
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == "ordered: created, entered 0.0, closed 0.0"
    assert "funds added: waiting_targets, entered 0.014985, closed 0.0" in lines
    assert lines[-2] == "closed: panic_sold, entered 0.014985, closed 0.014985"
    assert lines[-1].startswith("realised: 13.")


@pytest.mark.parametrize("mode", ["strict", "auto"])
async def test_the_breakeven_bot_passes_its_own_tests(mode: str) -> None:
    options = ("-p", "no:cacheprovider", "-o", f"asyncio_mode={mode}")
    out, err = await python("-m", "pytest", "-q", *options, "examples/breakeven_bot")
    assert (out.splitlines()[-1][:8], err) == ("2 passed", "")


@pytest.mark.skipif(find_server() is None, reason="no Valkey or Redis server is installed")
async def test_two_bots_keep_one_limit(tmp_path: Path) -> None:
    server = Valkey(str(find_server()), tmp_path).start()
    try:
        out, err = await run("two_bots.py", STORE_URL=server.url)
    finally:
        server.kill()
    assert err == ""
    assert out.count("75 closing") == 2
    assert "of 100, refused 0" in out
