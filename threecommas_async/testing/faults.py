"""What can go wrong between a client and the sandbox, by name."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from threecommas_async import endpoints
from threecommas_async.sandbox.faults import Fault, RareFault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from threecommas_async.endpoints import Endpoint
    from threecommas_async.sandbox import Incident, Sandbox
    from threecommas_async.sandbox.faults import AnyFault

CallName: TypeAlias = Literal[
    "list",
    "get",
    "create",
    "update",
    "cancel",
    "add_funds",
    "reduce_funds",
    "reduce_funds_info",
    "close_by_market",
    "set_note",
    "force_start",
    "force_process",
    "list_trades",
    "close_trade_by_market",
    "cancel_trade",
]
"""A call, by the name of its method in ``client.smart_trades``."""

CALLS: Final[Mapping[CallName, Endpoint[Any]]] = MappingProxyType(
    {
        "list": endpoints.LIST_SMART_TRADES,
        "get": endpoints.GET_SMART_TRADE,
        "create": endpoints.CREATE_SMART_TRADE,
        "update": endpoints.UPDATE_SMART_TRADE,
        "cancel": endpoints.CANCEL_SMART_TRADE,
        "add_funds": endpoints.ADD_FUNDS,
        "reduce_funds": endpoints.REDUCE_FUNDS,
        "reduce_funds_info": endpoints.REDUCE_FUNDS_INFO,
        "close_by_market": endpoints.CLOSE_BY_MARKET,
        "set_note": endpoints.SET_NOTE,
        "force_start": endpoints.FORCE_START,
        "force_process": endpoints.FORCE_PROCESS,
        "list_trades": endpoints.LIST_TRADES,
        "close_trade_by_market": endpoints.CLOSE_TRADE,
        "cancel_trade": endpoints.CANCEL_TRADE,
    }
)
"""The row of each call."""


class Faults:
    """Breaks the road to a sandbox, request by request.

    Each switch is about the next request, or the next ``times`` requests, of the call that ``of`` names, or
    of any call; repetitions by the client count as requests. What is switched on stays until it has happened,
    or until `calm`.

    Args:
        sandbox: The sandbox.

    Example::

        faults.lose_answer(of="create")

    Raises:
        ValueError: There is no such call, or ``times`` is below 1.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def lose_request(self, *, of: CallName | None = None, times: int = 1) -> None:
        """Break the connection before the request is carried out."""
        self._next(Fault.LOST_REQUEST, of, times)

    def lose_answer(self, *, of: CallName | None = None, times: int = 1) -> None:
        """Carry the request out, then break the connection."""
        self._next(Fault.LOST_ANSWER, of, times)

    def server_error(self, *, of: CallName | None = None, times: int = 1) -> None:
        """Answer 500, and do not carry the request out."""
        self._next(Fault.SERVER_ERROR, of, times)

    def bad_gateway(self, *, of: CallName | None = None, times: int = 1) -> None:
        """Carry the request out, and answer 502 with the page of a gateway."""
        self._next(Fault.BAD_GATEWAY, of, times)

    def gateway_timeout(self, *, of: CallName | None = None, times: int = 1) -> None:
        """Answer 504 with the page of a gateway, and carry the request out a little later."""
        self._next(RareFault.GATEWAY_TIMEOUT, of, times)

    def silence(self, *, of: CallName | None = None, times: int = 1) -> None:
        """Carry the request out, and never answer."""
        self._next(RareFault.SILENCE, of, times)

    def cut_answer(self, *, of: CallName | None = None, times: int = 1) -> None:
        """Carry the request out, and break the connection in the middle of the answer."""
        self._next(RareFault.TRUNCATED, of, times)

    def empty_answer(self, *, of: CallName | None = None, times: int = 1) -> None:
        """Carry the request out, and answer without a body."""
        self._next(RareFault.EMPTY, of, times)

    def lock_out(self) -> None:
        """Refuse everything with 429 for 300 s, as after too many requests."""
        self._sandbox.lock_out()

    def ban(self) -> None:
        """Refuse everything with 418 for 120 s, and at each repetition for twice as long."""
        self._sandbox.ban()

    def calm(self) -> None:
        """Let everything through that is to come; a lock-out or a ban lasts as long as it does."""
        self._sandbox.network.calm()

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """What went wrong so far, in order of arrival."""
        return tuple(self._sandbox.network.incidents)

    def _next(self, fault: AnyFault, of: CallName | None, times: int) -> None:
        if of is not None and of not in CALLS:
            raise ValueError(f"of must be one of {', '.join(CALLS)}, not {of!r}")
        if times < 1:
            raise ValueError(f"times must be at least 1, not {times!r}")
        self._sandbox.network.next(*[fault] * times, of=None if of is None else CALLS[of])
