"""The store behind `threecommas_async.limits_redis`: one Lua script, one call a visit."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import math
import secrets
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from threecommas_async.limits import RateLimit

T = TypeVar("T")

_SCRIPT: Final = resources.files("threecommas_async.limits_redis").joinpath("window.lua").read_text("utf-8")
_SHA: Final = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()

_SOCKET_TIMEOUT: Final = 0.5
"""Seconds that a store may be silent before it counts as gone."""
VISIT_TIMEOUT: Final = 0.8
"""Seconds that a whole visit may take, connecting included."""
_KEPT: Final = 3600.0
"""Seconds that the state outlives the last visit; what is seen less often is not missed after half of it."""


class ScriptClient(Protocol):
    """What is needed of a ``redis.asyncio`` client: ``Redis``, ``RedisCluster``, or one from ``Sentinel``."""

    def evalsha(self, sha: str, numkeys: int, /, *keys_and_args: str) -> Any: ...

    def eval(self, script: str, numkeys: int, /, *keys_and_args: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class Visit:
    """What a process asks of the store, and what it has to tell.

    Args:
        exits: Permits wanted for exits.
        reads: Permits wanted for other calls.
        first: Number of the first request that is admitted.
        free_at: Requests whose place in the window is free again at another time than the store expects, in
            seconds of the event loop's clock; -inf for one that was never sent.
        pause: Seconds from now for which nobody may send, because of a 429.
        silence: Seconds from now for which nobody is admitted, because of what was sent without the store.
        proven: A request was answered after the pause.
    """

    exits: int = 0
    reads: int = 0
    first: int = 0
    free_at: dict[int, float] = field(default_factory=dict[int, float])
    pause: float = 0.0
    silence: float = 0.0
    proven: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What the store answers; times are seconds from now.

    Args:
        exits: Exits that may be sent now.
        exits_in: When the next one may, as far as is known.
        reads: Other calls that may be sent now.
        reads_in: When the next one may, as far as is known.
        paused: How long the pause after a 429 lasts; 0 outside of one.
        trial: Requests go out one by one, until one of them is answered.
        used: Places of the window that are taken.
    """

    exits: int
    exits_in: float
    reads: int
    reads_in: float
    paused: float
    trial: bool
    used: int


class Store:
    """One process's access to the state that all bots of one API key share.

    Args:
        url: Where it is, or a ready client, which stays the caller's.
        tag: Name of the shared state.
        limit: The limit to keep.
        reserve: How many of its requests are for exits alone.
        margin: Seconds that a request may take to arrive before its process says so.

    Raises:
        ImportError: The extra ``redis`` is not installed.
        ValueError: The URL is not one of the documented ones.
    """

    __slots__ = (
        "_calls",
        "_client",
        "_epoch",
        "_fixed",
        "_is_owned",
        "_keys",
        "_last",
        "_me",
        "_no_script",
        "_visits",
    )

    def __init__(
        self, url: str | ScriptClient, tag: str, limit: RateLimit, reserve: int, margin: float
    ) -> None:
        self._is_owned = isinstance(url, str)
        try:
            self._client = _connect(url) if isinstance(url, str) else _checked(url)
        finally:
            # A traceback that shows locals must not show the password.
            del url
        self._no_script = _no_script_error()
        # The braces put all keys into one slot of a cluster.
        self._keys = tuple(f"threecommas:{{{tag}}}:{part}" for part in ("units", "state", "reads", "exits"))
        self._me = secrets.token_hex(6)
        kept = max(_KEPT, 4 * (limit.period + margin))
        self._fixed = (limit.requests, reserve, _micros(limit.period), _micros(margin), round(kept * 1000))
        self._calls: set[asyncio.Task[Any]] = set()
        self._epoch: int = 0
        self._visits: int = 0
        # An instant of the loop's clock, and one of the store's that is not before it.
        self._last = (-math.inf, 0.0)

    @property
    def seen_at(self) -> float:
        """When the last visit that was answered began, on the loop's clock; -inf before the first."""
        return self._last[0]

    async def visit(self, visit: Visit) -> Answer:
        """Make one visit.

        Raises:
            Exception: Whatever the client raises; TimeoutError if it takes too long.
        """
        limit, reserve, period, margin, kept = self._fixed
        began = asyncio.get_running_loop().time()
        if began - self._last[0] > kept / 2000:
            self._epoch = self._visits = 0
        marks = (
            text
            for number, free_at in visit.free_at.items()
            for text in (f"{self._me}:{number}", str(self._on_store_clock(free_at)))
        )
        # In the order of the script's ARGV.
        numbers = (
            self._epoch,
            self._visits,
            limit,
            reserve,
            period,
            margin,
            visit.first,
            visit.exits,
            visit.reads,
            _micros(visit.pause),
            _micros(visit.silence),
            int(visit.proven),
            kept,
        )
        answer = await self._in_time(self._call((*self._keys, self._me, *map(str, numbers), *marks)))
        if not (0 <= answer[3] <= visit.exits and 0 <= answer[5] <= visit.reads):
            raise ValueError("the store permits what it was not asked for")
        now, self._epoch, self._visits, exits, exits_in, reads, reads_in, paused, trial, used = answer
        self._last = (began, now)
        return Answer(
            exits=exits,
            exits_in=exits_in / 1e6,
            reads=reads,
            reads_in=reads_in / 1e6,
            paused=paused / 1e6,
            trial=trial == 1,
            used=used,
        )

    async def close(self) -> None:
        """Close the connection, unless it is the caller's. A later visit opens it again."""
        for call in self._calls:
            call.cancel()
        if self._calls:
            await asyncio.wait(self._calls, timeout=VISIT_TIMEOUT)
        if self._is_owned:
            await self._in_time(cast("Any", self._client).aclose())

    async def _in_time(self, call: Coroutine[Any, Any, T]) -> T:
        """Await a call of the client, in a task of its own.

        redis-py 8.1 on Python 3.11 swallows one cancellation in five, that of a timeout included: whoever
        awaited it directly could wait for ever.
        """
        task = asyncio.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._forget)
        try:
            await asyncio.wait({task}, timeout=VISIT_TIMEOUT)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not task.done() or task.cancelled():
            # It goes on, within the timeouts of its socket: of a store that is far away a connection is left,
            # which the next visit finds.
            raise TimeoutError("the store does not answer")
        return task.result()

    def _forget(self, call: asyncio.Task[Any]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()  # Seen: asyncio need not complain about it.

    async def _call(self, arguments: tuple[str, ...]) -> list[int]:
        count = len(self._keys)
        try:
            answer = await self._client.evalsha(_SHA, count, *arguments)
        except self._no_script:  # The store was restarted, or its scripts were flushed.
            answer = await self._client.eval(_SCRIPT, count, *arguments)
        return cast("list[int]", answer)

    def _on_store_clock(self, instant: float) -> int:
        began, then = self._last
        return 0 if instant == -math.inf else int(then + _micros(instant - began)) + 1


def _micros(seconds: float) -> int:
    return round(seconds * 1e6)


def _no_script_error() -> type[Exception]:
    from redis.exceptions import NoScriptError

    return NoScriptError


def _connect(url: str) -> ScriptClient:
    scheme, _, rest = url.partition("://")
    try:
        if scheme not in {"redis", "rediss", "unix", "redis+cluster", "rediss+cluster"}:
            raise ValueError(
                "the store's URL must begin with redis://, rediss://, unix://, redis+cluster:// or "
                "rediss+cluster://"
            )
        try:
            from redis.asyncio import Redis, RedisCluster
        except ImportError as missing:
            raise ImportError(
                "a shared limit needs the package redis: pip install 'threecommas-async[redis]', or "
                "pip install -e '.[redis]' in a copy of the source"
            ) from missing
        base, _, cluster = scheme.partition("+")
        client, reason = _opened(RedisCluster if cluster else Redis, f"{base}://{rest}")
    finally:
        # Where there is no "://" the scheme is all of it.
        del url, scheme, rest
    if client is None:  # Raised outside of the handler: the problem could quote the URL.
        raise ValueError(
            "the store's URL cannot be used: it needs a host, a port that is a number, a password that is "
            f"percent-encoded, and no options but those of redis-py{reason}"
        )
    return client


def _opened(opener: Any, url: str) -> tuple[ScriptClient | None, str]:
    """Return a client, or None and what more there is to say of why there is none."""
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisClusterException, RedisError

    try:
        client = opener.from_url(
            url,
            socket_timeout=_SOCKET_TIMEOUT,
            socket_connect_timeout=_SOCKET_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        # An option that does not exist would show at the first visit only, as a store that is gone.
        if (pool := getattr(client, "connection_pool", None)) is not None:
            pool.connection_class(**pool.connection_kwargs)
    except (AttributeError, RedisClusterException, RedisError, TypeError, ValueError) as problem:
        # Of a password that is not percent-encoded a part may be taken for a port.
        return None, f": {problem}" if isinstance(problem, TypeError) else ""
    return cast("ScriptClient", client), ""


def _checked(client: ScriptClient) -> ScriptClient:
    execute = getattr(client, "execute_command", None)
    is_blocking = execute is not None and not inspect.iscoroutinefunction(execute)
    if is_blocking or not callable(getattr(client, "evalsha", None)):
        raise ValueError(
            f"the store must be a URL or a client of redis.asyncio, not a {type(client).__name__}"
        )
    return client
