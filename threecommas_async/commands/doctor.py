"""``python -m threecommas_async doctor``: find out why calls are refused, and what to do about it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, get_args

import msgspec

from threecommas_async import errors
from threecommas_async.client import ThreeCommas
from threecommas_async.commands import last_minute
from threecommas_async.commands.exit_codes import ExitCode, exit_code_of
from threecommas_async.commands.output import show, show_json, tell
from threecommas_async.endpoints import BASE_URL
from threecommas_async.models.text import printable
from threecommas_async.refusals import http_date
from threecommas_async.signing import JsonPayload

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable, Iterable

    from threecommas_async.models.account import ConnectedAccount
    from threecommas_async.wire import Response

_TIMEOUT: Final = 10.0
_SKEW: Final = 30.0
"""Seconds by which two clocks may differ before it is worth a word."""
_NOBODYS: Final = 1
"""Id of a SmartTrade that is not the user's: the first one ever."""
_NAMED: Final = 10
"""Accounts that are named."""
_ADVICE_ON_VARIABLES: Final = {
    "mode": "Set THREECOMMAS_MODE to real or paper, or not at all (default: real).",
    "base_url": f"Set THREECOMMAS_BASE_URL not at all (default: {BASE_URL}), or to what a sandbox prints.",
    "THREECOMMAS_MODE": "Set it to real or paper, or not at all (default: real).",
    "THREECOMMAS_BASE_URL": f"Set it to a URL, or not at all (default: {BASE_URL}).",
    "THREECOMMAS_API_SECRET and": "Unset the one that is not of this key.",
    "api_key": "Set THREECOMMAS_API_KEY to the key, as the web interface shows it.",
    "api_secret": "Set THREECOMMAS_API_SECRET to the secret, as the web interface showed it.",
    "rsa_private_key": "Set THREECOMMAS_RSA_KEY_FILE to the path of the private key, a PEM file.",
}
"""By how the error begins, which names the option or the variable."""
_NO_CREDENTIALS: Final = (
    "Set THREECOMMAS_API_KEY, then THREECOMMAS_API_SECRET or THREECOMMAS_RSA_KEY_FILE, and "
    "THREECOMMAS_MODE to real or paper (default: real)."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has found.

    Args:
        check: What was checked.
        ok: Nothing has to be done.
        text: What was seen.
        advice: What to do about it; empty if nothing.
        error: What was raised, if that is why.
    """

    check: str
    ok: bool
    text: str
    advice: str = ""
    error: Exception | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain texts; the error by its name."""
        return {
            "check": self.check,
            "ok": self.ok,
            "text": printable(self.text),
            "advice": self.advice,
            "error": None if self.error is None else type(self.error).__name__,
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "Sends a handful of requests and orders nothing: the permission to write is tried with a note for a "
        "trade that is not yours. Exit codes: 0 all is well, 1 something is to be done, 3 credentials, "
        "4 banned or not in the plan, 5 all is well and standard output could not be written: what it was to "
        "say is on standard error."
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


async def examine(options: argparse.Namespace) -> ExitCode:
    """Run all checks and print what they found."""
    limiter = last_minute.limiter()
    try:
        client = ThreeCommas.from_env(timeout=_TIMEOUT, max_wait=last_minute.LONGEST, limits=limiter)
    except (ValueError, ImportError) as problem:  # An RSA key needs an extra.
        advice = "" if isinstance(problem, ImportError) else _advice_on_environment(str(problem))
        findings = [Finding("credentials", ok=False, text=str(problem), advice=advice)]
        _print(findings, is_json=options.json)
        return ExitCode.CREDENTIALS
    with last_minute.kept(limiter):
        async with client:
            findings = await check(client)
    _print(findings, is_json=options.json)
    code = exit_code_of(finding.error for finding in findings)
    return code or (ExitCode.OK if all(finding.ok for finding in findings) else ExitCode.NOT_ALL)


async def check(client: ThreeCommas) -> list[Finding]:
    """Check a client against the API it talks to; what makes no sense any more is left out."""
    findings = [Finding("credentials", ok=True, text=f"found, for {client!r}")]

    async def read() -> str:
        await client.smart_trades.list(per_page=1)
        return "the key is accepted, and may read SmartTrades"

    with client.with_raw() as answers:
        findings.append(reading := await _try("key", read))
    findings += _clock(answers, datetime.now(UTC))
    if not reading.ok and not isinstance(reading.error, errors.PermissionDeniedError):
        return findings
    findings += [await _writing(client), await _accounts(client)]
    limit = client.limits.snapshot()
    text = (
        f"{limit.limit.requests} requests in {limit.limit.period:g} s, {limit.used} of them used by this "
        "and earlier commands"
    )
    findings.append(Finding("limit", ok=True, text=text))
    return findings


async def _try(check: str, call: Callable[[], Awaitable[str]]) -> Finding:
    try:
        return Finding(check, ok=True, text=await call())
    except errors.ThreeCommasError as problem:
        return Finding(check, ok=False, text=str(problem), advice=advice_on(problem), error=problem)


def advice_on(problem: errors.ThreeCommasError) -> str:
    """Return what a person can do about an error."""
    if isinstance(problem, errors.PermissionDeniedError) and problem.endpoint is not None:
        return f"The key is right. If it is to make this call, give it {problem.endpoint.permission.value}."
    if isinstance(problem, errors.BannedError) and problem.until is not None:
        return f"Stop every program at this address, and wait until {problem.until:%Y-%m-%d %H:%M} UTC."
    return next((advice for kinds, advice in _ADVICE if isinstance(problem, kinds)), _ADVICE[-1][1])


_ADVICE: Final[tuple[tuple[tuple[type[errors.ThreeCommasError], ...], str], ...]] = (
    (
        (errors.AuthenticationError,),
        "Compare key and secret with those in the web interface: have they expired, is this address allowed?",
    ),
    ((errors.PlanLimitError,), "The subscription plan does not include this: only another plan helps."),
    (
        (errors.BannedError,),
        "Stop every program at this address that calls the API; bans last 2 min to 3 days.",
    ),
    (
        (errors.RateLimitedError,),
        "Another program uses this key or address. Let them share one limit: limits_redis.SharedLimiter.",
    ),
    (
        (errors.LimitWaitError,),
        "An earlier command was locked out (429): wait until that is over, and so does every other program.",
    ),
    ((errors.ServerError, errors.DecodeError), "3Commas or a proxy in between has trouble: try again later."),
    ((errors.ThreeCommasError,), "Look at the network, the proxy and THREECOMMAS_BASE_URL."),
)


def _advice_on_environment(problem: str) -> str:
    problem = problem.removeprefix("the file of ")
    advice = (advice for name, advice in _ADVICE_ON_VARIABLES.items() if problem.startswith(f"{name} "))
    return next(advice, _NO_CREDENTIALS)


def _clock(answers: Iterable[Response], now: datetime) -> list[Finding]:
    """Compare this machine's clock with the answers' ``Date``."""
    dates = [date for answer in answers if (date := http_date(answer.headers.get("Date"))) is not None]
    if not dates:
        return []
    skew = (now - dates[-1]).total_seconds()
    is_ok = abs(skew) <= _SKEW
    text = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the server's"
    advice = "" if is_ok else "Set it (NTP): the end of a lock-out and the filters from and to are instants."
    return [Finding("clock", is_ok, text, advice)]


async def _writing(client: ThreeCommas) -> Finding:
    """Try the permission to write, and the form in which bodies are signed."""
    finding = await _write(client, form=None)
    if not isinstance(finding.error, errors.AuthenticationError):
        return finding
    for form in get_args(JsonPayload):
        tried = await _write(client, form=form)
        if tried.ok or isinstance(tried.error, errors.PermissionDeniedError):
            advice = f'Make the client with json_payload="{form}".'
            text = f"bodies have to be signed as {form}"
            return Finding("write", ok=False, text=text, advice=advice, error=finding.error)
    return finding


async def _write(client: ThreeCommas, *, form: JsonPayload | None) -> Finding:
    """Write a note to a trade that is nobody's; no mode keeps it back."""

    async def write() -> str:
        with suppress(errors.NotFoundError, errors.InvalidRequestError):  # Past signature and permission.
            await writer.smart_trades.set_note(_NOBODYS, "doctor")
        return "the signature of bodies is accepted, and the key may write SmartTrades"

    options = {
        "timeout": _TIMEOUT,
        "max_wait": last_minute.LONGEST,
        "limits": client.limits,
        "mode": "real",
    }
    async with ThreeCommas.from_env(**options, json_payload=form) as writer:
        return await _try("write", write)


async def _accounts(client: ThreeCommas) -> Finding:
    """Try the permission to read accounts, and hold the accounts against the mode."""
    accounts: list[ConnectedAccount] = []

    async def read() -> str:
        accounts.extend([account async for account in client.accounts.iterate()])
        return ", ".join(map(_named, accounts[:_NAMED])) or "none"

    finding = await _try("accounts", read)
    if finding.ok and client.mode == "paper" and not any(account.is_paper for account in accounts):
        advice = "Connect a paper account: with mode=paper nothing is written to any other."
        return replace(finding, ok=False, advice=advice)
    return finding


def _named(account: ConnectedAccount) -> str:
    lacks = ", no SmartTrades" if account.smart_trading_supported is False else ""
    return f"{account.id} ({printable(account.market_code or 'unknown')}{lacks})"


def _print(findings: list[Finding], *, is_json: bool) -> None:
    if is_json:
        show_json(msgspec.json.encode([finding.to_dict() for finding in findings]))
        return
    for finding in findings:
        show(f"{'ok  ' if finding.ok else 'FAIL'} {finding.check:<12} {finding.text}")
        if finding.advice:
            show(f"{'':17} {finding.advice}")
    if not all(finding.ok for finding in findings):
        tell("Something is to be done.")
