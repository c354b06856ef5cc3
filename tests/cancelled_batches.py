"""What a batch leaves that was broken off."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from threecommas_async.batch import BatchReport


async def report_of_cancelled(task: asyncio.Task[Any]) -> BatchReport:
    """Wait for the end of a task that was cancelled, and return the report that its end carries."""
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    return report_of(caught.value)


def report_of(error: BaseException) -> BatchReport:
    """Return the report that an error carries."""
    report = BatchReport.of(error)
    assert report is not None
    return report
