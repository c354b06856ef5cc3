"""The list call: filters, order and pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from threecommas_async.models.status import TERMINAL, StatusCode
from threecommas_async.sandbox.parameters import INVALID, Fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from threecommas_async.sandbox.market import Ticker
    from threecommas_async.sandbox.trades import Trade

_KINDS: Final = ("simple_buy", "simple_sell", "smart_trade", "smart_cover", "smart_buy", "smart_sell")
_SUCCESSES: Final = frozenset({StatusCode.PANIC_SOLD, StatusCode.FINISHED, StatusCode.STOP_LOSS_FINISHED})
# What the filter's words comprise is not documented, except by their names.
_STATUSES: Final[Mapping[str, frozenset[StatusCode]]] = {
    "all": frozenset(StatusCode),
    "active": frozenset(StatusCode) - TERMINAL,
    "finished": TERMINAL,
    "successfully_finish": _SUCCESSES,
    "successfully_finished": _SUCCESSES,
    "cancelled": frozenset({StatusCode.CANCELLED}),
    "failed": frozenset({StatusCode.FAILED}),
}
_MAX_PER_PAGE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A question for a page of trades; None and empty texts filter nothing.

    Args:
        statuses: States to show.
        account_id: Account.
        pair: QUOTE_BASE.
        kind: The ``data.type``.
        base: Base currency.
        quote: Quote currency.
        since: Earliest creation, aware.
        until: Latest creation, aware.
        order_by: Sort key.
        descending: Largest first.
        page: Number of the page, from 1.
        per_page: Trades on a page.
    """

    statuses: frozenset[StatusCode]
    account_id: int | None
    pair: str | None
    kind: str
    base: str | None
    quote: str | None
    since: datetime | None
    until: datetime | None
    order_by: str
    descending: bool
    page: int
    per_page: int


def read_listing(parameters: Mapping[str, object]) -> Listing:
    """Return what the parameters of a list ask for.

    Raises:
        Refusal: 400, a parameter is malformed or out of its range.
    """
    fields = Fields(parameters)
    listing = Listing(
        statuses=_STATUSES.get(fields.choice("status", _STATUSES, default="all"), TERMINAL),
        account_id=fields.whole("account_id"),
        pair=fields.text("pair"),
        kind=fields.choice("type", _KINDS) if fields.has("type") else "",
        base=fields.text("base"),
        quote=fields.text("quote"),
        since=_instant(fields, "from"),
        until=_instant(fields, "to"),
        order_by=fields.choice("order_by", _SORT_KEYS, default="status"),
        descending=fields.choice("order_direction", ("ASC", "DESC", "asc", "desc"), default="DESC").upper()
        == "DESC",
        page=_within(fields, "page", 1, None),
        per_page=_within(fields, "per_page", 10, _MAX_PER_PAGE),
    )
    fields.check()
    return listing


def select(
    trades: Iterable[Trade], listing: Listing, tickers: Mapping[str, Ticker], epoch: datetime
) -> list[Trade]:
    """Return one page.

    Trades that compare equal, and those without the value that is sorted by, are in the order of their ids.

    Args:
        trades: All trades.
        listing: What is asked for.
        tickers: Prices by pair, for the sorting by profit.
        epoch: Wall-clock time of instant 0.
    """
    value_of = _SORT_KEYS[listing.order_by]

    def rank(trade: Trade) -> tuple[bool, str | Decimal, int]:
        value = value_of(trade, tickers[trade.order.pair])
        return value is not None, "" if value is None else value, trade.id

    chosen = [trade for trade in trades if _fits(trade, listing, epoch)]
    chosen.sort(key=rank, reverse=listing.descending)
    start = (listing.page - 1) * listing.per_page
    return chosen[start : start + listing.per_page]


def _fits(trade: Trade, listing: Listing, epoch: datetime) -> bool:
    quote, _, base = trade.order.pair.partition("_")
    created = epoch + timedelta(seconds=trade.created_at)
    return (
        trade.status in listing.statuses
        and listing.account_id in (None, trade.account.id)
        and listing.pair in (None, "", trade.order.pair)
        and listing.kind in ("", trade.order.kind)
        and listing.base in (None, "", base)
        and listing.quote in (None, "", quote)
        and (listing.since is None or created >= listing.since)
        and (listing.until is None or created <= listing.until)
    )


def _within(fields: Fields, name: str, default: int, most: int | None) -> int:
    number = fields.whole(name) if fields.has(name) else default
    if number is None:
        return default
    if number < 1:
        fields.blame(name, "must be greater than or equal to 1")
    elif most is not None and number > most:
        fields.blame(name, f"must be less than or equal to {most}")
    return number


def _instant(fields: Fields, name: str) -> datetime | None:
    text = fields.text(name)
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        fields.blame(name, INVALID)
        return None
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)


def _profit_percent(trade: Trade, ticker: Ticker) -> Decimal | None:
    profit = trade.profit(ticker)
    return None if profit is None else profit / trade.position.entered_total


_SORT_KEYS: Final[Mapping[str, Callable[[Trade, Ticker], str | Decimal | None]]] = {
    "created_at": lambda trade, _: Decimal(trade.created_at),
    "updated_at": lambda trade, _: Decimal(trade.updated_at),
    "closed_at": lambda trade, _: None if trade.closed_at is None else Decimal(trade.closed_at),
    "status": lambda trade, _: trade.status.value,
    "profit": lambda trade, ticker: trade.profit(ticker),
    "profit_percentage": _profit_percent,
}
