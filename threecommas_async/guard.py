"""What a client was told not to do: decided for each write before it is sent."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from threecommas_async import errors
from threecommas_async.endpoints import CREATE_SMART_TRADE
from threecommas_async.mode import Target, target_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import msgspec

    from threecommas_async.endpoints import Endpoint
    from threecommas_async.mode import AccountBook, Reader
    from threecommas_async.risk import Rails, Reservation

PREVIEWING: Final = ContextVar("PREVIEWING", default=False)
"""Whether this is a preview; see `check_preview`."""

_SAYS_ENOUGH: Final = (
    errors.AuthenticationError,
    errors.BannedError,
    errors.BatchStoppedError,
    errors.ClientStateError,
    errors.LimitWaitError,
    errors.PlanLimitError,
    errors.RateLimitedError,
)
"""Failures of a look-up that the write would have met as well."""


class Admission:
    """The leave to send one write.

    Args:
        guard: Who gave it.
        endpoint: The row of the call.
        target: What the write is about.
        rails: Who reserved its share of the bounds; None where nobody did.
        share: The share.
    """

    __slots__ = ("_endpoint", "_guard", "_may_have_left", "_rails", "_share", "_target")

    def __init__(
        self,
        guard: Guard,
        endpoint: Endpoint[Any],
        target: Target,
        rails: Rails | None = None,
        share: Reservation | None = None,
    ) -> None:
        self._guard = guard
        self._endpoint = endpoint
        self._target = target
        self._rails = rails
        self._share = share
        self._may_have_left = False

    def confirm(self) -> None:
        """Say that an attempt leaves now.

        Raises:
            ModeMismatchError: By what was learnt since, it is not for a paper account.
        """
        self._guard.check_mode(self._endpoint, self._target)
        self._may_have_left = True

    def carried_out(self, value: object) -> None:
        """Say that the write was answered, and how."""
        if self._rails is not None and self._share is not None:
            self._rails.settle(self._share, value)

    def failed(self, problem: BaseException) -> None:
        """Say that the write ended with an error: if it was certainly not carried out, its share is free."""
        if self._rails is None or self._share is None:
            return
        is_definite = isinstance(problem, errors.ThreeCommasError)
        is_unknown = isinstance(problem, errors.OutcomeUnknownError)
        if not self._may_have_left or (is_definite and not is_unknown):
            self._rails.give_back(self._share)
        else:
            self._rails.settle(self._share, None)


class Guard:
    """Decides whether a write may be sent.

    Args:
        book: What is known of accounts, for a client that writes to paper accounts only; None for any.
        read_only: Nothing is written at all.
        rails: Keeps the client's own bounds; None where it has none.
    """

    def __init__(
        self, *, book: AccountBook | None = None, read_only: bool = False, rails: Rails | None = None
    ) -> None:
        self._book = book
        self._read_only = read_only
        self._rails = rails

    def unplaced(self, trade_ids: Iterable[int]) -> set[int]:
        """Return the SmartTrades that would have to be read before a write on them."""
        if self._book is None:
            return set()
        return {id for id in trade_ids if self._book.home(id) is None}

    def objection(self, endpoint: Endpoint[Any], path: Mapping[str, int]) -> errors.GuardError | None:
        """Return why a write would be refused, by what is known now; None if nothing speaks against it."""
        try:
            self._check_read_only(endpoint)
            self.check_mode(endpoint, target_of(endpoint, path, None))
        except errors.ModeMismatchError as refusal:
            return refusal if refusal.is_known else None
        except errors.GuardError as refusal:
            return refusal
        return None

    def _check_read_only(self, endpoint: Endpoint[Any]) -> None:
        if self._read_only:
            raise errors.ReadOnlyError(
                f"nothing was sent: {endpoint} is a write, and the client was made with read_only=True",
                endpoint=endpoint,
            )

    async def admit(
        self,
        endpoint: Endpoint[Any],
        path: Mapping[str, int],
        body: msgspec.Struct | None,
        read: Reader,
        *,
        asker: object = None,
    ) -> Admission:
        """Return the leave to send a write.

        Args:
            endpoint: The row of the call.
            path: Values of the path template.
            body: Request body.
            read: Looks up what is not known.
            asker: With whose options it does; see `SharedReads`.

        Raises:
            ReadOnlyError: The client does not write.
            ModeMismatchError: It is not for a paper account, or that could not be found out.
            AccountError: There is no such account, or it takes no SmartTrades.
            RiskLimitError: It would pass a bound of the client.
            ThreeCommasError: A look-up ended in a way that the write would have met as well.
        """
        self._check_read_only(endpoint)
        target = target_of(endpoint, path, body)
        if self._book is not None:
            await self._find_out(self._book, endpoint, target, read, asker)
            self.check_mode(endpoint, target)
            if endpoint is CREATE_SMART_TRADE and target.account_id is not None:
                self._book.check_smart_trading(target.account_id)
        if self._rails is None:
            return Admission(self, endpoint, target)
        share = await self._rails.reserve(endpoint, path, body, read)
        return Admission(self, endpoint, target, self._rails, share)

    def check_mode(self, endpoint: Endpoint[Any], target: Target) -> None:
        """Raise unless a write is known to be for a paper account, where it has to be.

        Raises:
            ModeMismatchError: It is for another account, or that is not known.
        """
        if self._book is None or (verdict := self._book.is_paper(target)) is True:
            return
        if verdict is None:
            reason = "no answer says whether its account is a paper account"
        else:
            reason = "its account is not a paper account (client.accounts.iterate() has them: is_paper)"
        raise _mismatch(endpoint, self._located(self._book, target), reason, is_known=verdict is False)

    async def _find_out(
        self, book: AccountBook, endpoint: Endpoint[Any], target: Target, read: Reader, asker: object
    ) -> None:
        trade_id = target.trade_id
        if book.is_paper(target) is None and trade_id is not None and book.home(trade_id) is None:
            try:
                await book.look_up_trade(trade_id, read, asker)
            except (errors.NotFoundError, *_SAYS_ENOUGH):
                raise
            except errors.ThreeCommasError as problem:
                raise _not_found_out(endpoint, target, problem) from problem
        located = self._located(book, target)
        if book.is_paper(target) is None and located.account_id is not None:
            try:
                await book.look_up_account(located.account_id, read, asker)
            except _SAYS_ENOUGH:
                raise
            except errors.NotFoundError as problem:
                raise unknown_account(located.account_id, endpoint) from problem
            except errors.ThreeCommasError as problem:
                raise _not_found_out(endpoint, located, problem) from problem

    @staticmethod
    def _located(book: AccountBook, target: Target) -> Target:
        home = None if target.trade_id is None else book.home(target.trade_id)
        return target if home is None else Target(home.account_id, target.trade_id)


def check_preview(endpoint: Endpoint[Any]) -> None:
    """Raise in a preview: no client sends a write there, whichever of them is called.

    Raises:
        GuardError: It is one.
    """
    if PREVIEWING.get():
        raise errors.GuardError(
            f"nothing was sent: {endpoint} was called on a client itself in a preview: make the call on what "
            "the function is given",
            endpoint=endpoint,
        )


def unknown_account(account_id: int, endpoint: Endpoint[Any] | None = None) -> errors.AccountError:
    """Return the error for an account that the API does not know."""
    return errors.AccountError(
        f"nothing was sent: this key has no account {account_id} (client.accounts.iterate() lists them)",
        endpoint=endpoint,
        account_id=account_id,
        reason="unknown",
    )


def _not_found_out(
    endpoint: Endpoint[Any], target: Target, problem: errors.ThreeCommasError
) -> errors.ModeMismatchError:
    advice = ""
    if isinstance(problem, errors.PermissionDeniedError):
        advice = (
            "; allow the key to read accounts and SmartTrades, or name its paper accounts: paper_accounts={…}"
        )
    reason = f"whether its account is a paper account could not be found out ({problem}){advice}"
    return _mismatch(endpoint, target, reason, is_known=False)


def _mismatch(
    endpoint: Endpoint[Any], target: Target, reason: str, *, is_known: bool
) -> errors.ModeMismatchError:
    where = "" if target.account_id is None else f" on account {target.account_id}"
    which = "" if target.trade_id is None else f" for SmartTrade {target.trade_id}"
    return errors.ModeMismatchError(
        f'nothing was sent: mode="paper", and {endpoint}{which}{where} is refused: {reason}',
        endpoint=endpoint,
        account_id=target.account_id,
        smart_trade_id=target.trade_id,
        is_known=is_known,
    )
