from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import SAMPLES
from threecommas_async import endpoints, errors, wire
from threecommas_async.models.order import OrderValue
from threecommas_async.signing import HmacCredentials
from threecommas_async.wire import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

CREDENTIALS = HmacCredentials("the-api-key", "the-secret")
NOW = datetime(2025, 11, 11, 17, 0, tzinfo=UTC)


def build(row: endpoints.Endpoint[Any] = endpoints.GET_SMART_TRADE, **options: Any) -> wire.Request:
    return wire.build(row, CREDENTIALS, base_path="/public/api", mode="paper", **options)


REQUEST = build(path={"id": 1})


def fail(
    status: int,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    row: endpoints.Endpoint[Any] = endpoints.GET_SMART_TRADE,
) -> errors.APIStatusError:
    with pytest.raises(errors.APIStatusError) as caught:
        wire.read(row, REQUEST, Response(status, headers or {}, body), now=NOW)
    return caught.value


def test_a_request_names_the_mode_the_key_and_the_signature() -> None:
    request = build(endpoints.CLOSE_BY_MARKET, path={"id": 12345678})
    assert request.method == "POST"
    assert request.target == "/public/api/v2/smart_trades/12345678/close_by_market"
    assert request.body == b""
    assert dict(request.headers) == {
        "Accept": "application/json",
        "Apikey": "the-api-key",
        "Forced-Mode": "paper",
        "Signature": CREDENTIALS.sign("/public/api/v2/smart_trades/12345678/close_by_market"),
        "User-Agent": "threecommas-async",
    }


def test_a_body_is_sent_as_json_and_is_signed() -> None:
    request = build(endpoints.CREATE_SMART_TRADE, body=OrderValue(value=Decimal("1E-8")))
    assert request.body == b'{"value":"0.00000001"}'
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Signature"] == CREDENTIALS.sign(
        "/public/api/v2/smart_trades", b'{"value":"0.00000001"}'
    )


@pytest.mark.parametrize("bad", [0, -1, True, 1.0, "1", "1/../../users", None])
def test_an_id_that_is_no_positive_whole_number_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="id must be a positive whole number"):
        build(path={"id": bad})


def test_the_query_is_sorted_and_percent_encoded() -> None:
    assert (
        wire.encode_query(
            {"b": "a b+c%&=é[]~/:", "a": 1, "none": None, "flag": True, "number": Decimal("1E+2")}
        )
        == "a=1&b=a%20b%2Bc%25%26%3D%C3%A9%5B%5D~%2F%3A&flag=true&number=100"
    )


def test_an_instant_is_sent_in_utc_with_milliseconds() -> None:
    at = datetime(2025, 8, 4, 19, 7, 14, 123456, tzinfo=timezone(timedelta(hours=2)))
    assert wire.encode_query({"from": at}) == "from=2025-08-04T17%3A07%3A14.123Z"


@pytest.mark.parametrize("bad", [datetime(2025, 8, 4, 17, 7), 1.5, [1], object()])
def test_a_query_value_without_a_sure_form_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="from"):
        wire.encode_query({"from": bad})


@pytest.mark.parametrize(
    ("sample", "kind", "error", "attributes"),
    [
        ("smart_trades.create/403", errors.PermissionDeniedError, "Forbidden", {}),
        (
            "smart_trades.create/422",
            errors.InvalidRequestError,
            "record_invalid",
            {
                "position": ("is invalid",),
                "position.total": ("must be less than or equal to 9000000.0",),
                "units_to_buy": ("must be less than or equal to 9000.0",),
            },
        ),
        ("smart_trades.get/400", errors.NotFoundError, "Not found", {}),
        ("smart_trades.cancel/400", errors.NotFoundError, "Not found", {}),
        ("smart_trades.close_by_market/404", errors.NotFoundError, "Not found", {}),
        ("smart_trades.reduce_funds_info/400", errors.InvalidRequestError, "Wrong param(s)", {}),
        ("smart_trades.set_note/401", errors.AuthenticationError, "signature_invalid", {}),
        (
            "smart_trades.set_note/400",
            errors.InvalidRequestError,
            "record_invalid",
            {"note": ("too long. Max is 300 symbols",)},
        ),
    ],
)
def test_a_documented_error_body_gives_its_class(
    sample: str, kind: type[errors.APIStatusError], error: str, attributes: dict[str, tuple[str, ...]]
) -> None:
    status = int(sample.rpartition("/")[2])
    failure = fail(status, (SAMPLES / f"{sample}.json").read_bytes(), {"X-Request-Id": "r-1"})
    assert type(failure) is kind
    assert (failure.status, failure.error, failure.attributes) == (status, error, attributes)
    assert failure.request_id == "r-1"
    assert failure.endpoint is endpoints.GET_SMART_TRADE
    assert failure.from_api


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, b'{"error":"not_found"}', errors.NotFoundError),
        (403, b'{"error":"access_denied"}', errors.PermissionDeniedError),
        (418, b"", errors.BannedError),
        (429, b'{"error":"Rate limit exceeded"}', errors.RateLimitedError),
        (
            429,
            b'{"error": "The request type \'read\' is not available with your current subscription plan."}',
            errors.PlanLimitError,
        ),
        (500, b'{"error":"unknown_market50x_error"}', errors.ServerError),
        (504, b"", errors.ServerError),
        (302, b"", errors.ServerError),
        (409, b'{"error":"conflict"}', errors.InvalidRequestError),
    ],
)
def test_status_and_text_decide_the_class(status: int, body: bytes, kind: type[Exception]) -> None:
    assert type(fail(status, body)) is kind


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"<html><style>p{}</style><body><h1>502</h1>\n<p>Bad\tgateway</p></body></html>", "502 Bad gateway"),
        (b"", ""),
        (b"\xff\xfe\x00plain", "\ufffd\ufffd plain"),
        (b'["a list"]', '["a list"]'),
        (b"[" * 100_000, "[" * 299 + "…"),
    ],
)
def test_a_body_without_the_error_shape_gives_a_short_readable_text(body: bytes, text: str) -> None:
    failure = fail(502, body)
    assert failure.error == text
    assert not failure.from_api


def test_an_answer_that_echoes_the_key_does_not_bring_it_into_the_error() -> None:
    signature = REQUEST.headers["Signature"]
    echo = f'{{"error": "key the-api-key, signature {signature}"}}'.encode()
    assert fail(401, echo).error == "key ***, signature ***"
    with pytest.raises(errors.DecodeError) as caught:
        wire.read(endpoints.GET_SMART_TRADE, REQUEST, Response(200, {}, echo), now=NOW)
    assert caught.value.body == b'{"error": "key ***, signature ***"}'


def test_permission_error_names_the_permission_of_the_call() -> None:
    assert "SMART_TRADES_WRITE" in str(fail(403, b'{"error":"access_denied"}', row=endpoints.CLOSE_BY_MARKET))


LATER = datetime(2025, 11, 11, 17, 8, 36, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "text", "retry_at"),
    [
        ({}, "Rate limit exceeded. Next request at 2025-11-11 17:08:36 UTC", LATER),
        ({"Retry-After": "516"}, "Rate limit exceeded", LATER),
        ({"Retry-After": "Tue, 11 Nov 2025 17:08:36 GMT"}, "Rate limit exceeded", LATER),
        # The server's clock is ten minutes behind: what counts is the distance on its own clock.
        (
            {"Retry-After": "Tue, 11 Nov 2025 16:58:36 GMT", "Date": "Tue, 11 Nov 2025 16:50:00 GMT"},
            "Rate limit exceeded",
            LATER,
        ),
        ({}, "Rate limit exceeded", None),
        ({"Retry-After": "soon"}, "Rate limit exceeded", None),
        ({"Retry-After": "-5"}, "Rate limit exceeded", None),
        ({"Retry-After": "9" * 400}, "Rate limit exceeded", None),
        ({}, "Next request at 2025-99-99 17:08:36 UTC", None),
        ({}, "Next request at 2035-11-11 17:08:36 UTC", None),
        ({}, "Next request at 2025-11-11 16:08:36 UTC", NOW),
    ],
)
def test_a_429_says_when_to_come_back(headers: dict[str, str], text: str, retry_at: datetime | None) -> None:
    failure = fail(429, f'{{"error": "{text}"}}'.encode(), headers)
    assert isinstance(failure, errors.RateLimitedError)
    assert failure.retry_at == retry_at


@pytest.mark.parametrize("body", [b"", b"null", b'{"id":', b"[]", b"<html>", b"\xff", b"[" * 100_000])
def test_a_2xx_that_does_not_fit_is_a_decode_error(body: bytes) -> None:
    with pytest.raises(errors.DecodeError) as caught:
        wire.read(endpoints.GET_SMART_TRADE, REQUEST, Response(200, {"X-Request-Id": "r-2"}, body), now=NOW)
    assert caught.value.body == body[:300]
    assert caught.value.request_id == "r-2"


def test_every_2xx_is_success() -> None:
    for status in (200, 201, 202):
        trade = wire.read(
            endpoints.GET_SMART_TRADE, REQUEST, Response(status, {}, b'{"id":1,"status":{}}'), now=NOW
        )
        assert trade.id == 1
