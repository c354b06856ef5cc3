"""The answers that are measured with: the documented SmartTrades, each with an id and numbers of its own."""

from __future__ import annotations

import json
import math
import random
import re
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final, cast

import msgspec

FIRST_ID: Final = 5_000_000_000
"""Ids of this API exceed 32 bits."""

_SAMPLES: Final = Path(__file__).parents[1] / "tests" / "samples"
_NUMBER: Final = re.compile(r'"-?\d+\.\d+"|\.\d{3}Z"')
_DIGIT: Final = re.compile("[1-9]")  # A zero stays one: many amounts are 0.0.


def close_answer(id: bytes) -> bytes:
    """Return the documented answer to ``close_by_market``, about the trade with this id."""
    answer: dict[str, Any] = json.loads((_SAMPLES / "smart_trades.close_by_market" / "201.json").read_bytes())
    return _compact(answer | {"id": None}).replace(b'"id":null', b'"id":%b' % id, 1)


@cache
def documented() -> tuple[dict[str, Any], ...]:
    """Return all SmartTrades that are documented."""
    return tuple(
        answer
        for path in sorted(_SAMPLES.glob("*/20?.json"))
        for answer in _smart_trades(json.loads(path.read_bytes()))
    )


def page(trades: int) -> bytes:
    """Return a page of so many trades: all those that are documented, over and over, with other numbers."""
    chance = random.Random(trades)

    def other_number(found: re.Match[str]) -> str:
        return _DIGIT.sub(lambda _: str(chance.randint(1, 9)), found[0])

    content = [
        trade | {"id": FIRST_ID + index} for index, trade in enumerate(islice(cycle(documented()), trades))
    ]
    return _NUMBER.sub(other_number, _compact(content).decode()).encode()


def even_pages(trades: int) -> list[bytes]:
    """Return pages of so many trades each, as few as hold each documented one equally often together."""
    several = math.lcm(trades, len(documented()))
    cut = [bytes(trade) for trade in msgspec.json.decode(page(several), type=list[msgspec.Raw])]
    return [b"[%b]" % b",".join(cut[start : start + trades]) for start in range(0, several, trades)]


def _smart_trades(answer: Any) -> list[dict[str, Any]]:
    items = cast("list[dict[str, Any]]", answer if isinstance(answer, list) else [answer])
    return [item for item in items if "take_profit" in item]


def _compact(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
