"""``python -m threecommas_async demo | sandbox``."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _demo(options) if options.command == "demo" else asyncio.run(_sandbox(options))
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m threecommas_async")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="close many SmartTrades in the embedded sandbox")
    demo.add_argument("--trades", type=int, default=250, help="open trades to begin with (default 250)")
    demo.add_argument(
        "--real-time", action="store_true", help="keep the published minute instead of three seconds"
    )
    sandbox = commands.add_parser("sandbox", help="run the embedded sandbox until Ctrl-C")
    sandbox.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    sandbox.add_argument("--trades", type=int, default=20, help="trades to begin with (default 20)")
    sandbox.add_argument(
        "--time-scale", type=float, default=1.0, help="simulated seconds in a real one (default 1)"
    )
    sandbox.add_argument(
        "--unreliable", type=float, default=0.0, help="share of requests that suffer a fault"
    )
    return parser


def _demo(options: argparse.Namespace) -> int:
    try:
        from threecommas_async import demo
    except ModuleNotFoundError as missing:
        print(f"The demo needs {missing.name}: pip install 'threecommas-async[demo]'", file=sys.stderr)
        return 2
    return demo.run(options.trades, real_time=options.real_time)


async def _sandbox(options: argparse.Namespace) -> int:
    from threecommas_async.sandbox import EVERY_STATUS, Sandbox

    async with Sandbox(
        trades=options.trades,
        statuses=EVERY_STATUS,
        port=options.port,
        time_scale=options.time_scale,
        unreliable=options.unreliable,
    ) as sandbox:
        credentials = sandbox.credentials()
        print(f"# The sandbox answers at {sandbox.base_url} until Ctrl-C. For another terminal:")
        print(f"export THREECOMMAS_API_KEY={credentials['api_key']}")
        print(f"export THREECOMMAS_API_SECRET={credentials['api_secret']}")
        print("export THREECOMMAS_MODE=paper")
        print(f"export THREECOMMAS_BASE_URL={sandbox.base_url}", flush=True)
        await asyncio.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
