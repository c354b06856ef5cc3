"""Standard output, whoever reads it: what was done is done, whether or not it can be told."""

from __future__ import annotations

import os
import sys


def show(text: str) -> None:
    """Print a text; characters that the terminal does not have are escaped."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)  # What stands in for it may have none.
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _let_go()


def show_json(content: bytes) -> None:
    """Write JSON, which is UTF-8 in any terminal."""
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison] - it is where a shell closed it
        return
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(content + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        _let_go()


def _let_go() -> None:
    # The interpreter flushes once more when it ends, and would exit with 120.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
