"""What all tests share."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aioresponses.core
import pytest
from aiohttp import ClientResponse
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SAMPLES = Path(__file__).parent / "samples"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--uvloop", action="store_true", help="let event loops be those of uvloop")


# How fast examples are made is up to the machine, and no claim of a test.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--uvloop"):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # pyright: ignore[reportDeprecated] - since 3.14


class _StreamWriter:
    output_size = 0


class _MockedResponse(ClientResponse):
    """aioresponses 0.7.9 passes no ``stream_writer``, which aiohttp needs since 3.14 (its issue 289)."""

    def __init__(self, *args: Any, **options: Any) -> None:
        if "stream_writer" in inspect.signature(ClientResponse).parameters:
            options.setdefault("stream_writer", _StreamWriter())
        super().__init__(*args, **options)


@pytest.fixture(autouse=True, scope="session")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Mend aioresponses, and keep the credentials and the files of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aioresponses.core, "ClientResponse", _MockedResponse)
        for name in ("API_KEY", "API_SECRET", "RSA_KEY_FILE", "MODE", "BASE_URL"):
            patch.delenv(f"THREECOMMAS_{name}", raising=False)
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def sample() -> Callable[[str], bytes]:
    """The bytes of a documented answer, by ``call/status``."""
    return lambda name: (SAMPLES / f"{name}.json").read_bytes()
