"""Orders that carry a reference, and what is done when their answer is lost: on a virtual clock."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests import virtual_time
from tests.scripted_api import LOST, NOT_SENT, REFUSED_422, SILENCE, START, Script, new_session
from threecommas_async import SmartTrade, SmartTradeOrder, errors
from threecommas_async.models.reference import marked, marker_in, reference_in
from threecommas_async.resources.smart_trades import SmartTrades
from threecommas_async.wire import Failure, Response

ORDER = SmartTradeOrder.simple_buy(account_id=5, pair="USDT_BTC", units="0.5", note="by my bot")
GATEWAY_504 = Response(504, {}, b"")


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

    async def send(self, request: Any, **options: Any) -> Response | Failure:
        now = asyncio.get_running_loop().time()
        if request.method == "POST" and self._executes and self._executes.pop(0):
            self.add(now + self._late, note=json.loads(request.body)["note"])
        if request.method == "GET":
            shown = [trade for since, trade in self.trades if since <= now]
            failing = self.lists_fail > 0
            self.lists_fail -= failing
            self.answers["GET"] = [LOST] if failing else [Response(200, {}, json.dumps(shown).encode())]
        return await super().send(request, **options)

    def add(self, at: float, **fields: Any) -> None:
        created = {"created_at": (START + timedelta(seconds=at)).isoformat().replace("+00:00", "Z")}
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


def test_the_marker_follows_the_users_own_note() -> None:
    exchange = Exchange([CREATED])
    assert create(exchange).id == 99
    note = json.loads(exchange.sent[0][1].body)["note"]
    assert note.startswith("by my bot [ref:r-1:")
    assert reference_in(note) == "r-1"
    assert len(note) == len("by my bot ") + len("[ref:r-1:]") + 6
    assert exchange.methods == "POST"


def test_each_order_has_a_marker_of_its_own() -> None:
    exchange = Exchange([CREATED])
    create(exchange, times=2)
    assert len({json.loads(request.body)["note"] for _, request in exchange.sent}) == 2


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


def test_an_order_that_is_carried_out_late_is_found_within_the_settle_time() -> None:
    exchange = Exchange([LOST], executes=(True,), late=8)
    assert create(exchange).id == 1
    # Looks 1, 2 and 4 s after the last thing that happened.
    assert [at for at, _ in exchange.log] == [0, 2, 5, 10]


def test_an_order_that_never_shows_is_sent_again_only_after_the_whole_settle_time() -> None:
    exchange = Exchange([LOST, CREATED])
    assert create(exchange).id == 99
    assert exchange.methods == "POST GET GET GET POST"
    first, last = exchange.sent[0][1], exchange.sent[-1][1]
    assert first.body == last.body


@pytest.mark.parametrize("given_up", [SILENCE, GATEWAY_504])
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


def test_a_list_that_cannot_be_read_in_full_proves_no_absence() -> None:
    exchange = Exchange([LOST, CREATED])
    exchange.add(0, id=None)
    error = create(exchange)
    assert type(error) is errors.OutcomeUnknownError
    assert "cannot be read" in error.__notes__[-1]


def test_pages_are_read_until_they_are_older_than_the_order() -> None:
    exchange = Exchange([LOST, CREATED])
    for number in range(250):
        exchange.add(-400 - number)
    exchange.trades.reverse()
    assert create(exchange).id == 99
    pages = [request.target.split("&page=")[1][0] for _, request in exchange.sent if request.method == "GET"]
    assert pages == ["1", "1", "1"]


def test_a_refused_repetition_is_the_refusal() -> None:
    exchange = Exchange([LOST, REFUSED_422])
    assert type(create(exchange)) is errors.InvalidRequestError


def test_an_order_that_never_left_is_not_looked_for() -> None:
    exchange = Exchange([NOT_SENT, NOT_SENT, CREATED])
    assert create(exchange).id == 99
    assert exchange.methods == "POST POST POST"


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

    assert virtual_time.run(main()) == [1, 99]
    assert exchange.methods == "POST GET GET GET GET POST"


def test_the_reference_of_a_lost_order_is_used_again_if_it_never_came() -> None:
    exchange = Exchange([SILENCE, CREATED])
    assert create(exchange, times=2).id == 99
    assert exchange.methods == "POST GET GET GET GET POST"
    assert exchange.sent[0][1].body == exchange.sent[-1][1].body


def test_the_reference_of_a_cancelled_order_finds_it_the_next_time() -> None:
    exchange = Exchange([CREATED], executes=(True,))

    async def main() -> int:
        trades = SmartTrades(new_session(exchange))
        task = asyncio.create_task(trades.create(ORDER, reference="r-1"))
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return (await trades.create(ORDER, reference="r-1")).id

    assert virtual_time.run(main()) == 1
    assert exchange.methods == "POST GET"


def test_without_a_reference_a_lost_order_is_unknown_at_once_and_carries_its_order() -> None:
    exchange = Exchange([LOST])
    error = create(exchange, reference=None)
    assert type(error) is errors.OutcomeUnknownError
    assert error.body == ORDER
    assert "find_created" in str(error)
    assert exchange.methods == "POST"


def test_candidates_for_a_lost_order_without_reference() -> None:
    exchange = Exchange([LOST])
    same = {"note": "by my bot"}
    exchange.add(-301, **same)  # Before the order left, by more than clocks differ.
    exchange.add(-299, **same)
    exchange.add(1, **same, id=42)
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
