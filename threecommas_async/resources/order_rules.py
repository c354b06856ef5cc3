"""The rules of the market that an order is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from threecommas_async import errors
from threecommas_async.guard import unknown_account
from threecommas_async.market_rules import MarketRules

if TYPE_CHECKING:
    from threecommas_async.models.account import ConnectedAccount
    from threecommas_async.models.order import SmartTradeOrder
    from threecommas_async.resources.market_data import MarketData
    from threecommas_async.session import Session

_UNREADABLE: Final = (
    errors.TransportError,
    errors.DecodeError,
    errors.ServerError,
    errors.InvalidRequestError,
    errors.NotFoundError,
)


async def check_market_rules(session: Session, market_data: MarketData, order: SmartTradeOrder) -> None:
    """Hold an order against the rules of its account's market.

    Args:
        session: Makes the calls.
        market_data: Knows the rules.
        order: The order.

    Raises:
        AccountError: There is no such account, or it takes no SmartTrades.
        MarketRulesError: The market would refuse it, or its rules cannot be found out.
    """
    advice = ""
    try:
        market_code = await _market_code(session, order.account_id)
        advice = f"; client.market_data.pairs({market_code!r}) lists what it may be instead of {order.pair}"
        if order.leverage is not None and order.leverage.enabled:
            rates = await market_data.currency_rates_with_leverage_data(market_code, order.pair)
        else:
            rates = await market_data.currency_rates(market_code, order.pair)
    except _UNREADABLE as problem:
        raise errors.MarketRulesError(
            f"the order was not sent, because its market's rules cannot be read: {problem}"
            + advice * isinstance(problem, errors.InvalidRequestError),
            pair=order.pair,
        ) from problem
    rules = MarketRules.from_rates(rates, pair=order.pair)
    if violations := rules.check(order):
        raise errors.MarketRulesError(
            f"the market {market_code} would refuse the order: " + "; ".join(map(str, violations)),
            violations=violations,
            pair=order.pair,
        )


async def known_account(session: Session, account_id: int) -> ConnectedAccount:
    """Return an account as the client has read it last; read it if it has not, once for all who ask.

    Raises:
        AccountError: No such account for this key.
        ClientStateError: The client is closed, or belongs to another event loop.
    """
    session.check_usable()
    record = session.book.record(account_id)
    if record is not None:
        return record
    try:
        return await session.book.look_up_account(account_id, session.call, session)
    except errors.NotFoundError as problem:
        raise unknown_account(account_id) from problem


async def _market_code(session: Session, account_id: int) -> str:
    account = await known_account(session, account_id)
    session.book.check_smart_trading(account_id)
    if not account.market_code:
        raise errors.MarketRulesError(f"the API does not say which market account {account_id} is of")
    return account.market_code
