"""Structs to bytes: numbers leave as plain decimal strings, never as floats or exponents."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

import msgspec


def encode_body(body: msgspec.Struct) -> bytes:
    """Return the JSON of a request Struct.

    Raises:
        ValueError: It holds a float, bytes, text that is no text (a lone surrogate), or what JSON has not.
    """
    try:
        values = msgspec.to_builtins(body, builtin_types=(Decimal, bytes), enc_hook=_text)
    except TypeError as problem:
        raise ValueError(f"it cannot be sent: {problem}") from None
    return msgspec.json.encode(_plain(values))


def _text(value: object) -> str:
    if isinstance(value, str):  # msgspec takes no subclass of it, such as a Pair.
        return str.__str__(value)
    raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return format(value, "f")
        case float():
            raise ValueError(f'a float cannot be sent exactly: write "{value}" or Decimal("{value}")')
        case bytes():
            raise ValueError(f"bytes cannot be sent, text can: {value!r:.50}")
        case dict():
            return {key: _plain(item) for key, item in cast("dict[str, Any]", value).items()}
        case list() | tuple():
            return [_plain(item) for item in cast("list[Any]", value)]
        case _:
            return value
