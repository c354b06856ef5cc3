"""``python -m threecommas_async sandbox``: run the embedded sandbox until Ctrl-C."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from threecommas_async.commands.output import show
from threecommas_async.endpoints import Permission
from threecommas_async.sandbox import EVERY_STATUS, Sandbox, Walk

if TYPE_CHECKING:
    import argparse

_PERMISSIONS: Final = [name.value for name in Permission if name is not Permission.NONE]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--trades", type=int, default=20, help="trades to begin with (default 20)")
    parser.add_argument(
        "--time-scale", type=float, default=1.0, help="simulated seconds in a real one (default 1)"
    )
    parser.add_argument("--unreliable", type=float, default=0.0, help="share of requests that suffer a fault")
    parser.add_argument(
        "--walk", action="store_true", help="let prices move at random, the same way each time (default: not)"
    )
    parser.add_argument(
        "--permissions",
        nargs="*",
        choices=_PERMISSIONS,
        default=_PERMISSIONS,
        metavar="PERMISSION",
        help=f"what the key may do, of {', '.join(_PERMISSIONS)} (default: all)",
    )


async def serve(options: argparse.Namespace) -> int:
    """Serve until the task is cancelled.

    Raises:
        ValueError: There can be no such sandbox, or its port is taken.
    """
    sandbox = Sandbox(
        trades=options.trades,
        statuses=EVERY_STATUS,
        port=options.port,
        time_scale=options.time_scale,
        unreliable=options.unreliable,
        walk=Walk() if options.walk else None,
        permissions=[Permission(name) for name in options.permissions],
    )
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(sandbox)
        except OSError as problem:
            raise ValueError(f"port {options.port} cannot be listened on: {problem.strerror}") from None
        credentials = sandbox.credentials()
        show(
            f"# The sandbox answers at {sandbox.base_url} until Ctrl-C. For another terminal:\n"
            f"export THREECOMMAS_API_KEY={credentials['api_key']}\n"
            f"export THREECOMMAS_API_SECRET={credentials['api_secret']}\n"
            "export THREECOMMAS_MODE=paper\n"
            f"export THREECOMMAS_BASE_URL={sandbox.base_url}"
        )
        await asyncio.Event().wait()
    return 0
