"""What the exchange tells everybody: its markets, their pairs, prices and limits.

The documentation shows no refusals of these calls; that an unknown market or pair is answered like other
faulty parameters is an assumption.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from threecommas_async.sandbox.parameters import INVALID, MISSING, Fields
from threecommas_async.sandbox.refusals import invalid
from threecommas_async.sandbox.spelling import decimal_text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from decimal import Decimal

    from threecommas_async.sandbox.accounts import Account
    from threecommas_async.sandbox.market import PairRules, Ticker
    from threecommas_async.sandbox.spelling import Json

_MARKETS: Final = {"binance": "Binance Spot", "binance_futures": "Binance Futures USDT-M"}
_CREDENTIALS: Final = (("secret", "API Secret:"), ("api_key", "API Key:"))
_LIMIT_TYPES: Final = ("bot", "smart_trade")
LEVERAGES: Final = (("none", "Not specified"), ("cross", "Cross"), ("isolated", "Isolated"))
"""The kinds of leverage, with their names."""


def markets() -> list[Json]:
    """Return the list of markets."""
    return [
        {
            "market_name": name,
            "market_url": "https://www.binance.com",
            "market_icon": "https://3commas.io/img/exchanges/binance.png",
            "help_link": "https://help.3commas.io",
            "market_code": code,
            "form_fields": {
                "required": [{"field": field, "localized_name": text} for field, text in _CREDENTIALS],
                "optional": [],
            },
            "available_connection_flows": ["form"],
            "third_party_allowed": False,
            "trusted_ips": [],
            "trusted_ips_input_type": "inline",
            "fast_connect_action_name": code.partition("_")[0],
        }
        for code, name in _MARKETS.items()
    ]


def market_code_of(account: Account) -> str:
    """Return the code of the market that an account is of."""
    return account.type


def read_market(fields: Fields, accounts: Collection[Account]) -> str:
    """Return the code of the market that is asked for.

    Raises:
        Refusal: 400, there is none; 422, there is no such market.
    """
    code = fields.text("market_code")
    if not code:
        fields.blame("market_code", MISSING)
    fields.check()
    # The market of a paper account is in no list, and has pairs all the same.
    if code is None or code not in {*_MARKETS, *map(market_code_of, accounts)}:
        raise invalid(422, {"market_code": [INVALID]})
    return code


def read_pair(
    parameters: Mapping[str, object], accounts: Collection[Account], pairs: Collection[str]
) -> tuple[str, str]:
    """Return the market and the pair whose rates are asked for.

    Raises:
        Refusal: 400, a parameter is missing or malformed; 422, there is no such market or pair.
    """
    fields = Fields(parameters)
    pair = fields.text("pair")
    if not pair:
        fields.blame("pair", MISSING)
    if fields.has("limit_type"):
        fields.choice("limit_type", _LIMIT_TYPES)
    code = read_market(fields, accounts)
    if pair is None or pair not in pairs:
        raise invalid(422, {"pair": [INVALID]})
    return code, pair


def rates(pair: str, ticker: Ticker, rules: PairRules, *, is_contract: bool, leverage: bool) -> Json:
    """Return the prices and the limits of a pair.

    Args:
        pair: QUOTE_BASE.
        ticker: Its prices.
        rules: What is accepted for it.
        is_contract: The market trades contracts.
        leverage: The kinds of leverage are asked for, too.
    """
    answer: Json = {
        "last": decimal_text(ticker.last),
        "bid": decimal_text(ticker.bid),
        "ask": decimal_text(ticker.ask),
        "orderbook_ask": decimal_text(ticker.ask),
        "orderbook_bid": decimal_text(ticker.bid),
        "orderbook_last": decimal_text(ticker.last),
        "orderbook_price_currency": pair.partition("_")[0],
        "strategy_name": "orderbook_price",
        "contract_strategy_name": "orderbook_price",
    }
    if leverage:
        answer["leverage_data"] = [_leverage(*kind, rules) for kind in LEVERAGES]
    answer["instrumentKind"] = "linear_futures" if is_contract else "spot"
    return answer | {name: _text(limit) for name, limit in rules.limits.items() if name != "max_leverage"}


def _leverage(code: str, name: str, rules: PairRules) -> Json:
    settable = code != "none"
    most = rules.limits.get("max_leverage")
    text = None if most is None or not settable else _text(most)
    return {
        "code": code,
        "name": name,
        "can_set_leverage_value": settable,
        "available_leverage_values": [],
        "max_leverage": text,
        # The documented answer has a number and a text.
        "valid": {"min": 1, "max": text} if settable else {},
    }


def _text(limit: Decimal) -> str:
    return decimal_text(limit) if limit.is_finite() else "Infinity"
