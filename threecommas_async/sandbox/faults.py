"""The road to the sandbox: how long it takes, and what gets lost on it."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from threecommas_async.sandbox.routes import path_values

if TYPE_CHECKING:
    from collections.abc import Iterable

    from threecommas_async.endpoints import Endpoint


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


class RareFault(StrEnum):
    """What can become of a request where somebody asks for it; the request is processed in any case."""

    SILENCE = "silence"
    """The request is processed, and nothing comes back; the connection stays."""
    TRUNCATED = "truncated answer"
    """The request is processed, then the connection ends in the middle of the answer's body."""
    EMPTY = "empty answer"
    """The request is processed, and the answer has its status and no body."""
    GATEWAY_TIMEOUT = "gateway timeout"
    """The gateway answers 504 with HTML, and the request is processed a little later."""


AnyFault: TypeAlias = Fault | RareFault
"""What can go wrong in all."""


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
    fault: AnyFault


class Network:
    """Decides, request by request, how long it takes and what goes wrong.

    Args:
        latency: Bounds of the delay of each request, in seconds; any value between is equally likely.
        unreliable: Probability that a request suffers a fault, 0 to 1; all ``faults`` are equally likely.
        every: Each request whose number is a multiple of this one suffers a fault too; None spares them.
        faults: Which faults there are; `RareFault` only where it is named here, or in `next`.
        seed: Seed of both.

    Raises:
        ValueError: A bound is negative, the bounds are in the wrong order, the probability is none, ``every``
            is below 1, or there are no faults.
    """

    def __init__(
        self,
        *,
        latency: tuple[float, float] = (0.0, 0.0),
        unreliable: float = 0.0,
        every: int | None = None,
        faults: Iterable[AnyFault] = tuple(Fault),
        seed: int = 0,
    ) -> None:
        if not 0.0 <= latency[0] <= latency[1]:
            raise ValueError(f"latency must be two seconds, the smaller first, not {latency!r}")
        self.incidents: list[Incident] = []
        """What went wrong, in order of arrival."""
        self.late: float = 0.02
        """Seconds from the answer 504 to the processing of its request."""
        self.unreliable = unreliable
        self.every = every
        self._kinds = list(faults)
        if not self._kinds:
            raise ValueError("faults must be at least one: unreliable=0 lets everything through")
        self._latency = latency
        self._told: deque[AnyFault | None] = deque()
        self._told_of: list[tuple[Endpoint[Any], AnyFault | None]] = []
        # Two generators: a change of latency must not change which requests fail.
        self._delays = random.Random(seed)
        self._faults = random.Random(seed)

    @property
    def unreliable(self) -> float:
        """Probability that a request suffers a fault."""
        return self._unreliable

    @unreliable.setter
    def unreliable(self, probability: float) -> None:
        """Change it for the requests to come."""
        if not 0.0 <= probability <= 1.0:
            raise ValueError(f"unreliable must be a probability from 0 to 1, not {probability!r}")
        self._unreliable = probability

    @property
    def every(self) -> int | None:
        """Each request whose number is a multiple of this one suffers a fault; None spares them."""
        return self._every

    @every.setter
    def every(self, number: int | None) -> None:
        """Change it for the requests to come."""
        if number is not None and number < 1:
            raise ValueError(f"every must be None or a whole number of at least 1, not {number!r}")
        self._every = number

    def next(self, *faults: AnyFault | None, of: Endpoint[Any] | None = None) -> None:
        """Say what becomes of the next requests, in order of arrival, after those already spoken for.

        Args:
            *faults: One for each request; None lets it through.
            of: Only requests of this row of ``threecommas_async.endpoints`` count; None counts all that are
                not spoken for by their row.
        """
        if of is None:
            self._told.extend(faults)
        else:
            self._told_of.extend((of, fault) for fault in faults)

    def calm(self) -> None:
        """Let everything through from now on."""
        self.unreliable = 0.0
        self.every = None
        self._told.clear()
        self._told_of.clear()

    def delays(self) -> tuple[float, float]:
        """Return how long the next request takes to arrive, and its answer to get back, in seconds."""
        total = self._delays.uniform(*self._latency)
        way_in = self._delays.uniform(0.0, total)
        return way_in, total - way_in

    def fault(self, number: int, method: str, target: str) -> AnyFault | None:
        """Return what becomes of a request, and record it; None lets it through."""
        rows = [row for row, _ in self._told_of]
        place = next(
            (at for at, row in enumerate(rows) if path_values(row, method, target) is not None), None
        )
        if place is not None:
            _, fault = self._told_of.pop(place)
        else:
            fault = self._told.popleft() if self._told else self._chance(number)
        if fault is not None:
            self.incidents.append(Incident(number, method, target, fault))
        return fault

    def _chance(self, number: int) -> AnyFault | None:
        is_its_turn = self._every is not None and number % self._every == 0
        if self._faults.random() >= self._unreliable and not is_its_turn:
            return None
        return self._faults.choice(self._kinds)
