"""Which row of the API a request is for."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from threecommas_async.endpoints import BASE_URL

if TYPE_CHECKING:
    from threecommas_async.endpoints import Endpoint

BASE_PATH: Final = urlsplit(BASE_URL).path
"""Path of the base URL, the same as the real one's: it is part of what is signed."""

_VALUE: Final = re.compile(r"\{\w+\}")


def path_values(row: Endpoint[Any], method: str, target: str) -> tuple[str, ...] | None:
    """Return the values that a request has in place of those of a row's path; None if it is for another row.

    Args:
        row: The row.
        method: HTTP method of the request.
        target: Its path and query.
    """
    if method != row.method:
        return None
    match = _pattern(row.path).fullmatch(target.partition("?")[0])
    return None if match is None else match.groups()


@cache
def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(BASE_PATH + _VALUE.sub("([^/]+)", path))
