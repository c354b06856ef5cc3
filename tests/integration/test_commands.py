"""``python -m threecommas_async`` as a shell sees it: in a process of its own, against the sandbox."""

from __future__ import annotations

import array
import asyncio
import fcntl
import json
import os
import shlex
import signal
import socket
import sys
import termios
from asyncio.subprocess import PIPE
from contextlib import asynccontextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fault_stage import until
from tests.processes import PATIENCE, Commands, end_of, environment_of, running
from tests.raw_server import RawServer, answer, refused_port
from threecommas_async.client import ThreeCommas
from threecommas_async.endpoints import Permission
from threecommas_async.limits import RateLimit
from threecommas_async.sandbox import Sandbox
from threecommas_async.sandbox.keys import Grant

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncGenerator, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

ROOMY = RateLimit(requests=5000, period=60.0, lockout=300.0)


def environment(sandbox: Sandbox, **changes: str) -> dict[str, str]:
    return environment_of(sandbox, XDG_STATE_HOME=os.environ["XDG_STATE_HOME"], **changes)


@pytest.fixture(autouse=True)
def state_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def start(
    *arguments: str, env: Mapping[str, str], stdin: int = PIPE, stderr: int = PIPE
) -> AbstractAsyncContextManager[Process]:
    command = (sys.executable, "-W", "error", "-m", "threecommas_async", *arguments)
    return running(*command, env=env, stdin=stdin, stdout=PIPE, stderr=stderr)


async def run(*arguments: str, env: Mapping[str, str], given: str = "") -> tuple[int | None, str, str]:
    """Run a command to its end; return exit code, stdout and stderr."""
    if not any(name.startswith("PYTHON") for name in env):  # An interpreter reads those when it starts.
        return await asyncio.to_thread(commands().run, *arguments, env=env, given=given)
    async with start(*arguments, env=env) as process:
        out, err = await end_of(process, given.encode())
    return process.returncode, out.decode(), err.decode()


@cache
def commands() -> Commands:
    return Commands()


@pytest.fixture(autouse=True, scope="module")
def end_of_commands() -> Iterator[None]:
    yield
    if commands.cache_info().currsize:
        commands().close()
        commands.cache_clear()


async def test_without_yes_close_prints_the_plan_and_orders_nothing() -> None:
    async with Sandbox(trades=3, limit=ROOMY) as sandbox:
        code, out, err = await run("close", "--all", env=environment(sandbox))
        assert code == 0, err
        assert out.count("would_close") == 4
        assert "nothing was ordered" in out
        assert "Add --yes to act." in err
        assert len(sandbox.ledger) == 0


async def test_a_filter_that_nothing_fits_is_told_from_a_plan() -> None:
    async with Sandbox(trades=1, limit=ROOMY) as sandbox:
        for act in ([], ["--yes"]):
            code, out, err = await run("close", "--pair", "BTC_USDT", *act, env=environment(sandbox))
            assert (code, out.split()[1]) == (0, "0")
            assert "No open trade fits. A filter is what 3Commas writes: --pair USDT_BTC." in err
            assert "--yes" not in err


async def test_close_acts_with_yes_and_follows_to_the_end() -> None:
    async with Sandbox(trades=3, limit=ROOMY) as sandbox:
        ids = [str(id) for id in sandbox.exchange.trades]
        code, out, err = await run(
            "close", "-", "--yes", "--wait", "--json", env=environment(sandbox), given="\n".join(ids)
        )
        assert code == 0, err
        told = json.loads(out)
        assert told["counts"] == {"closed": 3}
        assert [outcome["id"] for outcome in told["outcomes"]] == [int(id) for id in ids]
        assert len(sandbox.ledger) == 3
        again = await run("close", *ids, "--yes", env=environment(sandbox))
        assert again[0] == 0
        assert again[1].count("already_closed") == 4
        unknown = await run("close", "999999999", "--yes", env=environment(sandbox))
        assert unknown[0] == 1
        assert "refused" in unknown[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say which trades"),
        (["1", "--all"], "say which trades"),
        (["-1x"], "-1x"),
        (["seven", "--yes"], "'seven'"),
        (["1", "--order", "loss"], "needs trades"),
        (["--all", "--yes", "--dry-run"], "not allowed with"),
        (["--all", "--deadline", "0"], "deadline"),
        (["--all", "--from", "2026-01-01"], "time zone"),
        (["--all", "--ye"], "--ye"),
        (["--acc", "1", "--yes"], "--acc"),
    ],
)
async def test_a_command_line_that_cannot_be_used_is_code_2_and_sends_nothing(
    arguments: list[str], said: str
) -> None:
    async with Sandbox(trades=1, limit=ROOMY) as sandbox:
        code, out, err = await run("close", *arguments, env=environment(sandbox))
        assert (code, out, sandbox.requests) == (2, "", 0)
        assert said in err


async def test_credentials_are_code_3_and_a_ban_is_code_4() -> None:
    async with Sandbox(trades=1, limit=ROOMY, time_scale=1) as sandbox:
        missing = await run("close", "--all", env={})
        assert missing[0] == 3
        assert "THREECOMMAS_API_KEY" in missing[2]
        wrong = environment(sandbox, THREECOMMAS_API_SECRET="wrong")
        assert (await run("close", "--all", env=wrong))[0] == 3
        assert (await run("close", "1", "--yes", env=wrong))[0] == 3
        sandbox.ban()
        code, _, err = await run("close", "--all", env=environment(sandbox))
        assert code == 4
        assert "418" in err
        assert (await doctor(sandbox))[0] == 4


async def test_no_answer_is_code_1() -> None:
    with refused_port() as port:
        env = {
            "THREECOMMAS_API_KEY": "k",
            "THREECOMMAS_API_SECRET": "s",
            "THREECOMMAS_BASE_URL": f"http://127.0.0.1:{port}",
            "XDG_STATE_HOME": os.environ["XDG_STATE_HOME"],
        }
        code, _, err = await run("close", "--all", env=env)
    assert code == 1
    assert "Connect" in err


async def some_have_left(sandbox: Sandbox, process: Process) -> None:
    """Wait until the command is in the middle of its batch."""
    await until(lambda: len(sandbox.ledger) >= 5 or process.returncode is not None)
    assert process.returncode is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_lets_finish_what_has_left_and_tells_what_is_closed(number: signal.Signals) -> None:
    async with Sandbox(trades=80, limit=ROOMY, latency=(0.3, 0.3)) as sandbox:
        ids = [str(id) for id in sandbox.exchange.trades]
        async with start("close", *ids, "--yes", "--json", env=environment(sandbox)) as process:
            await some_have_left(sandbox, process)
            process.send_signal(number)
            out, err = await end_of(process)
        assert process.returncode == 130, err.decode()
        told = json.loads(out)
        assert told["counts"] == {"closing": len(sandbox.ledger), "skipped": 80 - len(sandbox.ledger)}
        assert 16 <= len(sandbox.ledger) <= 48
        assert b"Traceback" not in err


async def test_ctrl_c_while_ids_are_typed_ends_the_command() -> None:
    typed, keyboard = os.pipe()
    async with (
        Sandbox(trades=3, limit=ROOMY) as sandbox,
        start(
            "close", "-", "--yes", env=environment(sandbox, THREECOMMAS_MODE="real"), stdin=typed
        ) as process,
    ):
        os.write(keyboard, " ".join(map(str, sandbox.exchange.trades)).encode())
        await until(lambda: not _is_unread(typed))
        process.send_signal(signal.SIGINT)
        _, err = await end_of(process)
        assert process.returncode == 130
        assert b"Traceback" not in err
        assert sandbox.requests == 0
    os.close(typed)
    os.close(keyboard)


def _is_unread(pipe: int) -> bool:
    """Whether something that was written to a pipe waits for its reader."""
    waiting = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, waiting)
    return waiting[0] > 0


async def test_a_report_from_the_shell_names_each_trade_once_and_ends_with_the_summary() -> None:
    async with (
        Sandbox(trades=60, limit=ROOMY, latency=(0.3, 0.3)) as sandbox,
        start("close", "--all", "--yes", env=environment(sandbox)) as process,
    ):
        await some_have_left(sandbox, process)
        process.send_signal(signal.SIGINT)
        out = (await end_of(process))[0].decode()
        assert [out.count(str(id)) for id in sandbox.exchange.trades] == [1] * 60
        assert out.splitlines()[61].startswith("closing ")
        assert out.splitlines()[62].startswith("skipped ")
        assert out.splitlines()[63].startswith("total ")
        assert len(out.splitlines()) < 70


async def test_the_progress_bar_leaves_standard_output_alone_when_interrupted() -> None:
    terminal, slave = os.openpty()
    async with Sandbox(trades=40, limit=ROOMY, latency=(0.3, 0.3)) as sandbox:
        env = environment(sandbox, TERM="xterm")
        async with start("close", "--all", "--yes", "--json", env=env, stderr=slave) as process:
            os.close(slave)
            await some_have_left(sandbox, process)
            process.send_signal(signal.SIGINT)
            out, _ = await end_of(process)
        os.close(terminal)
        assert process.returncode == 130
        assert json.loads(out)["counts"]["closing"] == len(sandbox.ledger)


def against(server: RawServer, **changes: str) -> dict[str, str]:
    return {
        "THREECOMMAS_API_KEY": "k",
        "THREECOMMAS_API_SECRET": "s",
        "THREECOMMAS_BASE_URL": server.base_url,
        "XDG_STATE_HOME": os.environ["XDG_STATE_HOME"],
        **changes,
    }


async def test_what_has_been_closed_is_told_whatever_the_terminal_can_show() -> None:
    ended = b'{"id":5,"pair":"USDT_\xc3\x84","status":{"basic_type":"panic_sold"}}'
    for options in ([], ["--json"]):
        async with RawServer(answer(ended)) as server:
            env = against(server, PYTHONIOENCODING="ascii")
            code, out, err = await run("close", "5", "--yes", *options, env=env)
            assert code == 0, err
            told = json.loads(out)["outcomes"][0]["trade"]["pair"] if options else out
            assert ("USDT_Ä" if options else "USDT_\\xc4") in told


async def test_a_reader_that_goes_away_changes_no_exit_code() -> None:
    async with (
        Sandbox(trades=3, limit=ROOMY) as sandbox,
        start("close", "--all", "--yes", env=environment(sandbox)) as process,
    ):
        assert process.stdout is not None
        process.stdout._transport.close()  # type: ignore[attr-defined]
        err = (await end_of(process))[1].decode()
        assert process.returncode == 0, err
        assert "Broken" not in err
        assert len(sandbox.ledger) == 3


@pytest.mark.parametrize("options", [[], ["--json"]])
async def test_verdicts_that_a_full_disk_cannot_take_are_on_standard_error_and_code_5(
    options: list[str],
) -> None:
    async with Sandbox(trades=3, limit=ROOMY) as sandbox:
        arguments = (*(str(id) for id in sandbox.exchange.trades), *options)
        code, err = await onto_a_full_disk("close", "--yes", *arguments, env=environment(sandbox))
        assert code == 5, err
        assert err.count("Standard output cannot be written: No space left on device. It was to say:\n") == 1
        told = err.partition("It was to say:\n")[2]
        if options:
            assert json.loads(told)["counts"] == {"closing": 3}
        else:
            assert [told.count(str(id)) for id in sandbox.exchange.trades] == [1, 1, 1]
            assert "closing " in told
        assert len(sandbox.ledger) == 3


async def test_a_full_disk_hides_no_graver_exit_code_and_no_command_ends_in_a_traceback() -> None:
    async with Sandbox(trades=1, limit=ROOMY) as sandbox:
        env = environment(sandbox, THREECOMMAS_API_SECRET="wrong")
        for command in (["close", "--all", "--json"], ["doctor"], ["doctor", "--json"]):
            code, err = await onto_a_full_disk(*command, env=env)
            assert (code, err.count("It was to say:")) == (3, 1), err
            assert "Traceback" not in err
        code, err = await onto_a_full_disk("demo", "--trades", "1", env={})
        assert (code, err.count("Every trade ended as it should.")) == (5, 1), err
        assert "Traceback" not in err


async def test_nothing_is_left_to_say_it_with_where_standard_error_is_full_too() -> None:
    async with Sandbox(trades=1, limit=ROOMY) as sandbox:
        code, err = await onto_a_full_disk("close", "--all", env=environment(sandbox), redirect="2>&1")
    assert (code, err) == (5, "")


TWICE_ONTO_A_FULL_DISK = """
import os, sys
from threecommas_async.__main__ import main

out = sys.stdout
codes = [main(["close", "--all"]), main(["close", "--all"])]
os.dup2(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), 1)
print(*codes, main(["close", "--all"]), sys.stdout is out)
"""


async def test_the_next_command_in_a_process_tries_standard_output_again(tmp_path: Path) -> None:
    told = tmp_path / "told"
    command = shlex.join((sys.executable, "-W", "error", "-c", TWICE_ONTO_A_FULL_DISK, str(told)))
    async with (
        Sandbox(trades=1, limit=ROOMY) as sandbox,
        running("sh", "-c", f"exec {command} > /dev/full", env=environment(sandbox), stderr=PIPE) as process,
    ):
        _, err = await end_of(process)
        [id] = sandbox.exchange.trades
    assert (err.count(b"It was to say:"), err.count(str(id).encode())) == (2, 2), err
    assert str(id) in told.read_text()
    assert told.read_text().splitlines()[-1] == "5 5 0 True"
    assert process.returncode == 0


async def onto_a_full_disk(
    *arguments: str, env: Mapping[str, str], redirect: str = ""
) -> tuple[int | None, str]:
    """Run a command whose standard output goes where nothing fits; return exit code and stderr."""
    command = shlex.join((sys.executable, "-W", "error", "-m", "threecommas_async", *arguments))
    async with running("sh", "-c", f"exec {command} > /dev/full {redirect}", env=env, stderr=PIPE) as process:
        _, err = await end_of(process)
    return process.returncode, err.decode()


@pytest.mark.parametrize("arguments", ["demo --trades 1", "--help", "close --help"])
async def test_a_reader_that_goes_away_changes_no_exit_code_of_any_command(arguments: str) -> None:
    command = f"{sys.executable} -m threecommas_async {arguments} > >(exec true)"
    async with running("bash", "-c", command, env={}, stderr=PIPE) as process:
        _, err = await end_of(process)
    assert (process.returncode, err) == (0, b"")


async def test_the_demo_draws_its_bar_on_a_terminal() -> None:
    terminal, slave = os.openpty()
    command = (sys.executable, "-m", "threecommas_async", "demo", "--trades", "1")
    async with running(*command, env={"TERM": "xterm"}, stdout=slave, stderr=slave) as process:
        os.close(slave)
        reading = asyncio.to_thread(_all_of, terminal)
        drawn, _ = await asyncio.gather(reading, end_of(process))
    os.close(terminal)
    assert process.returncode == 0
    assert b"1/1" in drawn
    assert drawn.rstrip().endswith(b"Every trade ended as it should.")


def _all_of(terminal: int) -> bytes:
    """Read what is written on a terminal until nobody has it open."""
    drawn = b""
    while True:
        try:
            drawn += os.read(terminal, 4096)
        except OSError:
            return drawn


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_sandbox_serves_whoever_reads_until_a_signal_ends_it(number: signal.Signals) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with start("sandbox", "--port", str(port), env={}) as process:
        assert process.stdout is not None
        process.stdout._transport.close()  # type: ignore[attr-defined]
        async with asyncio.timeout(PATIENCE):
            while not await answers(port):
                assert process.returncode is None
                await asyncio.sleep(0.05)
        process.send_signal(number)
        _, err = await end_of(process)
    assert (process.returncode, err) == (130, b"")


async def answers(port: int) -> bool:
    """Whether a server on that port answers a request."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.write(b"GET /public/api HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.startswith(b"HTTP/1")


async def test_version_is_that_of_the_installed_package() -> None:
    assert await run("--version", env={}) == (0, f"threecommas-async {version('threecommas-async')}\n", "")


@pytest.mark.parametrize("arguments", ["doctor --foo", "close 1 --ids", "sandbox 1", "demo --foo"])
async def test_what_a_command_does_not_know_shows_the_usage_of_that_command(arguments: str) -> None:
    code, out, err = await run(*arguments.split(), env={})
    assert (code, out) == (2, "")
    assert err.startswith(f"usage: python -m threecommas_async {arguments.split(maxsplit=1)[0]} [-h]")
    assert err.endswith(f"error: unrecognized arguments: {arguments.rsplit(maxsplit=1)[-1]}\n")


@pytest.mark.parametrize("stderr", ["2> >(exec true)", "2>&-"])
async def test_standard_error_that_nobody_reads_costs_neither_report_nor_exit_code(stderr: str) -> None:
    async def run_in_shell(arguments: str, **changes: str) -> tuple[int | None, bytes]:
        command = f"{sys.executable} -m threecommas_async close {arguments} {stderr}"
        env = environment(sandbox, **changes)
        async with running("bash", "-c", command, env=env, stdout=PIPE) as process:
            out, _ = await end_of(process)
        return process.returncode, out

    async with Sandbox(trades=60, limit=ROOMY) as sandbox:
        planned, plan = await run_in_shell("--all")
        assert (planned, b"would_close" in plan) == (0, True)
        refused, reason = await run_in_shell("--all --json", THREECOMMAS_API_SECRET="wrong")
        assert (refused, json.loads(reason)["error"]) == (3, "AuthenticationError")
        # The client warns of a write on a paper account.
        code, out = await run_in_shell("--all --yes --json", THREECOMMAS_MODE="real")
        assert json.loads(out)["counts"] == {"closing": len(sandbox.ledger)}
        assert code == 0


async def test_ctrl_c_tells_what_is_closed_where_nobody_reads_standard_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    async with Sandbox(trades=40, limit=ROOMY, latency=(0.3, 0.3)) as sandbox:
        env = environment(sandbox)
        async with start("close", "--all", "--yes", "--json", env=env, stderr=writer) as process:
            os.close(writer)
            await some_have_left(sandbox, process)
            process.send_signal(signal.SIGINT)
            out, _ = await end_of(process)
        assert json.loads(out)["counts"]["closing"] == len(sandbox.ledger)
        assert process.returncode == 130


@pytest.mark.parametrize("arguments", [["-"], ["5", "-"]])
async def test_standard_input_that_brings_no_ids_closes_nothing(arguments: list[str]) -> None:
    """What was to list them has failed."""
    async with Sandbox(trades=1, limit=ROOMY) as sandbox:
        code, out, err = await run(
            "close", *arguments, "--yes", "--json", env=environment(sandbox), given="\n"
        )
        assert (code, out, sandbox.requests) == (2, "", 0)
        assert "standard input is empty" in err


@pytest.mark.parametrize("options", [[], ["--yes"]])
async def test_without_a_filter_no_filter_is_blamed(options: list[str]) -> None:
    async with Sandbox(limit=ROOMY) as sandbox:
        code, _, err = await run("close", "--all", *options, env=environment(sandbox))
        assert (code, "No trade is open." in err, "filter" in err, "--yes" in err) == (0, True, False, False)


@pytest.mark.parametrize("options", [["--yes"], ["--yes", "--json"], []])
async def test_ctrl_c_while_open_trades_are_listed_is_no_word_on_whether_there_are_any(
    options: list[str],
) -> None:
    async with Sandbox(trades=3, limit=ROOMY, latency=(5, 5)) as sandbox:
        async with start("close", "--all", *options, env=environment(sandbox)) as process:
            await until(lambda: sandbox.requests == 1 or process.returncode is not None)
            process.send_signal(signal.SIGINT)
            out, err = (text.decode() for text in await end_of(process))
        assert process.returncode == 130, err
        if "--json" in options:
            told = json.loads(out)
            assert (told["ok"], told["is_complete"], told["unread"]) == (False, False, "the open trades")
        else:
            assert "stopped before the open trades were read" in out
        assert "No " not in err
        assert "Add --yes" not in err


async def test_closed_standard_input_holds_no_ids() -> None:
    async with Sandbox(trades=1, limit=ROOMY) as sandbox:
        command = f"exec {sys.executable} -m threecommas_async close - --yes <&-"
        async with running("sh", "-c", command, env=environment(sandbox), stderr=PIPE) as process:
            _, err = await end_of(process)
        assert process.returncode == 2
        assert b"standard input" in err
        assert sandbox.requests == 0


@pytest.mark.parametrize(
    ("date", "said"),
    [("junk", []), ("", []), ("Fri, 20 Nov 2020 16:00:00 -0000", ["clock"])],
)
async def test_doctor_bears_with_odd_dates(date: str, said: list[str]) -> None:
    async with RawServer(answer(b"[]", headers=f"Date: {date}\r\n")) as server:
        code, out, err = await run("doctor", "--json", env=against(server))
    assert code == 1, err
    assert [f["check"] for f in json.loads(out) if f["check"] == "clock"] == said


async def test_doctor_goes_on_where_no_form_of_signing_gets_an_answer() -> None:
    wrong = answer(b'{"error":"signature_invalid"}', status="401 Unauthorized")
    async with RawServer(answer(b"[]"), wrong, answer(b"x", status="502 Bad Gateway")) as server:
        code, out, err = await run("doctor", "--json", env=against(server))
    assert code == 3, err
    told = {finding["check"]: finding["error"] for finding in json.loads(out)}
    assert told == {
        "credentials": None,
        "key": None,
        "write": "AuthenticationError",
        "accounts": "ServerError",
        "limit": None,
    }


async def test_doctor_finds_nothing_with_a_good_key() -> None:
    async with Sandbox(trades=2, limit=ROOMY) as sandbox:
        code, out, err = await run("doctor", env=environment(sandbox))
        assert code == 0, out + err
        assert [line.split()[1] for line in out.splitlines()] == [
            "credentials",
            "key",
            "clock",
            "write",
            "accounts",
            "limit",
        ]
        assert "32884189 (binance), " in out
        assert "33016408 (bitstamp, no SmartTrades)" in out
        assert len(sandbox.ledger) == 0
        told = json.loads((await run("doctor", "--json", env=environment(sandbox)))[1])
        assert all(finding["ok"] for finding in told)


async def doctor(sandbox: Sandbox, **changes: str) -> tuple[int | None, str]:
    code, out, _ = await run("doctor", env=environment(sandbox, **changes))
    return code, out


async def test_doctor_says_what_is_wrong_and_what_to_do() -> None:
    async with Sandbox(trades=2, limit=ROOMY) as sandbox:
        code, out = await doctor(sandbox, THREECOMMAS_API_SECRET="wrong")
        assert code == 3
        assert "FAIL key" in out
        assert "Compare key and secret" in out
        key, secret = sandbox._keys.new_hmac(Grant(frozenset({Permission.SMART_TRADES_READ})))
        code, out = await doctor(sandbox, THREECOMMAS_API_KEY=key, THREECOMMAS_API_SECRET=secret)
        assert code == 1
        assert "ok   key" in out
        assert "give it SMART_TRADES_WRITE" in out
        with refused_port() as port:
            code, out = await doctor(sandbox, THREECOMMAS_BASE_URL=f"http://127.0.0.1:{port}")
        assert code == 1
        assert "Look at the network" in out
    missing = await run("doctor", env={})
    assert missing[0] == 3
    assert "FAIL credentials" in missing[1]
    assert "THREECOMMAS_API_SECRET or THREECOMMAS_RSA_KEY_FILE" in missing[1]


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"THREECOMMAS_MODE": "papper"}, "Set THREECOMMAS_MODE to real or paper, or not at all"),
        ({"THREECOMMAS_MODE": ""}, "Set it to real or paper, or not at all"),
        ({"THREECOMMAS_BASE_URL": "foo"}, "Set THREECOMMAS_BASE_URL not at all (default: https://api."),
        ({"THREECOMMAS_BASE_URL": ""}, "Set it to a URL, or not at all (default: https://api."),
        ({"THREECOMMAS_API_KEY": "a key"}, "Set THREECOMMAS_API_KEY to the key, as"),
        ({"THREECOMMAS_API_SECRET": "a secret"}, "Set THREECOMMAS_API_SECRET to the secret, as"),
        ({"THREECOMMAS_RSA_KEY_FILE": "/none"}, "Unset the one that is not of this key."),
        ({"THREECOMMAS_API_KEY": ""}, "Set THREECOMMAS_API_KEY, then THREECOMMAS_API_SECRET or"),
    ],
)
async def test_doctor_advises_on_the_variable_that_cannot_be_used(
    changes: dict[str, str], advice: str
) -> None:
    env = {"THREECOMMAS_API_KEY": "k", "THREECOMMAS_API_SECRET": "s", **changes}
    code, out, _ = await run("doctor", "--json", env=env)
    [finding] = json.loads(out)
    assert code == 3
    assert finding["advice"].startswith(advice), finding


async def test_doctor_advises_on_the_file_of_a_key_that_cannot_be_read() -> None:
    pytest.importorskip("cryptography")
    env = {"THREECOMMAS_API_KEY": "k", "THREECOMMAS_RSA_KEY_FILE": "/none"}
    code, out, _ = await run("doctor", "--json", env=env)
    [finding] = json.loads(out)
    assert (code, finding["text"].startswith("the file of rsa_private_key")) == (3, True)
    assert finding["advice"].startswith("Set THREECOMMAS_RSA_KEY_FILE to the path of the private key")


async def test_doctor_finds_the_form_in_which_bodies_are_signed() -> None:
    async with Sandbox(trades=2, limit=ROOMY) as sandbox:
        sandbox._keys._keys[sandbox.credentials()["api_key"]].json_payload = "path+body"
        code, out = await doctor(sandbox)
        assert code == 3
        assert 'json_payload="path+body"' in out


def kept() -> Path:
    """The file in which the commands of a test have kept what they sent."""
    [file] = Path(os.environ["XDG_STATE_HOME"], "threecommas_async").glob("*")
    return file


def let_a_minute_pass(sandbox: Sandbox) -> None:
    """Move the sandbox, and date what the commands have kept a minute back."""
    sandbox.advance(60)
    state = json.loads(kept().read_bytes())
    kept().write_text(json.dumps(state | {"at": state["at"] - 60}))


async def test_commands_within_a_minute_keep_the_request_limit_together() -> None:
    async with Sandbox(trades=97, time_scale=1) as sandbox:
        env = environment(sandbox)
        assert (await run("doctor", env=env))[0] == 0
        assert (await run("close", "--all", env=env))[0] == 0
        async with start("close", "--all", "--yes", "--json", env=env) as process:
            await until(lambda: sandbox.requests >= 100 or process.returncode is not None)
            assert process.returncode is None
            await asyncio.sleep(0.5)  # In which nothing is sent.
            process.send_signal(signal.SIGINT)
            out, err = await end_of(process)
        assert (sandbox.refused, sandbox.requests) == (0, 100), err.decode()
        assert json.loads(out)["counts"] == {
            "closing": len(sandbox.ledger),
            "skipped": 97 - len(sandbox.ledger),
        }
        let_a_minute_pass(sandbox)
        second = await run("close", "--all", "--yes", env=env)
        assert (second[0], sandbox.refused) == (0, 0), second[2]
        assert len(sandbox.ledger) == 97


async def test_what_was_sent_until_ctrl_c_is_kept() -> None:
    async with (
        Sandbox(trades=80, limit=ROOMY, latency=(0.3, 0.3)) as sandbox,
        start("close", "--all", "--yes", env=environment(sandbox)) as process,
    ):
        await some_have_left(sandbox, process)
        process.send_signal(signal.SIGINT)
        await end_of(process)
        assert process.returncode == 130
        assert len(json.loads(kept().read_bytes())["spent"]) == sandbox.requests


async def test_a_lock_out_holds_for_the_next_command_too() -> None:
    async with Sandbox(trades=1, time_scale=1) as sandbox:
        sandbox.lock_out()
        async with start("close", "--all", env=environment(sandbox)) as process:
            assert process.stderr is not None
            assert b"429" in await asyncio.wait_for(process.stderr.readline(), PATIENCE)
            process.send_signal(signal.SIGINT)
            await end_of(process)
        code, out, err = await run("doctor", env=environment(sandbox))
        assert (code, sandbox.requests) == (1, 1), out
        assert "nothing was sent" in out
        assert "An earlier command was locked out" in out
        assert "Nothing is sent for " in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "{taken}"], "port {taken} cannot be listened on: "),
        (["--port", "99999"], "port must be 0 to 65535, not 99999"),
        (["--port", "-1"], "port must be 0 to 65535, not -1"),
        (["--time-scale", "0"], "time_scale must be positive"),
        (["--unreliable", "7"], "unreliable must be"),
    ],
)
async def test_a_sandbox_that_cannot_be_is_one_sentence_and_code_2(arguments: list[str], said: str) -> None:
    async with Sandbox() as sandbox:
        taken = sandbox.base_url.split(":")[2].split("/")[0]
        given = [argument.format(taken=taken) for argument in arguments]
        code, out, err = await run("sandbox", *given, env={})
    assert (code, out) == (2, "")
    assert err.startswith(said.format(taken=taken))
    assert err.count("\n") == 1


@pytest.mark.parametrize(("command", "shown"), [(["doctor"], "FAIL credentials"), (["close", "--all"], "")])
async def test_an_rsa_key_without_its_extra_is_code_3(command: list[str], shown: str, tmp_path: Path) -> None:
    """A package of that name that cannot be imported stands before the real one."""
    (tmp_path / "cryptography.py").write_text("raise ImportError")
    env = {
        "PYTHONPATH": str(tmp_path),
        "THREECOMMAS_API_KEY": "k",
        "THREECOMMAS_RSA_KEY_FILE": str(tmp_path / "key.pem"),
        "XDG_STATE_HOME": os.environ["XDG_STATE_HOME"],
    }
    code, out, err = await run(*command, env=env)
    assert code == 3, err
    assert shown in out
    assert "pip install -e '.[rsa]'" in out + err
    assert "THREECOMMAS_API_SECRET" not in out
    assert "Traceback" not in err


async def test_close_tells_in_json_why_it_could_not_begin() -> None:
    async with Sandbox(trades=1, limit=ROOMY) as sandbox:
        missing = await run("close", "--all", "--json", env={})
        assert missing[0] == 3
        assert json.loads(missing[1]) == {
            "ok": False,
            "error": "ValueError",
            "reason": "THREECOMMAS_API_KEY is not set",
        }
        odd = {
            "THREECOMMAS_API_KEY": "k",
            "THREECOMMAS_RSA_KEY_FILE": "/there is no \udcff",
            "XDG_STATE_HOME": os.environ["XDG_STATE_HOME"],
        }
        for command in (["close", "--all"], ["doctor"]):
            code, out, _ = await run(*command, "--json", env=odd)
            assert (code, "/there is no" in str(json.loads(out))) == (3, True)
        wrong = await run("close", "--all", "--json", env=environment(sandbox, THREECOMMAS_API_SECRET="no"))
        assert wrong[0] == 3
        told = json.loads(wrong[1])
        assert (told["ok"], told["error"]) == (False, "AuthenticationError")
        assert "answered 401" in told["reason"]
        assert wrong[2].strip() == told["reason"]
        sandbox.ban()
        banned = await run("close", "--all", "--json", env=environment(sandbox))
        assert (banned[0], json.loads(banned[1])["error"]) == (4, "BannedError")


@asynccontextmanager
async def serving(*arguments: str) -> AsyncGenerator[dict[str, str]]:
    """Run a sandbox from the shell; yield the environment that it prints."""
    async with start("sandbox", *arguments, env={}) as process:
        env = {"XDG_STATE_HOME": os.environ["XDG_STATE_HOME"]}
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while "THREECOMMAS_BASE_URL" not in env:
                line = (await process.stdout.readline()).decode()
                assert line, "it ended"
                name, _, value = line.removeprefix("export ").strip().partition("=")
                env |= {name: value} if line.startswith("export ") else {}
        try:
            yield env
        finally:
            process.send_signal(signal.SIGINT)
            await end_of(process)


def client_of(env: Mapping[str, str]) -> ThreeCommas:
    return ThreeCommas(
        env["THREECOMMAS_API_KEY"],
        env["THREECOMMAS_API_SECRET"],
        mode="paper",
        base_url=env["THREECOMMAS_BASE_URL"],
    )


async def test_the_key_of_a_sandbox_from_the_shell_may_do_what_it_is_told() -> None:
    async with serving("--permissions", "SMART_TRADES_READ", "ACCOUNTS_READ") as env:
        code, out, _ = await run("doctor", env=env)
        assert code == 1
        assert "ok   key" in out
        assert "give it SMART_TRADES_WRITE" in out
        assert "ok   accounts" in out
    wrong = await run("sandbox", "--permissions", "EVERYTHING", env={})
    assert wrong[0] == 2
    assert "SMART_TRADES_WRITE" in wrong[2]


@pytest.mark.parametrize("walks", [True, False])
async def test_the_prices_of_a_sandbox_from_the_shell_walk_if_told_to(walks: bool) -> None:
    arguments = ["--time-scale", "1000", *(["--walk"] if walks else [])]
    async with serving(*arguments) as env, client_of(env) as client:
        rates = [await client.market_data.currency_rates("binance", "USDT_BTC", max_age=0) for _ in range(40)]
        assert (len({rate.last for rate in rates}) > 1) == walks
