"""Orders that carry a reference, and what is done when their answer is lost: on a virtual clock."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from tests import virtual_time
from tests.scripted_api import LOST, NOT_SENT, REFUSED_422, SILENCE, START, TIMEOUT_408, Script, new_session
from threecommas_async import BatchReport, SmartTrade, SmartTradeOrder, Verdict, created, endpoints, errors
from threecommas_async.limiter import Limiter
from threecommas_async.limits import RateLimit
from threecommas_async.models.reference import marked, marker_in, reference_in
from threecommas_async.resources.smart_trades import SmartTrades
from threecommas_async.wire import Failure, Response

ORDER = SmartTradeOrder.simple_buy(account_id=5, pair="USDT_BTC", units="0.5", note="by my bot")
GATEWAY_504 = Response(504, {}, b"")
GATEWAY_524 = Response(524, {}, b"")
LIMITED_20_S = Response(429, {"Retry-After": "20"}, b'{"error":"Rate limit exceeded"}')


class Exchange(Script):
    """Answers creates from a list; keeps what `executes` says, at once or `late` seconds afterwards."""

    def __init__(
        self, posts: list[Response | Failure], *, executes: tuple[bool, ...] = (), late: float = 0
    ) -> None:
        super().__init__({"POST": posts, "GET": [Response(200, {}, b"[]")]})
        self.trades: list[tuple[float, dict[str, Any]]] = []
        self.lists_fail = 0
        self._executes = list(executes)
        self._late = late
        self.ahead = 0.0

    async def send(self, request: Any, **options: Any) -> Response | Failure:
        now = asyncio.get_running_loop().time()
        if request.method == "POST" and self._executes and self._executes.pop(0):
            self.add(now + self._late, note=json.loads(request.body)["note"])
        if request.method == "GET":
            query = parse_qs(urlsplit(request.target).query)
            page, size = (int(query[name][0]) for name in ("page", "per_page"))
            shown = [trade for since, trade in self.trades if since <= now][(page - 1) * size : page * size]
            failing = self.lists_fail > 0
            self.lists_fail -= failing
            self.answers["GET"] = [LOST] if failing else [Response(200, {}, json.dumps(shown).encode())]
        return await super().send(request, **options)

    def add(self, at: float, **fields: Any) -> None:
        created = {
            "created_at": (START + timedelta(seconds=at + self.ahead)).isoformat().replace("+00:00", "Z")
        }
        trade = {
            "id": len(self.trades) + 1,
            "status": {"basic_type": "created"},
            "instant": True,
            "position": {"type": "buy"},
            "note_raw": fields.pop("note", None),
            "data": created,
        }
        self.trades.insert(0, (at, trade | fields))

    @property
    def methods(self) -> str:
        return " ".join(request.method for _, request in self.sent)

    @property
    def pages(self) -> list[str]:
        return [
            request.target.split("&page=")[1].split("&")[0]
            for _, request in self.sent
            if request.method == "GET"
        ]


CREATED = Response(201, {}, b'{"id":99,"status":{"basic_type":"created"}}')


def create(exchange: Exchange, *, times: int = 1, reference: str | None = "r-1", **options: Any) -> Any:
    """Create the order; returns the value or error of the last time."""

    async def main() -> object:
        trades = SmartTrades(new_session(exchange, **options))
        end: object = None
        for _ in range(times):
            try:
                end = await trades.create(ORDER, reference=reference)
            except errors.ThreeCommasError as error:
                end = error
        return end

    return virtual_time.run(main())


def test_the_marker_stands_before_the_users_own_note() -> None:
    exchange = Exchange([CREATED])
    assert create(exchange).id == 99
    note = json.loads(exchange.sent[0][1].body)["note"]
    assert note.startswith("[ref:r-1:")
    assert note.endswith("] by my bot")
    assert reference_in(note) == "r-1"
    assert len(note) == len("by my bot ") + len("[ref:r-1:]") + 6
    assert exchange.methods == "POST"


def test_each_client_has_a_marker_of_its_own_for_a_reference() -> None:
    notes = set()
    for _ in range(2):
        exchange = Exchange([CREATED])
        create(exchange)
        notes.add(json.loads(exchange.sent[0][1].body)["note"])
    assert len(notes) == 2


def test_a_reference_that_is_asked_for_again_is_the_same_trade() -> None:
    exchange = Exchange([CREATED])
    assert create(exchange, times=3).id == 99
    assert exchange.methods == "POST"


@pytest.mark.parametrize("problem", [ValueError(), asyncio.CancelledError()], ids=repr)
def test_a_listener_that_raises_hides_no_order(
    problem: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    exchange = Exchange([CREATED, CREATED])
    heard: list[int] = []

    def raises(_: object) -> None:
        raise problem

    async def main() -> list[int]:
        session = new_session(exchange, on_attempt=raises)
        trades = SmartTrades(session)
        listening = session.recorder.listening
        with listening(raises), listening(lambda exchange: heard.append(exchange.status)):
            return [(await trades.create(ORDER, reference="r-1")).id for _ in range(2)]

    assert virtual_time.run(main()) == [99, 99]
    assert exchange.methods == "POST"
    assert heard == [201]
    assert [entry.getMessage() for entry in caplog.records] == [
        "on_attempt raised; the call goes on",
        "on_exchange raised; the call goes on",
    ]


def test_what_fails_after_the_answer_hides_no_order() -> None:
    def full(row: endpoints.Endpoint[Any], _: object) -> None:
        if row is endpoints.CREATE_SMART_TRADE:
            raise OSError("no space left for the log")

    exchange = Exchange([CREATED, CREATED])
    error = create(exchange, notice=full)
    assert isinstance(error, errors.OutcomeUnknownError)
    assert isinstance(error.__cause__, OSError)
    exchange = Exchange([CREATED, CREATED])
    assert isinstance(create(exchange, times=2, notice=full), errors.OutcomeUnknownError)
    assert exchange.methods.count("POST") == 1


def test_a_reference_that_is_asked_for_twice_at_once_is_one_order() -> None:
    exchange = Exchange([CREATED])

    async def main() -> set[int]:
        session = new_session(exchange)
        trades = SmartTrades(session)
        view = trades.with_session(session.with_options(timeout=9, max_wait=None))
        calls = (trades.create(ORDER, reference="r-1"), view.create(ORDER, reference="r-1"))
        return {trade.id for trade in await asyncio.gather(*calls)}

    assert virtual_time.run(main()) == {99}
    assert exchange.methods == "POST"


def test_who_waits_for_the_same_reference_waits_no_longer_than_its_own_timeout() -> None:
    exchange = Exchange([CREATED])
    exchange.seconds = 10

    async def main() -> float:
        session = new_session(exchange)
        trades = SmartTrades(session)
        first = asyncio.create_task(trades.create(ORDER, reference="r-1"))
        await asyncio.sleep(0)
        view = trades.with_session(session.with_options(timeout=4, max_wait=None))
        with pytest.raises(
            errors.OutcomeUnknownError, match="another call with the same reference"
        ) as caught:
            await view.create(ORDER, reference="r-1")
        assert caught.value.reference == "r-1"
        ended = asyncio.get_running_loop().time()
        assert (await first).id == 99
        return ended

    assert virtual_time.run(main()) == pytest.approx(4)
    assert exchange.methods == "POST"


def test_a_reference_belongs_to_one_order() -> None:
    exchange = Exchange([CREATED])

    async def main() -> None:
        trades = SmartTrades(new_session(exchange))
        await trades.create(ORDER, reference="r-1")
        other = SmartTradeOrder.simple_buy(account_id=5, pair="USDT_BTC", units="0.6", note="by my bot")
        with pytest.raises(ValueError, match="belongs to another order"):
            await trades.create(other, reference="r-1")

    virtual_time.run(main())
    assert exchange.methods == "POST"


def test_a_reference_whose_order_was_refused_can_be_used_again() -> None:
    exchange = Exchange([REFUSED_422, CREATED])
    assert create(exchange, times=2).id == 99
    assert exchange.methods == "POST POST"


def test_a_reference_whose_order_was_refused_is_free_for_the_corrected_one() -> None:
    exchange = Exchange([REFUSED_422, CREATED])
    corrected = msgspec.structs.replace(ORDER, note="by my other bot")

    async def main() -> int:
        trades = SmartTrades(new_session(exchange))
        with pytest.raises(errors.InvalidRequestError):
            await trades.create(ORDER, reference="r-1")
        made = await trades.create(corrected, reference="r-1")
        with pytest.raises(ValueError, match="belongs to another order"):
            await trades.create(ORDER, reference="r-1")
        return made.id

    assert virtual_time.run(main()) == 99
    assert exchange.methods == "POST POST"


def test_a_reference_is_not_free_while_somebody_waits_to_send_its_order() -> None:
    exchange = Exchange([REFUSED_422, CREATED])
    other = msgspec.structs.replace(ORDER, note="by my other bot")

    async def main() -> int:
        trades = SmartTrades(new_session(exchange))

        async def refused_and_corrected() -> None:
            with pytest.raises(errors.InvalidRequestError):
                await trades.create(ORDER, reference="r-1")
            with pytest.raises(ValueError, match="belongs to another order"):
                await trades.create(other, reference="r-1")

        first = asyncio.create_task(refused_and_corrected())
        await asyncio.sleep(0)
        second = asyncio.create_task(trades.create(ORDER, reference="r-1"))
        await first
        return (await second).id

    assert virtual_time.run(main()) == 99
    assert exchange.methods == "POST POST"


@pytest.mark.parametrize("lost", [LOST, SILENCE, GATEWAY_504, Response(201, {}, b"")])
def test_an_order_whose_answer_was_lost_is_found_by_its_marker(lost: Response | Failure) -> None:
    exchange = Exchange([lost], executes=(True,))
    exchange.add(-60, note="[ref:r-1:abcdef]")  # An older order of the same reference.
    trade = create(exchange)
    assert (trade.id, trade.reference) == (2, "r-1")
    assert [at for at, _ in exchange.log] == [0, 2]
    assert exchange.sent[1][1].target == (
        "/public/api/v2/smart_trades?account_id=5&order_by=created_at&order_direction=DESC&page=1"
        "&pair=USDT_BTC&per_page=100&status=all"
    )


def test_an_order_is_found_by_its_marker_however_wrong_the_clock_here_is() -> None:
    exchange = Exchange([LOST], executes=(True,))
    exchange.ahead = -86400
    assert create(exchange).id == 1


def test_an_order_that_is_carried_out_late_is_found_within_the_settle_time() -> None:
    exchange = Exchange([LOST], executes=(True,), late=8)
    assert create(exchange).id == 1
    # Looks 1, 2 and 4 s after the last thing that happened.
    assert [at for at, _ in exchange.log] == [0, 2, 5, 10]


@pytest.mark.parametrize(("executes", "verdict"), [(True, Verdict.DONE), (False, Verdict.UNKNOWN)])
def test_a_batch_that_is_over_calls_off_no_look_for_an_order(*, executes: bool, verdict: Verdict) -> None:
    exchange = Exchange([LOST, CREATED], executes=(executes,), late=3)

    async def create(calls: SmartTrades, reference: str) -> SmartTrade:
        return await calls.create(ORDER, reference=reference)

    async def main() -> BatchReport:
        return await SmartTrades(new_session(exchange)).run_many(create, ["r-1"], deadline=1.5)

    report = virtual_time.run(main())
    assert report.counts == {verdict: 1}
    assert exchange.methods == "POST GET GET" + ("" if executes else " GET")


def test_an_order_that_never_shows_is_sent_again_only_after_the_whole_settle_time() -> None:
    exchange = Exchange([LOST, CREATED])
    assert create(exchange).id == 99
    assert exchange.methods == "POST GET GET GET POST"
    first, last = exchange.sent[0][1], exchange.sent[-1][1]
    assert first.body == last.body


@pytest.mark.parametrize("given_up", [SILENCE, TIMEOUT_408, GATEWAY_504, GATEWAY_524])
def test_an_order_that_the_api_may_still_be_at_work_on_is_not_sent_again(
    given_up: Response | Failure,
) -> None:
    exchange = Exchange([given_up, CREATED])
    assert type(create(exchange)) is errors.OutcomeUnknownError
    assert exchange.methods == "POST GET GET GET"


def test_a_deadline_that_cuts_the_settle_time_short_leaves_the_order_unknown() -> None:
    exchange = Exchange([LOST, CREATED])
    assert type(create(exchange, timeout=8)) is errors.OutcomeUnknownError
    assert exchange.methods == "POST GET GET"


def test_a_last_look_that_fails_leaves_the_order_unknown() -> None:
    exchange = Exchange([LOST, CREATED])
    exchange.lists_fail = 100
    assert type(create(exchange)) is errors.OutcomeUnknownError
    assert "POST" not in exchange.methods[4:]


def test_two_orders_with_the_marker_are_an_error_and_no_guess() -> None:
    exchange = Exchange([LOST], executes=(True,))

    async def main() -> None:
        async def copy() -> None:
            await asyncio.sleep(0.5)
            exchange.add(0, note=exchange.trades[0][1]["note_raw"])

        task = asyncio.create_task(copy())
        await SmartTrades(new_session(exchange)).create(ORDER, reference="r-1")
        await task

    with pytest.raises(errors.OutcomeUnknownError) as caught:
        virtual_time.run(main())
    assert "several SmartTrades carry [ref:r-1:" in caught.value.__notes__[-1]
    assert caught.value.__notes__[-1].endswith("]: 1, 2")


def test_a_list_in_another_order_proves_no_absence() -> None:
    exchange = Exchange([LOST, CREATED])
    for at in (-20, -10):
        exchange.add(at)
    exchange.trades.reverse()
    error = create(exchange)
    assert type(error) is errors.OutcomeUnknownError
    assert "do not come in the order" in error.__notes__[-1]


def test_an_order_is_not_sent_again_on_the_strength_of_an_old_look() -> None:
    exchange = Exchange([LOST, CREATED], executes=(True,), late=30)
    limiter = Limiter(RateLimit(requests=4, period=60, lockout=300), reserve=0)
    error = create(exchange, limiter=limiter)
    assert type(error) is errors.OutcomeUnknownError
    assert exchange.methods == "POST GET GET GET"


def test_after_a_repetition_that_never_left_an_order_is_looked_for_again() -> None:
    exchange = Exchange([LOST, NOT_SENT, CREATED], executes=(True,), late=12)
    assert create(exchange).id == 1
    assert exchange.methods.startswith("POST GET GET GET POST GET")
    assert exchange.methods.count("POST") == 2


def test_after_a_429_an_order_is_looked_for_again_before_it_is_sent_again() -> None:
    exchange = Exchange([LOST, LIMITED_20_S, CREATED], executes=(True,), late=20)
    assert create(exchange).id == 1
    assert exchange.methods == "POST GET GET GET POST GET"


def test_a_list_that_cannot_be_read_in_full_proves_no_absence() -> None:
    exchange = Exchange([LOST, CREATED])
    exchange.add(0, id=None)
    error = create(exchange)
    assert type(error) is errors.OutcomeUnknownError
    assert "cannot be read" in error.__notes__[-1]


def test_an_order_is_found_behind_a_page_of_newer_ones() -> None:
    exchange = Exchange([LOST], executes=(True,))

    def trade_by_hand() -> None:
        for _ in range(150):
            exchange.add(0.5)

    async def main() -> int:
        asyncio.get_running_loop().call_later(0.5, trade_by_hand)
        return (await SmartTrades(new_session(exchange)).create(ORDER, reference="r-1")).id

    assert virtual_time.run(main()) == 1
    assert exchange.pages == ["1", "2"]


def test_pages_are_read_until_they_are_older_than_the_order() -> None:
    exchange = Exchange([LOST, CREATED])
    for number in range(400):
        exchange.add(-3850 + number)
    assert create(exchange).id == 99
    # 150 of them are not older than the hour by which clocks may differ.
    assert exchange.pages == ["1", "2"] * 3


def test_more_trades_since_the_order_than_are_read_prove_no_absence() -> None:
    exchange = Exchange([LOST, CREATED])
    for number in range(1001):
        exchange.add(-3000 + number)
    error = create(exchange, timeout=200)
    assert type(error) is errors.OutcomeUnknownError
    assert "more than 1000 SmartTrades of USDT_BTC" in error.__notes__[-1]
    assert exchange.methods == "POST" + " GET" * 30
    assert exchange.pages == [str(number) for number in range(1, 11)] * 3


def test_a_refused_repetition_is_the_refusal() -> None:
    exchange = Exchange([LOST, REFUSED_422])
    assert type(create(exchange)) is errors.InvalidRequestError


def test_an_order_that_never_left_is_not_looked_for() -> None:
    exchange = Exchange([NOT_SENT, NOT_SENT, CREATED])
    assert create(exchange).id == 99
    assert exchange.methods == "POST POST POST"


def answer(**fields: Any) -> Response:
    body = {"id": 77, "status": {"basic_type": "created"}} | fields
    return Response(201, {}, json.dumps(body).encode())


ANOTHER = {
    "account": answer(account={"id": 999}, pair="USDT_BTC"),
    "pair": answer(account={"id": 5}, pair="USDT_ETH"),
}


@pytest.mark.parametrize("about", ANOTHER)
def test_an_answer_about_another_order_is_none(about: str) -> None:
    exchange = Exchange([ANOTHER[about]])
    error = create(exchange, reference=None)
    assert type(error) is errors.OutcomeUnknownError
    assert type(error.__cause__) is errors.DecodeError
    assert "body that does not fit: it is about " in str(error.__cause__)
    assert exchange.methods == "POST"


@pytest.mark.parametrize(
    "stray", [*ANOTHER.values(), answer(note_raw="by hand"), answer(note="[ref:r-2:abcdef] by hand")]
)
def test_after_an_answer_about_another_order_the_own_one_is_looked_for(stray: Response) -> None:
    exchange = Exchange([stray], executes=(True,))
    assert create(exchange, times=2).id == 1
    assert exchange.methods == "POST GET"


def test_after_an_answer_about_another_order_that_never_shows_nothing_is_sent_again() -> None:
    exchange = Exchange([ANOTHER["account"], CREATED])
    error = create(exchange, times=2)
    assert type(error) is errors.OutcomeUnknownError
    assert "it may be carried out until" in str(error)
    assert exchange.methods == "POST GET GET GET GET"


@pytest.mark.parametrize(
    "fields",
    [
        {"account": {}, "pair": None, "note": "", "note_raw": None},
        {"account": {"id": 5}, "pair": "usdt_btc"},
        {"pair": "USDT_BTCUSDT_UMCBL"},
        {"pair": "USDT_BTC", "note": "(ref:r-1:abcdef) by my bot"},
    ],
)
def test_an_answer_that_leaves_out_or_spells_otherwise_is_one(fields: dict[str, Any]) -> None:
    exchange = Exchange([answer(**fields)])
    assert create(exchange).id == 77
    assert exchange.methods == "POST"


def test_an_order_of_odd_types_is_answered_all_the_same() -> None:
    exchange = Exchange([answer(account={"id": 5}, pair="USDT_BTC", note="x")])

    async def main() -> int:
        odd: Any = {"account_id": "5", "pair": 7}
        trades = SmartTrades(new_session(exchange))
        return (await trades.create(msgspec.structs.replace(ORDER, **odd), validate=False)).id

    assert virtual_time.run(main()) == 77


def test_the_reference_of_a_lost_order_finds_it_the_next_time() -> None:
    exchange = Exchange([SILENCE, CREATED], executes=(True,), late=60)

    async def main() -> list[int]:
        trades = SmartTrades(new_session(exchange))
        with pytest.raises(errors.OutcomeUnknownError):
            await trades.create(ORDER, reference="r-1")
        await asyncio.sleep(60)
        found = await trades.create(ORDER, reference="r-1")
        another = await trades.create(ORDER, reference="r-1")
        return [found.id, another.id]

    assert virtual_time.run(main()) == [1, 1]
    assert exchange.methods == "POST GET GET GET GET"


def test_a_lost_order_is_sent_again_only_when_it_can_come_no_more() -> None:
    exchange = Exchange([SILENCE, CREATED])

    async def main() -> int:
        trades = SmartTrades(new_session(exchange))
        unknown: list[errors.OutcomeUnknownError] = []
        for _ in range(3):
            with pytest.raises(errors.OutcomeUnknownError) as caught:
                await trades.create(ORDER, reference="r-1")
            unknown.append(caught.value)
            await asyncio.sleep(30)
        assert {error.reference for error in unknown} == {"r-1"}
        assert {error.settled_at for error in unknown} == {START + timedelta(seconds=121)}
        assert "nothing was sent" in str(unknown[-1])
        await asyncio.sleep(31)
        return (await trades.create(ORDER, reference="r-1")).id

    assert virtual_time.run(main()) == 99
    assert exchange.methods == "POST GET GET GET" + " GET" * 3 + " POST"
    assert exchange.sent[0][1].body == exchange.sent[-1][1].body


@pytest.mark.parametrize("stepped_in", ["the call", "the wait"])
def test_a_step_of_the_wall_clock_does_not_let_a_lost_order_be_sent_again(stepped_in: str) -> None:
    exchange = Exchange([SILENCE, CREATED])

    async def main() -> int:
        loop = asyncio.get_running_loop()
        step = timedelta()

        def now() -> datetime:
            during = stepped_in == "the call" and loop.time() > 3
            return START + timedelta(seconds=loop.time()) + (timedelta(minutes=3) if during else step)

        trades = SmartTrades(new_session(exchange, now=now))
        with pytest.raises(errors.OutcomeUnknownError):
            await trades.create(ORDER, reference="r-1")
        step = timedelta(minutes=3)
        await asyncio.sleep(105)
        with pytest.raises(errors.OutcomeUnknownError, match=r"may be carried out until 00:0\d:\d\d UTC"):
            await trades.create(ORDER, reference="r-1")
        await asyncio.sleep(20)
        return (await trades.create(ORDER, reference="r-1")).id

    assert virtual_time.run(main()) == 99
    assert exchange.methods == "POST GET GET GET" + " GET" * 2 + " POST"


def test_a_lost_order_that_cannot_be_looked_for_stays_unknown() -> None:
    exchange = Exchange([SILENCE])
    exchange.lists_fail = 1000
    error = create(exchange, times=2)
    assert type(error) is errors.OutcomeUnknownError
    assert "nothing was sent" in str(error)
    assert "POST" not in exchange.methods[4:]


def test_trades_are_found_by_their_reference_after_a_restart() -> None:
    exchange = Exchange([])
    exchange.add(-3601, note="[ref:r-1:000000]")
    exchange.add(-3599, note="[ref:r-1:abcdef]")
    exchange.add(0, note="[ref:r-2:000000]")

    async def main() -> list[int]:
        trades = SmartTrades(new_session(exchange))
        with pytest.raises(ValueError, match="reference must be"):
            await trades.find_reference("a b", account_id=5, pair="USDT_BTC", since=START)
        with pytest.raises(ValueError, match="since must be an aware datetime"):
            await trades.find_reference(
                "r-1", account_id=5, pair="USDT_BTC", since=START.replace(tzinfo=None)
            )
        found = await trades.find_reference("r-1", account_id=5, pair="USDT_BTC", since=START)
        return [trade.id for trade in found]

    assert virtual_time.run(main()) == [2]


@pytest.mark.parametrize(
    ("place", "fault"),
    [
        *(
            ({"account_id": wrong}, "account_id must be a positive")
            for wrong in (None, True, 0, -1, "5", 5.0)
        ),
        *(({"pair": wrong}, "pair must be given") for wrong in (None, "", " ", "BTC", 7, "USDT_BTC ")),
    ],
)
def test_a_search_for_a_reference_names_one_account_and_one_pair(place: dict[str, Any], fault: str) -> None:
    exchange = Exchange([])

    async def main() -> None:
        named: dict[str, Any] = {"account_id": 5, "pair": "USDT_BTC", "since": START} | place
        await SmartTrades(new_session(exchange)).find_reference("r-1", **named)

    with pytest.raises(ValueError, match=fault):
        virtual_time.run(main())
    assert exchange.sent == []


@pytest.mark.parametrize(
    ("instant", "hours"),
    [(datetime.min.replace(tzinfo=UTC), 1), (datetime.max.replace(tzinfo=UTC), -1)],
    ids=["before year 1", "after year 9999"],
)
def test_an_instant_that_utc_does_not_have_is_refused(instant: datetime, hours: int) -> None:
    exchange = Exchange([])
    beyond = instant.replace(tzinfo=timezone(timedelta(hours=hours)))

    async def main() -> None:
        trades = SmartTrades(new_session(exchange))
        with pytest.raises(ValueError, match="since must be of the years 1 to 9999"):
            await trades.find_reference("r-1", account_id=5, pair="USDT_BTC", since=beyond)
        with pytest.raises(ValueError, match="from_ must be of the years 1 to 9999"):
            await trades.list(from_=beyond)

    virtual_time.run(main())
    assert exchange.sent == []


def test_a_search_since_the_first_instant_there_is_finds_all() -> None:
    exchange = Exchange([])
    exchange.add(-999_999, note="[ref:r-1:000000]")

    async def main() -> list[int]:
        since = datetime.min.replace(tzinfo=UTC)
        trades = SmartTrades(new_session(exchange))
        return [
            trade.id
            for trade in await trades.find_reference("r-1", account_id=5, pair="USDT_BTC", since=since)
        ]

    assert virtual_time.run(main()) == [1]


@pytest.mark.parametrize("validate", [True, False])
def test_what_has_no_form_in_json_is_refused(*, validate: bool) -> None:
    exchange = Exchange([])
    odd: Any = object()

    async def main() -> None:
        trades = SmartTrades(new_session(exchange))
        await trades.add_funds(7, units="1", order_type=odd, validate=validate)

    with pytest.raises(ValueError, match="cannot be sent: Encoding objects of type object"):
        virtual_time.run(main())
    assert exchange.sent == []


def test_the_reference_of_a_cancelled_order_finds_it_the_next_time() -> None:
    exchange = Exchange([CREATED], executes=(True,))

    async def main() -> int:
        session = new_session(exchange)
        trades = SmartTrades(session)
        task = asyncio.create_task(trades.create(ORDER, reference="r-1"))
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert [error.reference for error in session.in_flight_unknown] == ["r-1"]
        found = await trades.create(ORDER, reference="r-1")
        assert session.in_flight_unknown == ()  # It is known now what became of it.
        return found.id

    assert virtual_time.run(main()) == 1
    assert exchange.methods == "POST GET"


def test_without_a_reference_a_lost_order_is_unknown_at_once_and_carries_its_order() -> None:
    exchange = Exchange([LOST])
    error = create(exchange, reference=None)
    assert type(error) is errors.OutcomeUnknownError
    assert (error.request, error.reference) == (ORDER, None)
    assert "find_created" in str(error)
    assert exchange.methods == "POST"


def test_candidates_for_a_lost_order_without_reference() -> None:
    exchange = Exchange([LOST])
    same = {"note": "by my bot"}
    exchange.add(-3601, **same)  # Before the order left, by more than clocks differ.
    exchange.add(-3599, **same)
    exchange.add(1, note="by  my bot\n", id=42)
    exchange.add(1, note="by hand")
    exchange.add(1, **same, position={"type": "sell"})
    exchange.add(1, **same, instant=False)
    exchange.add(1, **same, skip_enter_step=True)

    async def main() -> list[int]:
        trades = SmartTrades(new_session(exchange))
        with pytest.raises(errors.OutcomeUnknownError) as caught:
            await trades.create(ORDER)
        return [trade.id for trade in await trades.find_created(caught.value)]

    assert virtual_time.run(main()) == [2, 42]


def test_a_search_that_is_given_up_names_an_instant_with_its_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(created, "MAX_PAGES", 1)
    exchange = Exchange([])
    for _ in range(100):
        exchange.add(0)

    async def main() -> None:
        trades = SmartTrades(new_session(exchange))
        await trades.find_reference("r-1", account_id=5, pair="USDT_BTC", since=START)

    with pytest.raises(errors.ThreeCommasError) as caught:
        virtual_time.run(main())
    assert str(caught.value) == "more than 100 SmartTrades of USDT_BTC since 2025-12-31T23:00:00+00:00"


def test_only_the_error_of_a_create_leads_to_candidates() -> None:
    async def main() -> None:
        await SmartTrades(new_session(Exchange([LOST]))).find_created(errors.OutcomeUnknownError())

    with pytest.raises(ValueError, match="not about the creation"):
        virtual_time.run(main())


@pytest.mark.parametrize(
    ("note", "reference", "fault"),
    [
        (None, "", "reference must be"),
        (None, "a b", "reference must be"),
        (None, "a]", "reference must be"),
        (None, "x" * 65, "reference must be"),
        (None, 7, "reference must be"),
        (None, [], "reference must be"),
        ("x" * 286, "r", "300 are allowed"),
        ("[ref:r-1:abcdef]", "r-1", "already"),
    ],
)
def test_a_reference_that_cannot_be_used_is_refused_before_anything_is_sent(
    note: str | None, reference: Any, fault: str
) -> None:
    exchange = Exchange([CREATED])

    async def main() -> None:
        order = msgspec.structs.replace(ORDER, note=note)
        await SmartTrades(new_session(exchange)).create(order, reference=reference)

    with pytest.raises(ValueError, match=fault):
        virtual_time.run(main())
    assert exchange.sent == []


def test_the_longest_note_that_fits_beside_a_reference() -> None:
    note = marked("x" * 285, "r", "abcdef")
    assert len(note) == 300
    assert marker_in(note) == "[ref:r:abcdef]"
    assert marked(None, "r", "abcdef") == "[ref:r:abcdef]"


@pytest.mark.parametrize(
    ("note", "raw", "reference"),
    [
        ("", None, None),
        ("hello", "hello", None),
        ("a &lt; b [ref:x.1:012345]", None, "x.1"),
        ("", "a < b [ref:x.1:012345]", "x.1"),
        ("", "[ref:x.1:nothex]", None),
    ],
)
def test_a_trade_knows_its_reference(note: str, raw: str | None, reference: str | None) -> None:
    body = json.dumps({"id": 1, "status": {}, "note": note, "note_raw": raw}).encode()
    assert msgspec.json.decode(body, type=SmartTrade).reference == reference
