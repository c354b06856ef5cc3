"""SmartTrades, many at once: close, cancel, annotate and follow them."""

from __future__ import annotations

from collections.abc import AsyncIterable
from functools import partial
from inspect import isawaitable, signature
from typing import TYPE_CHECKING, TypeVar, cast

from threecommas_async import errors
from threecommas_async.batch import follow
from threecommas_async.batch.closing import Cancelling, check_on_unfilled
from threecommas_async.batch.items import Input, Item, check_iterable, check_order, read_items, take_all
from threecommas_async.batch.options import check_options
from threecommas_async.batch.predicate import check_predicate
from threecommas_async.batch.report import BatchReport, Outcome, Verdict
from threecommas_async.errand import taking_down
from threecommas_async.models import rules
from threecommas_async.models.smart_trade import SmartTrade
from threecommas_async.models.summary import TradeSummary
from threecommas_async.resources.batching import CONCURRENCY, SmartTradeBatches
from threecommas_async.resources.smart_trade_calls import SmartTradeCalls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from datetime import datetime
    from typing import Self

    from threecommas_async.batch.closing import OnUnfilled
    from threecommas_async.batch.engine import Batch
    from threecommas_async.batch.items import ClosingOrder, IdsOrTrades
    from threecommas_async.batch.predicate import Predicate
    from threecommas_async.batch.progress import OnProgress
    from threecommas_async.resources.filters import Kind

T = TypeVar("T")


class SmartTrades(SmartTradeBatches):
    """The calls on SmartTrades: ``client.smart_trades``.

    All of them can raise the errors of `threecommas_async.errors`; docstrings name those that are
    particular to the call. Ids are positional; durations are seconds.

    Batches (`close_many`, `close_all`, `cancel_many`, `set_note_many`, `run_many`, `closing`) share one
    engine. One item never costs the others: each gets a `Verdict`. A batch stops when every further call
    would meet the same refusal (401, a key that may not write, 418, the plan, a closed client), and at its
    deadline; the rest is
    ``SKIPPED``, with the reason. When it is cancelled (Ctrl-C), what has left is let finish for 10 s at most,
    and `BatchReport.of` finds the report in the `asyncio.CancelledError`. To run a batch of closes or
    cancellations again is safe: what has ended or is ending is ``ALREADY_CLOSED``.
    """

    async def close_many(
        self,
        trades: IdsOrTrades,
        /,
        *,
        order: ClosingOrder = "given",
        on_unfilled: OnUnfilled = "cancel",
        concurrency: int = CONCURRENCY,
        deadline: float | None = None,
        dry_run: bool = False,
        wait: bool = False,
        on_progress: OnProgress | None = None,
    ) -> BatchReport:
        """Close many SmartTrades at market price, as fast as the request limit allows.

        Args:
            trades: Ids or trades, from any iterable or asynchronous iterable; each is closed once. A trade
                that had ended when it was read costs no request. An asynchronous iterable is read while the
                batch works, any other one before it begins. With ``mode="paper"`` ids that no answer has
                shown yet are looked up first, by pages.
            order: Which comes first: ``"given"`` is the order of the input; ``"loss"`` begins with the
                largest loss and ``"size"`` with the largest position, in USD as far as the trades say. Both
                need trades, not ids, and read all of them first, or those that come before the deadline.
            on_unfilled: What to do with a trade whose entry is not filled, which the API refuses to close:
                ``"cancel"`` it, after it was read anew, since it may be filled by now; ``"skip"`` it, which
                is no failure of the report; or order the close all the same (``"close"``).
            concurrency: Calls in flight at most.
            deadline: Seconds after which nothing more is sent. What is in flight then is let finish for 10 s.
            dry_run: Order nothing and return the plan: what would be closed, cancelled or left alone, and
                ``floor``, the seconds that the request limit takes for it, lists and look-ups included. Ids
                are looked up first, by pages.
                What the client was told not to do (``mode``, ``read_only``) is ``REFUSED`` there, too, and
                what was not looked up before the deadline ``SKIPPED``. ``concurrency``, ``wait`` and
                ``on_progress`` have no say in a plan.
            wait: Follow the trades to their end: until the deadline, or for 10 minutes. One whose close ended
                ``UNKNOWN`` and that is still open after 10 s is not waited for: close it again.
            on_progress: Called after each verdict with the number of verdicts so far, the number of trades
                (None if the iterable does not know) and the `Outcome`; what is left when the batch stops is
                in the report alone. A plain function that returns at once, or a coroutine function, which is
                told one verdict after the other, and 10 s after the last one no more. What it raises is
                logged; nothing waits for it.

        Raises:
            ValueError: An option cannot be used, or an item is no id and no trade; nothing was sent. From an
                asynchronous iterable such an item is ``REFUSED``.
            BatchInterruptedError: The asynchronous iterable failed; the error holds the report on what it
                had given.
            asyncio.CancelledError: The task was cancelled; `BatchReport.of` finds the report.
        """
        check_options(concurrency=concurrency, deadline=deadline, on_progress=on_progress)
        check_on_unfilled(on_unfilled)
        check_order(order)
        errand = self._session.errand()
        read = partial(read_items, trades, order=order, errand=errand)
        if dry_run:
            return await self._plan(read, on_unfilled, errand, deadline)
        closing = self._closing(
            read,
            errand,
            on_unfilled=on_unfilled,
            concurrency=concurrency,
            deadline=deadline,
            on_progress=on_progress,
        ).run()
        ends_at = self._ends_at(deadline)
        return await self._follow(await closing, errand, ends_at) if wait else await closing

    def closing(
        self,
        trades: IdsOrTrades,
        /,
        *,
        order: ClosingOrder = "given",
        on_unfilled: OnUnfilled = "cancel",
        concurrency: int = CONCURRENCY,
        deadline: float | None = None,
    ) -> Batch:
        """Close many SmartTrades, and bring each verdict as it falls.

        The arguments and the errors are those of `close_many`. ``report`` has the verdicts so
        far at any time.

        Example::

            async with client.smart_trades.closing(trades, order="loss") as batch:
                async for outcome in batch:
                    print(outcome)
            print(batch.report)

        A loop that is left early, outside of such a block, does not stop the batch: ``aclose`` does.

        Returns:
            An asynchronous iterator over `Outcome`; as a context manager it is stopped at the end of
            the block.
        """
        check_options(concurrency=concurrency, deadline=deadline, on_progress=None)
        check_on_unfilled(on_unfilled)
        check_order(order)
        check_iterable(trades)
        errand = self._session.errand()
        return self._closing(
            partial(read_items, trades, order=order, errand=errand),
            errand,
            on_unfilled=on_unfilled,
            concurrency=concurrency,
            deadline=deadline,
            on_progress=None,
        )

    async def close_all(
        self,
        *,
        account_id: int | None = None,
        pair: str | None = None,
        type: Kind | None = None,
        from_: datetime | None = None,
        to: datetime | None = None,
        base: str | None = None,
        quote: str | None = None,
        predicate: Predicate | None = None,
        order: ClosingOrder = "given",
        on_unfilled: OnUnfilled = "cancel",
        concurrency: int = CONCURRENCY,
        deadline: float | None = None,
        dry_run: bool = False,
        wait: bool = False,
        on_progress: OnProgress | None = None,
    ) -> BatchReport:
        """Close every open SmartTrade that matches.

        Lists what is open (a request for 100 trades), closes it, and lists again, until nothing that was open
        at the start is open any more. Trades that are opened meanwhile are left alone: ``report.opened``.
        A trade that cannot be read is closed by its id, unless there is a predicate, which could not tell.

        Args:
            account_id: Only this account.
            pair: Only this pair, QUOTE_BASE.
            type: As in `SmartTrades.list`.
            from_: Created at or after this instant, aware.
            to: Created at or before this instant, aware.
            base: Only this base currency.
            quote: Only this quote currency.
            predicate: Only the trades for which it returns true: a plain function, no coroutine function.
            order: As in `close_many`; ``"given"`` begins with the newest trade.
            on_unfilled: As in `close_many`.
            concurrency: As in `close_many`.
            deadline: As in `close_many`, the lists included. Without one it ends after three rounds in a row
                that close nothing. What is refused for good is tried once.
            dry_run: As in `close_many`.
            wait: As in `close_many`.
            on_progress: As in `close_many`; a trade that is tried again counts once.

        Raises:
            ValueError: An option cannot be used; nothing was sent.
            ThreeCommasError: The first list cannot be read, or not before the deadline; nothing was ordered.
            asyncio.CancelledError: The task was cancelled; `BatchReport.of` finds the report.
        """
        check_options(concurrency=concurrency, deadline=deadline, on_progress=on_progress)
        check_on_unfilled(on_unfilled)
        check_order(order)
        if predicate is not None:
            check_predicate(predicate)
        errand = self._session.errand()
        look = self._looking(
            errand,
            predicate=predicate,
            order=order,
            account_id=account_id,
            pair=pair,
            type=type,
            from_=from_,
            to=to,
            base=base,
            quote=quote,
        )
        if dry_run:
            return await self._plan_of_all(look, on_unfilled, errand, deadline)
        ends_at = self._ends_at(deadline)
        sweeping = self._sweeping(
            look,
            errand,
            on_unfilled=on_unfilled,
            concurrency=concurrency,
            deadline=deadline,
            on_progress=on_progress,
            wait=wait,
        ).run()
        return await self._follow(await sweeping, errand, ends_at) if wait else await sweeping

    async def cancel_many(
        self,
        trades: IdsOrTrades,
        /,
        *,
        concurrency: int = CONCURRENCY,
        deadline: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> BatchReport:
        """Cancel many SmartTrades, filled or not; what was bought or sold stays as it is.

        Args:
            trades: As in `close_many`.
            concurrency: As in `close_many`.
            deadline: As in `close_many`.
            on_progress: As in `close_many`.

        Raises:
            ValueError: As in `close_many`.
            BatchInterruptedError: As in `close_many`.
            asyncio.CancelledError: As in `close_many`.
        """
        check_options(concurrency=concurrency, deadline=deadline, on_progress=on_progress)
        errand = self._session.errand()
        return await self._batch(
            partial(read_items, trades, order="given", errand=errand),
            Cancelling(self._view(errand, is_exit=True), self._looks(errand)),
            errand,
            concurrency=concurrency,
            deadline=deadline,
            on_progress=on_progress,
        ).run()

    async def set_note_many(
        self,
        trades: IdsOrTrades,
        note: str,
        /,
        *,
        concurrency: int = CONCURRENCY,
        deadline: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> BatchReport:
        """Replace the note of many SmartTrades; the verdict is ``DONE``.

        Args:
            trades: As in `close_many`.
            note: 1 to 300 characters. It replaces the reference of a trade that was created with one.
            concurrency: As in `close_many`.
            deadline: As in `close_many`.
            on_progress: As in `close_many`.

        Raises:
            ValueError: As in `close_many`, or the note cannot be used; nothing was sent.
            BatchInterruptedError: As in `close_many`.
            asyncio.CancelledError: As in `close_many`.
        """
        check_options(concurrency=concurrency, deadline=deadline, on_progress=on_progress)
        if not isinstance(note, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise ValueError(f"the note must be text, not {note!r:.80}")
        rules.check_note(note)
        errand = self._session.errand()
        calls = self._view(errand)

        async def set_note(item: Item) -> Outcome:
            trade = await calls.set_note(item.id, note)
            return Outcome(trade.id, Verdict.DONE, TradeSummary.of(trade))

        return await self._batch(
            partial(read_items, trades, order="given", errand=errand),
            set_note,
            errand,
            concurrency=concurrency,
            deadline=deadline,
            on_progress=on_progress,
        ).run()

    async def run_many(
        self,
        call: Callable[[Self, T], Awaitable[object]],
        items: Iterable[T] | AsyncIterable[T],
        /,
        *,
        concurrency: int = CONCURRENCY,
        deadline: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> BatchReport:
        """Make any call for each of many items, with the verdicts, stops and report of a batch.

        Args:
            call: Called with these calls, bound to the batch, and an item: ``SmartTrades.create`` (of the
                class, not of a client), or a coroutine function of yours. What it sends through its first
                argument waits for the request limit as long as it takes, is counted, and stops with the
                batch.
            items: What to call it for, each as often as it comes.
            concurrency: As in `close_many`.
            deadline: As in `close_many`.
            on_progress: As in `close_many`.

        Returns:
            ``DONE`` for each call that returned, with its ``result``; ``item`` tells the outcomes apart. A
            `ValueError` is ``REFUSED``: the calls of this package raise it before anything is sent. So is a
            `TypeError` before any write was sent: of a call that does not take the item. What fails after it
            has ordered something or may have, through whichever client, or is cut off by a cancellation, is
            ``UNKNOWN``.

        Example::

            report = await client.smart_trades.run_many(SmartTrades.create, orders)

        Raises:
            ValueError: An option or the call cannot be used; nothing was sent.
            BatchInterruptedError: As in `close_many`.
            asyncio.CancelledError: As in `close_many`.
        """
        check_options(concurrency=concurrency, deadline=deadline, on_progress=on_progress)
        check_iterable(items, what="items to make the call for")
        _check_call(call)
        errand = self._session.errand()

        async def read(given: Input) -> None:
            if isinstance(items, AsyncIterable):
                given.stream = (Item(0, value=item) async for item in items)
            else:
                await take_all(items, lambda item: given.items.append(Item(0, value=item)), given)

        async def act(item: Item) -> Outcome:
            calls = self.with_session(self._session.patient(errand=errand))
            with taking_down() as deeds:
                try:
                    result = await _awaitable(call(calls, cast("T", item.value)))
                except errors.OutcomeUnknownError:
                    raise
                except Exception as problem:
                    if deeds.accepted or deeds.unknown or deeds.under_way:
                        was = "was" if deeds.accepted else "may have been"
                        told = f"a part of it {was} carried out, then it failed: {problem}"
                        raise errors.OutcomeUnknownError(told) from problem
                    if isinstance(problem, TypeError) and not deeds.sent:
                        raise ValueError(f"nothing was sent: {problem}") from problem
                    raise
            seen = TradeSummary.of(result) if isinstance(result, SmartTrade) else None
            return Outcome(seen.id if seen else None, Verdict.DONE, seen, None, item.value, result)

        return await self._batch(
            read,
            act,
            errand,
            concurrency=concurrency,
            deadline=deadline,
            on_progress=on_progress,
            what="all items",
        ).run()

    async def wait_closed(
        self, trades: Iterable[int | str | SmartTrade], /, *, timeout: float, poll_every: float = 10.0
    ) -> Mapping[int, SmartTrade]:
        """Follow trades until all of them have ended; see `wait_for`.

        Args:
            trades: Ids or trades.
            timeout: As in `wait_for`.
            poll_every: As in `wait_for`.

        Returns:
            The ended trades by id.

        Raises:
            ValueError: As in `wait_for`.
            WaitTimeoutError: Some trades have not ended in time; a `TimeoutError` that holds the others.
            NotFoundError: As in `wait_for`.
        """
        return await self._until(trades, None, timeout=timeout, poll_every=poll_every)

    async def wait_for(
        self,
        trades: Iterable[int | str | SmartTrade],
        predicate: Predicate,
        /,
        *,
        timeout: float,
        poll_every: float = 10.0,
    ) -> Mapping[int, SmartTrade]:
        """Follow trades until a predicate holds for each of them, or it has ended and changes no more.

        Reads pages of active trades: one request for 100 of them, whether they are followed or not, and one
        for a trade where that is cheaper. Polls take half of the request limit at most that is not reserved
        for closing and cancelling, and a poll that fails is made up for by the next one.

        Args:
            trades: Ids or trades.
            predicate: Whether a trade is where you want it to be, such as ``lambda trade: trade.is_filled``;
                a plain function, no coroutine function.
            timeout: Seconds after which to give up, waits for the request limit included.
            poll_every: Seconds between two polls; the first pauses are shorter, from an eighth of it, and
                longer ones follow where a poll takes many requests.

        Returns:
            The trades by id, as they were when the predicate held or they had ended. Look which.

        Raises:
            ValueError: An item is no id and no trade, a time is not positive, or the predicate is no plain
                function; nothing was sent.
            WaitTimeoutError: Some trades were not there in time; a `TimeoutError` that holds the others.
            NotFoundError: An id is not among the trades of this key.
        """
        check_predicate(predicate)
        return await self._until(trades, predicate, timeout=timeout, poll_every=poll_every)

    async def _until(
        self,
        trades: Iterable[int | str | SmartTrade],
        predicate: Predicate | None,
        *,
        timeout: float,
        poll_every: float,
    ) -> Mapping[int, SmartTrade]:
        calls = self.with_session(self._session.patient())
        limit = self._session.limiter.limit
        return await follow.until(
            calls, trades, predicate, limit=limit, timeout=timeout, poll_every=poll_every
        )


def _awaitable(answer: object) -> Awaitable[object]:
    if not isawaitable(answer):
        raise errors.OutcomeUnknownError(f"call must be a coroutine function: it gave {answer!r:.80}")
    return answer


def _check_call(call: object) -> None:
    """Raise unless it can be called with the calls of a batch and an item.

    Raises:
        ValueError: It cannot.
    """
    if not callable(call):
        raise ValueError(f"call must be a function of the calls and an item, not {call!r}")
    if isinstance(getattr(call, "__self__", None), SmartTradeCalls):
        name = getattr(call, "__name__", "…")
        raise ValueError(
            f"call must be a function of the calls and an item: SmartTrades.{name}, not {name} of a client, "
            "whose calls are bound to no batch"
        )
    try:
        signature(call).bind(None, None)
    except TypeError as problem:
        raise ValueError(
            f"call must be a function of the calls and an item, not {call!r}: {problem}"
        ) from None
    except ValueError:
        pass  # What is built in need not say what it takes.
