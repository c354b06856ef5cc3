"""Market data: markets, their pairs, and what they accept for a pair."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final, Literal, Self, TypeVar, get_args

from threecommas_async import endpoints
from threecommas_async.arguments import is_number
from threecommas_async.shared_reads import SharedReads

if TYPE_CHECKING:
    from threecommas_async.endpoints import Endpoint
    from threecommas_async.models.decoding import Page
    from threecommas_async.models.market import CurrencyRates, Market
    from threecommas_async.models.pair import Pair
    from threecommas_async.session import Session

T = TypeVar("T")

LimitType = Literal["bot", "smart_trade"]
"""Whose limits are asked for."""

LIST_AGE: Final = 3600.0
"""Seconds for which a list of markets or pairs is fresh unless told otherwise."""
RATES_AGE: Final = 60.0
"""Seconds for which rates and limits are fresh unless told otherwise."""


class MarketData:
    """The calls on market data: ``client.market_data``.

    They are public: neither key nor signature leaves (``Forced-Mode`` does, as with every request). They
    count against the request limit like any other call, so a client keeps the answers for a while:
    ``max_age`` is the greatest age in seconds that will do, and 0 asks anew. Who asks for the same at the
    same time shares one request, made with the options of the first. The documentation shows no refusals of
    these calls: a market or pair that does not exist may be an `InvalidRequestError`, as in the sandbox, or
    an answer without numbers, which `MarketRules.from_rates` refuses. `markets` and `pairs` list what exists.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._reads = SharedReads(session.clock)

    def with_session(self, session: Session) -> Self:
        """Return these calls over another session; what is kept is kept for both."""
        view = copy.copy(self)
        view._session = session  # noqa: SLF001 - a copy of its own
        return view

    async def markets(self, *, max_age: float = LIST_AGE) -> Page[Market]:
        """List the markets that 3Commas trades on.

        Args:
            max_age: The greatest age of the answer, in seconds.

        Returns:
            The markets that could be read; ``malformed`` names those that could not.

        Raises:
            ValueError: ``max_age`` is negative or no number. Nothing was sent.
        """
        return await self._read(endpoints.LIST_MARKETS, max_age)

    async def pairs(self, market_code: str, /, *, max_age: float = LIST_AGE) -> Page[Pair]:
        """List the pairs of a market.

        Args:
            market_code: Code of the market, such as ``binance_us``: of an account or from `markets`.
            max_age: The greatest age of the answer, in seconds.

        Returns:
            The pairs that could be read; ``malformed`` names those that could not.

        Raises:
            ValueError: The code is no text or empty, or ``max_age`` cannot be used. Nothing was sent.
        """
        _check_text("market_code", market_code)
        return await self._read(endpoints.LIST_PAIRS, max_age, market_code=market_code)

    async def currency_rates(
        self,
        market_code: str,
        pair: str,
        /,
        *,
        limit_type: LimitType | None = "smart_trade",
        max_age: float = RATES_AGE,
    ) -> CurrencyRates:
        """Read the prices and the limits of a pair.

        Args:
            market_code: Code of the market, such as ``binance_us``.
            pair: QUOTE_BASE, such as ``USDT_BTC``.
            limit_type: Whose limits: ``smart_trade`` or ``bot``; None is the API's default, which the
                documentation does not state.
            max_age: The greatest age of the answer, in seconds.

        Raises:
            ValueError: An argument is no text, empty or not known. Nothing was sent.
        """
        if limit_type is not None and limit_type not in get_args(LimitType):
            raise ValueError(
                f"limit_type must be one of {', '.join(get_args(LimitType))}, not {limit_type!r}"
            )
        return await self._rates(endpoints.CURRENCY_RATES, market_code, pair, max_age, limit_type=limit_type)

    async def currency_rates_with_leverage_data(
        self, market_code: str, pair: str, /, *, max_age: float = RATES_AGE
    ) -> CurrencyRates:
        """Read the prices and the limits of a pair, and the kinds of leverage it can be traded with.

        Args:
            market_code: Code of the market, such as ``binance_futures_eea``.
            pair: QUOTE_BASE, such as ``BNFCR_1INCHUSDT``.
            max_age: The greatest age of the answer, in seconds.

        Raises:
            ValueError: An argument is no text or empty. Nothing was sent.
        """
        return await self._rates(endpoints.LEVERAGE_RATES, market_code, pair, max_age)

    async def _rates(
        self, row: Endpoint[CurrencyRates], market_code: str, pair: str, max_age: float, **more: object
    ) -> CurrencyRates:
        _check_text("market_code", market_code)
        _check_text("pair", pair)
        return await self._read(row, max_age, market_code=market_code, pair=pair, **more)

    async def _read(self, row: Endpoint[T], max_age: float, **query: object) -> T:
        if not (is_number(max_age) and max_age >= 0):
            raise ValueError(f"max_age must be a number of seconds from 0, not {max_age!r}")
        session = self._session
        session.check_usable()

        async def ask() -> T:
            return await session.call(row, query=query)

        key = (row.path, *sorted((name, value) for name, value in query.items() if value is not None))
        return await self._reads.get(key, ask, max_age=max_age, asker=session)


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError(f"{name} must be text, not {value!r:.80}")
