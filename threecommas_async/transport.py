"""One attempt over aiohttp: an answer, or a failure that says whether the request may have left.

The only importer of aiohttp's client. Nothing of aiohttp's exceptions gets out: their reprs hold the
request headers, the key and the signature among them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from contextlib import AsyncExitStack
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from yarl import URL

from threecommas_async.errors import ClientStateError
from threecommas_async.wire import Failure, Progress, Response

if TYPE_CHECKING:
    from types import SimpleNamespace

    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

    from threecommas_async.wire import Request

MAX_BODY: Final = 8 * 1024 * 1024
"""Bytes of a decompressed body that are read at most; a page of 100 SmartTrades has about 240 000."""

CONNECT_TIMEOUT: Final = 10.0
"""Seconds for one connection attempt."""


def read_base_url(base_url: str) -> URL:
    """Return the base URL, checked.

    Raises:
        ValueError: It is not an ``https`` URL (or ``http`` on this machine's loopback), or it has a
            user name, a query or a fragment.
    """
    try:
        url = URL(base_url)
        host = url.host
    except (TypeError, ValueError):
        url, host = URL(), None
    # What is refused may hold a password, which no traceback shows: it is in no variable by then.
    fault = None
    if not host or url.scheme not in {"http", "https"}:
        fault = "base_url must be an https:// URL with a host"
    elif url.user is not None or url.password is not None or "?" in base_url or "#" in base_url:
        fault = "base_url must not hold a user name, a password, a query or a fragment"
    elif url.scheme == "http" and not _is_loopback(host):
        fault = f"base_url must be https: http would show the key and the orders on the way to {host}"
    del base_url
    if fault is not None:
        del url, host
        raise ValueError(fault)
    return URL(str(url).rstrip("/"), encoded=True)


def read_proxy(proxy: str | None) -> URL | None:
    """Return the URL of the proxy, checked; it may hold a password, which no error shows.

    Raises:
        ValueError: It is not an ``http`` or ``https`` URL with a host.
    """
    try:
        url = None if proxy is None else URL(proxy)
        usable = url is None or (url.scheme in {"http", "https"} and bool(url.host))
    except (TypeError, ValueError):
        url, usable = None, False
    finally:
        del proxy
    if not usable:
        url = None
        raise ValueError("proxy must be an http:// or https:// URL with a host")
    return url


class Transport:
    """Sends requests over `aiohttp.ClientSession`, made when they are needed.

    There are two: one keeps its connections, the other opens a new one for each request. On a kept
    connection the server may hang up just as a request leaves, and a confused gateway may leave an answer
    behind: what must not be sent twice takes a new one.

    Args:
        base_url: Base URL, checked by `read_base_url`.
        session: A session of the caller's: used for everything and never closed. Its middlewares do not
            apply, and its connections are kept or not as it says.
        proxy: URL of an HTTP proxy, checked by `read_proxy`. Those of the environment are not used.
    """

    __slots__ = ("_borrowed", "_origin", "_own", "_proxy", "_skipped", "_tracing")

    def __init__(self, base_url: URL, *, session: aiohttp.ClientSession | None, proxy: URL | None) -> None:
        if session is not None and not isinstance(session, aiohttp.ClientSession):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise ValueError("session must be an aiohttp.ClientSession")
        self._origin = str(base_url.origin())
        self._borrowed = session
        # aiohttp names a type even where there is no body; the request class of own sessions does not.
        self._skipped = None if session is None else ("Content-Type",)
        self._own: dict[bool, aiohttp.ClientSession] = {}
        self._proxy = proxy
        self._tracing = aiohttp.TraceConfig()
        self._tracing.on_request_headers_sent.append(_note_sent)
        if session is not None:
            self._tracing.freeze()
            session.trace_configs.append(self._tracing)

    async def send(
        self,
        request: Request,
        *,
        timeout: float,
        new_connection: bool = False,
        progress: Progress | None = None,
    ) -> Response | Failure:
        """Send a request once.

        Args:
            request: The signed request.
            timeout: Seconds for everything from the wait for a connection to the last byte of the answer.
            new_connection: Whether to send it on a connection that nothing else has used.
            progress: Takes down how far the request comes; readable after a cancellation too.
        """
        # encoded=True: yarl would re-quote the query and void the signature.
        url = URL(self._origin + request.target, encoded=True)
        progress = progress or Progress()
        session = self._borrowed or self._own.get(new_connection) or self._open(new_connection)
        headers = None
        if self._borrowed is None:
            _under_way.set((request, progress))
        else:
            headers = request.headers
            progress.expires = asyncio.get_running_loop().time() + timeout
        try:
            answer = await session.request(
                request.method,
                url,
                data=request.body or None,
                headers=headers,
                allow_redirects=False,
                proxy=self._proxy,
                timeout=_client_timeout(timeout),
                middlewares=() if request.method in _SENT_ONCE else (_send_only_once,),
                raise_for_status=False,
                skip_auto_headers=self._skipped,
                trace_request_ctx=progress,
            )
            try:
                # Where all of it came with the headers, it is read at once.
                body = await (answer.read() if answer.content.is_eof() else _read_in_chunks(answer))
            except BaseException:
                answer.close()
                raise
            if body is None or len(body) > MAX_BODY:
                return _TOO_LARGE
            return Response(answer.status, answer.headers, body)
        except TimeoutError as problem:
            return _too_late(problem, timeout, sent=progress.sent)
        except (aiohttp.ClientError, OSError) as problem:
            return Failure(_describe(problem), progress.sent, isinstance(problem, _PERMANENT))
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                # The frames of aiohttp hold the headers: a traceback that shows locals must not reach them.
                raise cancelled.with_traceback(None)  # noqa: B904 - the same exception, not a new one
            # Nobody cancelled this task: the connector was closed under it.
            return Failure("the session was closed", progress.sent)
        except Exception as problem:  # noqa: BLE001 - hooks of a borrowed session may raise anything
            if not session.closed or progress.sent:
                return Failure(f"{type(problem).__name__} inside the aiohttp session", progress.sent)
        # Outside of the handler: the frames of aiohttp, which hold the headers, must not be reachable.
        raise ClientStateError("the aiohttp session of the client is closed: nothing was sent")

    async def close(self) -> None:
        """Close the sessions that were made here."""
        if self._borrowed is not None and self._tracing in self._borrowed.trace_configs:
            self._borrowed.trace_configs.remove(self._tracing)
        async with AsyncExitStack() as stack:
            for session in self._own.values():
                stack.push_async_callback(session.close)

    def _open(self, new_connection: bool) -> aiohttp.ClientSession:
        session = self._own[new_connection] = aiohttp.ClientSession(
            connector=_Connector(force_close=new_connection),
            cookie_jar=aiohttp.DummyCookieJar(),  # The CDN sets cookies.
            request_class=_Request,
            trust_env=False,
        )
        return session


_CONNECTIONS: Final = 3
"""Connections that an attempt to read tries at most, where each has bytes on it that came unasked."""

_under_way: ContextVar[tuple[Request, Progress]] = ContextVar("threecommas_async_under_way")


class _Connector(aiohttp.TCPConnector):
    """Takes down when a request has its connection, and gives it its headers: the next thing is to write it.

    A trace hook tells the same for a multiple of the price, and headers that are given earlier are copied one
    by one, twice. In one step it is safe too: what could leave without being taken down has no signature.
    """

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        for _ in range(_CONNECTIONS):
            connection = await super().connect(req, traces, timeout)
            # Bytes that came unasked would be the answer to a read; that to a write is told by its id.
            if req.method != "GET" or connection.protocol is None or not connection.protocol.should_close:
                break
            connection.close()
        else:
            raise aiohttp.ServerDisconnectedError
        request, progress = _under_way.get()
        req.headers.update(request.headers)
        progress.sent = True
        return connection


class _Request(aiohttp.ClientRequest):
    """Names no content type where there is no body, more cheaply than by skipping that header."""

    POST_METHODS = set[str]()  # noqa: RUF012 - aiohttp declares it so


class _DroppedError(aiohttp.ClientError):
    """A connection that broke; unlike aiohttp's own error it does not make aiohttp send again."""


@lru_cache(maxsize=16)
def _client_timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_TIMEOUT)


_TOO_LARGE: Final = Failure(f"the answer is larger than {MAX_BODY} bytes", sent=True)

_PERMANENT: Final = (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError, ssl.SSLError)


async def _note_sent(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceRequestHeadersSentParams
) -> None:
    # Fires just before the first byte is written. A borrowed session's other requests carry no Progress.
    progress: Any = context.trace_request_ctx
    if isinstance(progress, Progress):
        if progress.expires < asyncio.get_running_loop().time():
            raise TimeoutError  # A hook has blocked the loop past the deadline: nothing is written.
        progress.sent = True


_SENT_ONCE: Final = frozenset({"POST", "PATCH"})
"""Methods that aiohttp never sends a second time by itself."""


async def _send_only_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    # aiohttp silently repeats GET and DELETE after a dropped connection, even when the first was processed.
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as problem:
        reason = _describe(problem)
    raise _DroppedError(reason)


async def _read_in_chunks(answer: aiohttp.ClientResponse) -> bytes | None:
    """Return the body; None where it is too large, and not all of it was read."""
    body = bytearray()
    if (answer.content_length or 0) <= MAX_BODY:
        async for chunk in answer.content.iter_chunked(64 * 1024):
            body += chunk
            if len(body) > MAX_BODY:
                break
        else:
            return bytes(body)
    answer.close()
    return None


def _too_late(problem: TimeoutError, timeout: float, *, sent: bool) -> Failure:
    if isinstance(problem, aiohttp.ConnectionTimeoutError):
        return Failure(f"no connection within {CONNECT_TIMEOUT:g} s", sent)
    return Failure(f"no complete answer within {timeout:.3g} s", sent, timed_out=True)


def _describe(problem: BaseException) -> str:
    match problem:
        case _DroppedError():
            return str(problem)
        case aiohttp.ClientConnectorCertificateError():
            return f"the server's certificate was refused: {problem.certificate_error}"
        case aiohttp.ClientConnectorError():
            return f"no connection to {problem.host}:{problem.port}: {problem.os_error}"
        case OSError() if problem.strerror:
            return f"the connection broke: {problem.strerror}"
        case _:
            return f"the connection broke: {type(problem).__name__}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
