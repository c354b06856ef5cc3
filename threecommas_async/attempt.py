"""One attempt of a call as those see it who watch, and what the attempts of a call share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Generic, TypeVar

from msgspec import Struct

from threecommas_async.endpoints import Endpoint

T = TypeVar("T")


class Attempt(Struct, frozen=True):
    """One attempt of a call, for those who watch a client at work.

    Args:
        endpoint: The row of the call.
        path: Path and query of the request, the path of the base URL included.
        attempt: Its number among the attempts of the call, from 1.
        waited: Seconds that it waited for its permit.
        sent: The request may have left this machine.
        outcome: HTTP status, or why there is none.
        elapsed: Seconds from the permit to the end of the attempt.
    """

    endpoint: Endpoint[Any]
    path: str
    attempt: int
    waited: float
    sent: bool
    outcome: int | str
    elapsed: float

    def __str__(self) -> str:
        return (
            f"{self.endpoint.method} {self.path.partition('?')[0]} attempt {self.attempt}: {self.outcome} "
            f"after {self.elapsed:.3f} s, waited {self.waited:.3f} s for its permit"
        )


class Finder(Struct, Generic[T], frozen=True):
    """How to find out whether a call took effect whose answer was lost.

    Args:
        look: Returns what shows the effect, or None where there is none; takes the deadline of the call, and
            when the first attempt began that may have been carried out.
        guarded: The API refuses the call once it took effect, so that it can be made again after one look.
            Otherwise it is made again only if no look of a whole settle time finds it.
        lasting: What shows it shows it for good: nothing that is ordered later hides it.
    """

    look: Callable[[Deadline, datetime], Awaitable[T | None]]
    guarded: bool
    lasting: bool


class Deadline:
    """The seconds that a call has left; those that it waits for permits do not count.

    Args:
        left: Seconds.
    """

    __slots__ = ("left",)

    def __init__(self, left: float) -> None:
        self.left: float = left


def loop_time() -> float:
    """Return the seconds of the clock that timers and the limiter are on.

    Where it is moved, everything moves that is counted on it.
    """
    return asyncio.get_running_loop().time()
