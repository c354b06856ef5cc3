"""The options that all batches have."""

from __future__ import annotations

import math
import reprlib
import sys
from typing import TYPE_CHECKING

from threecommas_async.arguments import is_number

if TYPE_CHECKING:
    from threecommas_async.batch.progress import OnProgress


def is_duration(seconds: object) -> bool:
    """Whether it is a positive number of seconds; infinity is one."""
    if not is_number(seconds):
        return False
    return 0 < seconds <= sys.float_info.max or seconds == math.inf


def check_options(*, concurrency: int, deadline: float | None, on_progress: OnProgress | None) -> None:
    """Raise unless the options that all batches have can be used.

    Raises:
        ValueError: One of them cannot.
    """
    if type(concurrency) is not int or concurrency < 1:
        raise ValueError(f"concurrency must be a whole number of at least 1, not {concurrency!r}")
    if deadline is not None and (not is_duration(deadline) or deadline == math.inf):
        raise ValueError(f"deadline must be a positive number of seconds, not {reprlib.repr(deadline)}")
    if on_progress is not None and not callable(on_progress):
        raise ValueError(f"on_progress must be a function, not {on_progress!r}")
