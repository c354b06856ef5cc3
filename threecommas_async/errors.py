"""Everything that a call can raise.

::

    ThreeCommasError
    ├── ClientStateError          the client is closed, or belongs to another event loop; nothing was sent
    ├── MarketRulesError          its market would refuse an order, or is not known; nothing was sent
    ├── LimitWaitError            our own limiter: the permit is too far away; nothing was sent
    ├── GuardError                the client was told not to do that; nothing was sent
    │   ├── ReadOnlyError         it does not write at all
    │   ├── ModeMismatchError     it is for paper accounts, and this is none, or nobody knows
    │   ├── RiskLimitError        the order would pass one of the client's own bounds
    │   ├── AccountError          the account is unknown, or takes no SmartTrades
    │   └── DryRunError           it shows what it would send, and sends nothing
    ├── TransportError            no complete answer
    │   ├── NotSentError          it never left: nothing happened
    │   └── OutcomeUnknownError   it left, and no usable answer came back: it may have been carried out
    ├── APIStatusError            answered, and the status is not 2xx
    │   ├── InvalidRequestError   400, 422: refused, `attributes` say why
    │   ├── AuthenticationError   401: key, secret, signature or IP address
    │   ├── PermissionDeniedError 403: the key lacks the permission, or the state forbids the action
    │   ├── NotFoundError         404, and the 400 whose error says so
    │   ├── RateLimitedError      429: over the request limit
    │   ├── PlanLimitError        the 429 that means "not in your subscription plan"
    │   ├── BannedError           418: this IP address is banned
    │   └── ServerError           5xx
    ├── DecodeError               2xx whose body does not fit
    ├── BatchInterruptedError     the iterable that gives a batch its trades failed
    ├── BatchStoppedError         the batch was called off before this was sent
    └── WaitTimeoutError          trades that were followed did not get there in time

Bad arguments are a `ValueError` before anything is sent. `asyncio.CancelledError` always propagates.
No error holds the API key, the secret or a signature, nor an exception of aiohttp that would.
All of them can be pickled.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from threecommas_async.models.reference import reference_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from msgspec import Struct

    from threecommas_async.batch import BatchReport
    from threecommas_async.endpoints import Endpoint
    from threecommas_async.models.smart_trade import SmartTrade
    from threecommas_async.models.violation import Violation
    from threecommas_async.wire import PreparedRequest


SETTLED: Final = timedelta(minutes=2)
"""After which time a lost order that is not found is taken for one that does not exist."""
_OF_THE_KEY: Final = ("api key not authorized", "enough permissions")
"""What a 403 says that is about the permissions of the key, in lower case."""
_TRADE_IN_PATH: Final = re.compile(r"/smart_trades/(\d+)")


class ThreeCommasError(Exception):
    """Base of all errors of this package."""


class ClientStateError(ThreeCommasError, RuntimeError):
    """The client is closed, or is used from another event loop than before. Nothing was sent."""


class LimitWaitError(ThreeCommasError):
    """The limiter's next permit is further away than ``max_wait``. Nothing was sent.

    Attributes:
        retry_after: Seconds until a permit is likely to be free.
    """

    def __init__(self, message: str = "", *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class MarketRulesError(ThreeCommasError, ValueError):
    """The market would refuse an order, or what it accepts could not be found out. The order was not sent.

    Attributes:
        violations: The numbers of the order that it would refuse; empty where the rules are not known.
        pair: The pair of the order; None where it is not known.
    """

    def __init__(
        self, message: str = "", *, violations: Iterable[Violation] = (), pair: str | None = None
    ) -> None:
        super().__init__(message)
        self.violations: tuple[Violation, ...] = tuple(violations)
        self.pair = pair


class GuardError(ThreeCommasError):
    """The client was told not to make such a call. Nothing was sent.

    Attributes:
        endpoint: The row of the call; None where no call was made.
    """

    def __init__(self, message: str = "", *, endpoint: Endpoint[Any] | None = None) -> None:
        super().__init__(message)
        self.endpoint = endpoint


class ReadOnlyError(GuardError):
    """The call is a write, and the client was made with ``read_only=True``."""


class ModeMismatchError(GuardError):
    """The client is for paper accounts, and the write is for another one, or for one that nobody knows.

    Attributes:
        account_id: The account; None where it is not known.
        smart_trade_id: The SmartTrade that the write is about; None for a create.
        is_known: An answer said that it is no paper account, or answers contradict each other; False where
            it could not be found out.
    """

    def __init__(
        self,
        message: str = "",
        *,
        endpoint: Endpoint[Any] | None = None,
        account_id: int | None = None,
        smart_trade_id: int | None = None,
        is_known: bool = False,
    ) -> None:
        super().__init__(message, endpoint=endpoint)
        self.account_id = account_id
        self.smart_trade_id = smart_trade_id
        self.is_known = is_known


class RiskLimitError(GuardError):
    """The order would pass one of the bounds of the client's `RiskLimits`, or that cannot be told.

    Attributes:
        limit: The name of the bound, such as ``max_quote_per_hour``.
        value: What it would come to with this order; None where that is not known.
        bound: What is allowed.
    """

    def __init__(
        self,
        message: str = "",
        *,
        endpoint: Endpoint[Any] | None = None,
        limit: str = "",
        value: object = None,
        bound: object = None,
    ) -> None:
        super().__init__(message, endpoint=endpoint)
        self.limit = limit
        self.value = value
        self.bound = bound


class AccountError(GuardError):
    """The account of an order is not among those of this key, or does not take SmartTrades.

    Attributes:
        account_id: The account.
        reason: ``unknown`` or ``no_smart_trading``.
    """

    def __init__(
        self,
        message: str = "",
        *,
        endpoint: Endpoint[Any] | None = None,
        account_id: int = 0,
        reason: Literal["unknown", "no_smart_trading"] = "unknown",
    ) -> None:
        super().__init__(message, endpoint=endpoint)
        self.account_id = account_id
        self.reason = reason


class DryRunError(GuardError):
    """The write was built, checked and signed, and not sent: the client was made with ``dry_run=True``.

    An error, because there is no SmartTrade to return. ``client.preview`` returns the request instead.
    """

    def __init__(
        self,
        message: str = "",
        *,
        endpoint: Endpoint[Any] | None = None,
        request: PreparedRequest | None = None,
    ) -> None:
        super().__init__(message, endpoint=endpoint)
        self._request = request

    @property
    def request(self) -> PreparedRequest:
        """What would have been sent, key and signature masked."""
        if self._request is None:
            raise AttributeError("this error was made without a request")
        return self._request


class TransportError(ThreeCommasError):
    """No complete answer came back.

    Raised as such for reads, which change nothing; writes raise one of the subclasses.

    Attributes:
        endpoint: The row of the call.
        path: Path and query of the request, the path of the base URL included.
        attempts: How many times the request was tried.
        permanent: Trying again cannot help (a certificate that is refused, for example).
    """

    def __init__(
        self,
        message: str = "",
        *,
        endpoint: Endpoint[Any] | None = None,
        path: str = "",
        attempts: int = 1,
        permanent: bool = False,
    ) -> None:
        super().__init__(message)
        self.endpoint = endpoint
        self.path = path
        self.attempts = attempts
        self.permanent = permanent


class NotSentError(TransportError):
    """The request never left this machine: nothing happened."""


class OutcomeUnknownError(TransportError):
    """The request left and no usable answer came back: it may or may not have been carried out.

    What could be done safely to find out has been done. ``SmartTrades.find_created`` looks for the trade of
    a create; for other calls the trade itself shows what became of it. What was tried, attempt by attempt
    and look by look, is in ``__notes__``; that is empty where one attempt was all.

    Attributes:
        request: What was to be sent: a `SmartTradeOrder` for a create; None for calls without a body.
        sent_at: When the first attempt began that may have been carried out, aware, in UTC.
        lost_at: When the last such attempt was given up, aware, in UTC.
    """

    def __init__(
        self,
        message: str = "",
        *,
        endpoint: Endpoint[Any] | None = None,
        path: str = "",
        attempts: int = 1,
        request: Struct | None = None,
        sent_at: datetime | None = None,
        lost_at: datetime | None = None,
    ) -> None:
        super().__init__(message, endpoint=endpoint, path=path, attempts=attempts)
        self.request = request
        self.sent_at = sent_at
        self.lost_at = lost_at
        self.__notes__: list[str] = []  # Python makes it with the first note only, and handlers print it.

    @property
    def settled_at(self) -> datetime | None:
        """From when on a search that finds nothing is taken for final: two minutes after ``lost_at``.

        How long the API may be at work on a request whose sender has gone is not documented; gateways give up
        within a minute as a rule.
        """
        return None if self.lost_at is None else self.lost_at + SETTLED

    @property
    def smart_trade_id(self) -> int | None:
        """The SmartTrade that the call acts on; None for a create."""
        found = _TRADE_IN_PATH.search(self.path)
        return int(found[1]) if found else None

    @property
    def reference(self) -> str | None:
        """The reference of the order that was to be created; None if it had none, or for other calls."""
        note = getattr(self.request, "note", None)
        return reference_in(note) if isinstance(note, str) else None


class APIStatusError(ThreeCommasError):
    """The API answered with a status other than 2xx.

    Attributes:
        status: HTTP status.
        error: The body's ``error``: a code or a sentence; else the beginning of the body as text.
        description: The body's ``error_description``: localised text for people; None when absent.
        attributes: The body's ``error_attributes``: which field failed, and why; empty when absent.
        request_id: The answer's ``X-Request-Id``, to name to the support of 3Commas.
        endpoint: The row of the call.
        path: Path and query of the request, the path of the base URL included.
        from_api: The body has the API's own error shape; False for the page of a gateway in between.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 0,
        error: str = "",
        description: str | None = None,
        attributes: Mapping[str, tuple[str, ...]] | None = None,
        request_id: str | None = None,
        endpoint: Endpoint[Any] | None = None,
        path: str = "",
        from_api: bool = True,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.description = description
        self.attributes: dict[str, tuple[str, ...]] = dict(attributes or {})
        self.request_id = request_id
        self.endpoint = endpoint
        self.path = path
        self.from_api = from_api


class InvalidRequestError(APIStatusError):
    """400 or 422: the request was refused and nothing was done; ``attributes`` say which field and why."""


class AuthenticationError(APIStatusError):
    """401: the key is wrong or expired, the signature does not verify, or the IP address is not allowed."""


class PermissionDeniedError(APIStatusError):
    """403: the key lacks the permission of the call, or the object's state does not allow the action."""

    @property
    def lacks_permission(self) -> bool:
        """The answer says that it is the key; False where it is about the object, or cannot be told."""
        told = f"{self.error} {self.description}".lower().replace("_", " ")
        return self.from_api and any(words in told for words in _OF_THE_KEY)


class NotFoundError(APIStatusError):
    """No such object for this key: 404, or the 400 whose ``error`` says so."""


class RateLimitedError(APIStatusError):
    """429: over the request limit; the request was not processed.

    Attributes:
        retry_at: When requests are accepted again as far as the answer says, aware, in UTC; else None.
    """

    retry_at: datetime | None = None


class PlanLimitError(APIStatusError):
    """429 that speaks of the subscription plan: waiting does not help."""


class BannedError(APIStatusError):
    """418: this IP address is banned, for 2 minutes to 3 days, longer at each repetition.

    The client sends nothing more until the ban ends, as far as that is known, and for 2 minutes otherwise:
    calls raise this error at once.

    Attributes:
        until: When the ban ends as far as the answer says, aware, in UTC; else None.
    """

    until: datetime | None = None


class ServerError(APIStatusError):
    """5xx, or an answer that no call of the API gives, such as a redirect.

    Raised as such for reads; a write that gets one may have been carried out, and this is then the cause of
    an `OutcomeUnknownError`.
    """


class DecodeError(ThreeCommasError):
    """A 2xx answer that does not fit the type of the call, or is about another trade or order.

    Raised as such for reads; for a write it is the cause of an `OutcomeUnknownError`.

    Attributes:
        body: The beginning of the body.
        endpoint: The row of the call.
        path: Path and query of the request, the path of the base URL included.
        request_id: The answer's ``X-Request-Id``.
        is_of_another_order: It can be read, and is about another order than the one that was sent.
    """

    def __init__(
        self,
        message: str = "",
        *,
        body: bytes = b"",
        endpoint: Endpoint[Any] | None = None,
        path: str = "",
        request_id: str | None = None,
        is_of_another_order: bool = False,
    ) -> None:
        super().__init__(message)
        self.body = body
        self.endpoint = endpoint
        self.path = path
        self.request_id = request_id
        self.is_of_another_order = is_of_another_order


class BatchInterruptedError(ThreeCommasError):
    """The iterable that gives a batch its trades raised an error, which is the cause of this one.

    Attributes:
        report: The verdicts on all trades that it had given.
    """

    def __init__(self, message: str = "", *, report: BatchReport | None = None) -> None:
        super().__init__(message)
        self.report = report


class BatchStoppedError(ThreeCommasError):
    """The batch was called off, by its deadline or a cancellation, before this was sent: nothing was sent.

    In the group of `BatchReport.raise_for_failures` also: before all of the input was read.

    Also the cause of the `asyncio.CancelledError` of a batch that was cancelled; `BatchReport.of` finds it.

    Attributes:
        report: As such a cause: the verdicts on all items until then; else None.
    """

    def __init__(self, message: str = "", *, report: BatchReport | None = None) -> None:
        super().__init__(message)
        self.report: BatchReport | None = report


class WaitTimeoutError(ThreeCommasError, TimeoutError):
    """Trades that were followed did not get in time to where they were to be.

    Attributes:
        reached: Those that did, by id.
        pending: Ids of those that did not, as far as is known.
    """

    def __init__(
        self,
        message: str = "",
        *,
        reached: Mapping[int, SmartTrade] | None = None,
        pending: Iterable[int] = (),
    ) -> None:
        super().__init__(message)
        self.reached: dict[int, SmartTrade] = dict(reached or {})
        self.pending: frozenset[int] = frozenset(pending)
