"""A server in another process on loopback: it answers closes and lists as documented, and costs little."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.pages import close_answer, page
from threecommas_async import RateLimit

if TYPE_CHECKING:
    from collections.abc import Generator
    from multiprocessing.connection import Connection

TRADES: Final = 100
"""Trades on the page that a list is answered with."""

NEVER_REACHED: Final = RateLimit(requests=1000, period=0.001, lockout=1)
"""A request limit that no call ever waits for."""

_ID: Final = b"@@@@@@@@@@"
"""Stands where the id of the trade will: ten characters, as `FIRST_ID` has."""


@contextmanager
def without_proxies() -> Generator[None, None, None]:
    """Keep the environment free of proxies while the block lasts: no client is to send to another machine."""
    names = [name for name in os.environ if name.lower() in {"http_proxy", "all_proxy"}]
    held = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(held)


@contextmanager
def serving() -> Generator[str, None, None]:
    """Run the server while the block lasts; gives its origin, such as ``http://127.0.0.1:40001``."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()  # So that a server that does not come up is an end of file.
    try:
        with without_proxies():
            yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()
        ours.close()


def _serve(port: Connection) -> None:
    """Answer a GET with a page, and any other request as the close of the trade in its path."""
    closed = _response("201 Created", close_answer(_ID))
    listed = _response("200 OK", page(TRADES))

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                is_list = request.startswith(b"GET ")
                writer.write(listed if is_list else closed.replace(_ID, request.split(b"/", 6)[5]))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def _response(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
