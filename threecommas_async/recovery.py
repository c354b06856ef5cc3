"""What follows a failed attempt: a look at what became of it, a wait, or the end of the call."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from msgspec import Struct

from threecommas_async import errors, retry
from threecommas_async.deadline import Deadline
from threecommas_async.endpoints import Replay
from threecommas_async.models.decoding import Page
from threecommas_async.retry import History, RetryBudget, RetryPolicy, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from threecommas_async.endpoints import Endpoint, ReadBack
    from threecommas_async.models.trade import Trade
    from threecommas_async.retry import Fault

T = TypeVar("T")

_log: Final = logging.getLogger("threecommas_async.retry")


class Reader(Protocol):
    """Makes the calls that a look takes."""

    def call(
        self, endpoint: Endpoint[T], /, *, path: Mapping[str, int], deadline: Deadline | None
    ) -> Awaitable[T]: ...


class Finder(Struct, Generic[T], frozen=True):
    """How to find out whether a call took effect whose answer was lost.

    Args:
        look: Returns what shows the effect, or None where there is none; takes the deadline of the call, and
            when the first attempt began that may have been carried out.
        guarded: The API refuses the call once it took effect, so that it can be made again after one look.
            Otherwise it is made again only if no look of a whole settle time finds it.
        lasting: What shows it shows it for good: nothing that is ordered later hides it.
    """

    look: Callable[[Deadline, datetime], Awaitable[T | None]]
    guarded: bool
    lasting: bool


class Recovery(Struct, Generic[T], frozen=True):
    """What follows a failed attempt of one call.

    Args:
        history: The call.
        deadline: The seconds that are left to it.
        finder: How to find out whether it took effect; None where there is no way.
        policy: How often and after which waits it is sent again.
        budget: The repetitions that the client may make.
        clock: Seconds of a clock that never goes back.
        now: The present instant, aware.
        sleep: Waits for a number of seconds.
    """

    history: History
    deadline: Deadline
    finder: Finder[T] | None
    policy: RetryPolicy
    budget: RetryBudget
    clock: Callable[[], float]
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[object]]

    async def follow(self, fault: Fault) -> T | None:
        """Return what shows that the call took effect; None, after a wait, where it is to be sent again.

        Args:
            fault: How the attempt ended.

        Raises:
            ThreeCommasError: The call ends here.
        """
        history, finder = self.history, self.finder
        self._note(history.take_down(fault, clock=self.clock(), now=self.now()))
        step = retry.next_step(history, fault, can_look=finder is not None)
        waits = step in {Step.WAIT_FOR_LIMIT, Step.BACK_OFF}
        if waits and finder is not None and history.may_have_acted and not finder.guarded:
            step = Step.LOOK  # After the wait the last look would be an old one.
        if finder is not None and step in {Step.LOOK, Step.CONFIRM}:
            found = await self._find_out(finder, fault, confirm=step is Step.CONFIRM)
            if found is not None:
                return found
            if step is Step.CONFIRM:
                # The effect may be hidden by what was ordered later, or still to come.
                is_sure = finder.lasting and not history.may_act_later
                raise end_of(history, fault, took_effect=False if is_sure else None)
            if retry.may_act_later(fault) and not finder.guarded:
                self._note("not sent again: the API may still be at work on it")
                step = Step.GIVE_UP
        wait = retry.wait_before_resend(self.policy, history.attempts, step=step, left=self.deadline.left)
        if wait is None:
            raise end_of(history, fault)
        if step is not Step.WAIT_FOR_LIMIT and not self.budget.take():
            self._note("not sent again: the retry budget of the client is used up for now")
            raise end_of(history, fault)
        _log.info("%s: to be sent again in %.1f s", history, wait)
        await self._pause(wait)
        return None

    async def _find_out(self, finder: Finder[T], fault: Fault, *, confirm: bool) -> T | None:
        """Return what shows that the call took effect; None if it did not.

        Args:
            finder: How to find out.
            fault: How the latest attempt ended.
            confirm: A repetition was refused: look at once, and again until nothing can show any more.

        Raises:
            OutcomeUnknownError: That cannot be said.
        """
        is_absent = False
        for pause in (0.0, *self.policy.settle) if confirm else self.policy.settle:
            if pause >= self.deadline.left:
                is_absent = False
                break
            await self._pause(pause)
            try:
                found = await finder.look(self.deadline, self.history.sent_at or self.now())
            except Exception as problem:  # noqa: BLE001 - a limiter of the caller's may raise anything
                is_absent = False
                self._note(f"looking for its effect failed: {retry.told(problem)}")
                continue
            if found is not None:
                _log.info("%s: its effect shows", self.history)
                return found
            is_absent = True
            self._note("looking for its effect: it does not show")
            if finder.guarded and not confirm:
                break
        if not is_absent:
            raise end_of(self.history, fault)
        return None

    async def _pause(self, seconds: float) -> None:
        await self.sleep(seconds)
        self.deadline.left -= seconds

    def _note(self, line: str) -> None:
        self.history.tell(line)
        _log.info("%s: %s", self.history, line)


def end_of(history: History, fault: Fault, *, took_effect: bool | None = None) -> errors.ThreeCommasError:
    """Return the error that a call ends with, and log it where its outcome is unknown.

    Args:
        history: The call.
        fault: How its last attempt ended.
        took_effect: Whether an attempt before that one did, as far as a look could tell.
    """
    error = retry.final_error(history, fault, took_effect=took_effect)
    if isinstance(error, errors.OutcomeUnknownError):
        _log.warning("%s ends with an unknown outcome", history)
    return error


def finder_of(
    endpoint: Endpoint[T], path: Mapping[str, int], reader: Callable[[], Reader]
) -> Finder[T] | None:
    """Return how to find out whether a call took effect: as its row says; None where it names no way.

    Args:
        endpoint: The row of the call.
        path: Its path values.
        reader: Returns what makes the calls of a look.
    """
    if endpoint.replay is not Replay.READ_BACK or endpoint.read_back is None:
        return None
    look = partial(_look, endpoint.read_back, path, reader)
    return Finder(look, guarded=True, lasting=endpoint.read_back.lasting)


async def _look(
    read_back: ReadBack[T],
    path: Mapping[str, int],
    reader: Callable[[], Reader],
    deadline: Deadline,
    _sent_at: datetime,
) -> T | None:
    id = path[read_back.parameter]
    calls = reader()
    orders: Page[Trade] = Page()
    if read_back.orders is not None:
        orders = await calls.call(read_back.orders, path={"smart_trade_id": id}, deadline=deadline)
    entity = await calls.call(read_back.endpoint, path=read_back.path(id), deadline=deadline)
    shows = read_back.shows
    return entity if shows is not None and shows(entity, orders, path) else None
