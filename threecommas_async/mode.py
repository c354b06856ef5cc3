"""Which account is a paper account, and which trade is on which: what a client has been told so far.

A paper client sends a write only where something says that it is about a paper account, and nothing it has
ever been told says otherwise. Evidence is what the user states, the ``market_code`` of an account and the
``account`` of a SmartTrade, of every answer that the client reads.
"""

from __future__ import annotations

import logging
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from msgspec import Struct

from threecommas_async import errors
from threecommas_async.deadline import loop_time
from threecommas_async.endpoints import GET_ACCOUNT, GET_SMART_TRADE, Replay
from threecommas_async.models.account import PAPER, ConnectedAccount
from threecommas_async.models.decoding import Page
from threecommas_async.models.order import SmartTradeOrder
from threecommas_async.models.smart_trade import SmartTrade
from threecommas_async.shared_reads import SharedReads

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping

    from threecommas_async.endpoints import Endpoint

T = TypeVar("T")

REMEMBERED: Final = 50_000
"""SmartTrades whose account is remembered, the newest ones."""

_log = logging.getLogger("threecommas_async.mode")


class Reader(Protocol):
    """Makes a call that changes nothing."""

    def __call__(
        self,
        endpoint: Endpoint[T],
        /,
        *,
        path: Mapping[str, int] | None = None,
        query: Mapping[str, object] | None = None,
    ) -> Awaitable[T]: ...


class Target(Struct, frozen=True, gc=False):
    """What a write is about."""

    account_id: int | None = None
    """The account, where the call names it."""
    trade_id: int | None = None
    """The SmartTrade, where the call names one."""


class Home(Struct, frozen=True, gc=False):
    """Where a SmartTrade is, as far as answers have said."""

    account_id: int | None
    """Its account; None if no answer named it."""
    is_paper: bool | None
    """What they said about the account; None if nothing."""


def is_paper(*said: bool | None) -> bool | None:
    """Return what follows from all that was said: one "real" outweighs any number of "paper".

    Args:
        *said: True for "paper", False for "real", None where nothing was said.
    """
    if False in said:
        return False
    return True if True in said else None


def target_of(endpoint: Endpoint[Any], path: Mapping[str, int], body: Struct | None) -> Target:
    """Return what a write is about; nothing where that cannot be said."""
    if "account_id" in path:
        return Target(account_id=path["account_id"])
    if endpoint.read_back is not None and endpoint.read_back.endpoint is GET_SMART_TRADE:
        return Target(trade_id=path.get(endpoint.read_back.parameter))
    if isinstance(body, SmartTradeOrder):
        named: object = body.account_id
        account_id = named.value if isinstance(named, Enum) else named  # As it is sent.
        if type(account_id) is int:
            return Target(account_id=account_id)
    return Target()


class AccountBook:
    """What a client knows of accounts, and of which trade is on which.

    Args:
        paper: Accounts that the user states to be paper accounts.
    """

    def __init__(self, paper: Iterable[int] = ()) -> None:
        self._said: dict[int, bool | None] = dict.fromkeys(paper, True)
        self._records: dict[int, ConnectedAccount] = {}
        self._homes: dict[int, Home] = {}
        self._reads = SharedReads(loop_time, most=0)

    def learn(self, value: object) -> None:
        """Take down what an answer says about accounts."""
        match value:
            case SmartTrade():
                self._learn_home(value)
            case ConnectedAccount():
                self._records[value.id] = value
                self._learn_account(value.id, value.is_paper)
            case Page():
                for element in value:  # pyright: ignore[reportUnknownVariableType] - a page of anything
                    if isinstance(element, SmartTrade | ConnectedAccount):
                        self.learn(element)
            case _:
                pass

    def _learn_account(self, account_id: int, said: bool | None) -> None:
        self._said[account_id] = is_paper(self._said.get(account_id), said)

    def _learn_home(self, trade: SmartTrade) -> None:
        account_id, kind = trade.account.id, trade.account.type
        said = None if kind is None else kind == PAPER
        if account_id is not None:
            self._learn_account(account_id, said)
        before = self._homes.pop(trade.id, None)
        if before is not None:
            # A trade does not change its account: where answers contradict each other, none is believed.
            moved = None not in {account_id, before.account_id} and account_id != before.account_id
            said = is_paper(before.is_paper, False if moved else said)
            account_id = before.account_id if account_id is None else account_id
        self._homes[trade.id] = Home(account_id, said)
        while len(self._homes) > REMEMBERED:
            del self._homes[next(iter(self._homes))]

    def home(self, trade_id: int) -> Home | None:
        """Return where a SmartTrade is; None if no answer has shown it."""
        return self._homes.get(trade_id)

    def is_paper(self, target: Target) -> bool | None:
        """Whether a write would be about a paper account; None if that is not known."""
        said = None if target.account_id is None else self._said.get(target.account_id)
        home = None if target.trade_id is None else self._homes.get(target.trade_id)
        if home is not None:
            there = None if home.account_id is None else self._said.get(home.account_id)
            said = is_paper(said, home.is_paper, there)
        return said

    def record(self, account_id: int) -> ConnectedAccount | None:
        """Return an account as it was read last; None if it was not."""
        return self._records.get(account_id)

    def check_smart_trading(self, account_id: int) -> None:
        """Raise if an account that was read does not take SmartTrades.

        Raises:
            AccountError: It does not.
        """
        record = self._records.get(account_id)
        if record is not None and record.smart_trading_supported is False:
            raise errors.AccountError(
                f"nothing was sent: account {account_id} ({record.exchange_name}) takes no SmartTrades: its "
                "smart_trading_supported is false; read it anew with client.accounts.get if that has changed",
                account_id=account_id,
                reason="no_smart_trading",
            )

    async def look_up_account(self, account_id: int, read: Reader, asker: object = None) -> ConnectedAccount:
        """Read an account; who asks at the same time shares the request.

        Args:
            account_id: Account id.
            read: Reads it.
            asker: With whose options; see `SharedReads`.

        Raises:
            ThreeCommasError: The call failed.
        """
        return await self._look_up(GET_ACCOUNT, account_id, read, asker)

    async def look_up_trade(self, trade_id: int, read: Reader, asker: object = None) -> SmartTrade:
        """Read a SmartTrade; arguments and errors as in `look_up_account`."""
        return await self._look_up(GET_SMART_TRADE, trade_id, read, asker)

    async def _look_up(self, endpoint: Endpoint[T], id: int, read: Reader, asker: object) -> T:
        async def ask() -> T:
            value = await read(endpoint, path={endpoint.subject or "id": id})
            self.learn(value)
            return value

        return await self._reads.get((endpoint, id), ask, max_age=0, asker=asker)


class PaperWatch:
    """Warns a client for real money, once for each account, that it works on a paper account."""

    def __init__(self) -> None:
        self._warned: set[int | None] = set()

    def notice(self, endpoint: Endpoint[Any], value: object) -> None:
        """Look at an answer."""
        if type(value) is not SmartTrade or value.account.type != PAPER or endpoint.replay is Replay.SAFE:
            return
        if value.account.id not in self._warned:
            self._warned.add(value.account.id)
            _log.warning(
                'mode="real", yet %s was for account %s, which is a paper account', endpoint, value.account.id
            )
