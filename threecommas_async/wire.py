"""Arguments to request bytes, and response bytes to a value: plain functions, no I/O."""

from __future__ import annotations

import logging
import math
import re
import reprlib
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.parse import quote, urlencode

import msgspec
from multidict import istr

from threecommas_async import errors
from threecommas_async.models.decoding import DECODING_ERRORS, Malformed, Page
from threecommas_async.models.encoding import encode_body
from threecommas_async.models.text import printable

if TYPE_CHECKING:
    from threecommas_async.endpoints import Endpoint
    from threecommas_async.signing import Credentials

T = TypeVar("T")

_decoding_log = logging.getLogger("threecommas_async.decoding")

USER_AGENT: Final = "threecommas-async"
EXCERPT: Final = 300
"""Characters of an unreadable body that an error keeps."""


class Request(msgspec.Struct, frozen=True, gc=False):
    """One request, ready to be sent any number of times: the signature has no timestamp.

    That of a public call has neither key nor signature.

    Args:
        method: HTTP method.
        target: Path and query exactly as they go into the request line and were signed.
        body: Body exactly as it goes out and was signed.
        headers: All headers that this package sets, key and signature among them.
    """

    method: str
    target: str
    body: bytes
    headers: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.method} {self.target.partition('?')[0]}"

    def __repr__(self) -> str:
        return f"Request(method={self.method!r}, target={self.target!r})"

    def without_secrets(self, body: bytes) -> bytes:
        """Return bytes of an answer with the key and the signature of this request masked."""
        for name in (_APIKEY, _SIGNATURE):
            secret = self.headers.get(name)
            if secret is None:
                continue  # The request of a public call.
            body = body.replace(secret.encode(), b"***")
            # An api key of letters and digits alone has no other spelling, and few bodies have a part of one.
            longest = max(_PLAIN.findall(secret), key=len, default="")
            if longest != secret and longest.encode() in body:
                body = _spellings(secret).sub(b"***", body)
        return body

    def masked(self) -> PreparedRequest:
        """Return what would be sent, for people: key and signature are masked."""
        headers = {name: "***" if name in {_APIKEY, _SIGNATURE} else v for name, v in self.headers.items()}
        return PreparedRequest(self.method, self.target, headers, self.body)

    def mask(self, text: str) -> str:
        """Return text of an answer with the key and the signature of this request masked."""
        return self.without_secrets(text.encode(errors="replace")).decode()


class PreparedRequest(msgspec.Struct, frozen=True):
    """A write that was not sent: what it would have been, without key and signature.

    Args:
        method: HTTP method.
        path: Path and query, the path of the base URL included.
        headers: All headers that this package sets; the values of ``Apikey`` and ``Signature`` are ``***``.
        body: Body, byte for byte; empty where the call has none.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def __str__(self) -> str:
        head = [f"{self.method} {self.path}", *(f"{name}: {value}" for name, value in self.headers.items())]
        return "\n".join([*head, "", self.body.decode()] if self.body else head)


class Response(msgspec.Struct, frozen=True):
    """One complete answer.

    Args:
        status: HTTP status.
        headers: Headers, looked up without regard to case.
        body: Body, decompressed.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Response(status={self.status})"


class Progress:
    """How far an attempt has come.

    Attributes:
        sent: The request may have left this machine.
        expires: When it must not leave any more, on the clock of the event loop.
    """

    sent: bool = False
    expires: float = math.inf


class Failure(msgspec.Struct, frozen=True):
    """An attempt that brought no complete answer.

    Args:
        reason: What happened, without anything secret.
        sent: The request may have left this machine.
        permanent: Trying again cannot help.
        timed_out: It was given up: the server may still be at work on it.
    """

    reason: str
    sent: bool
    permanent: bool = False
    timed_out: bool = False


def build(
    endpoint: Endpoint[Any],
    credentials: Credentials,
    *,
    base_path: str,
    mode: str,
    path: Mapping[str, int] | None = None,
    query: Mapping[str, object] | None = None,
    body: msgspec.Struct | None = None,
) -> Request:
    """Return the request of one call, signed unless its row says that it is public.

    Args:
        endpoint: The row of the call.
        credentials: Who signs.
        base_path: Path of the base URL, such as ``/public/api``.
        mode: ``real`` or ``paper``: the ``Forced-Mode`` of the request.
        path: Values of the path template.
        query: Query parameters; those that are None are left out.
        body: Request body, sent as JSON.

    Raises:
        ValueError: A path value is not a positive whole number, or a query value cannot be sent.
    """
    target = base_path + endpoint.path
    if path:
        for name, value in path.items():
            if type(value) is not int or value < 1:
                path = {**path, name: _id(name, value)}
        target = target.format_map(path)
    if query and (parameters := encode_query(query)):
        target = f"{target}?{parameters}"
    content = b"" if body is None else encode_body(body)
    headers: dict[str, str] = {
        _ACCEPT: "application/json",
        _FORCED_MODE: mode,
        _USER_AGENT: USER_AGENT,
    }
    if endpoint.is_signed:
        headers[_APIKEY] = credentials.api_key
        headers[_SIGNATURE] = credentials.sign(target, content)
    if content:
        headers[_CONTENT_TYPE] = "application/json"
    return Request(endpoint.method, target, content, headers)


def encode_query(parameters: Mapping[str, object]) -> str:
    """Return the query string: sorted by name and percent-encoded, as the documented calculator signs it.

    Raises:
        ValueError: A value is a naive datetime, a float or of a type that has no form in a query.
    """
    return urlencode(
        [
            (name, _query_value(name, parameters[name]))
            for name in sorted(parameters)
            if parameters[name] is not None
        ],
        quote_via=quote,
        safe="",
    )


def read(
    endpoint: Endpoint[T], request: Request, response: Response, *, path: Mapping[str, int] | None = None
) -> T:
    """Return the value of an answer whose status is 2xx; rows of a list that cannot be read are logged.

    Args:
        endpoint: The row of the call.
        request: What was sent; its secrets are masked in the error.
        response: What came back.
        path: Values of the path template: an answer about another trade is none.

    Raises:
        DecodeError: The body does not fit the type of the call, or is about another trade or order.
    """
    difference: str | None = None
    try:
        value: Any = endpoint.decode(response.body)
        if endpoint.differs is not None and (difference := endpoint.differs(request.body, value)):
            what = difference
        elif not path or (subject := endpoint.subject) is None:
            if type(value) is Page:
                _warn_of(cast("Page[object]", value).malformed, endpoint)
            return cast("T", value)
        elif value.id == path[subject]:
            return cast("T", value)
        else:
            entity = "account" if subject == "account_id" else "trade"
            what = f"it is about another {entity}, {value.id}"
    except DECODING_ERRORS as problem:
        what = "an empty body" if not response.body.strip() else f"{type(problem).__name__}: {problem}"
    raise errors.DecodeError(
        f"{request} answered {response.status} with a body that does not fit: {what}",
        body=request.without_secrets(response.body)[:EXCERPT],
        endpoint=endpoint,
        path=request.target,
        request_id=request_id(request, response),
        is_of_another_order=bool(difference),
    )


def _spellings(secret: str) -> re.Pattern[bytes]:
    """Return what matches a secret in which signs are escaped, as JSON, a URL or HTML has them."""
    return re.compile("".join(map(_spelled, secret)).encode())


@cache
def _spelled(character: str) -> str:
    if _PLAIN.fullmatch(character):
        return character
    code, itself = ord(character), re.escape(character)
    percent = re.escape(quote(character, safe=""))
    name = _ENTITIES.get(character, "amp")
    return rf"(?:\\?{itself}|(?i:{percent}|\\u{code:04x}|&#0*{code};|&#x0*{code:x};|&{name};))"


def _warn_of(malformed: tuple[Malformed, ...], endpoint: Endpoint[Any]) -> None:
    for bad in malformed:
        named = "" if bad.id is None else f" (id {bad.id})"
        _decoding_log.warning("row %d%s of %s cannot be read: %s", bad.index, named, endpoint, bad.fault)


# Spelled in the type that aiohttp looks headers up by, which costs it less than a str.
_ACCEPT, _APIKEY, _CONTENT_TYPE = istr("Accept"), istr("Apikey"), istr("Content-Type")
_FORCED_MODE, _SIGNATURE, _USER_AGENT = istr("Forced-Mode"), istr("Signature"), istr("User-Agent")

_PLAIN: Final = re.compile(r"[A-Za-z0-9]+")
_ENTITIES: Final = {"+": "plus", "/": "sol", "=": "equals"}

_TAG: Final = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)


def _id(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a positive whole number, not {reprlib.repr(value)}")
    return int(value)


def _query_value(name: str, value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return int.__repr__(value)  # An enum of ints would print its name.
        case str():
            return str.__str__(value)
        case Decimal():
            return format(value, "f")
        case datetime():
            if value.utcoffset() is None:
                raise ValueError(f"{name} must be an aware datetime: add tzinfo, for example datetime.UTC")
            return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case _:
            raise ValueError(f"{name} cannot be sent in a query: {value!r}")


def request_id(request: Request, response: Response) -> str | None:
    """Return what the server calls a request, for its operators; None where it does not say."""
    named = response.headers.get("X-Request-Id")
    return None if named is None else excerpt(request.mask(named))


def excerpt(text: str) -> str:
    """Return the beginning of a text as an error shows it: one line, without markup."""
    beginning = text[: 16 * EXCERPT]  # The pattern takes quadratic time on hostile text.
    line = " ".join(printable(_TAG.sub(" ", beginning)).split())
    return line if len(line) <= EXCERPT else line[: EXCERPT - 1] + "…"
