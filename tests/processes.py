"""Processes of their own: none outlives its test, and Ctrl-C ends them whoever started the tests."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncGenerator, Generator, Mapping

    from threecommas_async.sandbox import Sandbox

PATIENCE: Final = 120.0
"""Seconds after which a process that does not end has hung, however busy the machine."""


@asynccontextmanager
async def running(*command: str, **options: Any) -> AsyncGenerator[Process]:
    """Start a command, and kill it at the end of the block if it still runs.

    Args:
        command: A program and its arguments.
        options: Those of ``asyncio.create_subprocess_exec``.
    """
    with _interruptible():
        process = await asyncio.create_subprocess_exec(*command, **options)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def end_of(process: Process, given: bytes | None = None) -> tuple[bytes, bytes]:
    """Wait for the end of a process; return what it printed, on stdout and on stderr."""
    async with asyncio.timeout(PATIENCE):
        return await process.communicate(given)


@contextmanager
def _interruptible() -> Generator[None]:
    """Let children heed SIGINT: they would inherit that it is ignored, as it is in a background job."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def environment_of(sandbox: Sandbox, **changes: str) -> dict[str, str]:
    """What a process needs that is to call a sandbox."""
    credentials = sandbox.credentials()
    names = ("api_key", "api_secret", "mode", "base_url")
    return {f"THREECOMMAS_{name.upper()}": credentials[name] for name in names} | changes


class Commands:
    """Runs commands of the package by way of `tests.forked_commands`, one after the other."""

    def __init__(self) -> None:
        with _interruptible():
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "tests.forked_commands"],
                cwd=Path(__file__).parents[1],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )

    def run(self, *arguments: str, env: Mapping[str, str], given: str = "") -> tuple[int, str, str]:
        """Run a command to its end; return exit code, stdout and stderr."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"arguments": arguments, "env": dict(env), "given": given}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        code, out, err = json.loads(self._process.stdout.readline())
        return code, out, err

    def close(self) -> None:
        self._process.communicate()
