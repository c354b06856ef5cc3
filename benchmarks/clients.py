"""The same two calls by hand with aiohttp, with this package, by hand with httpx, and with py3cw."""

from __future__ import annotations

import hashlib
import hmac
import importlib
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import aiohttp
import msgspec
from yarl import URL

from benchmarks.server import NEVER_REACHED, TRADES
from threecommas_async import SmartTrade, ThreeCommas

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    import httpx

T = TypeVar("T")

KEY: Final = "the-key"
SECRET: Final = "the-secret"  # noqa: S105 - of no account
TIMEOUT: Final = 30.0

LISTED: Final = f"page=1&per_page={TRADES}&status=all"
"""The query that `SmartTrades.list` sends when nothing is asked for."""

ONE: Final = msgspec.json.Decoder(SmartTrade)
MANY: Final = msgspec.json.Decoder(list[SmartTrade])


class Calls(Protocol):
    """The two calls."""

    async def close_by_market(self, id: int, /) -> object: ...
    async def list(self) -> Sequence[SmartTrade]: ...


def signed(path: str) -> dict[str, str]:
    """Return the headers of a request without a body."""
    signature = hmac.new(SECRET.encode(), path.encode(), hashlib.sha256).hexdigest()
    return {"Apikey": KEY, "Signature": signature, "Forced-Mode": "real"}


class ByHand(ABC):
    """Nothing but the libraries: sign, send, read, decode."""

    async def close_by_market(self, id: int, /) -> SmartTrade:
        """Close a trade."""
        return await self._send("POST", f"/public/api/v2/smart_trades/{id}/close_by_market", ONE)

    async def list(self) -> list[SmartTrade]:
        """Read a page."""
        return await self._send("GET", f"/public/api/v2/smart_trades?{LISTED}", MANY)

    @abstractmethod
    async def _send(self, method: str, path: str, decoder: msgspec.json.Decoder[T]) -> T: ...


class OverAiohttp(ByHand):
    """By hand over aiohttp: the floor of what a call costs on asyncio.

    aiohttp names a content type in a POST without a body, and this package does not. The floor sends it:
    ``skip_auto_headers``, aiohttp's way to leave it out, makes a call some 5 % dearer, and the request class
    with which this package leaves it out makes none cheaper.
    """

    def __init__(self, session: aiohttp.ClientSession, origin: str) -> None:
        self._session = session
        self._origin = origin

    async def _send(self, method: str, path: str, decoder: msgspec.json.Decoder[T]) -> T:
        async with self._session.request(
            method, URL(self._origin + path, encoded=True), headers=signed(path), allow_redirects=False
        ) as response:
            body = await response.read()
            response.raise_for_status()
            return decoder.decode(body)


class OverHttpx(ByHand):
    """By hand over httpx."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def _send(self, method: str, path: str, decoder: msgspec.json.Decoder[T]) -> T:
        response = await self._client.request(method, path, headers=signed(path))
        response.raise_for_status()
        return decoder.decode(response.content)


@asynccontextmanager
async def over_aiohttp(origin: str) -> AsyncGenerator[Calls, None]:
    """Give the calls written by hand with aiohttp."""
    jar, timeout = aiohttp.DummyCookieJar(), aiohttp.ClientTimeout(total=TIMEOUT)
    async with aiohttp.ClientSession(cookie_jar=jar, timeout=timeout) as session:
        yield OverAiohttp(session, origin)


@asynccontextmanager
async def this_client(origin: str) -> AsyncGenerator[Calls, None]:
    """Give the calls of this package."""
    base_url = f"{origin}/public/api"
    async with ThreeCommas(KEY, SECRET, mode="real", base_url=base_url, limits=NEVER_REACHED) as client:
        yield client.smart_trades


@asynccontextmanager
async def over_httpx(origin: str) -> AsyncGenerator[Calls, None]:
    """Give the calls written by hand with httpx."""
    import httpx

    # By default it closes all but 20 idle connections: here it keeps them all, as aiohttp does.
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
    async with httpx.AsyncClient(base_url=origin, timeout=TIMEOUT, limits=limits) as client:
        yield OverHttpx(client)


class Py3cw:
    """A client of py3cw: each thread has one, since a session of requests is not made to be shared.

    Args:
        origin: Where the server is; py3cw has a constant for it, which is set for the process.
    """

    def __init__(self, origin: str) -> None:
        module = importlib.import_module("py3cw.request")  # It has no types.
        vars(module)["API_URL"] = origin
        self._client = module.Py3CW(key=KEY, secret=SECRET)

    def close_by_market(self, id: int, /) -> object:
        """Close a trade."""
        return self._send(action="close_by_market", action_id=str(id))

    def list(self) -> object:
        """Read a page."""
        return self._send(action="", payload={"page": 1, "per_page": TRADES, "status": "all"})

    def close(self) -> None:
        """Close its connections."""
        self._client.session.close()

    def _send(self, **arguments: object) -> object:
        error, answer = self._client.request(
            entity="smart_trades_v2", additional_headers={"Forced-Mode": "real"}, **arguments
        )
        if error:
            raise RuntimeError(error)
        return answer
