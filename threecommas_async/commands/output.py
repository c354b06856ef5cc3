"""Standard output and error, whoever reads them: what was done is done, whether or not it can be told.

What standard output cannot take, on a full disk for one, goes to standard error; what nobody reads is let go.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Final, TextIO

_given_up: Final[list[tuple[TextIO, int]]] = []
"""What was standard output and took no more, and a copy of its descriptor."""


def show(text: str, *, end: str = "\n") -> None:
    """Print a text; characters that the terminal does not have are escaped."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)  # What stands in for it may have none.
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        _let_go(sys.stdout)
    except OSError as problem:
        _give_up(problem)
        show(text, end=end)


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
    except OSError as problem:
        _give_up(problem)
        show_json(content)


class Shown(io.StringIO):
    """A file that shows what is written to it, for who writes to files only."""

    def write(self, text: str, /) -> int:
        """Show a text."""
        show(text, end="")
        return len(text)

    def isatty(self) -> bool:
        """Whether standard output is a terminal."""
        return sys.stdout is not None and sys.stdout.isatty()  # pyright: ignore[reportUnnecessaryComparison] - as above

    @property
    def encoding(self) -> str:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride] - nobody sets it
        """The encoding of standard output."""
        return getattr(sys.stdout, "encoding", None) or "utf-8"


def tell(text: object) -> None:
    """Print for a person beside what is read by programs: to standard error."""
    if sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison] - as above; print would take the other
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _let_go(sys.stderr)


def settle() -> bool:
    """Flush both, as the interpreter does when it ends, which would exit with 120 where that fails.

    Standard output is what it was then: the next command in this process tries it again.

    Returns:
        Standard output has taken everything, or whoever read it wanted no more.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # pyright: ignore[reportUnnecessaryComparison] - as above
            try:
                stream.flush()
            except OSError as problem:
                if stream is sys.stdout and not isinstance(problem, BrokenPipeError):
                    _give_up(problem)
                else:
                    _let_go(stream)
    is_told = not _given_up
    while _given_up:
        sys.stdout, copy = _given_up.pop()
        sys.stdout.flush()  # What it still holds was told elsewhere.
        os.dup2(copy, sys.stdout.fileno())
        os.close(copy)
    return is_told


def _give_up(problem: OSError) -> None:
    """Let standard error have what standard output does not take."""
    _given_up.append((sys.stdout, os.dup(sys.stdout.fileno())))
    _let_go(sys.stdout)
    tell(f"Standard output cannot be written: {problem.strerror}. It was to say:")
    sys.stdout = sys.stderr


def _let_go(stream: TextIO) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
