"""The road to the sandbox: how long it takes, and what gets lost on it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What can become of a request."""

    LOST_REQUEST = "lost request"
    """The connection breaks before the request is processed."""
    LOST_ANSWER = "lost answer"
    """The request is processed, then the connection breaks without an answer."""
    BAD_GATEWAY = "bad gateway"
    """The request is processed, and the gateway answers 502 with HTML."""
    SERVER_ERROR = "server error"
    """The request is not processed, and the answer is 500."""

    @property
    def is_processed(self) -> bool:
        """The request takes effect all the same."""
        return self in (Fault.LOST_ANSWER, Fault.BAD_GATEWAY)


@dataclass(frozen=True, slots=True)
class Incident:
    """A fault that a request suffered.

    Args:
        number: Number of the request among all that arrived, from 1.
        method: HTTP method.
        target: Path and query.
        fault: What became of it.
    """

    number: int
    method: str
    target: str
    fault: Fault


class Network:
    """Decides, request by request, how long it takes and what goes wrong.

    Args:
        latency: Bounds of the delay of each request, in seconds; any value between is equally likely.
        unreliable: Probability that a request suffers a fault, 0 to 1; all faults are equally likely.
        seed: Seed of both.

    Raises:
        ValueError: A bound is negative, the bounds are in the wrong order, or the probability is none.
    """

    def __init__(
        self, *, latency: tuple[float, float] = (0.0, 0.0), unreliable: float = 0.0, seed: int = 0
    ) -> None:
        if not 0.0 <= latency[0] <= latency[1]:
            raise ValueError(f"latency must be two seconds, the smaller first, not {latency!r}")
        if not 0.0 <= unreliable <= 1.0:
            raise ValueError(f"unreliable must be a probability from 0 to 1, not {unreliable!r}")
        self.incidents: list[Incident] = []
        """What went wrong, in order of arrival."""
        self._latency = latency
        self._unreliable = unreliable
        # Two generators: a change of latency must not change which requests fail.
        self._delays = random.Random(seed)
        self._faults = random.Random(seed)

    def delays(self) -> tuple[float, float]:
        """Return how long the next request takes to arrive, and its answer to get back, in seconds."""
        total = self._delays.uniform(*self._latency)
        way_in = self._delays.uniform(0.0, total)
        return way_in, total - way_in

    def fault(self, number: int, method: str, target: str) -> Fault | None:
        """Return what becomes of a request, and record it; None lets it through."""
        if self._faults.random() >= self._unreliable:
            return None
        fault = self._faults.choice(list(Fault))
        self.incidents.append(Incident(number, method, target, fault))
        return fault
