"""What a list is asked for: its page, and of SmartTrades the filters and the order."""

from __future__ import annotations

import reprlib
from typing import Any, Final, Literal, get_args

from threecommas_async.arguments import check_aware, is_whole
from threecommas_async.endpoints import PAGE_SIZE
from threecommas_async.models.pair import is_pair

Kind = Literal["simple_buy", "simple_sell", "smart_trade", "smart_cover", "smart_buy", "smart_sell"]
"""Kinds of SmartTrades; the constructors of `SmartTradeOrder` have their names."""
StatusFilter = Literal[
    "all", "active", "finished", "successfully_finish", "successfully_finished", "cancelled", "failed"
]
"""Which states: ``active`` has those that have not ended.

``successfully_finish`` is spelled both ways: the documentation changed after 2024-11, and no example
settles it.
"""
OrderDirection = Literal["ASC", "DESC"]
"""Direction in which a list is sorted."""
OrderBy = Literal["created_at", "updated_at", "closed_at", "status", "profit", "profit_percentage"]
"""What a list is sorted by."""

_CHOICES: Final = {
    "type": Kind,
    "status": StatusFilter,
    "order_by": OrderBy,
    "order_direction": OrderDirection,
}


def check_page(page: object, per_page: object) -> None:
    """Raise unless there can be such a page of a list.

    Raises:
        ValueError: There cannot.
    """
    if not (is_whole(page) and is_whole(per_page) and page >= 1 and 1 <= per_page <= PAGE_SIZE):
        raise ValueError(f"page must be at least 1 and per_page 1 to {PAGE_SIZE}: {page!r}, {per_page!r}")


def list_query(*, from_: Any, **asked: Any) -> dict[str, Any]:
    """Return the query of a list of SmartTrades.

    Args:
        from_: As in ``SmartTrades.list``; ``from``, its name in the query, is a word of Python's.
        **asked: Its other arguments, all of them.

    Raises:
        ValueError: The API would refuse one of them, or take it for none.
    """
    check_page(asked["page"], asked["per_page"])
    # No id and an empty text may filter nothing: a variable that is not set must not select all.
    if asked["account_id"] is not None:
        _check_account_id(asked["account_id"], or_none="None or ")
    for name in ("pair", "base", "quote"):
        text = asked[name]
        if text is not None and not (isinstance(text, str) and text.strip()):
            raise ValueError(f"{name} must be None or a text that is not empty, not {text!r}")
    if asked["pair"] is not None:
        _check_pair(asked["pair"])
    for name, instant in (("from_", from_), ("to", asked["to"])):
        if instant is not None:
            check_aware(name, instant)
    for name, allowed in _CHOICES.items():
        if asked[name] is not None and asked[name] not in get_args(allowed):
            raise ValueError(f"{name} must be one of {', '.join(get_args(allowed))}, not {asked[name]!r}")
    return asked | {"from": from_}


def check_place(account_id: object, pair: object) -> None:
    """Raise unless they name one account and one pair.

    Raises:
        ValueError: One of them does not.
    """
    _check_account_id(account_id)
    _check_pair(pair)


def _check_account_id(account_id: object, *, or_none: str = "") -> None:
    if not (is_whole(account_id) and account_id > 0):
        raise ValueError(
            f"account_id must be {or_none}a positive whole number, not {reprlib.repr(account_id)}"
        )


def _check_pair(pair: object) -> None:
    if not (isinstance(pair, str) and is_pair(pair)):
        raise ValueError(f"pair must be given as QUOTE_BASE, such as USDT_BTC, not {reprlib.repr(pair)}")
