from __future__ import annotations

import pytest

from threecommas_async.limits import RateLimit
from threecommas_async.sandbox.faults import Fault, Network
from threecommas_async.sandbox.window import Window

LIMIT = RateLimit(requests=3, period=60.0, lockout=300.0)


def statuses(window: Window, *instants: float) -> list[int]:
    return [window.judge(now).status for now in instants]


def test_as_many_as_the_limit_pass_and_the_next_is_refused() -> None:
    assert statuses(Window(LIMIT), 0, 1, 2, 3) == [200, 200, 200, 429]


def test_the_window_slides_with_each_request() -> None:
    assert statuses(Window(LIMIT), 0, 30, 59, 60, 89) == [200, 200, 200, 200, 429]


def test_a_request_one_full_period_later_is_in_another_window() -> None:
    assert statuses(Window(LIMIT), 0, 0, 0, 60, 60, 60) == [200] * 6
    assert statuses(Window(LIMIT), 0, 0, 0, 59.999) == [200, 200, 200, 429]


def test_a_leaky_bucket_is_caught_in_its_first_minute() -> None:
    # (3, 60 s) as a bucket: three at once, then one each 20 s.
    assert statuses(Window(LIMIT), 0, 0, 0, 20) == [200, 200, 200, 429]


def test_the_lockout_refuses_everything_until_its_end() -> None:
    window = Window(LIMIT)
    assert statuses(window, 0, 0, 0, 10, 100, 309.999) == [200, 200, 200, 429, 429, 429]
    assert statuses(window, 310) == [200]


def test_the_lockout_is_not_prolonged_by_what_it_refuses() -> None:
    window = Window(LIMIT)
    statuses(window, 0, 0, 0)
    assert [window.judge(now).until for now in (10.0, 200.0)] == [310.0, 310.0]


def test_more_than_twenty_requests_in_a_lockout_bring_the_ban() -> None:
    window = Window(LIMIT)
    statuses(window, 0, 0, 0, 10)
    assert statuses(window, *range(11, 31)) == [429] * 20
    verdict = window.judge(31)
    assert (verdict.status, verdict.until) == (418, 151.0)


def test_a_ban_ends_and_the_lockout_around_it_goes_on() -> None:
    window = Window(LIMIT, patience=0)
    statuses(window, 0, 0, 0, 10)
    assert statuses(window, 11, 130.999) == [418, 418]
    assert window.judge(310).status == 200


def test_patience_starts_anew_after_a_ban() -> None:
    window = Window(RateLimit(requests=1, period=1.0, lockout=1000.0), patience=2, ban=100.0)
    assert statuses(window, 0, 0, 1, 2, 3) == [200, 429, 429, 429, 418]
    assert statuses(window, 103, 104, 105) == [429, 429, 418]


def test_each_ban_is_twice_as_long_up_to_the_longest() -> None:
    window = Window(RateLimit(requests=1, period=1.0, lockout=1e6), patience=0, ban=120.0, longest_ban=600.0)
    statuses(window, 0, 0)
    now, lengths = 1.0, list[float]()
    for _ in range(5):
        until = window.judge(now).until
        lengths.append(until - now)
        now = until
    assert lengths == [120.0, 240.0, 480.0, 600.0, 600.0]


def test_a_banned_sender_does_not_prolong_the_ban() -> None:
    window = Window(LIMIT, patience=0)
    statuses(window, 0, 0, 0, 10, 11)
    assert {window.judge(now).until for now in (20.0, 60.0)} == {131.0}


def test_patience_starts_anew_with_each_lockout() -> None:
    window = Window(RateLimit(requests=1, period=1.0, lockout=10.0), patience=2)
    assert statuses(window, 0, 0, 1, 2) == [200, 429, 429, 429]
    assert statuses(window, 10, 10, 11, 12, 13) == [200, 429, 429, 429, 418]


def test_counts_are_kept_by_status() -> None:
    window = Window(LIMIT, patience=1)
    statuses(window, 0, 0, 0, 1, 2, 3, 4)
    assert window.counts == {200: 3, 429: 2, 418: 2}


def test_the_worst_window_counts_refused_requests_too() -> None:
    window = Window(LIMIT)
    statuses(window, 0, 0, 0, 59, 61, 62)
    assert window.worst_window() == 4


def test_the_worst_window_is_half_open_and_may_begin_anywhere() -> None:
    window = Window(RateLimit(requests=100, period=60.0, lockout=300.0))
    statuses(window, 0, 50, 55, 60, 109, 110)
    assert window.worst_window() == 4


def test_the_worst_window_loses_no_arrival_while_it_slides() -> None:
    window = Window(LIMIT)
    statuses(window, 0, 59, 60, 61)
    assert window.worst_window() == 3


def test_no_request_makes_no_window() -> None:
    assert Window(LIMIT).worst_window() == 0


def test_an_unreliable_network_fails_as_often_as_it_is_told() -> None:
    network = Network(unreliable=0.25, seed=3)
    faults = [network.fault(number, "GET", "/x") for number in range(1, 1001)]
    assert 200 < sum(fault is not None for fault in faults) < 300
    assert set(faults) == {None, *Fault}
    assert [incident.number for incident in network.incidents] == [
        number for number, fault in enumerate(faults, start=1) if fault is not None
    ]


def test_latency_does_not_change_which_requests_fail() -> None:
    def faults(latency: tuple[float, float]) -> list[object]:
        network = Network(latency=latency, unreliable=0.5, seed=9)
        return [(network.delays(), network.fault(1, "GET", "/x"))[1] for _ in range(50)]

    assert faults((0.0, 0.0)) == faults((0.1, 0.2))


def test_latency_lies_between_its_bounds_and_any_share_of_it_is_on_the_way_in() -> None:
    network = Network(latency=(0.1, 0.2))
    delays = [network.delays() for _ in range(200)]
    totals = [way_in + way_back for way_in, way_back in delays]
    assert 0.1 <= min(totals) < 0.11
    assert 0.19 < max(totals) <= 0.2
    shares = [way_in / (way_in + way_back) for way_in, way_back in delays]
    assert 0 <= min(shares) < 0.05
    assert 0.95 < max(shares) <= 1


@pytest.mark.parametrize(
    "options", [{"latency": (0.2, 0.1)}, {"latency": (-0.1, 0.1)}, {"unreliable": 1.1}, {"unreliable": -0.1}]
)
def test_impossible_networks_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Network(**options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - the point of it
