"""A user's own exchanges with the API in a file: one line of JSON for each, redacted before it is written."""

from __future__ import annotations

import os
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import msgspec

from threecommas_async.client import Mode
from threecommas_async.models.decoding import DECODING_ERRORS
from threecommas_async.testing.redaction import ALWAYS, redact_json, redact_query, without_addresses

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from threecommas_async.client import ThreeCommas
    from threecommas_async.recording import Exchange

FORMAT: Final = "threecommas_async recording 1"
KEPT_HEADERS: Final = ("content-type", "date", "retry-after")
"""Headers of an answer that change what a client makes of it."""


class UnusableRecordingError(Exception):
    """A file holds no recording, or a recording could not be written."""


class RecordedRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request, redacted; two are the same if they are equal.

    Args:
        method: HTTP method.
        path: Path, that of the base URL included.
        query: Parameters of the query, decoded, in order of their names.
        body: JSON of the body; None where there is none.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Any = None

    def __str__(self) -> str:
        query = "?" + "&".join(f"{name}={value}" for name, value in self.query) if self.query else ""
        body = "" if self.body is None else f" {_ENCODER.encode(self.body).decode()}"
        return f"{self.method} {self.path}{query}{body}"

    def without(self, fields: frozenset[str]) -> RecordedRequest:
        """Return it without the values of some fields, named in lower case."""
        return RecordedRequest(
            method=self.method,
            path=without_addresses(self.path),
            query=redact_query(self.query, fields),
            body=redact_json(self.body, fields),
        )


class Recording(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One recorded exchange, redacted.

    Args:
        request: What was asked.
        status: HTTP status of the answer.
        headers: Those of its headers that were kept, by name in lower case.
        answer: JSON of the answer; None where it is null or no JSON.
        text: The answer as text where it is no JSON: None where it is.
    """

    request: RecordedRequest
    status: int
    headers: dict[str, str] = {}
    answer: Any = None
    text: str | None = None


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a file.

    Args:
        format: Name and version of the format.
        redacted: The fields that were redacted, in lower case.
        mode: The mode of the client; None in files of 0.1.
    """

    format: str
    redacted: list[str]
    mode: Mode | None = None


@contextmanager
def record(
    client: ThreeCommas,
    path: str | os.PathLike[str],
    *,
    redact: Iterable[str] = (),
    headers: Iterable[str] = (),
    overwrite: bool = False,
) -> Generator[None, None, None]:
    """Write every answered request of a client to a file, while the block lasts.

    What is written: the mode of the client; of a request: method, path, query and body; of an answer: status,
    ``Content-Type``, ``Date``, ``Retry-After`` and body. No other header is, so neither is key or signature,
    and where one of them occurs in anything else it is masked. The secret never leaves the client. E-mail
    addresses are replaced wherever they occur, and so are the values of fields that name or authenticate the
    user (`threecommas_async.testing.redaction.ALWAYS`). Ids, prices, amounts and notes are kept, and ids
    stand in paths too, where nothing is replaced: read the file before you give it away, and name in
    ``redact`` what else should not be in it. Without ``id`` a file can hardly be served again: all trades and
    accounts are one.

    A request that nothing answered is not recorded. Nothing that fails while recording disturbs a call:
    it is raised when the block ends.

    Args:
        client: The client.
        path: The file, one line of JSON for each exchange; only its owner may read it.
        redact: More fields of JSON bodies and queries whose values are replaced, such as ``note``,
            ``note_raw`` or ``account_id``, wherever they are.
        headers: More headers of the answer to keep.
        overwrite: Whether a file that is there may be replaced.

    Example::

        with record(client, "tests/recordings/evening.jsonl", redact=["note", "note_raw"]):
            await run_bot(client)

    Raises:
        FileExistsError: There is such a file already.
        UnusableRecordingError: An exchange could not be written; the file is not complete.
    """
    fields = ALWAYS | {name.lower() for name in redact}
    kept = {*KEPT_HEADERS, *(name.lower() for name in headers)}
    problems: list[Exception] = []
    with open(path, "wb" if overwrite else "xb", opener=_open_for_owner) as file:

        def write(exchange: Exchange) -> None:
            # A full disk must not hide what became of an order.
            try:
                file.write(_ENCODER.encode(recording_of(exchange, fields, kept)) + b"\n")
                file.flush()
            except Exception as problem:  # noqa: BLE001 - whatever it is, it is raised at the end
                problems.append(problem)

        head = Head(format=FORMAT, redacted=sorted(fields), mode=client.mode)
        file.write(_ENCODER.encode(head) + b"\n")
        with client.listening(write):
            yield
    if problems:
        raise UnusableRecordingError(
            f"{len(problems)} exchanges could not be written to {path}"
        ) from problems[0]


def recording_of(exchange: Exchange, fields: frozenset[str], kept: Iterable[str]) -> Recording:
    """Return what is written down of an exchange.

    Args:
        exchange: The exchange.
        fields: The fields to redact, in lower case.
        kept: The headers of the answer to keep, in lower case.
    """
    is_json, answer = _json(exchange.answer)
    return Recording(
        request=read_request(exchange.method, exchange.target, exchange.body).without(fields),
        status=exchange.status,
        headers={
            name: without_addresses(exchange.headers[name]) for name in kept if name in exchange.headers
        },
        answer=redact_json(answer, fields) if is_json else None,
        text=None if is_json else without_addresses(exchange.answer.decode(errors="replace")),
    )


def read_request(method: str, target: str, body: bytes) -> RecordedRequest:
    """Return a request as it is written down and compared, before anything is redacted."""
    path, _, query = target.partition("?")
    is_json, content = _json(body)
    return RecordedRequest(
        method=method,
        path=path,
        query=tuple(sorted(parse_qsl(query, keep_blank_values=True))),
        body=content if is_json else body.decode(errors="replace") or None,
    )


def read_recording(path: str | os.PathLike[str]) -> tuple[Head, list[Recording]]:
    """Return what is in a file.

    Raises:
        OSError: It cannot be read.
        UnusableRecordingError: It is no recording, or of a later version; the text names the line.
    """
    lines = Path(path).read_bytes().splitlines()
    number = 1
    try:
        head = _HEAD.decode(lines[0] if lines else b"")
        if head.format != FORMAT:
            raise UnusableRecordingError(f"{path} is {head.format!r}, not {FORMAT!r}")
        recordings: list[Recording] = []
        for number, line in enumerate(lines[1:], start=2):  # noqa: B007 - for the error
            recordings.append(_LINE.decode(line))
    except DECODING_ERRORS as problem:
        raise UnusableRecordingError(f"{path}, line {number}: {problem}") from None
    return head, recordings


def encode_answer(recording: Recording) -> bytes:
    """Return the body of a recorded answer."""
    return _ENCODER.encode(recording.answer) if recording.text is None else recording.text.encode()


# Numbers keep their digits: through a float, 0.10 would become 0.1.
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_JSON: Final = msgspec.json.Decoder(float_hook=Decimal)
_LINE: Final = msgspec.json.Decoder(Recording, float_hook=Decimal)
_HEAD: Final = msgspec.json.Decoder(Head)


def _open_for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _json(body: bytes) -> tuple[bool, Any]:
    try:
        return True, _JSON.decode(body)
    except DECODING_ERRORS:
        return False, None
