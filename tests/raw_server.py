"""A bare socket server: keeps the bytes that arrive and does to each request what a test says."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType


@dataclass(frozen=True)
class Received:
    """One request as it arrived; `connection` counts the connections of the server from 0."""

    head: bytes
    body: bytes
    connection: int

    @property
    def request_line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode()

    @property
    def target(self) -> str:
        return self.request_line.split(" ")[1]

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
        }


def send_reset(writer: asyncio.StreamWriter) -> None:
    """Break a connection with a TCP reset, whatever the loop: without the option it would be closed."""
    with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as twin:
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Act(Protocol):
    """What the server does once it has read a whole request."""

    async def __call__(self, received: Received, writer: asyncio.StreamWriter, /) -> None: ...


_ID = re.compile(r"/smart_trades/(\d+)")


def answer(
    body: bytes | None = None,
    *,
    status: str = "200 OK",
    headers: str = "",
) -> Act:
    """Answer with a body, or with the trade that was asked for (7 where none was)."""

    async def act(received: Received, writer: asyncio.StreamWriter, /) -> None:
        asked = _ID.search(received.target)
        trade = f'{{"id":{asked[1] if asked else 7},"status":{{"basic_type":"panic_sell_pending"}}}}'
        content = trade.encode() if body is None else body
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n{headers}\r\n"
        writer.write(head.encode() + content)
        await writer.drain()

    return act


def raw(*parts: bytes, then_close: bool = True) -> Act:
    async def act(_received: Received, writer: asyncio.StreamWriter, /) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
        if then_close:
            writer.close()

    return act


async def drop(_received: Received, writer: asyncio.StreamWriter, /) -> None:
    """Close the connection without a word."""
    writer.close()


async def reset(_received: Received, writer: asyncio.StreamWriter, /) -> None:
    """Break the connection with a TCP reset."""
    send_reset(writer)


async def silence(_received: Received, _writer: asyncio.StreamWriter, /) -> None:
    """Never answer."""
    await asyncio.Event().wait()


@contextmanager
def refused_port() -> Generator[int, None, None]:
    """A port of the loopback that refuses connections, and that nobody else can take meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


class RawServer:
    """Listens on a free port of the loopback; does `acts` in turn and repeats the last one."""

    def __init__(self, *acts: Act) -> None:
        self._acts = acts or (answer(),)
        self.received: list[Received] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/public/api"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer, self._connections))
        self._connections += 1
        self._tasks.add(task)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                received = Received(head[:-4], b"", connection)
                length = int(received.headers.get("content-length", "0"))
                received = Received(head[:-4], await reader.readexactly(length), connection)
                self.received.append(received)
                await self._acts[min(len(self.received), len(self._acts)) - 1](received, writer)
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
