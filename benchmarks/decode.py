"""What decoding a page of SmartTrades costs beside ``json.loads``, and how it grows with the page.

Run: ``python -m benchmarks.decode`` (needs the extra ``bench``). The pages hold the documented SmartTrades,
each with an id and numbers of its own. pydantic has a model with the same fields and types, made from the
Structs; the values that it reads are the same.
"""

from __future__ import annotations

import gc
import json
import time
from datetime import datetime
from decimal import Decimal
from functools import cache, partial
from types import GenericAlias, UnionType
from typing import TYPE_CHECKING, Any, Final, Union, get_args, get_origin

import msgspec

from benchmarks.pages import page
from benchmarks.rounds import Spread, ratio, spread, take_turns
from benchmarks.tables import table
from threecommas_async import SmartTrade
from threecommas_async.endpoints import LIST_SMART_TRADES

if TYPE_CHECKING:
    from collections.abc import Callable

PAGES: Final = (1, 10, 100)
ROUNDS: Final = 60
TRADES: Final = 1000
"""Trades that each side decodes in a round, on pages of any size."""

JSON: Final = "`json.loads`"


@cache
def counterpart(kind: Any) -> Any:
    """Return the pydantic model of a Struct, and of any other type that type with its Structs replaced."""
    import pydantic

    if _is_struct(kind):
        fields: dict[str, Any] = {}
        for field in msgspec.structs.fields(kind):
            default = field.default
            if isinstance(default, msgspec.Struct):
                default = counterpart(type(default))()
            fields[field.name] = (counterpart(field.type), ... if field.required else default)
        frozen = pydantic.ConfigDict(frozen=True)
        model: type[pydantic.BaseModel] = pydantic.create_model(kind.__name__, __config__=frozen, **fields)
        return model
    if get_origin(kind) in {Union, UnionType}:
        return Union[tuple(map(counterpart, get_args(kind)))]  # noqa: UP007 - it is not known here of what
    if get_origin(kind) is tuple:
        return GenericAlias(tuple, tuple(map(counterpart, get_args(kind))))
    return kind


def decoders() -> dict[str, Callable[[bytes], Any]]:
    """Return what decodes a page, by name."""
    import pydantic

    models: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(counterpart(tuple[SmartTrade, ...]))
    return {
        JSON: json.loads,
        "msgspec, untyped": msgspec.json.Decoder().decode,
        "`client.smart_trades.list`, typed": LIST_SMART_TRADES.decode,
        "pydantic v2, typed": models.validate_json,
    }


def check() -> None:
    """Hold what pydantic reads against what the client reads.

    Raises:
        ValueError: The two differ.
    """
    *_, typed, models = decoders().values()
    body = page(max(PAGES))
    ours = msgspec.to_builtins(tuple(typed(body)), builtin_types=(Decimal, datetime))
    if ours != tuple(model.model_dump() for model in models(body)):
        raise ValueError("pydantic reads other values than the client")


def cpu(decode: Callable[[bytes], object], body: bytes, times: int) -> float:
    """Return the CPU seconds of decoding a body so many times."""
    gc.collect()  # What another side has left behind is not to be this side's garbage.
    began = time.process_time()
    for _ in range(times):
        decode(body)
    return time.process_time() - began


def measure(trades: int) -> dict[str, tuple[Spread, Spread]]:
    """Return microseconds a trade, and the ratio to ``json.loads``, of each decoder."""
    body, times = page(trades), TRADES // trades
    sides = {name: partial(cpu, decode, body, times) for name, decode in decoders().items()}
    rounds = take_turns(sides, rounds=ROUNDS)
    return {
        name: (spread(seconds / TRADES * 1e6 for seconds in took), ratio(took, rounds[JSON]))
        for name, took in rounds.items()
    }


def main() -> None:
    """Print the table."""
    check()
    rows = [
        (name, trades, f"{len(page(trades)) / 1000:.1f}", f"{micros.median:.1f}", f"{beside:.2f}")
        for trades in PAGES
        for name, (micros, beside) in measure(trades).items()
    ]
    print(f"CPU time of decoding, medians of {ROUNDS} interleaved rounds; ratios with quartiles.\n")
    print(table(("decoder", "trades on the page", "kB", "µs a trade", "÷ `json.loads`"), rows))


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


if __name__ == "__main__":
    main()
