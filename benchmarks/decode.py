"""What decoding a page of SmartTrades costs beside ``json.loads``, and how it grows with the page.

Run: ``python -m benchmarks.decode`` (a minute, needs the extra ``bench``). The pages hold the documented
SmartTrades, each with an id and numbers of its own; those of one size are decoded in turn, and together they
hold each documented one equally often. pydantic has a model with the same fields and types, made from the
Structs; the values that it reads are the same.
"""

from __future__ import annotations

import json
import statistics
from datetime import datetime
from decimal import Decimal
from functools import cache, partial
from types import GenericAlias, UnionType
from typing import TYPE_CHECKING, Any, Final, Union, get_args, get_origin

import msgspec

from benchmarks.pages import even_pages
from benchmarks.rounds import cpu, ratio, spread, take_turns
from benchmarks.tables import table
from threecommas_async import SmartTrade
from threecommas_async.endpoints import LIST_SMART_TRADES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PAGES: Final = (1, 10, 100)
ROUNDS: Final = 60
TRADES: Final = 1400
"""Trades that each side decodes in a round, on pages of any size: each page is among them equally often."""

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
    for body in even_pages(max(PAGES)):
        ours = msgspec.to_builtins(tuple(typed(body)), builtin_types=(Decimal, datetime))
        if ours != tuple(model.model_dump() for model in models(body)):
            raise ValueError("pydantic reads other values than the client")


def decode_all(decode: Callable[[bytes], object], bodies: Iterable[bytes]) -> None:
    """Decode each of the bodies."""
    for body in bodies:
        decode(body)


def measure(trades: int) -> Iterator[tuple[object, ...]]:
    """Give the rows of one size of page."""
    bodies = even_pages(trades)
    times, kilobytes = TRADES // (trades * len(bodies)), statistics.mean(map(len, bodies)) / 1000
    sides = {
        name: partial(cpu, partial(decode_all, decode, bodies), times) for name, decode in decoders().items()
    }
    rounds = take_turns(sides, rounds=ROUNDS)
    for name, took in rounds.items():
        micros = spread(took).median / (trades * len(bodies)) * 1e6
        yield name, trades, f"{kilobytes:.1f}", f"{micros:.1f}", f"{ratio(took, rounds[JSON]):.2f}"


def main() -> None:
    """Print the table."""
    check()
    rows = [row for trades in PAGES for row in measure(trades)]
    print(
        f"CPU time of decoding, medians of {ROUNDS} interleaved rounds; ratios with quartiles. Pages of any "
        f"size hold the documented trades in the same shares; {max(PAGES)} are the most that the API gives.\n"
    )
    print(table(("decoder", "trades on the page", "kB", "µs a trade", "÷ `json.loads`"), rows))


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


if __name__ == "__main__":
    main()
