"""A socket server that does one fault at one point of an exchange, and knows what it carried out."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qs

from tests import virtual_time
from tests.raw_server import Received, send_reset

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

ROOT: Final = "/public/api/v2/smart_trades"
DRIP: Final = 0.02
"""Seconds between two bytes of an answer that drips."""
MAX_CONNECTIONS: Final = 1000


class Point(StrEnum):
    """How far an exchange comes before it breaks."""

    REQUEST_HEAD = "in the head of the request"
    REQUEST_BODY = "in the body of the request"
    NO_ANSWER = "before the answer"
    ANSWER_HEAD = "in the head of the answer"
    ANSWER_BODY = "in the body of the answer"
    WHOLE_ANSWER = "after the answer"


class Break(StrEnum):
    """What becomes of the connection there."""

    CLOSE = "close"
    RESET = "reset"
    SILENCE = "silence"
    DRIP = "drip"
    LATE = "late"
    """The rest of the answer follows when the server's `release` is set."""


class Handshake(StrEnum):
    """What the server does before it reads a request."""

    GOOD = "good"
    ALERT = "TLS alert"
    SILENCE = "silence to the first words of TLS"
    CLOSE = "close at the first words of TLS"
    CLOSE_AT_ONCE = "close at once"
    RESET_AT_ONCE = "reset at once"


def as_it_is(answer: bytes) -> bytes:
    return answer


@dataclass(frozen=True)
class Fault:
    """What goes wrong in one exchange.

    Args:
        carried_out: The request has its effect.
        answer: Makes the bytes that are sent out of those of the good answer.
        at: How far the exchange comes.
        then: What becomes of the connection there; None keeps it.
    """

    carried_out: bool = True
    answer: Callable[[bytes], bytes] = as_it_is
    at: Point = Point.WHOLE_ANSWER
    then: Break | None = None

    @property
    def in_request(self) -> bool:
        return self.at in {Point.REQUEST_HEAD, Point.REQUEST_BODY}


GOOD: Final = Fault()


def reply(body: bytes, status: str = "200 OK", headers: str = "", length: int | None = None) -> bytes:
    """The bytes of an answer; `length` is what it says that its body has."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n{headers}\r\n"
    return head.encode() + body


def answers(
    body: bytes,
    status: str = "200 OK",
    headers: str = "",
    *,
    carried_out: bool = False,
    length: int | None = None,
) -> Fault:
    """The fault of answering so instead."""
    return Fault(carried_out, lambda _good: reply(body, status, headers, length))


@dataclass(frozen=True)
class Part:
    """A request of which the server has read only this much."""

    text: bytes
    connection: int


class Exchange:
    """The trades behind the server: what the requests that were carried out did to them.

    Attributes:
        trades: By id, as the API would show them.
        carried_out: How often each kind of write was.
        hidden: How many reads are still shown what was before the first write.
    """

    def __init__(self) -> None:
        self.trades: dict[int, dict[str, Any]] = {}
        self.carried_out: Counter[str] = Counter()
        self.hidden = 0
        self._before: dict[int, dict[str, Any]] | None = None
        for id in (7, 8):
            self.add({"account_id": 1, "pair": "USDT_BTC"}, id=id)

    def add(self, order: dict[str, Any], *, id: int | None = None) -> dict[str, Any]:
        """Add a trade that is the newest."""
        number = len(self.trades)
        created_at = virtual_time.now() + timedelta(milliseconds=number)
        trade: dict[str, Any] = {
            "id": id or 100 + number,
            "status": {"basic_type": "waiting_targets"},
            "account": {"id": order["account_id"]},
            "pair": order["pair"],
            "note_raw": order.get("note"),
            "data": {"created_at": created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")},
        }
        self.trades[trade["id"]] = trade
        return trade

    def carry_out(self, kind: str, id: int, body: bytes) -> bytes:
        """Do what the request says, and return the answer."""
        self._before = self._before or deepcopy(self.trades)
        if kind == "create":
            self.carried_out[kind] += 1
            return _json(self.add(json.loads(body)), "201 Created")
        trade = self.trades[id]
        if kind == "close_by_market":
            if trade["status"]["basic_type"] != "waiting_targets":
                return reply(b'{"error":"record_invalid"}', "422 Unprocessable Entity")
            trade["status"] = {"basic_type": "panic_sell_pending"}
        elif kind == "set_note":
            trade["note_raw"] = json.loads(body)["note"]
        self.carried_out[kind] += 1
        return _json(trade, "201 Created")

    def show(self, kind: str, id: int, query: dict[str, list[str]]) -> bytes:
        """Return the answer to a read."""
        trades = self.trades
        if self.hidden and self._before is not None:
            trades, self.hidden = self._before, self.hidden - 1
        if kind == "get":
            return _json(trades[id])
        wanted = [
            trade
            for trade in reversed(trades.values())
            if query.get("account_id", [str(trade["account"]["id"])]) == [str(trade["account"]["id"])]
            and query.get("pair", [trade["pair"]]) == [trade["pair"]]
        ]
        size, page = int(query.get("per_page", ["100"])[0]), int(query.get("page", ["1"])[0])
        return _json(wanted[(page - 1) * size : page * size])


class FaultServer:
    """Listens on a free port of the loopback, and does to each request what is planned for its kind.

    A kind is ``get``, ``list``, ``create``, or the last word of the path.

    Args:
        tls: Certificate and key, for a server that speaks TLS.
        handshake: What happens to each connection before a request is read.
        stale: Break each connection that was idle when a request arrives on it.
        listening: Whether connections are accepted from the beginning; else they are refused until `listen`.

    Attributes:
        received: The complete requests.
        partial: What was read of the others.
        hung_up: The connections that the client ended while the server was silent, by number.
        connections: How many there were.
        exchange: The trades.
        release: Lets late answers go.
    """

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        *,
        handshake: Handshake = Handshake.GOOD,
        stale: bool = False,
        listening: bool = True,
    ) -> None:
        self.received: list[Received] = []
        self.partial: list[Part] = []
        self.hung_up: list[int] = []
        self.connections = 0
        self.exchange = Exchange()
        self.release = asyncio.Event()
        self._tls = tls
        self._handshake = handshake
        self._stale = stale
        self._listening = listening
        self._plan: dict[str, Iterator[Fault]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    def plan(self, kind: str, faults: Iterable[Fault]) -> None:
        """Do these to the next requests of a kind, and let the later ones through."""
        self._plan[kind] = iter(faults)

    def seen(self, kind: str) -> int:
        """How many complete requests of this kind there were."""
        return sum(kind_of(received.request_line)[0] == kind for received in self.received)

    @property
    def base_url(self) -> str:
        scheme = "https" if self._tls or self._handshake in _TLS_ONLY else "http"
        return f"{scheme}://127.0.0.1:{self.port}/public/api"

    async def __aenter__(self) -> Self:
        # With the protocol: asyncio sets TCP_NODELAY only where it is named, and TLS waits 40 ms without.
        self._socket = socket.socket(proto=socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._server = await asyncio.start_server(
            self._accept, sock=self._socket, ssl=self._tls, start_serving=False
        )
        if self._listening:
            await self._server.start_serving()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def listen(self) -> None:
        """Accept connections from now on."""
        self._socket.listen()
        self._tasks.add(asyncio.create_task(self._server.start_serving()))

    def stop_listening(self) -> None:
        """Refuse connections from now on; those that there are stay."""
        self._server.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self.connections = self.connections, self.connections + 1
        assert number < MAX_CONNECTIONS
        self._writers.append(writer)
        self._tasks.add(asyncio.create_task(self._serve(reader, writer, number)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        read = bytearray()
        try:
            go_on = await self._greet(reader, writer)
            reused = False
            while go_on:
                read.clear()
                go_on = await self._exchange(reader, writer, read, number, broken=self._stale and reused)
                reused = True
        except asyncio.IncompleteReadError as end:
            if text := bytes(read) + end.partial:
                self.partial.append(Part(text, number))
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        match self._handshake:
            case Handshake.GOOD:
                return True
            case Handshake.ALERT:
                await reader.read(100)
                writer.write(b"\x15\x03\x03\x00\x02\x02\x28")  # Handshake failure.
            case Handshake.SILENCE:
                while await reader.read(1000):
                    pass
            case Handshake.CLOSE:
                await reader.read(100)
            case Handshake.RESET_AT_ONCE:
                send_reset(writer)
            case Handshake.CLOSE_AT_ONCE:
                pass
        return False

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        read: bytearray,
        number: int,
        *,
        broken: bool,
    ) -> bool:
        read += await reader.readuntil(b"\r\n")
        kind, id, query = kind_of(read.decode())
        fault = next(self._plan.get(kind, iter(())), GOOD)
        if broken:
            fault = Fault(carried_out=False, at=Point.REQUEST_HEAD, then=Break.RESET)
        if fault.at is not Point.REQUEST_HEAD:
            read += await reader.readuntil(b"\r\n\r\n")
            head = bytes(read[:-4])
            length = int(Received(head, b"", number).headers.get("content-length", "0"))
            body = await reader.readexactly(length // 2 if fault.at is Point.REQUEST_BODY else length)
            read += body
            if not fault.in_request:
                self.received.append(Received(head, body, number))
                return await self._answer(
                    fault, reader, writer, number, self._do(fault, kind, id, query, body)
                )
        self.partial.append(Part(bytes(read), number))
        return await self._answer(fault, reader, writer, number, b"")

    def _do(self, fault: Fault, kind: str, id: int, query: dict[str, list[str]], body: bytes) -> bytes:
        if kind in {"get", "list"}:
            good = self.exchange.show(kind, id, query)
        elif fault.carried_out:
            good = self.exchange.carry_out(kind, id, body)
        else:
            good = reply(b'{"id":7,"status":{"basic_type":"waiting_targets"}}')
        return fault.answer(good)

    async def _answer(
        self,
        fault: Fault,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        number: int,
        answer: bytes,
    ) -> bool:
        end = answer.find(b"\r\n\r\n") + 4
        cut = {
            Point.ANSWER_HEAD: end // 2,
            Point.ANSWER_BODY: (end + len(answer)) // 2,
            Point.WHOLE_ANSWER: len(answer),
        }.get(fault.at, 0)
        writer.write(answer[:cut])
        await writer.drain()
        match fault.then:
            case None:
                return True
            case Break.CLOSE:
                pass
            case Break.RESET:
                send_reset(writer)
            case Break.SILENCE:
                while await reader.read(1000):
                    pass
                self.hung_up.append(number)
            case Break.DRIP:
                for byte in answer[cut:]:
                    await asyncio.sleep(DRIP)
                    writer.write(bytes([byte]))
                    await writer.drain()
            case Break.LATE:
                await self.release.wait()
                writer.write(answer[cut:])
                await writer.drain()
        return False


def kind_of(request_line: str) -> tuple[str, int, dict[str, list[str]]]:
    """Return kind, id and query of a request."""
    method, target, _ = request_line.split(" ", 2)
    path, _, query = target.partition("?")
    assert path.startswith(ROOT)
    id, _, action = path.removeprefix(ROOT).strip("/").partition("/")
    kind = (
        action or {("GET", False): "list", ("POST", False): "create", ("GET", True): "get"}[method, bool(id)]
    )
    return kind, int(id or 0), parse_qs(query)


def _json(content: object, status: str = "200 OK") -> bytes:
    return reply(json.dumps(content).encode(), status, "Content-Type: application/json\r\n")


_TLS_ONLY: Final = frozenset({Handshake.ALERT, Handshake.SILENCE, Handshake.CLOSE})
