"""Accounts: list, read and rename them, their balances and their leverage."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Self

from threecommas_async import endpoints
from threecommas_async.endpoints import PAGE_SIZE
from threecommas_async.resources.filters import check_page
from threecommas_async.walk import AccountWalk

if TYPE_CHECKING:
    from threecommas_async.models.account import (
        ActiveEntities,
        Balance,
        BalanceShare,
        ConnectedAccount,
    )
    from threecommas_async.models.decoding import Page
    from threecommas_async.models.leverage import LeverageData
    from threecommas_async.session import Session


class Accounts:
    """The calls on connected accounts: ``client.accounts``.

    The calls that a trader needs before an order. Left out by decision are those that sell everything to BTC
    or USD, convert dust, connect, edit or delete an account (or ask what a key could connect), or show the
    networks and addresses for deposits: a program that trades has no business with them, and one of them by
    mistake costs more than all the others are worth. Left out are also the history of balances and the
    volumes, which no order needs, and the aggregate of all accounts (``summary``): the shape of its answer is
    not documented, and `iterate` has the numbers that it would add up.

    All of them can raise the errors of `threecommas_async.errors`; docstrings name those that are
    particular to the call. They need the permission ACCOUNTS_READ unless they say otherwise.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def with_session(self, session: Session) -> Self:
        """Return these calls over another session that shares everything with this one but its options."""
        view = copy.copy(self)
        view._session = session  # noqa: SLF001 - a copy of its own
        return view

    async def list(self, *, page: int = 1, per_page: int = PAGE_SIZE) -> Page[ConnectedAccount]:
        """Read one page of the connected accounts.

        What is listed followed the switch between real and paper in the web interface (a user's report of
        2021: issue 47 of 3commas-official-api-docs), so with ``mode="paper"`` there may be paper accounts
        only. An account that cannot be read costs only itself.

        Args:
            page: Page number, from 1.
            per_page: Accounts per page, 1 to 100. A page with fewer is the last one.

        Returns:
            The accounts that could be read; ``malformed`` names those that could not.

        Raises:
            ValueError: ``page`` or ``per_page`` is out of range; nothing was sent.
        """
        check_page(page, per_page)
        query = {"page": page, "per_page": per_page}
        found = await self._session.call(endpoints.LIST_ACCOUNTS, query=query)
        self._session.book.learn(found)
        return found

    def iterate(self) -> AccountWalk:
        """Walk over all connected accounts, page by page, each once.

        Returns:
            An asynchronous iterator over accounts; its ``malformed`` names those that could not be read.

        Raises:
            ThreeCommasError: While iterating: a call failed, or the list does not end.
        """
        return AccountWalk(self.with_session(self._session.patient()).list)

    async def get(self, account_id: int, /) -> ConnectedAccount:
        """Read one connected account.

        Raises:
            NotFoundError: No such account for this key (not documented; so answer the other account calls).
        """
        account = await self._session.call(endpoints.GET_ACCOUNT, path={"account_id": account_id})
        self._session.book.learn(account)
        return account

    async def active_entities(self, account_id: int, /) -> ActiveEntities:
        """Count what is at work on an account: SmartTrades, bots, deals, orders.

        Raises:
            NotFoundError: No such account for this key.
            InvalidRequestError: The exchange does not accept the account's key (``invalid_api_key``).
        """
        answer = await self._session.call(endpoints.ACTIVE_ENTITIES, path={"account_id": account_id})
        return answer.data

    async def leverage_data(self, account_id: int, /, *, pair: str | None = None) -> Page[LeverageData]:
        """Read which kinds of leverage an account offers, and between which bounds.

        The documentation requires a ``page`` and shows a request with a ``pair`` instead; this sends page 1,
        and the pair where one is given. Its example shows GET where its table says POST, which is sent.

        Args:
            account_id: Account id.
            pair: QUOTE_BASE; needed until 2024-11, and still in the documentation's example.

        Returns:
            One entry for each kind; ``malformed`` names those that could not be read.
        """
        if pair is not None and not isinstance(pair, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise ValueError(f"pair must be text, not {pair!r}")
        return await self._session.call(
            endpoints.LEVERAGE_DATA, path={"account_id": account_id}, query={"page": 1, "pair": pair}
        )

    async def balances(self, account_id: int, /) -> Page[Balance]:
        """Read what an account holds, one row for each currency (``account_table_data``).

        3Commas answers from its own record; `load_balances` brings it up to date.

        Returns:
            The rows that could be read; ``malformed`` names those that could not.
        """
        return await self._session.call(endpoints.TABLE_DATA, path={"account_id": account_id})

    async def balance_shares(self, account_id: int, /) -> Page[BalanceShare]:
        """Read what an account holds, as the slices of a pie chart (``pie_chart_data``).

        Returns:
            The slices that could be read; ``malformed`` names those that could not.
        """
        return await self._session.call(endpoints.PIE_CHART_DATA, path={"account_id": account_id})

    async def load_balances(self, account_id: int, /) -> ConnectedAccount:
        """Have 3Commas fetch the balances of an account from its exchange, and return the account.

        A write, if a harmless one: nothing is traded. Sent again after a lost answer: twice has the effect of
        once. The documentation asks for ACCOUNTS_READ, and in earlier editions for ACCOUNTS_WRITE.

        Raises:
            InvalidRequestError: The exchange does not accept the account's key (``invalid_api_key``).
            OutcomeUnknownError: No attempt was answered; to call it again does no harm.
        """
        return await self._session.call(endpoints.LOAD_BALANCES, path={"account_id": account_id})

    async def rename(self, account_id: int, name: str, /) -> ConnectedAccount:
        """Give an account another name; needs the permission ACCOUNTS_WRITE.

        Sent again after a lost answer: twice has the effect of once.

        Args:
            account_id: Account id.
            name: The new name.

        Raises:
            ValueError: The name is empty or no text; nothing was sent.
            OutcomeUnknownError: No attempt was answered: `get` shows the name.
        """
        if not isinstance(name, str) or not name.strip():  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise ValueError(f"the name must be text that is not empty, not {name!r:.80}")
        return await self._session.call(
            endpoints.RENAME_ACCOUNT, path={"account_id": account_id}, query={"name": name}
        )
