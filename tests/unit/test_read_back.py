"""What is done about a lost answer where a look can tell: on a virtual clock."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests import virtual_time
from tests.scripted_api import (
    GATEWAY_502,
    LIMITED_5_S,
    LOST,
    NOT_SENT,
    REFUSED_422,
    SILENCE,
    START,
    Script,
    new_session,
)
from threecommas_async import endpoints, errors
from threecommas_async.errand import Errand
from threecommas_async.limiter import Limiter
from threecommas_async.limits import RateLimit
from threecommas_async.wire import Failure, Response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from threecommas_async.attempt import Attempt
    from threecommas_async.session import Session

OPEN = Response(200, {}, b'{"id":7,"status":{"basic_type":"waiting_targets"}}')
CLOSING = Response(201, {}, b'{"id":7,"status":{"basic_type":"panic_sell_pending"}}')
REFUSED_401 = Response(401, {}, b'{"error":"signature_invalid"}')


def close(
    posts: Sequence[Response | Failure], gets: Sequence[Response | Failure] = (OPEN,), **options: Any
) -> tuple[Any, Script]:
    """Close trade 7; returns its value or its error, and what was sent."""
    script = Script({"POST": posts, "GET": gets})

    async def main() -> object:
        try:
            return await new_session(script, **options).call(endpoints.CLOSE_BY_MARKET, path={"id": 7})
        except errors.ThreeCommasError as error:
            return error

    return virtual_time.run(main()), script


@pytest.mark.parametrize("lost", [LOST, SILENCE, GATEWAY_502, Response(200, {}, b"")])
def test_the_trade_that_shows_the_effect_is_the_answer(lost: Response | Failure) -> None:
    trade, script = close([lost], [CLOSING])
    assert trade.status.code == "panic_sell_pending"
    assert script.log == [(0, "POST"), (2, "GET")]


def test_without_effect_the_call_is_made_again_at_once() -> None:
    trade, script = close([LOST, CLOSING], [OPEN])
    assert trade.status.code == "panic_sell_pending"
    assert script.log == [(0, "POST"), (2, "GET"), (3, "POST")]


def test_an_unknown_outcome_of_which_one_attempt_is_all_has_no_notes_but_the_list() -> None:
    assert errors.OutcomeUnknownError("it may have been carried out").__notes__ == []


def test_after_three_lost_attempts_without_effect_the_outcome_is_unknown() -> None:
    failure, script = close([LOST])
    assert type(failure) is errors.OutcomeUnknownError
    assert failure.attempts == 3
    assert script.log == [(0, "POST"), (2, "GET"), (3, "POST"), (5, "GET"), (6, "POST"), (8, "GET")]
    assert (failure.sent_at, failure.lost_at) == (START, START + timedelta(seconds=7))
    assert failure.__notes__ == [
        "attempt 1: the connection broke",
        "looking for its effect: it does not show",
        "attempt 2: the connection broke",
        "looking for its effect: it does not show",
        "attempt 3: the connection broke",
        "looking for its effect: it does not show",
    ]


def test_a_look_that_fails_is_followed_by_others_and_by_no_second_order() -> None:
    trade, script = close([LOST], [REFUSED_401, REFUSED_401, CLOSING])
    assert trade.status.code == "panic_sell_pending"
    assert script.log == [(0, "POST"), (2, "GET"), (5, "GET"), (10, "GET")]
    failure, script = close([LOST, CLOSING], [REFUSED_401])
    assert type(failure) is errors.OutcomeUnknownError
    assert [method for _, method in script.log] == ["POST", "GET", "GET", "GET"]
    assert "answered 401" in failure.__notes__[-1]


class BrittleLimiter(Limiter):
    """A limiter of the caller's: it fails where permits of these numbers are asked for, and at a pause."""

    def __init__(self, *failing: int) -> None:
        super().__init__(RateLimit(requests=100, period=60, lockout=300))
        self.failing = failing
        self.asked = 0

    async def acquire(self, *, is_exit: bool = False, max_wait: float | None = None) -> None:
        self.asked += 1
        if self.asked in self.failing:
            raise ConnectionError("the store is gone")
        await super().acquire(is_exit=is_exit, max_wait=max_wait)

    def pause(self, seconds: float) -> None:
        raise ConnectionError(f"the store is gone: no pause of {seconds} s")


def test_a_look_for_which_the_callers_limiter_fails_is_followed_by_others() -> None:
    trade, script = close([LOST], [CLOSING], limiter=BrittleLimiter(2))
    assert trade.status.code == "panic_sell_pending"
    assert script.log == [(0, "POST"), (4, "GET")]
    failure, script = close([LOST], [CLOSING], limiter=BrittleLimiter(2, 3, 4))
    assert type(failure) is errors.OutcomeUnknownError
    assert script.log == [(0, "POST")]
    assert failure.__notes__[1:] == ["looking for its effect failed: ConnectionError: the store is gone"] * 3


def test_a_read_for_which_the_callers_limiter_fails_hides_no_write_that_was_accepted() -> None:
    failure, script = close([Response(204, {}, b"")], limiter=BrittleLimiter(2))
    assert type(failure) is errors.OutcomeUnknownError
    assert "was accepted, and reading it failed: ConnectionError: the store is gone" in str(failure)
    assert isinstance(failure.__cause__, ConnectionError)
    assert script.log == [(0, "POST")]


def test_a_pause_that_the_callers_limiter_fails_to_make_hides_no_write() -> None:
    failure, script = close([LOST, LIMITED_5_S], limiter=BrittleLimiter())
    assert type(failure) is errors.OutcomeUnknownError
    assert isinstance(failure.__cause__, ConnectionError)
    assert script.log == [(0, "POST"), (2, "GET"), (3, "POST")]
    with pytest.raises(ConnectionError):  # Nothing can have been carried out.
        close([LIMITED_5_S], limiter=BrittleLimiter())


def test_looks_end_with_the_deadline_of_the_call() -> None:
    failure, script = close([LOST, CLOSING], [LOST], timeout=6)
    assert type(failure) is errors.OutcomeUnknownError
    assert script.log[-1][0] < 6


def test_a_refused_repetition_is_checked_once_more() -> None:
    trade, script = close([LOST, REFUSED_422], [OPEN, CLOSING])
    assert trade.status.code == "panic_sell_pending"
    assert script.log == [(0, "POST"), (2, "GET"), (3, "POST"), (4, "GET")]


def test_a_refused_repetition_without_effect_is_the_refusal() -> None:
    failure, script = close([LOST, REFUSED_422], [OPEN])
    assert type(failure) is errors.InvalidRequestError
    # One look at once, and then for as long as an effect may take to show.
    assert [at for at, method in script.log if method == "GET"] == [2, 4, 6, 9, 14]
    assert failure.__notes__[0] == "attempt 1: the connection broke"


def test_a_refused_repetition_after_a_timeout_leaves_the_outcome_unknown() -> None:
    failure, _ = close([SILENCE, REFUSED_422], [OPEN])
    assert type(failure) is errors.OutcomeUnknownError
    assert isinstance(failure.__cause__, errors.InvalidRequestError)


@pytest.mark.parametrize(
    "row", [endpoints.FORCE_START, endpoints.CLOSE_TRADE, endpoints.CANCEL_TRADE], ids=str
)
def test_a_refused_repetition_whose_effect_a_later_order_can_hide_leaves_the_outcome_unknown(
    row: endpoints.Endpoint[Any],
) -> None:
    none = Response(200, {}, b"[]")
    gets = [none, OPEN] * 9 if row.path.count("{") > 1 else [OPEN]
    script = Script({row.method: [LOST, REFUSED_422], "GET": gets})

    async def main() -> None:
        await new_session(script).call(row, path={"id": 7, "smart_trade_id": 7, "trade_id": 9})

    with pytest.raises(errors.OutcomeUnknownError):
        virtual_time.run(main())


def test_a_refusal_that_says_nothing_about_the_trade_leaves_the_outcome_unknown() -> None:
    failure, _ = close([LOST, REFUSED_401], [OPEN])
    assert type(failure) is errors.OutcomeUnknownError
    assert isinstance(failure.__cause__, errors.AuthenticationError)


def test_a_repetition_that_never_left_does_not_unsay_the_attempt_that_did() -> None:
    failure, _ = close([LOST, NOT_SENT], [OPEN])
    assert type(failure) is errors.OutcomeUnknownError
    script = Script({"POST": [LOST, NOT_SENT]})

    async def main() -> None:
        await new_session(script).call(endpoints.SET_NOTE, path={"id": 7})

    with pytest.raises(errors.OutcomeUnknownError):
        virtual_time.run(main())


@pytest.mark.parametrize(
    ("row", "orders", "requests"),
    [
        (endpoints.CLOSE_TRADE, b'[{"id":9,"status":"panic_sell_pending"}]', 2),
        (endpoints.CANCEL_TRADE, b'[{"id":9,"status":"cancelled"}]', 2),
    ],
    ids=str,
)
def test_the_effect_on_a_single_trade_is_read_off_the_list_of_them(
    row: endpoints.Endpoint[Any], orders: bytes, requests: int
) -> None:
    script = Script({row.method: [LOST]} | {"GET": [Response(200, {}, orders), OPEN]})

    async def main() -> Any:
        return await new_session(script).call(row, path={"smart_trade_id": 7, "trade_id": 9})

    assert virtual_time.run(main()).id == 7
    assert [request.target for _, request in script.sent[-requests:]] == [
        "/public/api/v2/smart_trades/7/trades",
        "/public/api/v2/smart_trades/7",
    ]


def test_a_retry_budget_keeps_an_outage_from_being_amplified() -> None:
    script = Script({"GET": [LOST]})

    async def main() -> list[int]:
        session = new_session(script)

        async def attempts_of_calls(count: int, answer: Response | Failure) -> list[int]:
            script.answers["GET"] = [answer]
            attempts: list[int] = []
            for _ in range(count):
                before = len(script.sent)
                with suppress(errors.TransportError):
                    await session.call(endpoints.GET_SMART_TRADE, path={"id": 7})
                attempts.append(len(script.sent) - before)
            return attempts

        # No success is worth anything to a budget that is whole.
        assert await attempts_of_calls(20, OPEN) == [1] * 20
        during_the_outage = await attempts_of_calls(6, LOST)
        await attempts_of_calls(10, OPEN)
        return during_the_outage + await attempts_of_calls(1, LOST)

    assert virtual_time.run(main()) == [3, 3, 3, 3, 3, 1, 2]


def test_what_the_rate_limit_refused_costs_no_token() -> None:
    script = Script({"GET": [LIMITED_5_S, OPEN] * 11})

    async def main() -> None:
        session = new_session(script)
        for _ in range(11):
            await session.call(endpoints.GET_SMART_TRADE, path={"id": 7})

    virtual_time.run(main())
    assert len(script.sent) == 22


@pytest.mark.parametrize(
    ("posts", "cancel_at", "remembered"),
    [
        ([CLOSING], 0.5, 1),  # In flight.
        ([NOT_SENT], 0.5, 0),  # Before it left.
        ([NOT_SENT, CLOSING], 2, 0),  # Backing off.
        ([LOST], 1.5, 1),  # Waiting for the effect.
        ([LOST], 2.5, 1),  # Looking for it.
        ([LIMITED_5_S, CLOSING], 3, 0),  # Waiting out a 429.
        ([Response(204, {}, b"")], 1.5, 1),  # Reading the trade after it was accepted.
    ],
)
def test_a_write_that_is_cancelled_after_it_left_is_remembered(
    posts: list[Response | Failure], cancel_at: float, remembered: int
) -> None:
    script = Script({"POST": posts, "GET": [OPEN]})

    async def main() -> tuple[errors.OutcomeUnknownError, ...]:
        session = new_session(script)
        task = asyncio.create_task(session.call(endpoints.CLOSE_BY_MARKET, path={"id": 7}))
        await asyncio.sleep(cancel_at)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return session.in_flight_unknown

    unknown = virtual_time.run(main())
    assert len(unknown) == remembered
    for error in unknown:
        assert (error.endpoint, error.sent_at) == (endpoints.CLOSE_BY_MARKET, START)
        assert "was cancelled" in str(error)


@pytest.mark.parametrize("row", [endpoints.GET_SMART_TRADE, endpoints.CLOSE_BY_MARKET], ids=str)
def test_neither_reads_nor_calls_that_wait_for_their_permit_are_remembered(row: Any) -> None:
    script = Script({"GET": [OPEN], "POST": [CLOSING]})

    async def main() -> tuple[errors.OutcomeUnknownError, ...]:
        session = new_session(script, limiter=Limiter(RateLimit(requests=1, period=9, lockout=9)))
        calls = [asyncio.create_task(session.call(row, path={"id": 7})) for _ in range(2)]
        await asyncio.sleep(0.5)
        for call in calls if row.method == "GET" else calls[1:]:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        return session.in_flight_unknown

    assert virtual_time.run(main()) == ()


def test_a_client_that_is_closed_under_a_lost_close_leaves_it_unknown() -> None:
    script = Script({"POST": [LOST], "GET": [OPEN]})

    async def main() -> None:
        session = new_session(script)
        call = asyncio.create_task(session.call(endpoints.CLOSE_BY_MARKET, path={"id": 7}))
        await asyncio.sleep(1.5)
        await session.close()
        await call

    with pytest.raises(errors.OutcomeUnknownError) as caught:
        virtual_time.run(main())
    assert "the client is closed" in caught.value.__notes__[-1]


@pytest.mark.parametrize(
    ("row", "end"),
    [(endpoints.SET_NOTE, errors.OutcomeUnknownError), (endpoints.GET_SMART_TRADE, errors.ServerError)],
    ids=str,
)
def test_a_repetition_that_may_not_leave_any_more_says_why_and_keeps_the_cause(
    row: endpoints.Endpoint[Any], end: type[errors.ThreeCommasError]
) -> None:
    script = Script({row.method: [GATEWAY_502]})

    async def main() -> None:
        limiter = Limiter(RateLimit(requests=1, period=60, lockout=300))
        await new_session(script, limiter=limiter, max_wait=5).call(row, path={"id": 7})

    with pytest.raises(end) as caught:
        virtual_time.run(main())
    assert type(caught.value) is end
    assert script.log == [(0, row.method)]
    answer = caught.value if end is errors.ServerError else caught.value.__cause__
    assert isinstance(answer, errors.ServerError)
    assert answer.status == 502
    assert caught.value.__notes__[0].startswith("attempt 1: ")
    assert caught.value.__notes__[1:] == [
        "not sent again: the next permit is 58.0 s away and max_wait is 5 s: nothing was sent"
    ]


def test_what_is_stopped_when_it_has_its_permit_is_no_request() -> None:
    script = Script({"POST": [CLOSING]})
    seen: list[Attempt] = []
    errand = Errand()

    async def main() -> float:
        limiter = Limiter(RateLimit(requests=1, period=9, lockout=9))
        session = new_session(script, limiter=limiter, on_attempt=seen.append)
        of_batch = session.patient(errand=errand)
        await of_batch.call(endpoints.CLOSE_BY_MARKET, path={"id": 7})
        call = asyncio.create_task(of_batch.call(endpoints.CLOSE_BY_MARKET, path={"id": 7}))
        await asyncio.sleep(1)
        await session.close()
        with pytest.raises(errors.ClientStateError):
            await call
        return limiter.expected_wait()

    assert virtual_time.run(main()) == pytest.approx(9.75)  # Its permit came back.
    assert script.log == [(0, "POST")]
    assert len(seen) == 1
    assert (errand.requests, errand.retries) == (1, 0)


def test_every_attempt_is_told() -> None:
    seen: list[Attempt] = []
    close([GATEWAY_502, LOST, CLOSING], [OPEN], on_attempt=seen.append)
    assert [(str(told.endpoint), told.attempt, told.sent, told.outcome) for told in seen] == [
        ("POST /v2/smart_trades/{id}/close_by_market", 1, True, 502),
        ("GET /v2/smart_trades/{id}", 1, True, 200),
        ("POST /v2/smart_trades/{id}/close_by_market", 2, True, "the connection broke"),
        ("GET /v2/smart_trades/{id}", 1, True, 200),
        ("POST /v2/smart_trades/{id}/close_by_market", 3, True, 201),
    ]
    assert {(told.waited, round(told.elapsed, 3)) for told in seen} == {(0.0, 1.0)}
    assert seen[0].path == "/public/api/v2/smart_trades/7/close_by_market"


def test_an_attempt_tells_how_long_it_waited_for_its_permit() -> None:
    seen: list[Attempt] = []
    limiter = Limiter(RateLimit(requests=1, period=9, lockout=9))
    close([NOT_SENT, CLOSING], limiter=limiter, on_attempt=seen.append)
    # The permit comes back 9 s and a twelfth after the first attempt ended; 2 of them are the backoff.
    assert [(told.sent, round(told.waited, 3)) for told in seen] == [(False, 0.0), (True, 7.75)]


def test_a_hook_that_raises_costs_nothing_but_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    def explode(_attempt: Attempt) -> None:
        raise ZeroDivisionError

    trade, _ = close([CLOSING], on_attempt=explode)
    assert trade.id == 7
    assert [record.name for record in caplog.records] == ["threecommas_async.attempts"]


def test_each_concern_has_its_logger_and_none_holds_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    close([LIMITED_5_S, LOST, NOT_SENT, GATEWAY_502])
    assert {record.name for record in caplog.records} == {
        "asyncio",
        "threecommas_async.attempts",
        "threecommas_async.limits",
        "threecommas_async.retry",
    }
    assert "the-api-key" not in caplog.text
    assert "the-secret" not in caplog.text


def test_options_of_one_call_leave_the_others_alone() -> None:
    script = Script({"GET": [LOST]}, seconds=2)

    async def main() -> list[float]:
        session = new_session(script)
        loop = asyncio.get_running_loop()

        async def duration(of: Session) -> float:
            began = loop.time()
            with pytest.raises(errors.TransportError):
                await of.call(endpoints.GET_SMART_TRADE, path={"id": 7})
            return loop.time() - began

        view = session.with_options(timeout=3, max_wait=None)
        return [await duration(view), await duration(session)]

    assert virtual_time.run(main()) == pytest.approx([2, 10])
