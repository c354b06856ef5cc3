"""The rules of the market that an order is for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from threecommas_async import endpoints, errors
from threecommas_async.market_rules import MarketRules

if TYPE_CHECKING:
    from threecommas_async.models.order import SmartTradeOrder
    from threecommas_async.resources.market_data import MarketData
    from threecommas_async.session import Session
    from threecommas_async.shared_reads import SharedReads

ACCOUNT_AGE: Final = 300.0
"""Seconds for which it is believed what market an account is of, and that it can trade."""

_UNREADABLE: Final = (
    errors.TransportError,
    errors.DecodeError,
    errors.ServerError,
    errors.InvalidRequestError,
    errors.NotFoundError,
)


async def check_market_rules(
    session: Session, market_data: MarketData, accounts: SharedReads, order: SmartTradeOrder
) -> None:
    """Hold an order against the rules of its account's market.

    Args:
        session: Makes the calls.
        market_data: Knows the rules.
        accounts: What is known of accounts.
        order: The order.

    Raises:
        MarketRulesError: The market would refuse it, or its rules cannot be found out.
    """
    try:
        market_code = await _market_code(session, accounts, order.account_id)
        if order.leverage is not None and order.leverage.enabled:
            rates = await market_data.currency_rates_with_leverage_data(market_code, order.pair)
        else:
            rates = await market_data.currency_rates(market_code, order.pair)
    except _UNREADABLE as problem:
        raise errors.MarketRulesError(
            f"the order was not sent, because its market's rules cannot be read: {problem}", pair=order.pair
        ) from problem
    rules = MarketRules.from_rates(rates, pair=order.pair)
    if violations := rules.check(order):
        raise errors.MarketRulesError(
            f"the market {market_code} would refuse the order: " + "; ".join(map(str, violations)),
            violations=violations,
            pair=order.pair,
        )


async def _market_code(session: Session, accounts: SharedReads, account_id: int) -> str:
    read = partial(session.call, endpoints.GET_ACCOUNT, path={"account_id": account_id})
    account = await accounts.get(account_id, read, max_age=ACCOUNT_AGE, asker=session)
    if account.smart_trading_supported is False:
        raise errors.MarketRulesError(
            f"account {account_id} does not support SmartTrades: the order was not sent"
        )
    if not account.market_code:
        raise errors.MarketRulesError(f"the API does not say which market account {account_id} is of")
    return account.market_code
