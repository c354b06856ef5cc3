"""The fixtures; `threecommas_async.testing` is the plugin that has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from threecommas_async.client import ThreeCommas
from threecommas_async.sandbox import Sandbox
from threecommas_async.testing.clock import Clock
from threecommas_async.testing.faults import Faults
from threecommas_async.testing.market import Market

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pytest import fixture as async_fixture  # noqa: PT013 - the same decorator under another name
else:
    try:
        from pytest_asyncio import fixture as async_fixture
    except ModuleNotFoundError:  # Somebody else runs asynchronous fixtures, such as anyio's plugin.
        async_fixture = pytest.fixture


@pytest.fixture
def sandbox_options() -> dict[str, Any]:
    """Arguments for the `Sandbox` of a test, on top of ``time_scale=1``: override it, or parametrise it.

    Example::

        @pytest.fixture
        def sandbox_options():
            return {"trades": 20}
    """
    return {}


@async_fixture
async def sandbox(sandbox_options: dict[str, Any]) -> AsyncIterator[Sandbox]:
    """A sandbox for each test, empty unless `sandbox_options` says otherwise.

    A minute takes a minute there: move the `clock`, or give ``time_scale``.
    """
    options: dict[str, Any] = {"time_scale": 1.0, **sandbox_options}
    async with Sandbox(**options) as sandbox:
        yield sandbox


@async_fixture
async def client(sandbox: Sandbox) -> AsyncIterator[ThreeCommas]:
    """A client of the `sandbox`, closed after the test."""
    async with ThreeCommas(**sandbox.credentials()) as client:
        yield client


@pytest.fixture
def market(sandbox: Sandbox) -> Market:
    """The prices of the `sandbox`."""
    return Market(sandbox)


@pytest.fixture
def faults(sandbox: Sandbox) -> Faults:
    """What goes wrong between client and `sandbox`."""
    return Faults(sandbox)


@async_fixture
async def clock(sandbox: Sandbox) -> Clock:
    """The clock of the test's event loop and of the `sandbox`.

    Raises:
        RuntimeError: The event loop is none of asyncio's own.
    """
    return Clock(sandbox)
