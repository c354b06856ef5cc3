"""The loop with a scripted transport on a virtual clock."""

from __future__ import annotations

import asyncio
import pickle
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests import virtual_time
from tests.scripted_api import (
    GATEWAY_502,
    LIMITED,
    LIMITED_5_S,
    LOST,
    NOT_SENT,
    REFUSED_422,
    START,
    TIMEOUT_408,
    Script,
    new_session,
)
from threecommas_async import endpoints, errors
from threecommas_async.deadline import Deadline
from threecommas_async.endpoints import Replay
from threecommas_async.limiter import Limiter
from threecommas_async.limits import RateLimit
from threecommas_async.models.decoding import PageDecoder
from threecommas_async.wire import Failure, Response

if TYPE_CHECKING:
    from collections.abc import Sequence

OK = Response(201, {}, b'{"id":7,"status":{"basic_type":"panic_sell_pending"}}')
REFUSED_CERTIFICATE = Failure("certificate refused", sent=False, permanent=True)
ERROR_500 = Response(500, {}, b'{"error":"unknown_error"}')
HTML_403 = Response(403, {}, b"<html>Attention required</html>")
HTML_200 = Response(200, {}, b"<html>Maintenance</html>")
EMPTY_200 = Response(200, {}, b"")
REDIRECT = Response(307, {"Location": "https://elsewhere.example"}, b"")
PLAN = Response(429, {}, b'{"error":"not available with your current subscription plan"}')
BANNED = Response(418, {}, b"")
WRITES = [row for row in endpoints.TABLE if row.replay in {Replay.ONCE, Replay.READ_BACK}]


def call(
    outcomes: Sequence[Response | Failure],
    row: endpoints.Endpoint[Any] = endpoints.CLOSE_BY_MARKET,
    *,
    path: dict[str, int] | None = None,
    timeout: float = 30,
    seconds: float = 1.0,
    limit: RateLimit | None = None,
    deadline: Deadline | None = None,
) -> tuple[Any, Script]:
    """Make one call; returns its value or its error, and the script with what was sent."""
    script = Script(outcomes, seconds)

    async def main() -> object:
        session = new_session(script, timeout=timeout, limiter=limit and Limiter(limit))
        names = [part[1:-1] for part in row.path.split("/") if part.startswith("{")]
        try:
            return await session.call(row, path=path or dict.fromkeys(names, 7), deadline=deadline)
        except errors.ThreeCommasError as error:
            return error

    return virtual_time.run(main()), script


def test_an_answer_ends_the_call() -> None:
    trade, script = call([OK])
    assert trade.id == 7
    assert script.times == [0]


@pytest.mark.parametrize(
    "outcome", [NOT_SENT, LOST, ERROR_500, GATEWAY_502, HTML_403, HTML_200, EMPTY_200, REDIRECT]
)
def test_a_read_is_repeated_after_any_lost_or_unusable_answer(outcome: Response | Failure) -> None:
    trade, script = call([outcome, outcome, OK], endpoints.GET_SMART_TRADE)
    assert trade.id == 7
    assert script.times == [0, 3, 6]


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (NOT_SENT, errors.NotSentError),
        (LOST, errors.TransportError),
        (ERROR_500, errors.ServerError),
        (HTML_403, errors.PermissionDeniedError),
        (HTML_200, errors.DecodeError),
    ],
)
def test_a_read_gives_up_after_three_attempts(outcome: Response | Failure, error: type[Exception]) -> None:
    failure, script = call([outcome], endpoints.GET_SMART_TRADE)
    assert type(failure) is error
    assert script.times == [0, 3, 6]


@pytest.mark.parametrize("row", [row for row in WRITES if row.replay is Replay.ONCE], ids=str)
@pytest.mark.parametrize(
    "outcome", [LOST, ERROR_500, GATEWAY_502, HTML_403, TIMEOUT_408, HTML_200, EMPTY_200, REDIRECT]
)
def test_an_order_that_may_have_been_carried_out_is_not_sent_again(
    row: endpoints.Endpoint[Any], outcome: Response | Failure
) -> None:
    failure, script = call([outcome, OK], row)
    assert type(failure) is errors.OutcomeUnknownError
    assert failure.endpoint is row
    assert failure.path.startswith("/public/api/v2/smart_trades")
    assert (failure.sent_at, failure.lost_at) == (START, START + timedelta(seconds=1))
    assert failure.attempts == 1
    assert script.times == [0]


def test_a_write_that_twice_has_the_effect_of_once_is_repeated_like_a_read() -> None:
    trade, script = call([LOST, ERROR_500, OK], endpoints.SET_NOTE)
    assert trade.id == 7
    assert script.times == [0, 3, 6]
    failure, _ = call([LOST], endpoints.SET_NOTE)
    assert type(failure) is errors.OutcomeUnknownError
    assert failure.attempts == 3


@pytest.mark.parametrize("row", WRITES, ids=str)
def test_a_write_that_never_left_is_sent_again(row: endpoints.Endpoint[Any]) -> None:
    trade, script = call([NOT_SENT, NOT_SENT, OK], row)
    assert trade.id == 7
    assert script.times == [0, 3, 6]


@pytest.mark.parametrize("row", endpoints.TABLE, ids=str)
@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (REFUSED_422, errors.InvalidRequestError),
        (PLAN, errors.PlanLimitError),
        (BANNED, errors.BannedError),
        (Response(401, {}, b'{"error":"signature_invalid"}'), errors.AuthenticationError),
        (Response(403, {}, b'{"error":"Forbidden"}'), errors.PermissionDeniedError),
        (Response(404, {}, b'{"error":"not_found"}'), errors.NotFoundError),
        (REFUSED_CERTIFICATE, errors.NotSentError),
    ],
)
def test_a_definite_refusal_is_never_repeated(
    row: endpoints.Endpoint[Any], outcome: Response | Failure, error: type[Exception]
) -> None:
    failure, script = call([outcome, OK], row)
    assert type(failure) is error
    assert script.times == [0]


@pytest.mark.parametrize("row", endpoints.TABLE, ids=str)
def test_a_429_is_waited_out_and_repeated_whatever_the_call(row: endpoints.Endpoint[Any]) -> None:
    if isinstance(row.decode, PageDecoder) or row is endpoints.LIST_PAIRS:
        good = Response(200, {}, b"[]")
    elif row is endpoints.ACTIVE_ENTITIES:
        good = Response(200, {}, b'{"data":{}}')
    elif row is endpoints.REDUCE_FUNDS_INFO:
        good = Response(200, {}, b'{"max_reduce_funds_amount":"1.0"}')
    else:
        good = OK
    _, script = call([LIMITED, good], row)
    assert script.times == [0, 301]


def test_a_429_that_names_its_end_is_waited_out_until_then() -> None:
    trade, script = call([LIMITED_5_S, OK])
    assert trade.id == 7
    assert script.times == [0, 6]


@pytest.mark.parametrize("row", endpoints.TABLE, ids=str)
def test_what_must_not_be_sent_twice_takes_a_new_connection(row: endpoints.Endpoint[Any]) -> None:
    _, script = call([NOT_SENT], row)
    assert script.new_connections == [row.replay is Replay.ONCE] * 3


def test_every_attempt_takes_a_permit() -> None:
    _, script = call([NOT_SENT, NOT_SENT, OK], limit=RateLimit(requests=1, period=100, lockout=1))
    # A period and a twelfth, for what was not answered.
    assert script.times == [0, 109.333, 218.667]


def test_the_attempts_of_a_call_share_its_timeout() -> None:
    failure, script = call([LOST], endpoints.GET_SMART_TRADE, timeout=11, seconds=3)
    assert type(failure) is errors.TransportError
    # Half of what is left is for an attempt, the other half for what may follow it.
    assert script.times == [0, 5, 10]
    assert script.timeouts == pytest.approx([5.5, 3, 0.5])


def test_an_order_that_is_not_looked_for_may_take_all_the_time() -> None:
    _, script = call([OK], endpoints.ADD_FUNDS, timeout=11)
    assert script.timeouts == [11]


@pytest.mark.parametrize("left", [0.0, -1.0])
def test_an_attempt_for_which_no_time_is_left_is_not_given_all_the_time_there_is(left: float) -> None:
    _, script = call([OK], deadline=Deadline(left))
    assert script.timeouts == [0.001]  # To aiohttp 0 would be no timeout.


def test_the_wait_for_a_permit_does_not_count_towards_the_timeout() -> None:
    trade, script = call(
        [NOT_SENT, OK], timeout=10, limit=RateLimit(requests=1, period=1000, lockout=1), seconds=2
    )
    assert trade.id == 7
    assert script.times == [0, 1085.333]


def test_no_content_is_success_and_the_trade_is_read_back() -> None:
    trade, script = call([Response(204, {}, b""), OK], endpoints.CANCEL_SMART_TRADE)
    assert trade.id == 7
    assert [request.method for _, request in script.sent] == ["DELETE", "GET"]
    assert script.sent[1][1].target == "/public/api/v2/smart_trades/7"


def test_a_step_is_read_back_by_its_smart_trade() -> None:
    _, script = call(
        [Response(204, {}, b""), OK], endpoints.CLOSE_TRADE, path={"smart_trade_id": 5, "trade_id": 6}
    )
    assert script.sent[1][1].target == "/public/api/v2/smart_trades/5"


def test_failed_read_back_says_that_the_call_was_accepted() -> None:
    failure, _ = call([Response(204, {}, b""), LOST], endpoints.CANCEL_SMART_TRADE)
    assert type(failure) is errors.OutcomeUnknownError
    assert "was accepted" in str(failure)


def test_an_answer_that_cannot_be_shown_to_those_who_listen_is_an_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    odd: dict[str, Any] = {"Date": 5}
    heard: list[object] = []

    async def main() -> Any:
        session = new_session(Script([Response(201, odd, OK.body)]))
        with session.recorder.listening(heard.append):
            return await session.call(endpoints.CLOSE_BY_MARKET, path={"id": 7})

    assert virtual_time.run(main()).id == 7
    assert not heard
    assert "could not be shown to those who listen" in caplog.text


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (BANNED, 120),
        (Response(418, {"Retry-After": "600"}, b'{"error":"banned"}'), 600),
    ],
)
def test_after_a_418_nothing_is_sent_until_the_ban_ends(answer: Response, seconds: float) -> None:
    script = Script([answer, OK], seconds=0)

    async def main() -> list[str]:
        session = new_session(script)
        ends: list[str] = []
        for wait in (0, 0, seconds - 1, 2):
            await asyncio.sleep(wait)
            try:
                await session.call(endpoints.GET_SMART_TRADE, path={"id": 7})
                ends.append("ok")
            except errors.BannedError as error:
                ends.append(str(error))
        return ends

    ends = virtual_time.run(main())
    assert ends[0].startswith("GET /public/api/v2/smart_trades/7 answered 418")
    assert ends[1].startswith("nothing was sent")
    assert ends[2].startswith("nothing was sent")
    assert ends[3] == "ok"
    assert len(script.sent) == 2


def test_outcome_unknown_keeps_the_answer_that_made_it_so() -> None:
    failure, _ = call([GATEWAY_502], endpoints.ADD_FUNDS)
    assert isinstance(failure.__cause__, errors.ServerError)
    assert "Bad gateway" in str(failure)


@pytest.mark.parametrize("outcome", [NOT_SENT, LOST, ERROR_500, REFUSED_422, HTML_200, PLAN, LIMITED])
def test_errors_survive_pickling_and_hold_no_secret(outcome: Response | Failure) -> None:
    failure, _ = call([outcome])
    data = pickle.dumps(failure)
    again = pickle.loads(data)
    assert type(again) is type(failure)
    assert str(again) == str(failure)
    assert again.endpoint is failure.endpoint
    for text in (data.decode("latin-1"), repr(failure), str(failure), repr(vars(failure))):
        assert "the-api-key" not in text
        assert "the-secret" not in text


@pytest.mark.parametrize("cancel_at", [0.5, 1.5, 3.5])
def test_cancellation_propagates_from_every_wait_and_leaks_no_permit(cancel_at: float) -> None:
    """In the middle of an attempt, of a backoff and of the next attempt."""

    async def main() -> None:
        limiter = Limiter(RateLimit(requests=1, period=1, lockout=1))
        session = new_session(Script([NOT_SENT]), limiter=limiter)
        task = asyncio.create_task(session.call(endpoints.GET_SMART_TRADE, path={"id": 1}))
        await asyncio.sleep(cancel_at)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(1.1):
            await limiter.acquire()

    virtual_time.run(main())


def test_a_call_that_waits_for_its_permit_when_the_client_closes_sends_nothing() -> None:
    script = Script([OK])

    async def main() -> None:
        session = new_session(script, limiter=Limiter(RateLimit(requests=1, period=10, lockout=1)))
        await session.call(endpoints.GET_SMART_TRADE, path={"id": 7})
        waiting = asyncio.create_task(session.call(endpoints.GET_SMART_TRADE, path={"id": 7}))
        await asyncio.sleep(1)
        await session.close()
        with pytest.raises(errors.ClientStateError, match="closed"):
            await waiting

    virtual_time.run(main())
    assert len(script.sent) == 1
