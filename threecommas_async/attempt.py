"""One attempt of a call, as those see it who watch."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from threecommas_async.endpoints import Endpoint


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
