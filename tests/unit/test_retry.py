"""How long is waited before a request is sent again."""

from __future__ import annotations

import pytest
from tenacity import stop_never

from threecommas_async.retry import RetryPolicy, Step, wait_before_resend


def waits(policy: RetryPolicy, attempt: int, *, times: int = 500) -> list[float]:
    """Seconds before what follows an attempt, in order."""
    found = [wait_before_resend(policy, attempt, step=Step.BACK_OFF, left=1000) for _ in range(times)]
    return sorted(seconds for seconds in found if seconds is not None)


@pytest.mark.parametrize(
    ("attempt", "longest"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 8.0), (9, 8.0)]
)
def test_a_wait_is_any_share_of_one_that_doubles_up_to_8_s(attempt: int, longest: float) -> None:
    seconds = waits(RetryPolicy(stop=stop_never), attempt)
    assert len(seconds) == 500
    assert 0 <= seconds[0] < longest / 10
    assert longest * 9 / 10 < seconds[-1] <= longest
    assert sum(seconds) / 500 == pytest.approx(longest / 2, rel=0.25)


def test_three_attempts_are_made_unless_told_otherwise() -> None:
    assert [len(waits(RetryPolicy(), attempt, times=1)) for attempt in (1, 2, 3, 4)] == [1, 1, 0, 0]
