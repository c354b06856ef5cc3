"""What a refusal says: which error it is, why, and when to come back. Plain functions, no I/O."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from threecommas_async import errors
from threecommas_async.models.decoding import DECODING_ERRORS
from threecommas_async.wire import EXCERPT, excerpt, request_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from threecommas_async.endpoints import Endpoint
    from threecommas_async.wire import Request, Response

MAX_ATTRIBUTES: Final = 100
"""Fields of a refusal that an error keeps, and messages of each."""

_NEXT_REQUEST: Final = re.compile(r"next request at (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", re.IGNORECASE)
_SHORTEST_WAIT: Final = timedelta(seconds=1)
_BY_STATUS: Final[Mapping[int, type[errors.APIStatusError]]] = {
    400: errors.InvalidRequestError,
    401: errors.AuthenticationError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    418: errors.BannedError,
    422: errors.InvalidRequestError,
    429: errors.RateLimitedError,
}


def refusal(
    endpoint: Endpoint[Any], request: Request, response: Response, *, now: datetime
) -> errors.APIStatusError:
    """Return the error that an answer is whose status is not 2xx.

    Args:
        endpoint: The row of the call.
        request: What was sent; its secrets are masked.
        response: What came back.
        now: The present instant, for answers that name a time to wait.
    """
    content = _error_object(response.body)
    error = content.get("error")
    described = content.get("error_description")
    text = excerpt(request.mask(error if isinstance(error, str) else response.body.decode(errors="replace")))
    description = excerpt(request.mask(described)) if isinstance(described, str) else None
    attributes = _attributes(content.get("error_attributes"), request.mask)
    faults = (
        f"{key} {', '.join(message[:EXCERPT] for message in messages)}"
        for key, messages in attributes.items()
    )
    kind = _classify(response.status, text)
    reasons = (
        text,
        description,
        excerpt("; ".join(faults)),
        _advice(kind, f"{text} {description}".lower(), endpoint),
    )
    failure = kind(
        ": ".join([f"{request} answered {response.status}", *filter(None, reasons)]),
        status=response.status,
        error=text,
        description=description,
        attributes=attributes,
        request_id=request_id(request, response),
        endpoint=endpoint,
        path=request.target,
        # Other statuses (408, 409, 425, 499 …) are those of gateways, whatever their body looks like.
        from_api=isinstance(error, str) and (response.status in _BY_STATUS or response.status >= 500),
    )
    match failure:
        case errors.RateLimitedError():
            failure.retry_at = _retry_at(response.headers, text, now, within=timedelta(days=1))
        case errors.BannedError():
            failure.until = _retry_at(response.headers, text, now, within=timedelta(days=3))
        case _:
            pass
    return failure


def _advice(kind: type[errors.APIStatusError], refusal: str, endpoint: Endpoint[Any]) -> str:
    if kind is errors.AuthenticationError:
        return "check that key and secret belong together, and that this IP is allowed"
    # A 403 may also be about the account or the state of the object.
    if kind is errors.PermissionDeniedError and any(
        word in refusal for word in ("permission", "access", "api key")
    ):
        return f"the call needs {endpoint.permission}"
    return ""


def _classify(status: int, error: str) -> type[errors.APIStatusError]:
    code = error.lower().replace("_", " ")
    if status == 400 and code == "not found":
        return errors.NotFoundError
    if code == "unknown market50x error":
        return errors.ServerError  # The exchange failed, whatever the status: recorded with 500.
    if status in {401, 403} and ("enough permissions" in code or code == "access denied"):
        return errors.PermissionDeniedError
    if status == 429 and "subscription plan" in code:
        return errors.PlanLimitError
    if kind := _BY_STATUS.get(status):
        return kind
    return errors.InvalidRequestError if 400 <= status < 500 else errors.ServerError


def _error_object(body: bytes) -> dict[str, Any]:
    try:
        content = msgspec.json.decode(body)
    except DECODING_ERRORS:
        return {}
    return cast("dict[str, Any]", content) if isinstance(content, dict) else {}


def _attributes(content: object, mask: Callable[[str], str]) -> dict[str, tuple[str, ...]]:
    attributes: dict[str, list[str]] = {}
    fields = cast("dict[str, object]", content) if isinstance(content, dict) else {}
    for keys, messages in islice(fields.items(), MAX_ATTRIBUTES):
        listed = cast("list[object]", messages) if isinstance(messages, list) else [messages]
        texts = [mask(str(message)) for message in listed[:MAX_ATTRIBUTES]]
        # One key can name several fields: "a[value],a[percent]" are mutually exclusive.
        for key in keys.split(",", MAX_ATTRIBUTES)[:MAX_ATTRIBUTES]:
            name = mask(key.strip())
            if len(attributes) == MAX_ATTRIBUTES and name not in attributes:
                continue
            found = attributes.setdefault(name, [])
            found += texts[: MAX_ATTRIBUTES - len(found)]
    return {key: tuple(found) for key, found in attributes.items()}


def _retry_at(headers: Mapping[str, str], error: str, now: datetime, *, within: timedelta) -> datetime | None:
    # Both ends are read off the server's clock, which may differ from ours; a Date is rounded down.
    answered_at = http_date(headers.get("Date")) or now
    retry_after = headers.get("Retry-After", "").strip()
    if named := _NEXT_REQUEST.search(error):
        wait = _distance(answered_at, _utc_time(named[1]))
    elif retry_after.isdecimal() and len(retry_after) <= len("259200"):
        wait = timedelta(seconds=int(retry_after))
    else:
        wait = _distance(answered_at, http_date(retry_after))
    return None if wait is None or wait > within else now + max(wait, _SHORTEST_WAIT)


def _distance(start: datetime, end: datetime | None) -> timedelta | None:
    return None if end is None else end - start


def _utc_time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def http_date(text: str | None) -> datetime | None:
    """Return the instant that a header names, aware; None if it names none."""
    try:
        date = parsedate_to_datetime(text) if text else None
    except (ValueError, OverflowError):
        return None
    return date if date is None or date.tzinfo else date.replace(tzinfo=UTC)
