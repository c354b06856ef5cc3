from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.conftest import SAMPLES
from threecommas_async import SmartTradeOrder, endpoints, errors, wire
from threecommas_async.models.decoding import PageDecoder
from threecommas_async.models.encoding import encode_body
from threecommas_async.models.order_groups import OrderValue
from threecommas_async.refusals import MAX_ATTRIBUTES, refusal
from threecommas_async.signing import HmacCredentials
from threecommas_async.wire import Request, Response

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
    return refusal(row, REQUEST, Response(status, headers or {}, body), now=NOW)


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


def test_an_enum_is_sent_by_its_value() -> None:
    class Pair(str, Enum):  # noqa: UP042 - a StrEnum would print its value
        BTC = "USDT_BTC"

    class Account(int, Enum):
        MAIN = 7

    assert wire.encode_query({"pair": Pair.BTC, "account_id": Account.MAIN}) == "account_id=7&pair=USDT_BTC"
    assert build(path={"id": Account.MAIN}).target == "/public/api/v2/smart_trades/7"


def test_a_float_in_a_body_is_refused() -> None:
    order = SmartTradeOrder(account_id=1, pair="USDT_BTC", position={"units": {"value": 0.1 + 0.2}})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - the bad input
    with pytest.raises(ValueError, match=r'write "0\.30000000000000004"'):
        encode_body(order)


@pytest.mark.parametrize("bad", [datetime(2025, 8, 4, 17, 7), 1.5, [1], object()])
def test_a_query_value_without_a_sure_form_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="from"):
        wire.encode_query({"from": bad})


NOT_FOUND, INVALID, DENIED, AUTH = (
    errors.NotFoundError,
    errors.InvalidRequestError,
    errors.PermissionDeniedError,
    errors.AuthenticationError,
)
DOCUMENTED: list[tuple[int, dict[str, Any], type[errors.APIStatusError]]] = [
    # The error examples of the SmartTrade pages.
    (422, json.loads((SAMPLES / "smart_trades.create/422.json").read_bytes()), INVALID),
    (403, {"error": "Forbidden", "error_description": "Account not owned by current user."}, DENIED),
    (400, json.loads((SAMPLES / "smart_trades.update/400.json").read_bytes()), INVALID),
    (400, {"error": "Not found", "error_description": "Smart Trade not found"}, NOT_FOUND),
    (404, {"error": "Not found", "error_description": "Smart Trade not found"}, NOT_FOUND),
    (400, json.loads((SAMPLES / "smart_trades.add_funds/400.json").read_bytes()), INVALID),
    (422, json.loads((SAMPLES / "smart_trades.add_funds/422.json").read_bytes()), INVALID),
    (400, json.loads((SAMPLES / "smart_trades.reduce_funds/400.json").read_bytes()), INVALID),
    (422, json.loads((SAMPLES / "smart_trades.reduce_funds/422.json").read_bytes()), INVALID),
    (400, json.loads((SAMPLES / "smart_trades.set_note/400.json").read_bytes()), INVALID),
    (401, {"error": "signature_invalid", "error_description": "Provided signature is invalid"}, AUTH),
    # The other documented values of `error`.
    (404, {"error": "not_found", "error_description": "Not Found"}, NOT_FOUND),
    (400, {"error": "not_found"}, NOT_FOUND),
    (403, {"error": "Forbidden", "error_description": "Api key not authorized for this action"}, DENIED),
    (403, {"error": "Forbidden. Unavailable for this account."}, DENIED),
    (403, {"error": "Forbidden. Unavailable for this account type."}, DENIED),
    (422, {"error": "invalid_request", "error_description": "Missing or invalid parameters"}, INVALID),
    (400, {"error": "unprocessable_entity", "error_description": "Trade cannot be cancelled"}, INVALID),
    (422, {"error": "Cant be cancelled"}, INVALID),
    (
        422,
        {"error": "invalid_api_key", "error_description": "API keys are no longer valid or incorrect."},
        INVALID,
    ),
    (422, {"error": "account_not_deletable"}, INVALID),
    (422, {"error": "bnb_dust_limit_error"}, INVALID),
    (
        422,
        {"error": "unknown_market_api_error", "error_description": '{"code"=>-9000, "msg"=>"..."}'},
        INVALID,
    ),
    (404, {"error": "Volume data not found"}, NOT_FOUND),
    (
        500,
        {"error": "grid_lines_not_marked", "error_description": "Grid lines empty or not marked"},
        errors.ServerError,
    ),
    (500, {"error": "unknown_error", "error_description": "Error # SomeException"}, errors.ServerError),
    # Recorded, not documented.
    (401, {"error": "api_key_invalid_or_expired"}, AUTH),
    (401, {"error": "access_denied"}, DENIED),
    (403, {"error": "access_denied"}, DENIED),
    (401, {"error": "Api key doesn't have enough permissions"}, DENIED),
    (500, {"error": "unknown_market50x_error"}, errors.ServerError),
    (422, {"error": "unknown_market50x_error"}, errors.ServerError),
    (
        429,
        {"error": "The request type 'read' is not available with your current subscription plan."},
        errors.PlanLimitError,
    ),
    (429, {"error": "Rate limit exceeded. Next request at 2025-11-11 17:08:36 UTC"}, errors.RateLimitedError),
    # By status alone.
    (418, {}, errors.BannedError),
    (429, {}, errors.RateLimitedError),
    (504, {}, errors.ServerError),
    (302, {}, errors.ServerError),
]


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    DOCUMENTED,
    ids=[f"{status} {body.get('error')}" for status, body, _ in DOCUMENTED],
)
def test_status_and_error_decide_the_class(
    status: int, content: dict[str, Any], kind: type[errors.APIStatusError]
) -> None:
    failure = fail(status, json.dumps(content).encode(), {"X-Request-Id": "r-1"})
    assert type(failure) is kind
    assert failure.status == status
    assert failure.description == content.get("error_description")
    assert failure.request_id == "r-1"
    assert failure.endpoint is endpoints.GET_SMART_TRADE
    assert failure.from_api == ("error" in content)
    if failure.from_api:
        assert failure.error == content["error"]


@pytest.mark.parametrize("status", [408, 409, 425, 499])
def test_a_status_that_only_gateways_give_is_no_word_of_the_api(status: int) -> None:
    failure = fail(status, b'{"error": "timeout"}')
    assert type(failure) is errors.InvalidRequestError
    assert not failure.from_api


def test_attributes_map_each_request_path_to_its_messages() -> None:
    joined = fail(400, (SAMPLES / "smart_trades.update/400.json").read_bytes())
    assert joined.attributes == {
        "take_profit[steps][0][price][value]": ("are mutually exclusive",),
        "take_profit[steps][0][price][percent]": ("are mutually exclusive",),
        "stop_loss[order_type]": ("is missing",),
    }
    several = fail(400, (SAMPLES / "smart_trades.add_funds/400.json").read_bytes())
    assert several.attributes["order_type"] == ("is missing", "does not have a valid value")
    assert "order_type is missing, does not have a valid value" in str(several)


def test_a_refusal_of_absurdly_many_fields_is_cut() -> None:
    body = json.dumps(
        {"error": "record_invalid", "error_attributes": {f"f{n}": ["bad"] for n in range(9999)}}
    )
    assert len(fail(400, body.encode()).attributes) == 100


@pytest.mark.parametrize(
    "attributes", [["a list"], "text", None, {"note": "one text"}, {"note": None}, {"note": [{"deep": 1}]}]
)
def test_attributes_of_an_unknown_shape_do_no_harm(attributes: object) -> None:
    body = json.dumps({"error": "record_invalid", "error_attributes": attributes}).encode()
    assert type(fail(400, body)) is errors.InvalidRequestError


@pytest.mark.parametrize(
    "attributes",
    [
        {"a," * 200_000: ["m"]},
        {"a," * 100 + "b" * n: ["m"] * 100 for n in range(100)},
        {",".join(map(str, range(n, n + 100))): ["m"] for n in range(0, 10_000, 100)},
        {",".join(map(str, range(100))): ["m" * 1_000_000]},
    ],
    ids=["keys", "messages", "fields", "long"],
)
def test_attributes_without_end_do_not_block_the_loop(attributes: dict[str, list[str]]) -> None:
    body = json.dumps({"error": "record_invalid", "error_attributes": attributes}).encode()
    began = time.process_time()
    failure = fail(400, body)
    assert time.process_time() - began < 0.5
    assert 0 < len(failure.attributes) <= MAX_ATTRIBUTES
    assert max(map(len, failure.attributes.values())) <= MAX_ATTRIBUTES


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"<html><style>p{}</style><body><h1>502</h1>\n<p>Bad\tgateway</p></body></html>", "502 Bad gateway"),
        (b"", ""),
        (b"\xff\xfe\x00plain", "\ufffd\ufffd plain"),
        (b'["a list"]', '["a list"]'),
        (b"[" * 100_000, "[" * 299 + "…"),
        (b"<" * 1_000_000, "<" * 299 + "…"),
        (b"<script " * 100_000, ("<script " * 38)[:299] + "…"),
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
        wire.read(endpoints.GET_SMART_TRADE, REQUEST, Response(200, {}, echo))
    assert caught.value.body == b'{"error": "key ***, signature ***"}'


def test_a_secret_that_is_echoed_escaped_or_in_a_header_is_masked_too() -> None:
    signature = REQUEST.headers["Signature"]
    escaped = "".join(f"\\u{ord(character):04x}" for character in signature)
    failure = fail(
        401,
        f'{{"error": "{escaped}", "error_attributes": {{"{escaped}": ["{escaped}"]}}}}'.encode(),
        {"X-Request-Id": f"of {signature}"},
    )
    assert failure.error == "***"
    assert failure.request_id == "of ***"
    assert signature not in str(failure) + repr(vars(failure))


def test_permission_error_names_the_permission_of_the_call() -> None:
    assert "SMART_TRADES_WRITE" in str(fail(403, b'{"error":"access_denied"}', row=endpoints.CLOSE_BY_MARKET))


@pytest.mark.parametrize(
    ("content", "is_of_key"),
    [
        (b'{"error":"access_denied","error_description":"Api key not authorized for this action"}', True),
        (b'{"error":"api_key_has_not_enough_permissions"}', True),
        (b'{"error":"Api key doesn\'t have enough permissions"}', True),
        (b'{"error":"access_denied"}', False),
        (b'{"error":"Forbidden","error_description":"Account not owned by current user."}', False),
        (b"<html>enough permissions</html>", False),
    ],
)
def test_a_permission_that_the_key_lacks_is_told_from_a_state(content: bytes, *, is_of_key: bool) -> None:
    failure = fail(403, content)
    assert isinstance(failure, errors.PermissionDeniedError)
    assert failure.lacks_permission is is_of_key


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
        # A time that has passed, or none at all, is a second.
        ({}, "Next request at 2025-11-11 16:08:36 UTC", NOW + timedelta(seconds=1)),
        ({"Retry-After": "0"}, "Rate limit exceeded", NOW + timedelta(seconds=1)),
        ({"Retry-After": "60", "Date": "Fri, 31 Dec 9999 23:59:59 GMT"}, "", NOW + timedelta(seconds=60)),
        ({"Retry-After": "Fri, 31 Dec 99999999999999999999 23:59:59 GMT"}, "", None),
    ],
)
def test_a_429_says_when_to_come_back(headers: dict[str, str], text: str, retry_at: datetime | None) -> None:
    failure = fail(429, f'{{"error": "{text}"}}'.encode(), headers)
    assert isinstance(failure, errors.RateLimitedError)
    assert failure.retry_at == retry_at


@pytest.mark.parametrize("body", [b"", b"null", b'{"id":', b"[]", b"<html>", b"\xff", b"[" * 100_000])
def test_a_2xx_that_does_not_fit_is_a_decode_error(body: bytes) -> None:
    with pytest.raises(errors.DecodeError) as caught:
        wire.read(endpoints.GET_SMART_TRADE, REQUEST, Response(200, {"X-Request-Id": "r-2"}, body))
    assert caught.value.body == body[:300]
    assert caught.value.request_id == "r-2"


@pytest.mark.parametrize(
    "row",
    [row for row in endpoints.TABLE if isinstance(row.decode, PageDecoder) or row is endpoints.LIST_PAIRS],
    ids=str,
)
def test_a_row_that_cannot_be_read_is_logged_once_whatever_the_list(
    row: endpoints.Endpoint[Any], caplog: pytest.LogCaptureFixture
) -> None:
    path = {"smart_trade_id": 1} if row is endpoints.LIST_TRADES else {"account_id": 1}
    page = wire.read(row, REQUEST, Response(200, {}, b"[5]"), path=path if "{" in row.path else None)
    [bad] = page.malformed
    assert [(entry.name, entry.getMessage()) for entry in caplog.records] == [
        ("threecommas_async.decoding", f"row 0 of {row} cannot be read: {bad.fault}")
    ]


def test_the_log_names_the_id_of_a_row_that_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    wire.read(endpoints.LIST_SMART_TRADES, REQUEST, Response(200, {}, b'[{"id":7,"status":5}]'))
    assert [entry.getMessage() for entry in caplog.records] == [
        "row 0 (id 7) of GET /v2/smart_trades cannot be read: Expected `object`, got `str` - at `$.status`"
    ]


def test_every_2xx_is_success() -> None:
    for status in (200, 201, 202):
        trade = wire.read(endpoints.GET_SMART_TRADE, REQUEST, Response(status, {}, b'{"id":1,"status":{}}'))
        assert trade.id == 1


def test_an_answer_about_another_trade_is_none() -> None:
    other = Response(200, {}, b'{"id":2,"status":{}}')
    for row, path in (
        (endpoints.GET_SMART_TRADE, {"id": 1}),
        (endpoints.CLOSE_BY_MARKET, {"id": 1}),
        (endpoints.CLOSE_TRADE, {"smart_trade_id": 1, "trade_id": 2}),
    ):
        with pytest.raises(errors.DecodeError, match="about another trade, 2"):
            wire.read(row, REQUEST, other, path=path)
    assert wire.read(endpoints.CLOSE_TRADE, REQUEST, other, path={"smart_trade_id": 2, "trade_id": 1}).id == 2
    assert wire.read(endpoints.CREATE_SMART_TRADE, REQUEST, other).id == 2


def test_a_secret_that_is_cut_or_spelled_otherwise_is_masked_all_the_same() -> None:
    signature = "ab/cd+ef/" * 30 + "=="
    request = Request("GET", "/x", b"", {"Apikey": "the-api-key-of-a-user", "Signature": signature})
    for spelling in (
        signature,
        signature.replace("/", "\\/"),
        quote(signature, safe=""),
        quote(signature),
        quote(signature, safe="").lower(),
        signature.replace("+", "&#43;"),
        signature.replace("+", "&#x2B;").replace("/", "&#047;").replace("=", "&equals;"),
        signature.replace("+", "&plus;").replace("/", "&sol;"),
        signature.replace("+", "\\u002B").replace("=", "\\u003d"),
    ):
        text = f"{'x' * 290} the-api-key-of-a-user {spelling}"
        failure = refusal(
            endpoints.GET_SMART_TRADE, request, Response(500, {"X-Request-Id": text}, text.encode()), now=NOW
        )
        for shown in (str(failure), failure.error, failure.request_id or "", request.mask(spelling)):
            assert "the-api" not in shown
            assert "cd" not in shown
