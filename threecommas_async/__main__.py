"""``python -m threecommas_async close | doctor | sandbox | demo``."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from typing import TYPE_CHECKING

from threecommas_async.commands import close, doctor, sandbox
from threecommas_async.commands.exit_codes import ExitCode
from threecommas_async.commands.output import settle, tell

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        match options.command:
            case "close":
                return asyncio.run(_until_told(close.close(options)))
            case "doctor":
                return asyncio.run(doctor.examine(options))
            case "sandbox":
                return asyncio.run(sandbox.serve(options))
            case _:
                return _demo(options)
    except ValueError as problem:
        tell(problem)
        return ExitCode.USAGE
    except (KeyboardInterrupt, asyncio.CancelledError):
        return ExitCode.INTERRUPTED
    finally:
        settle()


async def _until_told(work: Coroutine[object, object, int]) -> int:
    """Do a work that SIGTERM ends as Ctrl-C does."""
    task = asyncio.current_task()
    if task is not None and sys.platform != "win32":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work


def _parser() -> argparse.ArgumentParser:
    # An option has one spelling: a slip such as --ye must not close anything.
    parser = argparse.ArgumentParser(prog="python -m threecommas_async", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, purpose: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=purpose, allow_abbrev=False)

    close.add_arguments(command("close", "close SmartTrades, or print what would be closed"))
    doctor.add_arguments(command("doctor", "check credentials, permissions, mode and limits"))
    sandbox.add_arguments(command("sandbox", "run the embedded sandbox until Ctrl-C"))
    demo = command("demo", "close many SmartTrades in the embedded sandbox")
    demo.add_argument("--trades", type=int, default=250, help="open trades to begin with (default 250)")
    demo.add_argument(
        "--real-time", action="store_true", help="keep the published minute instead of three seconds"
    )
    return parser


def _demo(options: argparse.Namespace) -> int:
    try:
        from threecommas_async.commands import demo
    except ModuleNotFoundError as missing:
        tell(
            f"The demo needs {missing.name}: pip install 'threecommas-async[demo]', or "
            "pip install -e '.[demo]' in a copy of the source"
        )
        return ExitCode.USAGE
    return demo.run(options.trades, real_time=options.real_time)


if __name__ == "__main__":
    sys.exit(main())
