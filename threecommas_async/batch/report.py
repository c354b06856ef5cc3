"""Verdicts, and the report that holds them."""

from __future__ import annotations

import re
from collections import Counter
from decimal import Context, Decimal, localcontext
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Self, cast

import msgspec

from threecommas_async import endpoints, errors
from threecommas_async.models.summary import TradeSummary
from threecommas_async.models.text import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Verdict(StrEnum):
    """What became of one item of a batch.

    ``refused`` and ``unknown`` leave something to look at, and ``skipped`` does unless ``on_unfilled="skip"``
    is why. To run a batch of closes or cancellations again is safe: nothing is closed twice.
    """

    CLOSING = "closing"
    """The close was accepted; the trade is on its way to ``panic_sold``."""
    CLOSED = "closed"
    """The close was accepted, and the trade has ended."""
    CANCELLED = "cancelled"
    """The cancellation was accepted; when closing, that is for trades whose entry was not filled."""
    ALREADY_CLOSED = "already_closed"
    """The trade had ended, or been told to, without this batch; nothing was done."""
    DONE = "done"
    """The call was answered: the verdict of batches that neither close nor cancel."""
    WOULD_CLOSE = "would_close"
    """Of a plan: the trade would be closed."""
    WOULD_CANCEL = "would_cancel"
    """Of a plan: the entry is not filled, so the trade would be cancelled."""
    REFUSED = "refused"
    """The API refused, or this client did before anything was sent (a `GuardError`, a `ValueError`, an item
    that is no trade), or the trade is still held all the same; ``error`` says which."""
    UNKNOWN = "unknown"
    """The call left and no usable answer came back: it may or may not have been carried out."""
    SKIPPED = "skipped"
    """Nothing was ordered for this item; ``error`` says why, if it was not wanted so."""


_FAILURES: Final = frozenset({Verdict.REFUSED, Verdict.UNKNOWN, Verdict.SKIPPED})
_NOTHING: Final = Decimal(0)
_CANCEL_IT: Final = "; the entry is not filled: cancel is the call"
_FEW: Final = 3
"""Failures of the same verdict and reason that have a line each; of more than that, those that are named."""
_EXACT: Final = 200
"""Digits that hold any sum of amounts of answers."""
_ENDED_HERE: Final = frozenset({Verdict.CLOSING, Verdict.CLOSED, Verdict.CANCELLED})


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The verdict on one item of a batch, with what it rests on."""

    id: int | None
    """SmartTrade id; None where the item was not an id, or of an order that was not made."""
    verdict: Verdict
    """What became of it."""
    trade: TradeSummary | None = None
    """The trade in short, as last seen; None where no answer showed it."""
    error: Exception | None = None
    """Why it failed; None where it did not."""
    item: object = None
    """The item itself; of `SmartTrades.run_many` only."""
    result: object = None
    """What the call returned; of `SmartTrades.run_many` only."""

    @property
    def ok(self) -> bool:
        """Nothing is left to look at: also of a trade that was skipped because it was to be."""
        return self.verdict not in _FAILURES or (self.verdict is Verdict.SKIPPED and self.error is None)

    @property
    def reason(self) -> str:
        """Why, in one line: the error, or else the state of the trade; empty where neither is known."""
        if self.error is not None:
            told = " ".join(printable(str(self.error)).split()) or type(self.error).__name__
            return told + _CANCEL_IT if self._was_unfilled(self.error) else told
        return printable(self.trade.status.value) if self.trade else ""

    def _was_unfilled(self, error: Exception) -> bool:
        """Whether a close was refused because there is nothing to close."""
        if not isinstance(error, errors.InvalidRequestError | errors.PermissionDeniedError):
            return False
        is_close = error.endpoint is endpoints.CLOSE_BY_MARKET
        return is_close and self.trade is not None and self.trade.is_unfilled

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain dicts, texts and numbers; amounts are texts, exactly as they are."""
        trade = self.trade
        return {
            "id": self.id,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "error": None if self.error is None else type(self.error).__name__,
            "trade": None if trade is None else msgspec.to_builtins(trade),
        }

    def __str__(self) -> str:
        pair = f" {printable(self.trade.pair)}" if self.trade and self.trade.pair else ""
        return f"{self.id}{pair}: {self.verdict}" + (f" ({self.reason})" if self.error else "")


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What the filled trades of one pair come to that a batch closed or cancelled, each counted once."""

    pair: str | None
    """QUOTE_BASE; None for trades that said none."""
    trades: int
    """Number of trades."""
    base: Decimal
    """Sum of what they had entered, in base."""
    quote: Decimal
    """Sum of what was spent for it, in quote."""
    realised_profit: Decimal | None
    """Sum of the profits of those whose last answer showed them ended, in quote; None if none did."""


class BatchReport(msgspec.Struct, frozen=True):
    """What became of every item of a batch, in the order of the input; prints as a summary and what failed.

    Args:
        outcomes: One for each item of the input that was read; see ``unread``.
        elapsed: Seconds from the first item to the last.
        floor: The least number of seconds in which the request limit lets ``requests`` through, round trips
            excluded. Of a plan: in which it would let through what carrying it out takes at least, lists and
            look-ups included.
        requests: Requests sent, repetitions and looks at what became of lost answers included.
        retries: Those among them that repeated one.
        rate_limited: Those among them that were answered by a 429.
        opened: Ids of trades that were opened while `SmartTrades.close_all` was at work: they match, and
            were left alone.
        dry_run: It is a plan: nothing was ordered.
        unread: What was not read to its end when it was stopped, such as ``the open trades``: there may be
            more than the outcomes say. Empty where all of the input has its outcome.
    """

    outcomes: tuple[Outcome, ...]
    elapsed: float
    floor: float = 0.0
    requests: int = 0
    retries: int = 0
    rate_limited: int = 0
    opened: tuple[int, ...] = ()
    dry_run: bool = False
    unread: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Self | None:
        """Return the report that an error holds, itself or among its causes; None if there is none.

        A batch that is cancelled raises `asyncio.CancelledError`, which has no attributes of its own, and
        `asyncio.timeout` makes a `TimeoutError` of it: this finds the report in both. A call that was
        cancelled before its first step has none: nothing was sent.

        Example::

            try:
                async with asyncio.timeout(60):
                    report = await client.smart_trades.close_many(trades)
            except TimeoutError as late:
                report = BatchReport.of(late)
                if report is not None:
                    print(report)
        """
        link: BaseException | None = error
        seen: set[int] = set()
        while link is not None and id(link) not in seen:
            seen.add(id(link))
            if isinstance(report := getattr(link, "report", None), cls):
                return report
            link = link.__cause__ or link.__context__
        return None

    def __len__(self) -> int:
        return len(self.outcomes)

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self.outcomes)

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """How many items each verdict was given to."""
        return Counter(outcome.verdict for outcome in self.outcomes)

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """What is left to look at: refused, unknown, and skipped where that was not wanted."""
        return tuple(outcome for outcome in self.outcomes if not outcome.ok)

    @property
    def is_complete(self) -> bool:
        """All of the input was read: nothing is without an outcome."""
        return not self.unread

    @property
    def ok(self) -> bool:
        """Nothing is left to look at, and all of the input was read."""
        return self.is_complete and all(outcome.ok for outcome in self.outcomes)

    @property
    def totals(self) -> tuple[Totals, ...]:
        """What was closed or cancelled here, by pair, in the order in which the pairs first come."""
        return _add_up(self.outcomes)

    def raise_for_failures(self) -> None:
        """Raise unless it is `ok`.

        Raises:
            ExceptionGroup: The errors of `failed`, each once, and a `BatchStoppedError` where not all of the
                input was read; the text names the trades.
        """
        if self.ok:
            return
        failed = self.failed
        told: list[str] = []
        causes = {id(outcome.error): outcome.error for outcome in failed if outcome.error is not None}
        problems = [*causes.values()]
        if failed:
            named = ", ".join(str(outcome.id) for outcome in failed[:5])
            more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
            told.append(f"{len(failed)} of {len(self)} failed: {named}{more}")
        if not self.is_complete:
            told.append(self._stopped)
            problems.append(errors.BatchStoppedError(self._stopped))
        raise ExceptionGroup("; ".join(told), problems)

    @property
    def _stopped(self) -> str:
        return f"stopped before {self.unread} were read"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain dicts, lists, texts and numbers; amounts are texts, exactly as they are."""
        return {
            "ok": self.ok,
            "dry_run": self.dry_run,
            "is_complete": self.is_complete,
            "unread": self.unread,
            "counts": {verdict.value: count for verdict, count in self.counts.items()},
            "totals": msgspec.to_builtins(list(self.totals)),
            "elapsed": self.elapsed,
            "floor": self.floor,
            "requests": self.requests,
            "retries": self.retries,
            "rate_limited": self.rate_limited,
            "opened": list(self.opened),
            "outcomes": [outcome.to_dict() for outcome in self.outcomes],
        }

    def to_json(self) -> bytes:
        """Return `to_dict` as JSON."""
        return msgspec.json.encode(self.to_dict())

    def table(self) -> str:
        """Return a table of plain text with a line for each item."""
        head = ("id", "pair", "verdict", "status", "profit", "reason")
        rows = [head, *map(_row, self.outcomes)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in self.counts.items())
        stopped = "" if self.is_complete else f", {self._stopped}"
        return f"<BatchReport of {len(self)}: {counts or 'nothing'}{stopped}>"

    def summary(self) -> str:
        """Return what all of it comes to, in a few lines that name no trade of the input."""
        counts = self.counts
        lines = [f"{verdict:<15} {counts[verdict]:>6}" for verdict in Verdict if verdict in counts]
        if self.dry_run:
            lines.append(f"{'planned':<15} {len(self):>6}   at least {self.floor:.0f} s, nothing was ordered")
        else:
            lines.append(
                f"{'total':<15} {len(self):>6}   in {self.elapsed:.1f} s (floor {self.floor:.0f} s), "
                f"{counted(self.requests, 'request')}, {self.retries} of them repeated, "
                f"{self.rate_limited} x 429"
            )
        lines += map(_total, self.totals)
        if self.opened:
            lines.append(f"opened meanwhile and left alone: {', '.join(map(str, self.opened))}")
        if not self.is_complete:
            lines.append(f"{self._stopped}: there may be more")
        return "\n".join(lines)

    def __str__(self) -> str:
        return "\n".join([self.summary(), *_grouped(self.failed)])


def lighten(error: Exception) -> Exception:
    """Return an error without the frames that it holds: they keep whole answers alive.

    Frames that lead to its own `Outcome` would do so for ever: the garbage collector does not look into one.
    """
    links: list[BaseException] = [error]
    seen: set[int] = set()
    while links:
        link = links.pop()
        if id(link) not in seen:
            seen.add(id(link))
            link.__traceback__ = None
            links += [other for other in (link.__cause__, link.__context__) if other is not None]
            if isinstance(link, BaseExceptionGroup):
                links += cast("BaseExceptionGroup[BaseException]", link).exceptions
    return error


def refused(trade: TradeSummary, why: str) -> Outcome:
    """Return the verdict that a trade is still held, for a reason that no answer of the API names."""
    return Outcome(trade.id, Verdict.REFUSED, trade, errors.ThreeCommasError(why))


def _add_up(outcomes: Iterable[Outcome]) -> tuple[Totals, ...]:
    trades = {
        outcome.trade.id: outcome.trade
        for outcome in outcomes
        if outcome.trade is not None and outcome.trade.is_filled and outcome.verdict in _ENDED_HERE
    }
    by_pair: dict[str | None, list[TradeSummary]] = {}
    for trade in trades.values():
        by_pair.setdefault(trade.pair, []).append(trade)
    return tuple(_total_of(pair, members) for pair, members in by_pair.items())


def _total_of(pair: str | None, trades: list[TradeSummary]) -> Totals:
    profits = [trade.profit for trade in trades if trade.is_terminal and trade.profit is not None]
    return Totals(
        pair=pair,
        trades=len(trades),
        base=_sum(trade.entered_amount for trade in trades),
        quote=_sum(trade.entered_total for trade in trades),
        realised_profit=_sum(profits) if profits else None,
    )


def _sum(amounts: Iterable[Decimal | None]) -> Decimal:
    """Add up what is a number: an odd one of the API is to cost nobody a report."""
    with localcontext(Context(prec=_EXACT, traps=[])):
        return sum((amount for amount in amounts if amount is not None and amount.is_finite()), _NOTHING)


def _shown(amount: Decimal) -> str:
    """Return an amount in digits, unless these would fill a page."""
    exponent = amount.as_tuple().exponent
    is_short = isinstance(exponent, int) and abs(exponent) < _EXACT
    return f"{amount:f}" if is_short else str(amount)


def _row(outcome: Outcome) -> tuple[str, ...]:
    trade = outcome.trade
    return (
        str(outcome.id),
        printable(trade.pair or "") if trade else "",
        outcome.verdict.value,
        printable(trade.status.value) if trade else "",
        _shown(trade.profit) if trade and trade.profit is not None else "",
        outcome.reason if outcome.error else "",
    )


def _grouped(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """Yield a line for each outcome, or one for all of the same verdict and reason."""
    groups: dict[tuple[Verdict, str], list[Outcome]] = {}
    for outcome in outcomes:
        # The texts of refusals hold the path, with the id in it.
        reason = re.sub(rf"/{outcome.id}\b", "/…", outcome.reason) if outcome.error else ""
        groups.setdefault((outcome.verdict, reason), []).append(outcome)
    for (verdict, reason), members in groups.items():
        if len(members) <= _FEW:
            yield from map(str, members)
            continue
        ids = [str(outcome.id) for outcome in members if outcome.id is not None]
        named = f" (ids {', '.join([*ids[:_FEW], *('…' for _ in ids[_FEW : _FEW + 1])])})" if ids else ""
        yield f"{len(members)} {verdict}" + (f": {reason}" if reason else "") + named


def _total(total: Totals) -> str:
    pair = printable(total.pair or "")
    quote, _, base = pair.partition("_")
    profit = "" if total.realised_profit is None else f", realised {_shown(total.realised_profit)} {quote}"
    amounts = f"{_shown(total.base)} {base} for {_shown(total.quote)} {quote}"
    return f"{pair or 'no pair'}: {counted(total.trades, 'trade')}, {amounts}{profit}"
