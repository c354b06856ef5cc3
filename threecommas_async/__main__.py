"""``python -m threecommas_async close | doctor | sandbox | demo``."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

from threecommas_async.commands import close, doctor, sandbox
from threecommas_async.commands.exit_codes import ExitCode
from threecommas_async.commands.output import settle, show, tell

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

_DISTRIBUTION: Final = "threecommas-async"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit code."""
    try:
        code = _run(arguments)
    finally:
        is_told = settle()
    return code if code or is_told else ExitCode.NOT_TOLD


def _run(arguments: Sequence[str] | None) -> int:
    options, unknown = _parser().parse_known_args(arguments)
    if unknown:  # The parser of all commands would show its own usage.
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        match options.command:
            case "close":
                return asyncio.run(_until_told(close.close(options)))
            case "doctor":
                return asyncio.run(_until_told(doctor.examine(options)))
            case "sandbox":
                return asyncio.run(_until_told(sandbox.serve(options)))
            case _:
                return _demo(options)
    except ValueError as problem:
        tell(problem)
        return ExitCode.USAGE
    except (KeyboardInterrupt, asyncio.CancelledError):
        return ExitCode.INTERRUPTED


async def _until_told(work: Coroutine[object, object, int]) -> int:
    """Do a work that SIGTERM ends as Ctrl-C does."""
    task = asyncio.current_task()
    if task is not None and sys.platform != "win32":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work


def _parser() -> argparse.ArgumentParser:
    # An option has one spelling: a slip such as --ye must not close anything.
    parser = argparse.ArgumentParser(prog="python -m threecommas_async", allow_abbrev=False)
    parser.add_argument("--version", action=_Version, help="print the version that is installed, and exit")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, purpose: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=purpose, allow_abbrev=False)
        made.set_defaults(parser=made)
        return made

    close.add_arguments(command("close", "close SmartTrades, or print what would be closed"))
    doctor.add_arguments(command("doctor", "check credentials, permissions, mode and limits"))
    sandbox.add_arguments(command("sandbox", "run the embedded sandbox until Ctrl-C"))
    demo = command("demo", "close many SmartTrades in the embedded sandbox")
    demo.add_argument("--trades", type=int, default=250, help="open trades to begin with (default 250)")
    demo.add_argument(
        "--real-time", action="store_true", help="keep the published minute instead of three seconds"
    )
    return parser


class _Version(argparse.Action):
    """Prints the version; no other command line looks for it."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        try:
            show(f"{_DISTRIBUTION} {version(_DISTRIBUTION)}")
        except PackageNotFoundError:
            parser.exit(ExitCode.USAGE, f"{_DISTRIBUTION} is not installed: there is no version to tell\n")
        parser.exit()


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
