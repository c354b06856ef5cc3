"""Processes of their own: none outlives its test, and Ctrl-C ends them whoever started the tests."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncGenerator, Generator

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
