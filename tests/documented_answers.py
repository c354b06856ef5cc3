"""Documented answers, and whether each of their values is decoded as it is printed."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from threecommas_async import StatusCode

if TYPE_CHECKING:
    from collections.abc import Iterator


def exact(body: bytes) -> Any:
    """The content of an answer, its numbers as they are printed."""
    return json.loads(body, parse_float=Decimal)


def leaves(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The values of an answer that hold no others, and where they are."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from leaves(value, f"{path}.{index}")
    else:
        yield path, content


def follow(value: Any, path: str) -> Any:
    """What stands there in the decoded answer."""
    for part in path.split("."):
        value = value[int(part)] if part.isdecimal() else getattr(value, part)
    return value


def compare(got: Any, content: Any) -> int:
    """Assert that each value of an answer is decoded exactly; return how many there are."""
    compared = 0
    for where, expected in leaves(content):
        value = follow(got, where)
        if isinstance(value, Decimal):
            assert str(value) == str(Decimal(str(expected))), where
        elif isinstance(value, datetime):
            assert value == datetime.fromisoformat(expected), where
        else:
            assert value == expected, where
            assert type(value) is type(expected) or isinstance(value, StatusCode), where
        compared += 1
    return compared
