"""``python -m threecommas_async close``: close SmartTrades from the shell."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, get_args

import msgspec

from threecommas_async.batch.closing import OnUnfilled
from threecommas_async.batch.items import ClosingOrder
from threecommas_async.batch.report import BatchReport, Verdict
from threecommas_async.client import ThreeCommas
from threecommas_async.commands import last_minute
from threecommas_async.commands.exit_codes import ExitCode, exit_code_of
from threecommas_async.commands.output import show, show_json, tell
from threecommas_async.errors import ThreeCommasError
from threecommas_async.models.text import printable
from threecommas_async.resources.filters import Kind

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from threecommas_async.batch.progress import OnProgress
    from threecommas_async.batch.report import Outcome

_FILTERS: Final = ("account_id", "pair", "type", "base", "quote", "from_", "to")
_EVERY: Final = 25
"""Verdicts between two lines of progress where there is no bar."""

_EPILOG: Final = """\
Without --yes nothing is ordered: the plan is printed. Exit codes: 0 all closed (or: would be), 1 some are
not, 2 usage, 3 credentials, 4 banned or not in the plan, 5 all closed, and standard output could not be
written: what it was to say is on standard error, 130 Ctrl-C or SIGTERM, after what had left was let finish.
Running it again is safe: nothing is closed twice. Credentials come from THREECOMMAS_API_KEY and
THREECOMMAS_API_SECRET or THREECOMMAS_RSA_KEY_FILE, the mode from THREECOMMAS_MODE (default: real).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "ids", nargs="*", metavar="ID", help="SmartTrade ids; - reads them from standard input"
    )
    chosen = parser.add_argument_group("which trades, instead of ids")
    chosen.add_argument("--all", action="store_true", help="every open trade of the key")
    chosen.add_argument("--account", type=int, dest="account_id", metavar="ID", help="only this account")
    chosen.add_argument("--pair", help="only this pair, QUOTE_BASE")
    chosen.add_argument("--type", choices=get_args(Kind), help="only this kind")
    chosen.add_argument("--base", help="only this base currency")
    chosen.add_argument("--quote", help="only this quote currency")
    chosen.add_argument("--from", type=_instant, dest="from_", metavar="TIME", help="created since, ISO 8601")
    chosen.add_argument("--to", type=_instant, metavar="TIME", help="created until, ISO 8601")
    act = parser.add_mutually_exclusive_group()
    act.add_argument("--yes", action="store_true", help="act, instead of printing the plan")
    act.add_argument("--dry-run", action="store_true", help="print the plan and order nothing (the default)")
    parser.add_argument(
        "--order", choices=get_args(ClosingOrder), default="given", help="which trade comes first"
    )
    parser.add_argument(
        "--on-unfilled", choices=get_args(OnUnfilled), default="cancel", help="trades without a position"
    )
    parser.add_argument("--concurrency", type=int, default=16, help="calls in flight at most (default 16)")
    parser.add_argument("--deadline", type=float, metavar="SECONDS", help="send nothing more after that")
    parser.add_argument("--wait", action="store_true", help="follow the trades to their end")
    parser.add_argument("--json", action="store_true", help="print the report as JSON, or why there is none")


def close(options: argparse.Namespace) -> Coroutine[object, object, ExitCode]:
    """Return the work of closing what the command line names; ids are read from standard input before it.

    Raises:
        ValueError: The command line cannot be used; nothing was sent.
    """
    filters = {name: value for name in _FILTERS if (value := getattr(options, name)) is not None}
    if bool(options.ids) == bool(options.all or filters):
        raise ValueError("say which trades: ids, or --all or a filter such as --account, and not both")
    # Not on the event loop, which is deaf to Ctrl-C as long as nobody types.
    ids = [line for id in options.ids for line in (_from_standard_input() if id == "-" else [id])]
    return _close(ids, filters, options)


async def _close(ids: list[str], filters: dict[str, Any], options: argparse.Namespace) -> ExitCode:
    limiter = last_minute.limiter()
    try:
        client = ThreeCommas.from_env(limits=limiter)
    except (ValueError, ImportError) as problem:  # An RSA key needs an extra.
        _print_problem(problem, options)
        return ExitCode.CREDENTIALS
    with last_minute.kept(limiter):
        async with client:
            return await _close_with(client, ids, filters, options)


async def _close_with(
    client: ThreeCommas, ids: list[str], filters: dict[str, Any], options: argparse.Namespace
) -> ExitCode:
    how: dict[str, Any] = {
        "order": options.order,
        "on_unfilled": options.on_unfilled,
        "concurrency": options.concurrency,
        "deadline": options.deadline,
        "wait": options.wait,
        "dry_run": not options.yes,
    }
    try:
        with _progress(is_shown=options.yes) as on_progress:
            trades = client.smart_trades
            report = await (
                trades.close_many(ids, on_progress=on_progress, **how)
                if options.ids
                else trades.close_all(on_progress=on_progress, **filters, **how)
            )
    except ThreeCommasError as problem:
        _print_problem(problem, options)
        return exit_code_of([problem])
    except asyncio.CancelledError as cancelled:
        if (so_far := BatchReport.of(cancelled)) is not None:
            _print(so_far, options)
        raise
    _print(report, options)
    if not options.json:
        _advise(report, is_filtered=bool(filters), are_named=bool(options.ids))
    return exit_code_of(outcome.error for outcome in report.failed)


def _from_standard_input() -> list[str]:
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] - it is where a shell closed it
        raise ValueError("standard input is closed: there are no ids in it")
    ids = sys.stdin.read().split()
    if not ids:  # What was to list them may have failed.
        raise ValueError("standard input is empty: there are no ids in it")
    return ids


def _print_problem(problem: Exception, options: argparse.Namespace) -> None:
    """Say why there is no report."""
    if options.json:
        told = {"ok": False, "error": type(problem).__name__, "reason": printable(str(problem))}
        show_json(msgspec.json.encode(told))
    tell(problem)


def _print(report: BatchReport, options: argparse.Namespace) -> None:
    if options.json:
        show_json(report.to_json())
        return
    if len(report):
        show(report.table())
    show(report.summary())


def _advise(report: BatchReport, *, is_filtered: bool, are_named: bool) -> None:
    """Say what to do after a report that nothing has interrupted."""
    if not len(report) and is_filtered:
        tell("No open trade fits. A filter is what 3Commas writes: --pair USDT_BTC.")
    elif not len(report) and not are_named:
        tell("No trade is open.")
    elif report.dry_run:
        tell("Add --yes to act.")


@contextmanager
def _progress(*, is_shown: bool) -> Generator[OnProgress | None, None, None]:
    """Show verdicts on standard error as they fall: a bar on a terminal if rich is installed, else lines."""
    if not is_shown:
        yield None
        return
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ModuleNotFoundError:
        yield _tell
        return
    console = Console(stderr=True)
    if not console.is_terminal:  # There would be no bar, and rich exits where nobody reads.
        yield _tell
        return
    with Progress(console=console, transient=True, redirect_stdout=False) as progress:
        bar = progress.add_task("closing")
        yield lambda done, total, _outcome: progress.update(bar, completed=done, total=total)


def _tell(done: int, total: int | None, outcome: Outcome) -> None:
    is_failure = not outcome.ok and outcome.verdict is not Verdict.SKIPPED  # Of those there can be many.
    if done % _EVERY == 0 or done == total or is_failure:
        tell(f"{done}/{total or '?'} {outcome}")


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text} has no time zone: 2026-01-31T08:00Z has one")
    return instant
