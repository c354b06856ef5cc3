"""The API for SmartTrades as a table: one row for each call.

Source: the official documentation (state of 2026-05).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from msgspec import Struct

from threecommas_async.models import effects
from threecommas_async.models.account import (
    ActiveEntitiesData,
    Balance,
    BalanceShare,
    ConnectedAccount,
)
from threecommas_async.models.decoding import Decoder, Page, PageDecoder
from threecommas_async.models.leverage import LeverageData
from threecommas_async.models.market import CurrencyRates, Market, decode_pairs
from threecommas_async.models.smart_trade import SmartTrade
from threecommas_async.models.trade import ReduceFundsInfo, Trade

if TYPE_CHECKING:
    from threecommas_async.models.pair import Pair

T = TypeVar("T")

BASE_URL: Final = "https://api.3commas.io/public/api"
"""Base URL of the API; its path is part of what is signed."""
PAGE_SIZE: Final = 100
"""The most elements that one page of a list can hold."""


class Permission(StrEnum):
    """What the API key must be allowed to do."""

    NONE = "NONE"
    SMART_TRADES_READ = "SMART_TRADES_READ"
    SMART_TRADES_WRITE = "SMART_TRADES_WRITE"
    ACCOUNTS_READ = "ACCOUNTS_READ"
    ACCOUNTS_WRITE = "ACCOUNTS_WRITE"


class Replay(StrEnum):
    """Whether a request may be sent again after an attempt that brought no usable answer.

    Any request is sent again when it provably never left, or was refused unprocessed by the rate limit.
    """

    SAFE = "safe"
    """A read: sent again after any lost or unusable answer."""
    IDEMPOTENT = "idempotent"
    """A write that twice has the effect of once: sent again like a read."""
    READ_BACK = "read_back"
    """The entity shows whether the call took effect: it is read, and the call made again if it did not.

    The documentation names the states in which such a call is possible (2026-05; for ``close_by_market`` and
    ``cancel`` 2024-10), and none is one that the first call leads to: a second one orders nothing. For
    ``cancel_trade`` it names none, and twice withdraws the same order."""
    ONCE = "once"
    """Twice may be two orders: not sent again once it may have arrived.

    But for an order with a reference, which is searched for: see `SmartTrades.create`."""


class Endpoint(Struct, Generic[T], frozen=True, eq=False):
    """One call of the API.

    Args:
        method: HTTP method.
        path: Path template below the base URL; ids in braces.
        permission: What the key needs.
        replay: When it may be sent again.
        decode: Reads the body of a 2xx answer.
        read_back: The read that shows the effect of the call; None where no id is known beforehand.
        is_exit: It closes or cancels: the limiter lets it go ahead of other calls, and use the reserve.
        is_signed: Neither key nor signature leaves without it: what is asked for is public.
        differs: Returns how an answer shows that it is about something else than the body that was sent
            asked for; None where it does not show that. Takes the body and the value of the answer.
    """

    method: str
    path: str
    permission: Permission
    replay: Replay
    decode: Callable[[bytes], T]
    read_back: ReadBack[T] | None = None
    is_exit: bool = False
    is_signed: bool = True
    differs: Callable[[bytes, T], str | None] | None = None

    @property
    def subject(self) -> str | None:
        """The path value that must be the ``id`` of the answer; None where the answer has none."""
        if self.read_back is not None:
            return self.read_back.parameter
        if self.path.endswith(("{id}", "{account_id}")):
            return self.path.rpartition("{")[2].rstrip("}")
        return None

    def __repr__(self) -> str:
        return f"<Endpoint {self}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return find, (self.method, self.path)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class ReadBack(Struct, Generic[T], frozen=True):
    """How to read the entity that a call acts on.

    Args:
        endpoint: The row of the read; its path has one value, its ``subject``.
        parameter: The path value of the call that is this id.
        shows: Whether what was read says that the call took effect; None where it cannot.
        orders: The row that lists the entity's single trades, where only they show the effect; its path has
            one value, ``smart_trade_id``.
        lasting: The effect shows for good: nothing that is ordered later hides it.
    """

    endpoint: Endpoint[T]
    parameter: str
    shows: Callable[[T, Page[Trade], Mapping[str, int]], bool] | None = None
    orders: Endpoint[Page[Trade]] | None = None
    lasting: bool = False

    def path(self, id: int) -> Mapping[str, int]:
        """Return the path value of the read."""
        return {self.endpoint.subject or "id": id}


def find(method: str, path: str) -> Endpoint[Any]:
    """Return the row with this method and path template.

    Raises:
        KeyError: There is none.
    """
    return _BY_CALL[method, path]


_NONE: Final = Permission.NONE
_READ, _WRITE = Permission.SMART_TRADES_READ, Permission.SMART_TRADES_WRITE
_SAFE, _AGAIN, _BACK, _ONCE = Replay.SAFE, Replay.IDEMPOTENT, Replay.READ_BACK, Replay.ONCE
_LOOK, _ADMIN = Permission.ACCOUNTS_READ, Permission.ACCOUNTS_WRITE
_EXIT: Final = True
_NO: Final = False
_MARKET: Final = "/ver1/accounts/"
_RATES: Final = "/ver1/accounts/currency_rates"
_WITH_LEVERAGE: Final = "_with_leverage_data"
_LIST: Final = "/v2/smart_trades"
_ITEM: Final = "/v2/smart_trades/{id}"
_TRADES: Final = "/v2/smart_trades/{smart_trade_id}/trades"
_TRADE: Final = "/v2/smart_trades/{smart_trade_id}/trades/{trade_id}"
_ACCOUNTS: Final = "/ver1/accounts"
_ACCOUNT: Final = "/ver1/accounts/{account_id}"
_ENTITIES: Final = "/active_trading_entities"
_TABLE_DATA: Final = "/account_table_data"

_one = Decoder(SmartTrade)
_info = Decoder(ReduceFundsInfo)
_page = PageDecoder(SmartTrade)
_trades = PageDecoder(Trade)
_markets = PageDecoder(Market)
_pairs: Callable[[bytes], Page[Pair]] = decode_pairs
_rates = Decoder(CurrencyRates)
_account = Decoder(ConnectedAccount)
_entities = Decoder(ActiveEntitiesData)
_accounts = PageDecoder(ConnectedAccount)
_leverage = PageDecoder(LeverageData)
_shares = PageDecoder(BalanceShare)
_balances = PageDecoder(Balance)

# fmt: off
LIST_SMART_TRADES  = Endpoint("GET",    _LIST,                        _READ,  _SAFE,  _page)
GET_SMART_TRADE    = Endpoint("GET",    _ITEM,                        _READ,  _SAFE,  _one)
REDUCE_FUNDS_INFO  = Endpoint("GET",    _ITEM + "/reduce_funds_info", _WRITE, _SAFE,  _info)  # A read!
LIST_TRADES        = Endpoint("GET",    _TRADES,                      _READ,  _SAFE,  _trades)

_other     = effects.is_of_another_order
_itself    = ReadBack(GET_SMART_TRADE, "id")
_closed    = ReadBack(GET_SMART_TRADE, "id", effects.is_closed_by_market, lasting=True)
_cancelled = ReadBack(GET_SMART_TRADE, "id", effects.is_cancelled, lasting=True)
_started   = ReadBack(GET_SMART_TRADE, "id", effects.is_started)
_sold      = ReadBack(GET_SMART_TRADE, "smart_trade_id", effects.is_target_closed, LIST_TRADES)
_withdrawn = ReadBack(GET_SMART_TRADE, "smart_trade_id", effects.is_order_cancelled, LIST_TRADES)

CREATE_SMART_TRADE = Endpoint("POST",   _LIST,                        _WRITE, _ONCE,  _one, differs=_other)
UPDATE_SMART_TRADE = Endpoint("PATCH",  _ITEM,                        _WRITE, _ONCE,  _one, _itself)
CANCEL_SMART_TRADE = Endpoint("DELETE", _ITEM,                        _WRITE, _BACK,  _one, _cancelled, _EXIT)
ADD_FUNDS          = Endpoint("POST",   _ITEM + "/add_funds",         _WRITE, _ONCE,  _one, _itself)
REDUCE_FUNDS       = Endpoint("POST",   _ITEM + "/reduce_funds",      _WRITE, _ONCE,  _one, _itself)
CLOSE_BY_MARKET    = Endpoint("POST",   _ITEM + "/close_by_market",   _WRITE, _BACK,  _one, _closed, _EXIT)
SET_NOTE           = Endpoint("POST",   _ITEM + "/set_note",          _WRITE, _AGAIN, _one, _itself)
FORCE_START        = Endpoint("POST",   _ITEM + "/force_start",       _WRITE, _BACK,  _one, _started)
FORCE_PROCESS      = Endpoint("POST",   _ITEM + "/force_process",     _WRITE, _ONCE,  _one, _itself)
CLOSE_TRADE        = Endpoint("POST",   _TRADE + "/close_by_market",  _WRITE, _BACK,  _one, _sold, _EXIT)
CANCEL_TRADE       = Endpoint("DELETE", _TRADE,                       _WRITE, _BACK,  _one, _withdrawn, _EXIT)

# Public calls, which need no key.
LIST_MARKETS       = Endpoint("GET",    _MARKET + "market_list",      _NONE,  _SAFE,  _markets, is_signed=_NO)
LIST_PAIRS         = Endpoint("GET",    _MARKET + "market_pairs",     _NONE,  _SAFE,  _pairs, is_signed=_NO)
CURRENCY_RATES     = Endpoint("GET",    _RATES,                       _NONE,  _SAFE,  _rates, is_signed=_NO)
LEVERAGE_RATES     = Endpoint("GET",    _RATES + _WITH_LEVERAGE,      _NONE,  _SAFE,  _rates, is_signed=_NO)

LIST_ACCOUNTS      = Endpoint("GET",    _ACCOUNTS,                    _LOOK,  _SAFE,  _accounts)
GET_ACCOUNT        = Endpoint("GET",    _ACCOUNT,                     _LOOK,  _SAFE,  _account)
ACTIVE_ENTITIES    = Endpoint("GET",    _ACCOUNT + _ENTITIES,         _LOOK,  _SAFE,  _entities)
# Three questions that are asked with POST: nothing changes, however often.
LEVERAGE_DATA      = Endpoint("POST",   _ACCOUNT + "/leverage_data",  _LOOK,  _SAFE,  _leverage)
PIE_CHART_DATA     = Endpoint("POST",   _ACCOUNT + "/pie_chart_data", _LOOK,  _SAFE,  _shares)
TABLE_DATA         = Endpoint("POST",   _ACCOUNT + _TABLE_DATA,       _LOOK,  _SAFE,  _balances)

_the_account = ReadBack(GET_ACCOUNT, "account_id")

# 3Commas fetches the balances from the exchange anew: twice leaves the same state as once, as a name does.
LOAD_BALANCES      = Endpoint("POST",   _ACCOUNT + "/load_balances",  _LOOK,  _AGAIN, _account, _the_account)
RENAME_ACCOUNT     = Endpoint("POST",   _ACCOUNT + "/rename",         _ADMIN, _AGAIN, _account, _the_account)
# fmt: on

TABLE: Final[tuple[Endpoint[Any], ...]] = (
    LIST_SMART_TRADES,
    GET_SMART_TRADE,
    CREATE_SMART_TRADE,
    UPDATE_SMART_TRADE,
    CANCEL_SMART_TRADE,
    ADD_FUNDS,
    REDUCE_FUNDS_INFO,
    REDUCE_FUNDS,
    CLOSE_BY_MARKET,
    SET_NOTE,
    FORCE_START,
    FORCE_PROCESS,
    LIST_TRADES,
    CLOSE_TRADE,
    CANCEL_TRADE,
    LIST_MARKETS,
    LIST_PAIRS,
    CURRENCY_RATES,
    LEVERAGE_RATES,
    LIST_ACCOUNTS,
    GET_ACCOUNT,
    ACTIVE_ENTITIES,
    LEVERAGE_DATA,
    PIE_CHART_DATA,
    TABLE_DATA,
    LOAD_BALANCES,
    RENAME_ACCOUNT,
)
"""Every row."""

_BY_CALL: Final = {(row.method, row.path): row for row in TABLE}
