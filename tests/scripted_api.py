"""A transport that answers from lists on a virtual clock, and the session in front of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from tenacity import stop_after_attempt, wait_fixed

from threecommas_async.limiter import Limiter
from threecommas_async.limits import RateLimit
from threecommas_async.retry import RetryPolicy
from threecommas_async.session import Session
from threecommas_async.signing import HmacCredentials
from threecommas_async.wire import Failure, Progress, Request, Response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from threecommas_async.transport import Transport

START = datetime(2026, 1, 1, tzinfo=UTC)
LOST = Failure("the connection broke", sent=True)
NOT_SENT = Failure("no connection", sent=False)
SILENCE = Failure("no complete answer", sent=True, timed_out=True)
TIMEOUT_408 = Response(408, {}, b'{"error":"timeout"}')
LIMITED = Response(429, {}, b'{"error":"Rate limit exceeded"}')
LIMITED_5_S = Response(429, {"Retry-After": "5"}, b'{"error":"Rate limit exceeded"}')
GATEWAY_502 = Response(502, {}, b"<html>Bad gateway</html>")
REFUSED_422 = Response(422, {}, b'{"error":"record_invalid"}')


_ID = re.compile(r"/smart_trades/(\d+)")


class Script:
    """Answers attempts from lists, each answer a second after the attempt began.

    The last entry of a list repeats. An answer about trade 7 is about the trade that was asked for.

    Args:
        answers: A list for each method, or one for all of them.
        seconds: How long an answer takes.

    Attributes:
        sent: What was sent, and when.
        timeouts: How many seconds each of them was given.
        new_connections: Which of them had to have a new connection.
    """

    def __init__(
        self,
        answers: Mapping[str, Sequence[Response | Failure]] | Sequence[Response | Failure],
        seconds: float = 1.0,
    ) -> None:
        self.answers: dict[str, list[Response | Failure]]
        if isinstance(answers, Mapping):
            self.answers = {method: list(entries) for method, entries in answers.items()}
        else:
            one = list(answers)
            self.answers = dict.fromkeys(("GET", "POST", "PATCH", "DELETE"), one)
        self.seconds = seconds
        self.sent: list[tuple[float, Request]] = []
        self.timeouts: list[float] = []
        self.new_connections: list[bool] = []

    async def send(
        self, request: Request, *, timeout: float, new_connection: bool, progress: Progress
    ) -> Response | Failure:
        self.sent.append((asyncio.get_running_loop().time(), request))
        self.timeouts.append(timeout)
        self.new_connections.append(new_connection)
        entries = self.answers[request.method]
        outcome = entries.pop(0) if len(entries) > 1 else entries[0]
        progress.sent = isinstance(outcome, Response) or outcome.sent
        await asyncio.sleep(self.seconds)
        if isinstance(outcome, Response) and (asked := _ID.search(request.target)):
            body = outcome.body.replace(b'{"id":7,', f'{{"id":{asked[1]},'.encode())
            return Response(outcome.status, outcome.headers, body)
        return outcome

    async def close(self) -> None:
        pass

    @property
    def times(self) -> list[float]:
        """When something was sent."""
        return [at for at, _ in self.log]

    @property
    def log(self) -> list[tuple[float, str]]:
        """When which method was sent."""
        return [(round(at, 3), request.method) for at, request in self.sent]


def new_session(script: Script, **options: Any) -> Session:
    """A session on the running loop's clock that backs off for 2 s."""
    loop = asyncio.get_running_loop()
    return Session(
        HmacCredentials("the-api-key", "the-secret"),
        cast("Transport", script),
        options.pop("limiter", None) or Limiter(RateLimit(requests=100, period=60, lockout=300)),
        base_path="/public/api",
        mode="paper",
        timeout=options.pop("timeout", 30),
        max_wait=options.pop("max_wait", None),
        policy=RetryPolicy(stop=stop_after_attempt(3), wait=wait_fixed(2)),
        clock=loop.time,
        now=options.pop("now", None) or (lambda: START + timedelta(seconds=loop.time())),
        **options,
    )
