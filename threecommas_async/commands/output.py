"""Standard output and error, whoever reads them: what was done is done, whether or not it can be told."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO


def show(text: str) -> None:
    """Print a text; characters that the terminal does not have are escaped."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)  # What stands in for it may have none.
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _let_go(sys.stdout)


def show_json(content: bytes) -> None:
    """Write JSON, which is UTF-8 in any terminal."""
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison] - it is where a shell closed it
        return
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(content + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        _let_go(sys.stdout)


def tell(text: object) -> None:
    """Print for a person beside what is read by programs: to standard error."""
    if sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison] - as above; print would take the other
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:
        _let_go(sys.stderr)


def settle() -> None:
    """Let go of what nobody reads: the interpreter flushes when it ends, and would exit with 120."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # pyright: ignore[reportUnnecessaryComparison] - as above
            try:
                stream.flush()
            except BrokenPipeError:
                _let_go(stream)


def _let_go(stream: TextIO) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
