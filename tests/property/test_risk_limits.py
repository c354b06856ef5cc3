"""What the server carries out stays within the limits of the client, whatever becomes of the answers."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from tests import virtual_time
from tests.scripted_api import LOST, NOT_SENT, REFUSED_422, SILENCE, new_session
from threecommas_async import RiskLimits, SmartTradeOrder, ThreeCommasError, risk
from threecommas_async.guard import Guard
from threecommas_async.resources.smart_trades import SmartTrades
from threecommas_async.risk import Rails
from threecommas_async.wire import Failure, Response

if TYPE_CHECKING:
    from threecommas_async.wire import Progress, Request

PER_HOUR, MOST_OPEN = 500, 4
FATES: Final = ("good", "good", "slow", "slow", "lost", "late", "silent", "refused", "not sent", "cancelled")
steps = st.tuples(
    st.sampled_from((1, 1, 2, 120, 200, 240, 260)),
    st.sampled_from(FATES),
    st.sampled_from((0, 0, 1, 4.2, 8, 40, 1900, 3200)),
    st.integers(0, 4),
)


class Server:
    """Carries orders out as their note says, and keeps when each of them was."""

    def __init__(self) -> None:
        self.done: list[tuple[float, int, int]] = []
        self.open: set[int] = set()
        self.most_open = 0

    async def send(
        self, request: Request, *, timeout: float, new_connection: bool, progress: Progress
    ) -> Response | Failure:
        del timeout, new_connection
        progress.sent = True
        await asyncio.sleep(0.5)
        if request.method == "GET":
            asked = parse_qs(request.target.partition("?")[2])
            [page], [per_page], [direction] = asked["page"], asked["per_page"], asked["order_direction"]
            ids = sorted(self.open, reverse=direction == "DESC")[(int(page) - 1) * int(per_page) :]
            entries = [{"id": id, "status": {"type": "waiting_targets"}} for id in ids[: int(per_page)]]
            return Response(200, {}, json.dumps(entries).encode())
        body = json.loads(request.body)
        fate = body["note"]
        if fate == "refused":
            return REFUSED_422
        if fate == "not sent":
            progress.sent = False
            return NOT_SENT
        if fate == "silent":
            return SILENCE
        if fate == "slow":
            await asyncio.sleep(5)
        id = len(self.done) + 1
        self.done.append((asyncio.get_running_loop().time(), id, int(body["position"]["units"]["value"])))
        self.open.add(id)
        self.most_open = max(self.most_open, len(self.open))
        await asyncio.sleep(0.5)
        if fate == "lost":
            return LOST
        if fate in {"late", "cancelled"}:
            await asyncio.sleep(5)
        return Response(201, {}, b'{"id":%d,"status":{"type":"waiting_targets"}}' % id)

    async def close(self) -> None:
        pass

    def most_in_an_hour(self) -> int:
        starts = [at for at, _, _ in self.done]
        return max(
            (sum(q for at, _, q in self.done if begin <= at < begin + 3600) for begin in starts), default=0
        )


@settings(max_examples=150)
@given(st.lists(steps, min_size=1, max_size=16))
# The fourth is carried out while the list is read for the fifth, between two of its pages.
@example([(1, "good", 8, 0)] * 3 + [(1, "slow", 4.2, 0), (1, "good", 0, 0)])
def test_no_hour_holds_more_than_its_bound_and_no_moment_more_open_trades(
    script: list[tuple[int, str, float, int]],
) -> None:
    async def main() -> Server:
        server = Server()
        limits = RiskLimits(max_quote_per_hour=PER_HOUR, max_open_trades=MOST_OPEN, max_quote_per_order=250)
        rails = Rails(limits, clock=asyncio.get_running_loop().time)
        trades = SmartTrades(new_session(server, guard=Guard(rails=rails)))  # type: ignore[arg-type]
        calls: list[asyncio.Future[Any]] = []
        for units, fate, pause, closed in script:
            order = SmartTradeOrder.simple_buy(
                account_id=5, pair="USDT_X", units=units, order_type="limit", price=1, note=fate
            )
            calls.append(asyncio.ensure_future(trades.create(order)))
            if fate == "cancelled":
                asyncio.get_running_loop().call_later(2, calls[-1].cancel)
            await asyncio.sleep(pause)
            server.open -= set(sorted(server.open)[:closed])
        for ended in await asyncio.gather(*calls, return_exceptions=True):
            assert not isinstance(ended, BaseException) or isinstance(
                ended, ThreeCommasError | asyncio.CancelledError
            )
        return server

    with pytest.MonkeyPatch.context() as patch:
        # Pages of one, so that the bound on open trades takes several.
        patch.setattr(risk, "PAGE_SIZE", 1)
        patch.setitem(risk._ACTIVE, "per_page", 1)
        server = virtual_time.run(main())
    assert server.most_in_an_hour() <= PER_HOUR
    assert server.most_open <= MOST_OPEN
    assert all(quote <= 250 for _, _, quote in server.done)
    total = list(accumulate(Decimal(quote) for _, _, quote in server.done))
    event(f"orders carried out: {len(total)}")
