"""What a client was told not to do, against the sandbox: the ledger shows what came through."""

from __future__ import annotations

import json
import logging
import pickle
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from threecommas_async import (
    AccountError,
    AuthenticationError,
    DryRunError,
    GuardError,
    ModeMismatchError,
    NotFoundError,
    OrderStopLoss,
    Permission,
    PermissionDeniedError,
    ReadOnlyError,
    RiskLimitError,
    RiskLimits,
    SmartTradeOrder,
    SmartTradeUpdate,
    ThreeCommas,
    Verdict,
)
from threecommas_async.resources.order_rules import known_account
from threecommas_async.sandbox import (
    FOREIGN_ACCOUNT,
    FUTURES_ACCOUNT,
    PAPER_ACCOUNT,
    REAL_ACCOUNT,
    WALLET_ACCOUNT,
    Sandbox,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PAPER, REAL = PAPER_ACCOUNT.id, REAL_ACCOUNT.id
TRADES = {Permission.SMART_TRADES_READ, Permission.SMART_TRADES_WRITE}
WRITES: dict[str, Callable[[ThreeCommas, int], Any]] = {
    "close": lambda client, trade_id: client.smart_trades.close_by_market(trade_id),
    "cancel": lambda client, trade_id: client.smart_trades.cancel(trade_id),
    "force_start": lambda client, trade_id: client.smart_trades.force_start(trade_id),
    "force_process": lambda client, trade_id: client.smart_trades.force_process(trade_id),
    "note": lambda client, trade_id: client.smart_trades.set_note(trade_id, "x"),
    "add": lambda client, trade_id: client.smart_trades.add_funds(trade_id, units=15),
    "reduce": lambda client, trade_id: client.smart_trades.reduce_funds(trade_id, units=15),
    "update": lambda client, trade_id: client.smart_trades.update(
        trade_id, SmartTradeUpdate(stop_loss=OrderStopLoss(enabled=False))
    ),
    "close_trade": lambda client, trade_id: client.smart_trades.close_trade_by_market(trade_id, 1),
    "cancel_trade": lambda client, trade_id: client.smart_trades.cancel_trade(trade_id, 1),
}


GOOD: dict[str, Any] = {"mode": "paper"}


def order(account_id: int, units: int = 100) -> SmartTradeOrder:
    return SmartTradeOrder.simple_buy(account_id=account_id, pair="USDT_DOGE", units=units)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Three trades on the paper account, the third one from the last on the real one."""
    async with Sandbox(trades=3) as sandbox:
        sandbox.exchange.seed(2, account_id=REAL)
        yield sandbox


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[ThreeCommas]:
    async with ThreeCommas(**sandbox.credentials()) as client:
        yield client


@pytest.mark.parametrize("name", WRITES)
async def test_a_paper_client_refuses_a_write_on_a_trade_of_a_real_account(
    name: str, sandbox: Sandbox, client: ThreeCommas
) -> None:
    [*_, id] = sandbox.exchange.trades
    with pytest.raises(ModeMismatchError):
        await WRITES[name](client, id)
    with pytest.raises(ModeMismatchError, match=r"not a paper account .*is_paper") as refused:
        await WRITES[name](client, id)
    error = refused.value
    assert (error.account_id, error.smart_trade_id, error.is_known) == (REAL, id, True)
    assert error.endpoint is not None
    assert error.endpoint.method != "GET"
    assert sandbox.ledger == ()
    assert sandbox.requests == 1
    assert pickle.loads(pickle.dumps(error)).account_id == REAL


async def test_a_paper_client_writes_on_paper_accounts(sandbox: Sandbox, client: ThreeCommas) -> None:
    created = await client.smart_trades.create(order(PAPER))
    assert sandbox.requests == 2
    [id, *_] = sandbox.exchange.trades
    await client.smart_trades.set_note(created.id, "known")
    await client.smart_trades.set_note(id, "read once")
    await client.smart_trades.set_note(id, "known now")
    assert sandbox.requests == 6
    assert [entry.account_id for entry in sandbox.ledger] == [PAPER] * 4


@pytest.mark.parametrize("account_id", [REAL, FUTURES_ACCOUNT.id])
async def test_a_paper_client_creates_nothing_on_a_real_account(
    account_id: int, sandbox: Sandbox, client: ThreeCommas
) -> None:
    for reference in (None, "r-1"):
        with pytest.raises(ModeMismatchError) as refused:
            await client.smart_trades.create(order(account_id), reference=reference)
        assert refused.value.account_id == account_id
    with pytest.raises(ModeMismatchError):
        await client.accounts.rename(account_id, "x")
    with pytest.raises(ModeMismatchError):
        await client.accounts.load_balances(account_id)
    assert (sandbox.ledger, sandbox.requests) == ((), 1)


async def test_listed_trades_are_closed_without_an_extra_request(
    sandbox: Sandbox, client: ThreeCommas
) -> None:
    trades = await client.smart_trades.list()
    report = await client.smart_trades.close_many(trades)
    assert report.counts == {Verdict.CLOSING: 3, Verdict.REFUSED: 2}
    assert {type(outcome.error) for outcome in report.failed} == {ModeMismatchError}
    assert sandbox.requests == 1 + 3
    assert {entry.account_id for entry in sandbox.ledger} == {PAPER}


async def test_bare_ids_of_a_batch_are_read_by_pages(sandbox: Sandbox, client: ThreeCommas) -> None:
    report = await client.smart_trades.close_many(list(sandbox.exchange.trades))
    assert report.counts == {Verdict.CLOSING: 3, Verdict.REFUSED: 2}
    assert sandbox.requests == report.requests == 1 + 3


async def test_a_bare_id_is_read_by_itself(sandbox: Sandbox, client: ThreeCommas) -> None:
    await client.smart_trades.close_by_market(next(iter(sandbox.exchange.trades)))
    assert sandbox.requests == 1 + 1


async def test_views_share_what_is_known(sandbox: Sandbox, client: ThreeCommas) -> None:
    await client.with_options(timeout=5).accounts.list()
    await client.smart_trades.create(order(PAPER))
    with pytest.raises(ModeMismatchError):
        await client.with_options(timeout=4).smart_trades.create(order(REAL))
    assert sandbox.requests == 2


async def test_a_trade_that_nobody_knows_is_not_found(sandbox: Sandbox, client: ThreeCommas) -> None:
    with pytest.raises(NotFoundError):
        await client.smart_trades.close_by_market(999)
    assert sandbox.requests == 1


async def test_an_unknown_account_and_one_without_smart_trades_are_refused_before_an_order_is_sent(
    sandbox: Sandbox, client: ThreeCommas
) -> None:
    with pytest.raises(AccountError, match="no account") as unknown:
        await client.smart_trades.create(order(FOREIGN_ACCOUNT.id))
    assert (unknown.value.account_id, unknown.value.reason) == (FOREIGN_ACCOUNT.id, "unknown")
    with pytest.raises(AccountError):
        await known_account(client._session, FOREIGN_ACCOUNT.id)
    async with ThreeCommas(**sandbox.credentials(mode="real")) as real:
        assert (await known_account(real._session, WALLET_ACCOUNT.id)).smart_trading_supported is False
        before = sandbox.requests
        await known_account(real._session, WALLET_ACCOUNT.id)
        with pytest.raises(AccountError, match="takes no SmartTrades") as unable:
            await real.smart_trades.create(order(WALLET_ACCOUNT.id))
        assert unable.value.reason == "no_smart_trading"
        assert sandbox.requests == before
    assert sandbox.ledger == ()


async def test_a_paper_account_without_smart_trades_is_refused_before_an_order_is_sent(
    sandbox: Sandbox,
) -> None:
    sandbox.exchange.accounts[4] = type(PAPER_ACCOUNT)(4, "paper_trading", "x", "x", smart_trading=False)
    async with ThreeCommas(**sandbox.credentials()) as client:
        with pytest.raises(AccountError, match="takes no SmartTrades"):
            await client.smart_trades.create(order(4))
    assert sandbox.ledger == ()


async def test_a_key_that_may_not_read_accounts_is_told_what_to_do(sandbox: Sandbox) -> None:
    options = sandbox.credentials(permissions=TRADES)
    async with ThreeCommas(**options) as client:
        with pytest.raises(ModeMismatchError, match="paper_accounts=") as refused:
            await client.smart_trades.create(order(PAPER))
        assert refused.value.is_known is False
        assert isinstance(refused.value.__cause__, PermissionDeniedError)
        [id, *_] = sandbox.exchange.trades
        # A SmartTrade says itself where it is; and so its account is known.
        await client.smart_trades.set_note(id, "x")
        await client.smart_trades.create(order(PAPER))
    async with ThreeCommas(**options, paper_accounts=[PAPER, REAL]) as client:
        before = sandbox.requests
        await client.smart_trades.create(order(PAPER))
        assert sandbox.requests == before + 1
        await client.smart_trades.list()
        with pytest.raises(ModeMismatchError):
            await client.smart_trades.create(order(REAL))
    assert {entry.account_id for entry in sandbox.ledger} == {PAPER}


async def test_what_every_call_would_meet_is_raised_as_it_is(sandbox: Sandbox) -> None:
    wrong: dict[str, Any] = sandbox.credentials() | {"api_secret": "wrong"}
    async with ThreeCommas(**wrong) as client:
        for call in (client.smart_trades.close_by_market(7), client.smart_trades.create(order(PAPER))):
            with pytest.raises(AuthenticationError):
                await call


async def test_a_client_for_real_money_is_warned_and_not_stopped(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    ids = list(sandbox.exchange.trades)
    async with ThreeCommas(**sandbox.credentials(mode="real")) as client:
        report = await client.smart_trades.close_many(ids)
    assert report.ok
    assert sandbox.requests == 5
    warnings = [record for record in caplog.records if record.name == "threecommas_async.mode"]
    assert [(record.levelno, str(PAPER) in record.getMessage()) for record in warnings] == [
        (logging.WARNING, True)
    ]


@pytest.mark.parametrize("mode", ["real", "paper"])
async def test_a_read_only_client_reads_and_does_not_write(mode: str, sandbox: Sandbox) -> None:
    async with ThreeCommas(**sandbox.credentials(mode=mode, read_only=True)) as client:
        [trade, *_] = await client.smart_trades.list()
        for write in WRITES.values():
            with pytest.raises(ReadOnlyError, match="read_only=True"):
                await write(client, trade.id)
        for call in (
            client.smart_trades.create(order(PAPER)),
            client.smart_trades.create(order(PAPER), reference="r"),
            client.accounts.rename(PAPER, "x"),
            client.accounts.load_balances(PAPER),
            client.with_options(timeout=5).smart_trades.close_by_market(trade.id),
        ):
            with pytest.raises(ReadOnlyError):
                await call
        assert (await client.smart_trades.close_many([trade.id])).counts == {Verdict.REFUSED: 1}
        assert len(await client.accounts.balances(PAPER)) > 0
        assert len(await client.accounts.leverage_data(PAPER)) == 1
    assert (sandbox.ledger, sandbox.requests) == ((), 3)


@pytest.mark.parametrize("mode", ["real", "paper"])
async def test_a_dry_run_shows_what_it_would_send_and_sends_nothing(mode: str, sandbox: Sandbox) -> None:
    options = sandbox.credentials(mode=mode, dry_run=True)
    async with ThreeCommas(**options) as client:
        [*_, trade] = await client.smart_trades.list()
        for write in WRITES.values():
            with pytest.raises(DryRunError, match="request of this error is what it was") as shown:
                await write(client, trade.id)
            assert str(trade.id) in shown.value.request.path
        with pytest.raises(DryRunError) as shown:
            await client.smart_trades.create(order(PAPER), reference="r-1")
    request = shown.value.request
    assert (request.method, request.path) == ("POST", "/public/api/v2/smart_trades")
    assert json.loads(request.body)["account_id"] == PAPER
    assert "r-1" in json.loads(request.body)["note"]
    assert request.headers["Forced-Mode"] == mode
    assert request.headers["Apikey"] == request.headers["Signature"] == "***"
    assert sandbox.ledger == ()
    seen = f"{request!r} {request} {shown.value} {pickle.dumps(shown.value)!r}"
    assert options["api_key"] not in seen
    assert pickle.loads(pickle.dumps(shown.value)).request == request


async def test_a_dry_run_refuses_what_would_be_refused(sandbox: Sandbox) -> None:
    async with ThreeCommas(**sandbox.credentials(dry_run=True)) as client:
        with pytest.raises(ModeMismatchError):
            await client.smart_trades.create(order(REAL))
        with pytest.raises(ValueError, match="id must be"):
            await client.smart_trades.close_by_market("7")  # type: ignore[arg-type]  # as an untyped caller may


@pytest.mark.parametrize("mode", ["real", "paper"])
async def test_a_single_call_can_be_previewed(mode: str, sandbox: Sandbox) -> None:
    async with ThreeCommas(**sandbox.credentials(mode=mode)) as client:
        request = await client.preview(lambda dry: dry.smart_trades.create(order(PAPER), reference="r"))
        assert json.loads(request.body)["pair"] == "USDT_DOGE"
        assert str(request).startswith("POST /public/api/v2/smart_trades\n")
        with pytest.raises(ValueError, match="no write"):
            await client.preview(lambda dry: dry.smart_trades.list())
        with pytest.raises(ValueError, match="preview takes a function: lambda dry"):
            await client.preview(order(PAPER))  # type: ignore[arg-type]  # as an untyped caller may
        with pytest.raises(ValueError, match="must return a call, not None"):
            await client.preview(lambda _: None)  # type: ignore[arg-type, return-value]  # as above
        assert sandbox.ledger == ()
        with pytest.raises(ValueError, match="the plan of a batch is"):
            await client.preview(lambda dry: dry.smart_trades.close_many(list(sandbox.exchange.trades)))
        assert sandbox.ledger == ()
        # The reference was not used up, not even by another order, and the client itself sends as before.
        other = order(PAPER, units=50)
        assert (await client.smart_trades.create(other, reference="r")).reference == "r"
        with pytest.raises(ValueError, match="belongs to another order"):
            await client.preview(lambda dry: dry.smart_trades.create(order(PAPER), reference="r"))
    assert len(sandbox.ledger) == 1


async def test_a_preview_that_goes_past_its_view_sends_nothing(sandbox: Sandbox) -> None:
    async with ThreeCommas(**sandbox.credentials()) as client:
        with pytest.raises(GuardError, match="make the call on what the function is given"):
            await client.preview(lambda _: client.smart_trades.create(order(PAPER)))
        assert sandbox.ledger == ()
        await client.smart_trades.create(order(PAPER))
    assert len(sandbox.ledger) == 1


@pytest.mark.parametrize("mode", ["real", "paper"])
async def test_a_client_with_limits_sends_what_is_within_them(mode: str, sandbox: Sandbox) -> None:
    limits = RiskLimits(
        max_open_trades=7,
        max_quote_per_order={"USDT": 100},
        pairs=["USDT_DOGE"],
        accounts=[PAPER],
        price_of=lambda _: Decimal("0.5"),
    )
    async with ThreeCommas(**sandbox.credentials(mode=mode, risk=limits)) as client:
        view = client.with_options(timeout=5)
        for _ in range(2):  # A dry run takes no share.
            await client.preview(lambda dry: dry.smart_trades.create(order(PAPER)))
        created = await client.smart_trades.create(order(PAPER))
        await view.smart_trades.create(order(PAPER), reference="r")
        assert (await client.smart_trades.create(order(PAPER), reference="r")).reference == "r"
        with pytest.raises(RiskLimitError, match=r"would break .*max_open_trades: 8 where 7") as refused:
            await client.smart_trades.create(order(PAPER))
        assert refused.value.endpoint is not None
        assert pickle.loads(pickle.dumps(refused.value)).bound == 7
        with pytest.raises(RiskLimitError, match="max_quote_per_order"):
            await client.smart_trades.add_funds(created.id, units=10**6)
        other = SmartTradeOrder.simple_buy(account_id=PAPER, pair="USDT_BTC", units="0.01")
        with pytest.raises(RiskLimitError, match="pairs"):
            await client.smart_trades.create(other)
    assert [entry.action for entry in sandbox.ledger] == ["create", "create"]


async def test_an_order_that_was_carried_out_keeps_its_share_though_a_listener_raises(
    sandbox: Sandbox,
) -> None:
    limits = RiskLimits(max_quote_per_hour=60, price_of=lambda _: Decimal("0.5"))

    def listener(_: object) -> None:
        raise ValueError("from the listener")

    async with ThreeCommas(**sandbox.credentials(risk=limits, paper_accounts=[PAPER])) as client:
        with client.listening(listener):
            await client.smart_trades.create(order(PAPER))
        with pytest.raises(RiskLimitError, match="max_quote_per_hour: 100"):
            await client.smart_trades.create(order(PAPER))
    assert len(sandbox.ledger) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"risk": {"max_open_trades": 5}},
        {"paper_accounts": ["5"]},
        {"paper_accounts": [True]},
        {"paper_accounts": 32199203},
        {"paper_accounts": [0]},
        {"paper_accounts": None},
        {"paper_accounts": b"5"},
        {"paper_accounts": iter([5])},  # Whoever looks at it leaves nothing of it.
        {"paper_accounts": [5], "mode": "real"},
        {"read_only": 1},
        {"dry_run": "yes"},
    ],
)
def test_an_option_that_cannot_be_used_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="|".join(options)):
        ThreeCommas("key", "secret", **GOOD | options)


def test_a_refusal_of_the_client_itself_is_of_one_kind() -> None:
    kinds = {ReadOnlyError, ModeMismatchError, AccountError, RiskLimitError, DryRunError}
    assert all(issubclass(kind, GuardError) for kind in kinds)
    with pytest.raises(AttributeError):
        _ = DryRunError("x").request


async def test_a_plan_refuses_what_the_run_would_refuse(sandbox: Sandbox, client: ThreeCommas) -> None:
    plan = await client.smart_trades.close_all(dry_run=True)
    assert plan.counts == {Verdict.WOULD_CLOSE: 3, Verdict.REFUSED: 2}
    assert {type(outcome.error) for outcome in plan.failed} == {ModeMismatchError}
    reader = ThreeCommas(**sandbox.credentials(read_only=True))
    async with reader:
        report = await reader.smart_trades.close_many(list(sandbox.exchange.trades), dry_run=True)
    assert report.counts == {Verdict.REFUSED: 5}
    assert {type(outcome.error) for outcome in report} == {ReadOnlyError}
