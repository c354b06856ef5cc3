"""Answers as they came, kept beside their typed form."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

    from threecommas_async.wire import Response

_wanted: ContextVar[tuple[list[Response], ...]] = ContextVar("threecommas_async_recordings", default=())


class Recorder:
    """Keeps the answers that somebody asked for.

    Attributes:
        is_on: Somebody did.
    """

    def __init__(self) -> None:
        self.is_on: bool = False
        self._lists: list[list[Response]] = []

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
            self.is_on = bool(self._lists)

    def record(self, answer: Response) -> None:
        """Keep an answer for those who asked for it."""
        for answers in _wanted.get():
            if any(answers is wanted for wanted in self._lists):
                answers.append(answer)
