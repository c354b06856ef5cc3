"""Markets, and what a market says about a pair: its prices and what it accepts.

Fields carry the API's own names, which are camelCase for the limits and snake_case for everything else.
Numbers are `Decimal`, exactly as sent, ``Infinity`` included. Every limit may be missing, and None says so.
In ``USDT_DOGE`` the quote is USDT and the base DOGE.

Source: the tables and examples of the official documentation of the market data and of the leverage data
(state of 2026-05). Where they contradict each other, both forms are read.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from threecommas_async.models.decoding import Page, decode_texts
from threecommas_async.models.leverage import LeverageData
from threecommas_async.models.pair import Pair


class MarketFormField(Struct, frozen=True, kw_only=True, gc=False):
    """One of the credentials that connecting an exchange takes."""

    field: str | None = None
    """Code of the credential: ``api_key``, ``secret``, ``passphrase``."""
    localized_name: str | None = None
    """Its name for people."""


class MarketFormFields(Struct, frozen=True, kw_only=True, gc=False):
    """The credentials that connecting an exchange takes."""

    required: tuple[MarketFormField, ...] = ()
    """Those that it needs."""
    optional: tuple[MarketFormField, ...] = ()
    """Those that it can do without; none in the documented answer."""


class Market(Struct, frozen=True, kw_only=True, gc=False):
    """An exchange, or one kind of market of it, that 3Commas trades on."""

    market_code: str
    """Code of the market, such as ``okex``: what the other calls of the market data take."""
    market_name: str | None = None
    """Name for people."""
    market_url: str | None = None
    """Address of the exchange."""
    market_icon: str | None = None
    """Address of its icon."""
    help_link: str | None = None
    """Address of a help article about it."""
    form_fields: MarketFormFields = MarketFormFields()
    """The credentials that connecting it takes."""
    available_connection_flows: tuple[str, ...] = ()
    """Ways to connect it: ``form``, ``fast_connect``."""
    third_party_allowed: bool | None = None
    """Not described by the documentation."""
    trusted_ips: tuple[str, ...] = ()
    """Addresses, or blocks of them, to be allowed at the exchange."""
    trusted_ips_input_type: str | None = None
    """How the exchange wants them to be entered: ``inline``."""
    fast_connect_action_name: str | None = None
    """Code of the fast connection."""


class CurrencyRates(Struct, frozen=True, kw_only=True, gc=False):
    """Prices of a pair, and what its market accepts as an order.

    Prices and totals are in quote, sizes in base. `MarketRules` holds an order against them.
    """

    last: Decimal | None = None
    """Last price."""
    bid: Decimal | None = None
    """Best bid: what a market sell gets."""
    ask: Decimal | None = None
    """Best ask: what a market buy pays."""
    orderbook_last: Decimal | None = None
    """Last price of the order book."""
    orderbook_bid: Decimal | None = None
    """Best bid of the order book."""
    orderbook_ask: Decimal | None = None
    """Best ask of the order book."""
    orderbook_price_currency: str | None = None
    """Currency of the order book's prices."""
    strategy_name: str | None = None
    """Pricing strategy; ``orderbook_price`` in both documented answers."""
    contract_strategy_name: str | None = None
    """The same for contracts."""
    instrumentKind: str | None = None
    """Kind of instrument: ``spot``, ``linear_futures``."""
    priceStep: Decimal | None = None
    """Prices of orders are multiples of it."""
    minPrice: Decimal | None = None
    """The lowest price of an order."""
    maxPrice: Decimal | None = None
    """The highest price of an order."""
    lotStep: Decimal | None = None
    """Sizes of orders are multiples of it."""
    minLotSize: Decimal | None = None
    """The smallest order."""
    maxLotSize: Decimal | None = None
    """The largest order."""
    minMarketBuyAmount: Decimal | None = None
    """The smallest market order to buy; on no page but in an example."""
    maxMarketBuyAmount: Decimal | None = None
    """The largest market order to buy."""
    minMarketSellAmount: Decimal | None = None
    """The smallest market order to sell; on no page but in an example."""
    maxMarketSellAmount: Decimal | None = None
    """The largest market order to sell."""
    minTotal: Decimal | None = None
    """The least that an order is worth."""
    minMarketTotal: Decimal | None = None
    """The least that a market order is worth."""
    maxTotal: Decimal | None = None
    """The most that an order is worth."""
    bidMultiplierUp: Decimal | None = None
    """Factor on the market's price above which a buy is refused."""
    bidMultiplierDown: Decimal | None = None
    """Factor on the market's price below which a buy is refused."""
    askMultiplierUp: Decimal | None = None
    """Factor on the market's price above which a sell is refused."""
    askMultiplierDown: Decimal | None = None
    """Factor on the market's price below which a sell is refused."""
    leverage_data: tuple[LeverageData, ...] | None = None
    """Kinds of leverage; None where they were not asked for."""


def decode_pairs(body: bytes) -> Page[Pair]:
    """Decode a list of pairs; one that is no text costs only itself.

    Raises:
        msgspec.DecodeError: The body is no list.
        RecursionError: The body is nested absurdly deep.
    """
    texts = decode_texts(body)
    return Page(tuple(map(Pair, texts.items)), texts.malformed)
