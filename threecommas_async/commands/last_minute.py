"""What the last commands have sent, so that the next one keeps the request limit together with them.

It is kept in a file for each API key, whose name has a part of the key's SHA-256 and which holds no secret.
Commands that run at the same time know nothing of each other, and the one that ends last is remembered:
together they may exceed the limit. So may a command that follows one that was killed.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from threecommas_async.commands.output import tell
from threecommas_async.limiter import Limiter
from threecommas_async.limits import GENERAL, LATE, WindowState

if TYPE_CHECKING:
    from collections.abc import Generator

LONGEST: Final = GENERAL.period * (1 + LATE)
"""Seconds that a full window makes a request wait at most."""
_LONGEST_PAUSE: Final = 86400.0
"""Seconds: an answer that names a later end of a lock-out is not believed."""
_WORTH_A_WORD: Final = 1.0
"""Seconds of waiting that a person is told of."""


class _Kept(msgspec.Struct, frozen=True):
    at: float
    """When it was kept, in seconds of the wall clock."""
    spent: tuple[float, ...]
    """As in `WindowState`, counted from ``at``."""
    paused: Annotated[float, msgspec.Meta(le=_LONGEST_PAUSE)] | None
    """As in `WindowState`, counted from ``at``."""


def limiter() -> Limiter:
    """Return a limiter of the published limit that begins with what the last commands have sent."""
    try:
        return Limiter(GENERAL, state=_read())
    except FileNotFoundError:
        pass
    except (OSError, RuntimeError, ValueError, msgspec.MsgspecError) as problem:
        tell(f"What earlier commands have sent is not known, and the limit may be exceeded: {problem}")
    return Limiter(GENERAL)


@contextmanager
def kept(limiter: Limiter) -> Generator[None]:
    """Keep what a limiter knows for the next command, however the block ends."""
    _tell_of_waits(limiter)
    try:
        yield
    finally:
        _write(limiter.state())


def _tell_of_waits(limiter: Limiter) -> None:
    wait, seen = limiter.expected_wait(), limiter.snapshot()
    if wait < _WORTH_A_WORD:
        return
    if seen.paused_until is not None:
        tell(f"Nothing is sent for {wait:.0f} s: an earlier command was locked out (429).")
    else:
        tell(
            f"Earlier commands have used {seen.used} of {seen.limit.requests} requests: "
            f"what does not fit waits, {wait:.0f} s at first."
        )


def _read() -> WindowState | None:
    if (file := _file()) is None:
        return None
    kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
    # A clock that was set back is no reason to forget, nor to wait for longer than was said.
    return WindowState(kept.spent, kept.paused).later(max(0.0, time.time() - kept.at))


def _write(state: WindowState) -> None:
    content = msgspec.json.encode(_Kept(time.time(), tuple(state.spent), state.paused))
    try:
        if (file := _file()) is None:
            return
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent)  # For nobody else to read.
        try:
            with os.fdopen(handle, "wb") as new:
                new.write(content)
            Path(name).replace(file)
        except BaseException:
            Path(name).unlink()
            raise
    except (OSError, RuntimeError) as problem:
        tell(f"What was sent cannot be kept for the next command, let a minute pass before it: {problem}")


def _file() -> Path | None:
    """Return the file of the API key; None where there is no key.

    Raises:
        RuntimeError: Nobody knows where home is.
    """
    if not os.environ.get("THREECOMMAS_API_KEY"):
        return None
    digest = sha256(os.fsencode(os.environ["THREECOMMAS_API_KEY"])).hexdigest()
    return _folder() / "threecommas_async" / f"limit-{digest[:16]}.json"


def _folder() -> Path:
    folder = Path(os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_STATE_HOME", ""))
    # The XDG specification: a relative path is to be ignored.
    return folder if folder.is_absolute() else Path.home() / ".local" / "state"
