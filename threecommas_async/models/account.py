"""Accounts that are connected to 3Commas, what they hold, and what leverage they offer.

Not to be confused with the few fields of an account that a SmartTrade carries; that is
`threecommas_async.models.smart_trade_groups.Account`. For the conventions see
`threecommas_async.models.smart_trade`. The API key of the exchange, which older answers had, is not read.

Source: the census of the 9 account objects in the official documentation (state of 2026-05), and its pages
on leverage, active entities and balances.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from msgspec import Struct

PAPER: Final = "paper_trading"
"""The code of a paper account: ``market_code`` here, ``account.type`` in a SmartTrade."""


class DisplayAmount(Struct, frozen=True, kw_only=True, gc=False):
    """An amount or a percentage, and the currency that the user sees."""

    currency: str | None = None
    """The user's display currency, such as ``USD``."""
    amount: Decimal | None = None
    """Amount in that currency; percent where the field's name says so."""


class ConnectedAccount(Struct, frozen=True, kw_only=True, gc=False):
    """An exchange account, or paper account, that the user has connected to 3Commas.

    A SmartTrade can be created on it when ``smart_trading_supported`` is true; ``is_locked``,
    ``api_key_invalid`` and ``api_keys_state`` say whether its keys still work. ``market_code`` is what the
    calls on market data take, and `is_paper` says whether it is a paper account.
    """

    id: int
    """Account id."""
    name: str | None = None
    """The name that the user gave to it."""
    exchange_name: str | None = None
    """Name of the exchange for people."""
    market_code: str | None = None
    """Code of the exchange, such as ``binance_us``; ``paper_trading`` for a paper account."""
    pretty_display_type: str | None = None
    """Name of the exchange in the style of a class, such as ``BinanceUs``."""
    market_icon: str | None = None
    """URL of an icon."""
    smart_trading_supported: bool | None = None
    """SmartTrades are possible on this account."""
    smart_selling_supported: bool | None = None
    """Older name of the same; absent in one answer of nine."""
    trading_supported: bool | None = None
    """Trading is possible."""
    market_buy_supported: bool | None = None
    """Buying at market price is possible."""
    market_sell_supported: bool | None = None
    """Selling at market price is possible."""
    conditional_buy_supported: bool | None = None
    """Conditional buying is possible."""
    hedge_mode_available: bool | None = None
    """Hedge mode is offered."""
    hedge_mode_enabled: bool | None = None
    """Hedge mode is on."""
    supported_market_types: tuple[str, ...] = ()
    """Kinds of markets, such as ``spot``."""
    is_locked: bool | None = None
    """The account is locked."""
    lock_reason: str | None = None
    """Why; None in every documented answer."""
    api_key_invalid: bool | None = None
    """The exchange does not accept the account's key."""
    api_keys_state: str | None = None
    """State of the exchange's key: ``ok`` or ``expired``, and ``expire_soon`` until 2024-11."""
    available_for_trading: dict[str, Any] | bool | None = None
    """An empty object in every documented answer; declared a boolean until 2024-11."""
    stats_supported: bool | None = None
    """Profit statistics are kept."""
    bots_allowed: bool | None = None
    """DCA bots are possible."""
    bots_ttp_allowed: bool | None = None
    """Bots may trail their take profit."""
    bots_tsl_allowed: bool | None = None
    """Bots may trail their stop loss."""
    gordon_bots_available: bool | None = None
    """Simplified bots are possible."""
    multi_bots_allowed: bool | None = None
    """Bots over several pairs are possible."""
    grid_bots_allowed: bool | None = None
    """Grid bots are possible."""
    fast_convert_available: bool | None = None
    """Selling everything to BTC or USD is possible (this package has no call for it)."""
    deposit_enabled: bool | None = None
    """Deposits are possible."""
    include_in_summary: bool | None = None
    """The account counts in the summary."""
    available_include_in_summary: bool | None = None
    """It may count in the summary."""
    auto_balance_period: int | None = None
    """Period of the automatic balancing; its unit is not documented."""
    auto_balance_portfolio_id: Any = None
    """Automatic balancing; None in every documented answer, its type is unknown."""
    auto_balance_portfolio: Any = None
    """Automatic balancing; as above."""
    auto_balance_currency_change_limit: Any = None
    """Automatic balancing; as above."""
    autobalance_enabled: bool | None = None
    """Automatic balancing is on."""
    auto_balance_method: str | None = None
    """``time`` or ``currency_change``, until 2024-11; None in every documented answer."""
    auto_balance_error: Any = None
    """Automatic balancing; None in every documented answer, its type is unknown."""
    last_auto_balance: datetime | None = None
    """When the account was balanced last."""
    customer_id: str | int | None = None
    """Customer id at Bitstamp; None elsewhere."""
    subaccount_name: str | None = None
    """Name of the sub-account."""
    btc_amount: Decimal | None = None
    """Value in BTC."""
    usd_amount: Decimal | None = None
    """Value in USD."""
    day_profit_btc: Decimal | None = None
    """Profit of the day, in BTC."""
    day_profit_usd: Decimal | None = None
    """Profit of the day, in USD."""
    day_profit_btc_percentage: Decimal | None = None
    """Profit of the day in BTC, in percent."""
    day_profit_usd_percentage: Decimal | None = None
    """Profit of the day in USD, in percent."""
    btc_profit: Decimal | None = None
    """Profit of the month, in BTC."""
    usd_profit: Decimal | None = None
    """Profit of the month, in USD."""
    btc_profit_percentage: Decimal | None = None
    """Profit of the month in BTC, in percent."""
    usd_profit_percentage: Decimal | None = None
    """Profit of the month in USD, in percent."""
    total_btc_profit: Decimal | None = None
    """Profit in all, in BTC; a float of the server, with its exponent."""
    total_usd_profit: Decimal | None = None
    """Profit in all, in USD; a float of the server, with its exponent."""
    created_at: datetime | None = None
    """When the account was connected."""
    updated_at: datetime | None = None
    """Last change."""
    primary_display_currency_amount: DisplayAmount = DisplayAmount()
    """Value in the display currency."""
    primary_display_currency_profit: DisplayAmount = DisplayAmount()
    """Profit of the month, in the display currency."""
    primary_display_currency_profit_percentage: DisplayAmount = DisplayAmount()
    """Profit of the month, in percent."""
    day_profit_primary_display_currency: DisplayAmount = DisplayAmount()
    """Profit of the day, in the display currency."""
    day_profit_primary_display_currency_percentage: DisplayAmount = DisplayAmount()
    """Profit of the day, in percent."""
    total_primary_display_currency_profit: DisplayAmount = DisplayAmount()
    """Profit in all, in the display currency; a JSON number where the others are text."""

    @property
    def is_paper(self) -> bool | None:
        """It is a paper account; None where the answer does not say.

        No documented answer shows one. Derived: a SmartTrade's ``account.type`` holds the codes that
        ``market_code`` holds here (``binance_us``), and says ``paper_trading`` on paper accounts.
        """
        return None if self.market_code is None else self.market_code == PAPER


class ActiveEntities(Struct, frozen=True, kw_only=True, gc=False):
    """How much is at work on an account."""

    active_bots_count: int | None = None
    """DCA bots."""
    active_deals_count: int | None = None
    """Deals of bots."""
    active_smart_trades_count: int | None = None
    """SmartTrades."""
    active_orders_count: int | None = None
    """Orders."""
    active_grid_bots_count: int | None = None
    """Grid bots."""


class ActiveEntitiesData(Struct, frozen=True, kw_only=True, gc=False):
    """The answer that holds them."""

    data: ActiveEntities
    """The counts."""


class BalanceShare(Struct, frozen=True, kw_only=True, gc=False):
    """A currency that an account holds, as a slice of a pie chart."""

    account_id: int | None = None
    """Account id."""
    code: str
    """Code of the currency, such as ``BTC``."""
    coinmarketcapid: str | int | None = None
    """Id of the currency on CoinMarketCap."""
    name: str | None = None
    """Name of the currency."""
    y: Decimal | None = None
    """Not described; the same as ``percentage`` in every documented answer."""
    percentage: Decimal | None = None
    """Share of the account's value, in percent."""
    amount: Decimal | None = None
    """Amount held."""
    btc_value: Decimal | None = None
    """Value in BTC."""
    usd_value: Decimal | None = None
    """Value in USD."""
    primary_display_currency: DisplayAmount = DisplayAmount()
    """Value in the display currency."""


class Balance(Struct, frozen=True, kw_only=True, gc=False):
    """A currency that an account holds, as a row of a table.

    The amounts are JSON numbers, declared text: floats of the server, so the last digits may be odd.
    """

    account_id: int | None = None
    """Account id."""
    currency_code: str
    """Code of the currency, such as ``DOGE``."""
    currency_name: str | None = None
    """Name of the currency."""
    currency_icon: str | None = None
    """URL of an icon."""
    currency_slug: str | None = None
    """Name of the currency in URLs."""
    percentage: Decimal | None = None
    """Share of the account's value, in percent."""
    position: Decimal | None = None
    """Amount held."""
    position_available: Decimal | None = None
    """Amount held that is neither in orders nor borrowed."""
    position_type: str | int | None = None
    """Not described; 0 in every documented answer."""
    borrowed: Decimal | None = None
    """Amount borrowed."""
    on_orders: Decimal | None = None
    """Amount in orders."""
    on_orders_with_leverage: Decimal | None = None
    """Amount in orders, leverage applied."""
    on_orders_long: Decimal | None = None
    """Amount in orders of longs."""
    on_orders_short: Decimal | None = None
    """Amount in orders of shorts."""
    equity: Decimal | None = None
    """Equity in this currency."""
    current_price: Decimal | None = None
    """Price in BTC."""
    current_price_usd: Decimal | None = None
    """Price in USD."""
    day_change_percent: Decimal | None = None
    """Change of the price over the day in the display currency, in percent."""
    day_change_percent_btc: Decimal | None = None
    """The same in BTC."""
    day_change_percent_usd: Decimal | None = None
    """The same in USD."""
    btc_value: Decimal | None = None
    """Value in BTC."""
    usd_value: Decimal | None = None
    """Value in USD."""
    available_long: Decimal | None = None
    """Amount available for longs."""
    available_short: Decimal | None = None
    """Amount available for shorts."""
    available_with_leverage_long: Decimal | None = None
    """The same for longs, leverage included."""
    available_with_leverage_short: Decimal | None = None
    """The same for shorts, leverage included."""
    is_wallet: bool | None = None
    """The account is a wallet."""
