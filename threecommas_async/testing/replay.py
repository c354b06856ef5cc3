"""A server on loopback that answers what was recorded, and nothing else."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any, Final, Self, cast
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from threecommas_async.endpoints import BASE_URL, CREATE_SMART_TRADE
from threecommas_async.limits import RateLimit
from threecommas_async.testing.recordings import encode_answer, read_recording, read_request
from threecommas_async.testing.redaction import REDACTED

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from types import TracebackType

    from threecommas_async.testing.recordings import RecordedRequest, Recording

_SHOWN: Final = 5


class UnexpectedRequestError(AssertionError):
    """A client asked a `Replay` for what is not recorded, or more often than it is."""


class Replay:
    """Serves a recording to a client, as an asynchronous context manager.

    A request gets the first recorded answer that has not been served yet to a request of the same method,
    path, query and body; key, signature and headers do not count, and the order of different requests is
    free. What was redacted in the file does not count either; in the answer to a new SmartTrade, a redacted
    ``note``, ``note_raw`` or ``pair`` is that of the request. Every other request is answered with a 400
    that says what was expected, which the client raises as `InvalidRequestError`; and when the block
    ends, `UnexpectedRequestError` is raised, or is a note of the error that ends the block.

    Args:
        path: A file that `threecommas_async.testing.record` wrote.
        ignore: Fields of JSON bodies and queries that do not count, wherever they are: those that are
            different each time, such as ``note`` with a reference in it.

    Example::

        async with Replay("tests/recordings/evening.jsonl") as replay:
            async with ThreeCommas(**replay.credentials()) as client:
                await run_bot(client)
        assert replay.unused == ()

    Raises:
        OSError: The file cannot be read.
        UnusableRecordingError: It is no recording.
    """

    def __init__(self, path: str | os.PathLike[str], *, ignore: Iterable[str] = ()) -> None:
        head, self._left = read_recording(path)
        self._fields: frozenset[str] = frozenset({*head.redacted, *(name.lower() for name in ignore)})
        self._mode = head.mode
        self._all = tuple(self._left)
        self._unexpected: list[str] = []
        self._runner: web.ServerRunner | None = None

    async def __aenter__(self) -> Self:
        runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        if not self._unexpected:
            return
        text = "\n".join(self._unexpected)
        if error is None:
            raise UnexpectedRequestError(text)
        error.add_note(text)

    def credentials(self, **overrides: Any) -> dict[str, Any]:
        """Return keyword arguments for a client: a worthless key, the address, and a limit without waits.

        The mode is that of the client that was recorded; files of 0.1 do not say it, and leave it to the
        client. What that client knew before the recording is not in the file: with ``mode="paper"`` give the
        accounts that it had read, or was told of, as ``paper_accounts``.

        Args:
            **overrides: Keyword arguments for the client, added to the others or in their place.

        Raises:
            RuntimeError: It does not listen.
        """
        if self._runner is None:
            raise RuntimeError("the replay is not running")
        port = self._runner.addresses[0][1]
        return {
            "api_key": "replay",
            "api_secret": "replay",
            "base_url": f"http://127.0.0.1:{port}{urlsplit(BASE_URL).path}",
            "limits": RateLimit(10_000, 1.0, 1.0),
            **({} if self._mode is None else {"mode": self._mode}),
            **overrides,
        }

    @property
    def unused(self) -> tuple[Recording, ...]:
        """The recorded exchanges that were not asked for, in order."""
        return tuple(self._left)

    @property
    def unexpected(self) -> tuple[str, ...]:
        """The requests that were not recorded, in order of arrival, each with what was expected."""
        return tuple(self._unexpected)

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        sent = read_request(request.method, request.raw_path, await request.read())
        asked = sent.without(self._fields)
        for place, recording in enumerate(self._left):
            if recording.request.without(self._fields) == asked:
                del self._left[place]
                return web.Response(
                    status=recording.status,
                    body=encode_answer(_filled_in(recording, sent)),
                    headers=recording.headers,
                )
        problem = f"{asked} was not expected: {self._expected(asked)}"
        self._unexpected.append(problem)
        body = msgspec.json.encode({"error": "unexpected_request", "error_description": problem})
        return web.Response(status=400, body=body, content_type="application/json")

    def _expected(self, asked: RecordedRequest) -> str:
        recorded = sum(recording.request.without(self._fields) == asked for recording in self._all)
        if recorded:
            return f"it is recorded {recorded} times, and was asked for once more"
        # Those that differ least come first: the same call with something else in it.
        left = sorted(
            (recording.request for recording in self._left),
            key=lambda request: (request.path != asked.path, request.method != asked.method),
        )
        if not left:
            return "everything recorded has been asked for"
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        return f"still to come are {'; '.join(map(str, left[:_SHOWN]))}{more}"


def _filled_in(recording: Recording, sent: RecordedRequest) -> Recording:
    """Return the answer to an order with what the order says in place of what was redacted.

    A client compares the two, and takes an answer about another order for none.
    """
    is_order = sent.method == CREATE_SMART_TRADE.method and sent.path.endswith(CREATE_SMART_TRADE.path)
    answer, order = cast("object", recording.answer), cast("object", sent.body)
    if not (is_order and isinstance(answer, dict) and isinstance(order, dict)):
        return recording
    answer, order = cast("dict[str, Any]", answer), cast("dict[str, Any]", order)
    note = order.get("note")
    said = {
        "note": html.escape(note) if isinstance(note, str) else None,
        "note_raw": note,
        "pair": order.get("pair"),
    }
    own = {name: value for name, value in said.items() if value is not None and answer.get(name) == REDACTED}
    return msgspec.structs.replace(recording, answer={**answer, **own})
