"""Answers as they came, kept beside their typed form, and exchanges for those who listen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from threecommas_async.models.decoding import DECODING_ERRORS
from threecommas_async.wire import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from threecommas_async.wire import Request, Response

_log = logging.getLogger("threecommas_async.attempts")

_wanted: ContextVar[tuple[list[Response], ...]] = ContextVar("threecommas_async_recordings", default=())


class Exchange(Struct, frozen=True):
    """One request and the answer to it, without key and signature.

    The headers of the request are not here; where its key or its signature occurs in anything else, it is
    masked.

    Args:
        method: HTTP method.
        target: Path and query of the request, the path of the base URL included.
        body: Body of the request.
        status: HTTP status of the answer.
        headers: Headers of the answer, by name in lower case.
        answer: Body of the answer, decompressed.
    """

    method: str
    target: str
    body: bytes
    status: int
    headers: Mapping[str, str]
    answer: bytes


class Recorder:
    """Keeps the answers that somebody asked for.

    Attributes:
        is_on: Somebody did.
    """

    def __init__(self) -> None:
        self.is_on: bool = False
        self._lists: list[list[Response]] = []
        self._listeners: list[Callable[[Exchange], object]] = []

    @contextmanager
    def recording(self) -> Generator[list[Response], None, None]:
        """Collect the answers to the calls that are made inside the block, by this task and its children."""
        answers: list[Response] = []
        before = _wanted.get()
        _wanted.set((*before, answers))
        self._lists.append(answers)
        self.is_on = True
        try:
            yield answers
        finally:
            # Not with the token: a generator may be finalised in another context than it began in.
            _wanted.set(before)
            self._lists = [other for other in self._lists if other is not answers]
            self.is_on = bool(self._lists or self._listeners)

    @contextmanager
    def listening(self, listener: Callable[[Exchange], object]) -> Generator[None, None, None]:
        """Tell a function of every answer that comes inside the block, whatever task made the call."""
        self._listeners.append(listener)
        self.is_on = True
        try:
            yield
        finally:
            self._listeners.remove(listener)
            self.is_on = bool(self._lists or self._listeners)

    def record(self, request: Request, answer: Response | Failure) -> None:
        """Keep an answer for those who asked for it, and tell those who listen; what they raise is logged.

        A failure is no answer.
        """
        if isinstance(answer, Failure):
            return
        if self._listeners:
            self._tell(request, answer)
        for answers in _wanted.get():
            if any(answers is wanted for wanted in self._lists):
                answers.append(answer)

    def _tell(self, request: Request, answer: Response) -> None:
        # What fails here must not hide what became of an order.
        try:
            exchange = _exchange(request, answer)
        except Exception:  # noqa: BLE001 - whatever it is, the call goes on
            _log.exception("an answer to %s could not be shown to those who listen", request)
            return
        for listener in tuple(self._listeners):
            try:
                listener(exchange)
            except (Exception, asyncio.CancelledError):  # noqa: BLE001 - the caller's function may raise anything
                _log.exception("on_exchange raised; the call goes on")


def _exchange(request: Request, answer: Response) -> Exchange:
    return Exchange(
        method=request.method,
        target=request.mask(request.target),
        body=_without_secrets(request, request.body),
        status=answer.status,
        headers={name.lower(): request.mask(value) for name, value in answer.headers.items()},
        answer=_without_secrets(request, answer.body),
    )


def _without_secrets(request: Request, body: bytes) -> bytes:
    body = request.without_secrets(body)
    if b"\\u" in body:  # JSON can spell every character as its number, and a reader of it undoes that.
        try:
            plain = msgspec.json.encode(msgspec.json.decode(body))
        except DECODING_ERRORS:
            return body
        if (masked := request.without_secrets(plain)) != plain:
            return masked
    return body
