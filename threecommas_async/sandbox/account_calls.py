"""The calls on accounts, with answers in the documented shape (state of 2026-05).

The sandbox keeps no balances: an account holds what its open trades hold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from threecommas_async.models.status import TERMINAL
from threecommas_async.sandbox.market_answers import LEVERAGES, market_code_of
from threecommas_async.sandbox.parameters import MISSING, NOT_ALLOWED, Fields
from threecommas_async.sandbox.refusals import no_such_account
from threecommas_async.sandbox.spelling import date_text, decimal_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from threecommas_async.sandbox.accounts import Account
    from threecommas_async.sandbox.exchange import Exchange
    from threecommas_async.sandbox.spelling import Json

_PAGE_SIZE: Final = 100


def page_of_accounts(exchange: Exchange, now: float, parameters: Mapping[str, object]) -> list[Json]:
    """Return one page of the user's accounts, whatever the mode."""
    exchange.advance(now)
    fields = Fields(parameters)
    page, per_page = fields.whole("page") or 1, fields.whole("per_page") or _PAGE_SIZE
    if not 1 <= per_page <= _PAGE_SIZE:
        fields.blame("per_page", NOT_ALLOWED)
    fields.check()
    accounts = list(exchange.accounts.values())[(page - 1) * per_page : page * per_page]
    return [account_json(account, exchange) for account in accounts]


def get_account(exchange: Exchange, now: float, id: int) -> Json:
    """Return an account; also the answer to ``load_balances``."""
    return account_json(_find(exchange, now, id), exchange)


def rename_account(exchange: Exchange, now: float, id: int, parameters: Mapping[str, object]) -> Json:
    """Give an account another name; its trades show it too."""
    account = _find(exchange, now, id)
    fields = Fields(parameters)
    name = fields.text("name")
    if not name:
        fields.blame("name", MISSING)
    fields.check()
    renamed = exchange.accounts[id] = replace(account, name=name or "")
    for trade in exchange.trades.values():
        if trade.account.id == id:
            trade.account = renamed
    return account_json(renamed, exchange)


def leverage_data(exchange: Exchange, now: float, id: int) -> list[Json]:
    """Return the kinds of leverage, as documented; one that may be set on contract accounts only."""
    has_leverage = _find(exchange, now, id).has_leverage
    return [
        {
            "code": code,
            "name": name,
            "can_set_leverage_value": has_leverage and code != "none",
            "max_leverage": None,
            "available_leverage_values": [],
            "valid": {} if code == "none" else {"min": "1.0", "max": None},
        }
        for code, name in LEVERAGES
        if has_leverage or code == "none"
    ]


def active_entities(exchange: Exchange, now: float, id: int) -> Json:
    """Count the open trades of an account; there is nothing else in the sandbox."""
    _find(exchange, now, id)
    is_open = [trade.status not in TERMINAL for trade in exchange.trades.values() if trade.account.id == id]
    counts = {f"active_{name}_count": 0 for name in ("bots", "deals", "smart_trades", "orders", "grid_bots")}
    return {"data": counts | {"active_smart_trades_count": sum(is_open)}}


def balance_shares(exchange: Exchange, now: float, id: int) -> list[Json]:
    """Return what an account holds, as the slices of a pie chart."""
    return [
        {
            "code": held.code,
            "coinmarketcapid": None,
            "name": held.code,
            "y": round(held.percentage, 2),
            "percentage": round(held.percentage, 2),
            "amount": float(held.amount),
            "btc_value": decimal_text(held.btc),
            "usd_value": decimal_text(held.usd),
            "primary_display_currency": {"currency": "USD", "amount": decimal_text(held.usd)},
            "account_id": id,
        }
        for held in _holdings(exchange, _find(exchange, now, id))
    ]


def balance_table(exchange: Exchange, now: float, id: int) -> list[Json]:
    """Return what an account holds, as the rows of a table; nothing is in orders."""
    return [
        {
            "currency_code": held.code,
            "currency_name": held.code,
            "currency_icon": None,
            "currency_slug": held.code.lower(),
            "percentage": held.percentage,
            "position": float(held.amount),
            "position_available": float(held.amount),
            "equity": float(held.amount),
            "current_price": float(held.btc / held.amount),
            "current_price_usd": float(held.usd / held.amount),
            "btc_value": float(held.btc),
            "usd_value": float(held.usd),
            **dict.fromkeys(_ZERO, 0),
            "account_id": id,
            "is_wallet": False,
        }
        for held in _holdings(exchange, _find(exchange, now, id))
    ]


def account_json(account: Account, exchange: Exchange) -> Json:
    """Return an account as a JSON object, with every key of the documented ones."""
    held = _holdings(exchange, account)
    usd = decimal_text(sum((entry.usd for entry in held), Decimal(0)))
    btc = decimal_text(sum((entry.btc for entry in held), Decimal(0)))
    no_profit = {"currency": "USD", "amount": "0.0"}
    return {
        "id": account.id,
        "auto_balance_period": 12,
        **dict.fromkeys(_NOTHING),
        **dict.fromkeys(_NOT, False),
        **dict.fromkeys(_ALLOWED, True),
        "smart_trading_supported": account.smart_trading,
        "smart_selling_supported": account.smart_trading,
        "available_for_trading": {},
        "created_at": date_text(0.0, exchange.epoch),
        "updated_at": date_text(0.0, exchange.epoch),
        "market_icon": "https://3commas.io/img/exchanges/exchange.png",
        "supported_market_types": ["futures" if account.has_leverage else "spot"],
        **dict.fromkeys(_DISPLAYED, no_profit),
        "primary_display_currency_amount": {"currency": "USD", "amount": usd},
        "total_primary_display_currency_profit": {"currency": "USD", "amount": 0.0},
        "name": account.name,
        "btc_amount": btc,
        "usd_amount": usd,
        **dict.fromkeys(_PROFITS, "0.0"),
        "pretty_display_type": "".join(word.capitalize() for word in account.type.split("_")),
        "exchange_name": account.market,
        "market_code": market_code_of(account),
        "api_keys_state": "ok",
    }


_ZERO: Final = (
    "position_type",
    "borrowed",
    "on_orders",
    "on_orders_with_leverage",
    "on_orders_long",
    "on_orders_short",
    "day_change_percent",
    "day_change_percent_btc",
    "day_change_percent_usd",
    "available_long",
    "available_short",
    "available_with_leverage_long",
    "available_with_leverage_short",
)
_NOTHING: Final = (
    "auto_balance_portfolio_id",
    "auto_balance_currency_change_limit",
    "last_auto_balance",
    "auto_balance_method",
    "auto_balance_error",
    "customer_id",
    "subaccount_name",
    "lock_reason",
)
_NOT: Final = (
    "autobalance_enabled",
    "hedge_mode_available",
    "hedge_mode_enabled",
    "is_locked",
    "api_key_invalid",
    "deposit_enabled",
)
_ALLOWED: Final = (
    "stats_supported",
    "trading_supported",
    "market_buy_supported",
    "market_sell_supported",
    "conditional_buy_supported",
    "bots_allowed",
    "bots_ttp_allowed",
    "bots_tsl_allowed",
    "gordon_bots_available",
    "multi_bots_allowed",
    "fast_convert_available",
    "grid_bots_allowed",
    "include_in_summary",
    "available_include_in_summary",
)
_DISPLAYED: Final = (
    "primary_display_currency_profit_percentage",
    "primary_display_currency_profit",
    "day_profit_primary_display_currency_percentage",
    "day_profit_primary_display_currency",
)
_PROFITS: Final = (
    "day_profit_btc",
    "day_profit_usd",
    "day_profit_btc_percentage",
    "day_profit_usd_percentage",
    "btc_profit",
    "usd_profit",
    "usd_profit_percentage",
    "btc_profit_percentage",
    "total_btc_profit",
    "total_usd_profit",
)


def _find(exchange: Exchange, now: float, id: int) -> Account:
    exchange.advance(now)
    try:
        return exchange.accounts[id]
    except KeyError:
        raise no_such_account() from None


@dataclass(frozen=True, slots=True)
class Holding:
    """A currency that an account holds.

    Args:
        code: Code of the currency.
        amount: Amount held.
        usd: Its value in USD.
        btc: Its value in BTC.
        total: Value in USD of everything on the account.
    """

    code: str
    amount: Decimal
    usd: Decimal
    btc: Decimal
    total: Decimal

    @property
    def percentage(self) -> float:
        """Share of the account's value, in percent, as the API's numbers are."""
        return float(self.usd / self.total * 100)


def _holdings(exchange: Exchange, account: Account) -> list[Holding]:
    tickers, amounts = exchange.tickers, dict[str, Decimal]()
    in_usd = {
        f"{pair.partition('_')[2]}": ticker.last for pair, ticker in tickers.items() if pair[:5] == "USDT_"
    }
    for trade in exchange.trades.values():
        code = trade.order.pair.partition("_")[2]
        if (
            trade.account.id == account.id
            and trade.order.is_long
            and trade.position.rest > 0
            and code in in_usd
        ):
            amounts[code] = amounts.get(code, Decimal(0)) + trade.position.rest
    total = sum((amount * in_usd[code] for code, amount in amounts.items()), Decimal(0))
    return [
        Holding(code, amount, amount * in_usd[code], amount * in_usd[code] / in_usd["BTC"], total)
        for code, amount in amounts.items()
    ]
