"""The code on the pages of the documentation: what a block is, and how it is run.

A block of `python` or `ini` whose first line is ``# name.py`` or ``# name.ini`` is a file: those of a page
are put into one folder, and pytest runs there. Other `python` blocks run one after the other, in one
namespace for each page, with names to begin with; ``await`` may stand at the outermost level. A `text` block
is what the block before it prints; ``…`` stands for anything. `sh` blocks are run line by line.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import contextlib
import dis
import inspect
import io
import os
import re
import shlex
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.processes import PATIENCE, end_of, running
from threecommas_async import ThreeCommas

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from types import CodeType

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

_BLOCK: Final = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE: Final = re.compile(r"# (\S+\.(?:py|ini))\n")
_PYTHON: Final = re.compile(r"(?:\.venv/bin/)?python3?")
_EXPORT: Final = re.compile(r"export (THREECOMMAS_\w+)=(\S+)")
_SEPARATOR: Final = re.compile(r"\n| && ")

NOT_RUN: Final = (
    r"(\.venv/bin/)?pip install .*",
    r"python3 -m venv \.venv",
    r"\.venv/bin/python -m pytest -q -n 4",  # These tests; .ci/run begins with that line.
    r"\.venv/bin/python -m threecommas_async demo",  # Run by .ci/run.
)
"""Lines that are not run here: they install something, or are run elsewhere."""

FASTER: Final = ("--time-scale", "20")
"""Options of a sandbox whose pace the page leaves open."""

AT_REST: Final = {"waiting_position", "waiting_targets"}
"""States of active trades that do not move by themselves."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code.

    Args:
        language: What stands behind the backticks.
        code: What stands between them.
        line: Line of the page on which the code begins.
    """

    language: str
    code: str
    line: int

    @property
    def file(self) -> str | None:
        """The name of the file that it is; None where it is none."""
        found = _FILE.match(self.code)
        return found[1] if found else None


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page; those in braces, which are for Sphinx, and drawings are left out."""
    text = page.read_text(encoding="utf-8")
    found = [
        Block(match[1], match[2], text.count("\n", 0, match.start()) + 2) for match in _BLOCK.finditer(text)
    ]
    fences = sum(line.lstrip().startswith("```") for line in text.splitlines())
    assert fences == 2 * len(found), f"{page}: a block does not begin or end where a line does"
    return [block for block in found if block.language and not block.language.startswith("{")]


async def run_python(
    page: Path, block: Block, names: dict[str, Any], drive: Callable[[Awaitable[Any]], Awaitable[Any]]
) -> str:
    """Run a block and the argumentless tests that it defines; return what it prints.

    Args:
        page: Where it stands, for tracebacks.
        block: The block.
        names: The namespace of the page.
        drive: Awaits what the block awaits; a block that has an event loop of its own runs in a thread.
    """
    printed = io.StringIO()
    before = set(names)
    source = "\n" * (block.line - 1) + block.code  # So that a traceback names the line of the page.
    code = compile(source, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    unknown = names_of(code, loaded=True) - names_of(code, loaded=False) - names.keys() - set(dir(builtins))
    assert not unknown, f"{page}:{block.line}: nothing before it defines {', '.join(sorted(unknown))}"
    with contextlib.redirect_stdout(printed):
        if "asyncio.run(" in block.code:
            await asyncio.to_thread(exec, code, names)
        elif inspect.iscoroutine(running := eval(code, names)):  # noqa: S307 - our own pages
            await drive(running)
        for name in set(names) - before:
            if name.startswith("test_"):
                await drive(names[name]())
    return printed.getvalue()


def names_of(code: CodeType, *, loaded: bool) -> set[str]:
    """Return the global names that code reads or those that it binds, in branches too that are not run."""
    verbs = ("LOAD_NAME", "LOAD_GLOBAL") if loaded else ("STORE_NAME", "STORE_GLOBAL")
    return {
        step.argval for part in _parts(code) for step in dis.get_instructions(part) if step.opname in verbs
    }


def _parts(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if inspect.iscode(constant):
            yield from _parts(constant)


class Shell:
    """Runs the commands of a page: ``python -m threecommas_async`` for good, of others that they can be run.

    Args:
        environment: Variables of the commands. A sandbox that one of them starts runs until the end of the
            page, and what it prints is exported.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment: dict[str, str] = dict(environment)
        self._serving: list[Process] = []
        self._stack = AsyncExitStack()

    async def run(self, block: Block) -> str:
        """Run the commands of a block; return what the last one prints."""
        printed = ""
        for line in _SEPARATOR.split(block.code.replace("\\\n", " ").strip()):
            command = line.partition("  #")[0].strip()
            if command and not command.startswith("#") and not any(re.fullmatch(p, command) for p in NOT_RUN):
                printed = await self._run(command)
        return printed

    async def close(self) -> None:
        """End what is still running."""
        async with self._stack:
            for process in self._serving:
                process.send_signal(signal.SIGINT)
                await end_of(process)
                assert process.returncode == 130

    async def _run(self, command: str) -> str:
        if match := _EXPORT.fullmatch(command):
            assert match[1] in {*self.environment, "THREECOMMAS_RSA_KEY_FILE"}, command
            return ""
        program, *arguments = shlex.split(command)
        assert _PYTHON.fullmatch(program), f"it is not known how to check {command!r}"
        if arguments[0] == "-m" and arguments[1] != "threecommas_async":
            assert find_spec(arguments[1]), f"there is no module {arguments[1]}"
            return ""
        if arguments[0].startswith("examples/"):
            assert (ROOT / arguments[0]).is_file(), f"there is no {arguments[0]}"
            return ""
        if arguments[2] == "sandbox":
            faster = () if "--time-scale" in arguments else FASTER
            return await self._export(await self._start([*arguments, *faster]))
        process = await self._start(arguments)
        out, err = await end_of(process)
        assert process.returncode == 0, f"{command}: {(out + err).decode()}"
        return out.decode()

    async def _start(self, arguments: list[str]) -> Process:
        environment = {name: os.environ[name] for name in ("PATH", "XDG_STATE_HOME")}
        environment |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        command = running(
            *(sys.executable, "-W", "error", *arguments),
            cwd=ROOT,
            env=environment | self.environment,
            stdout=PIPE,
            stderr=PIPE,
        )
        return await self._stack.enter_async_context(command)

    async def _export(self, process: Process) -> str:
        self._serving.append(process)
        printed = ""
        assert process.stdout is not None
        while "BASE_URL" not in printed:
            line = (await process.stdout.readline()).decode()
            assert line, f"it ended after {printed!r}"
            printed += line
        self.environment |= {match[1]: match[2] for match in _EXPORT.finditer(printed)}
        await self._come_to_rest()
        return printed

    async def _come_to_rest(self) -> None:
        """Take the time of a reader, who pastes what is printed: what moves by itself arrives."""
        names = {"api_key": "API_KEY", "api_secret": "API_SECRET", "base_url": "BASE_URL"}
        options: dict[str, Any] = {
            option: self.environment[f"THREECOMMAS_{name}"] for option, name in names.items()
        }
        async with ThreeCommas(**options) as client, asyncio.timeout(PATIENCE):
            while {trade.status.code for trade in await client.smart_trades.list(status="active")} - AT_REST:
                await asyncio.sleep(0.1)


def fits(printed: str, shown: str) -> bool:
    """Whether a page shows what is printed: ``…`` stands for anything, blanks at ends of lines for none."""

    def strip(text: str) -> str:
        return "\n".join(line.rstrip() for line in text.strip().splitlines())

    return bool(re.fullmatch(re.escape(strip(shown)).replace("…", ".*?"), strip(printed), re.DOTALL))


async def run_pytest(where: Path, *options: str) -> str:
    """Run the tests of a folder in a process of their own, with warnings as errors; return the summary."""
    command = ["-m", "pytest", "-q", "-W", "error", "--strict-markers", "--strict-config", *options]
    async with running(sys.executable, *command, cwd=where, stdout=PIPE, stderr=STDOUT) as process:
        out, _ = await end_of(process)
    assert process.returncode == 0, out.decode()
    return out.decode().splitlines()[-1]
