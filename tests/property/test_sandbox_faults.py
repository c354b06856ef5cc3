"""The sandbox's network does to each request what it was told, and nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fleet import Fleet, Kind, LoopSandbox
from tests.virtual_time import PatientLoop
from threecommas_async.sandbox.faults import Fault, Network, RareFault

if TYPE_CHECKING:
    from threecommas_async.sandbox.faults import AnyFault

LATE = 3.0
FAULTS: tuple[AnyFault, ...] = (*Fault, *RareFault)
MEANT: dict[AnyFault | None, tuple[str, int, int]] = {
    None: ("201 with a trade", 1, 1),
    Fault.LOST_REQUEST: ("the connection broke: ServerDisconnectedError", 0, 0),
    Fault.LOST_ANSWER: ("the connection broke: ServerDisconnectedError", 1, 1),
    Fault.BAD_GATEWAY: ("502", 1, 1),
    Fault.SERVER_ERROR: ("500", 0, 0),
    RareFault.SILENCE: ("no complete answer within 30 s", 1, 1),
    RareFault.TRUNCATED: ("the connection broke: ClientPayloadError", 1, 1),
    RareFault.EMPTY: ("201", 1, 1),
    RareFault.GATEWAY_TIMEOUT: ("504", 0, 1),
}
"""What the sender sees, how many orders there are then, and how many a while later."""


async def meet(faults: list[AnyFault | None]) -> list[tuple[str, int, int]]:
    sandbox = LoopSandbox(trades=1, time_scale=1.0)
    sandbox.network.late = LATE
    await sandbox.start()
    fleet = Fleet(sandbox)
    client = fleet.add_client()
    seen: list[tuple[str, int, int]] = []
    ends: list[str] = []
    client._session._on_attempt = lambda attempt: ends.append(str(attempt.outcome))
    sandbox.network.next(*faults)
    try:
        for _ in faults:
            before = len(sandbox.ledger)
            intent = fleet.begin(0, Kind.ADD_FUNDS, target=next(iter(fleet.known)))
            await fleet.end([intent])
            at_once = len(sandbox.ledger) - before
            await asyncio.sleep(LATE)
            sees = ends[-1] if intent.answer is None else f"{ends[-1]} with a trade"
            seen.append((sees, at_once, len(sandbox.ledger) - before))
        assert len(ends) == len(faults)
        assert [incident.fault for incident in sandbox.network.incidents] == list(filter(None, faults))
    finally:
        await fleet.close()
    return seen


@settings(max_examples=20)
@given(faults=st.lists(st.sampled_from([None, *FAULTS]), min_size=1, max_size=12))
def test_each_request_suffers_what_was_said(faults: list[AnyFault | None]) -> None:
    with asyncio.Runner(loop_factory=PatientLoop) as runner:
        assert runner.run(meet(faults)) == [MEANT[fault] for fault in faults]


def test_all_faults_do_what_they_say() -> None:
    assert set(MEANT) == {None, *FAULTS}
    with asyncio.Runner(loop_factory=PatientLoop) as runner:
        assert runner.run(meet(list(MEANT))) == list(MEANT.values())


def test_what_a_gateway_has_yet_to_pass_on_is_waited_for_when_the_sandbox_stops() -> None:
    async def main() -> None:
        sandbox = LoopSandbox(trades=1, time_scale=1.0)
        sandbox.network.late = LATE
        await sandbox.start()
        fleet = Fleet(sandbox)
        fleet.add_client()
        sandbox.network.next(RareFault.GATEWAY_TIMEOUT)
        await fleet.end([fleet.begin(0, Kind.ADD_FUNDS, target=next(iter(fleet.known)))])
        at_once = [entry.action for entry in sandbox.ledger]
        await fleet.close()
        assert (at_once, [entry.action for entry in sandbox.ledger]) == ([], ["add_funds"])

    with asyncio.Runner(loop_factory=PatientLoop) as runner:
        runner.run(main())


@given(every=st.integers(1, 7), count=st.integers(1, 50))
def test_a_fault_on_every_so_many_requests_is_on_those(every: int, count: int) -> None:
    network = Network(every=every)
    met = [number for number in range(1, count + 1) if network.fault(number, "GET", "/x")]
    assert met == list(range(every, count + 1, every))


@given(faults=st.lists(st.sampled_from(FAULTS), min_size=1, unique=True))
def test_only_the_faults_that_are_named_happen(faults: list[AnyFault]) -> None:
    network = Network(unreliable=1.0, faults=faults)
    assert {network.fault(number, "GET", "/x") for number in range(300)} == set(faults)


def test_rare_faults_happen_only_where_they_are_named() -> None:
    network = Network(unreliable=1.0)
    assert {network.fault(number, "GET", "/x") for number in range(300)} == set(Fault)


def test_a_calm_network_lets_everything_through() -> None:
    network = Network(unreliable=1.0, every=1)
    network.next(*FAULTS)
    network.calm()
    assert [network.fault(number, "GET", "/x") for number in range(1, 20)] == [None] * 19
    assert network.incidents == []


def test_faults_can_be_changed_at_run_time_within_their_bounds() -> None:
    network = Network()
    network.unreliable = 1.0
    assert network.fault(1, "GET", "/x") is not None
    for probability in (1.1, -0.1):
        with pytest.raises(ValueError, match="unreliable must be"):
            network.unreliable = probability
    with pytest.raises(ValueError, match="every must be"):
        network.every = 0
    with pytest.raises(ValueError, match="faults must be"):
        Network(faults=())
    assert (network.unreliable, network.every) == (1.0, None)
