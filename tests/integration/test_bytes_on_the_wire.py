"""What leaves the client, byte by byte, checked by a signer that shares no code with it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.raw_server import RawServer, Received, answer
from threecommas_async import (
    Account,
    MarketData,
    Pair,
    SmartTrade,
    SmartTradeOrder,
    Status,
    ThreeCommas,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

KEY, SECRET = "key-of-the-test", "secret-of-the-test"


def signed_with_secret(payload: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


QUERIES = [
    ("plain", "USDT_BTC"),
    ("percent", "100%"),
    ("plus", "a+b"),
    ("space", "a b"),
    ("brackets", "a[b][]=c"),
    ("accent", "é"),
    ("already encoded", "%C3%A9%2B"),
    ("reserved", "&=?#/:;,@!$'()*~"),
    ("beyond the plane", "𝄞"),
]


@pytest.mark.parametrize("text", [text for _, text in QUERIES], ids=[name for name, _ in QUERIES])
async def test_the_query_arrives_as_it_was_signed(text: str) -> None:
    async with (
        RawServer(answer(b"[]")) as server,
        ThreeCommas(KEY, SECRET, mode="paper", base_url=server.base_url) as client,
    ):
        await client.smart_trades.list(quote=text, base=text)
    [received] = server.received
    assert received.headers["signature"] == signed_with_secret(received.target)
    path, _, query = received.target.partition("?")
    assert path == "/public/api/v2/smart_trades"
    assert query.isascii()
    assert not set(query) & set(" +[]#")


@pytest.mark.parametrize("kind", ["hmac", "rsa"])
@pytest.mark.parametrize("form", [None, "path?body", "path+body"])
@pytest.mark.parametrize("note", ["plain", 'größer 30 % + ünï [x] 𝄞 "quoted" \\ </script>'])
async def test_the_json_body_arrives_as_it_was_signed(kind: str, form: Any, note: str) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    credentials: dict[str, Any] = {"api_secret": SECRET} if kind == "hmac" else {"rsa_private_key": pem}
    order = SmartTradeOrder.smart_trade(account_id=5, pair="USDT_DOGE", units=Decimal("1E-8"), note=note)
    async with (
        RawServer(answer(status="201 Created")) as server,
        ThreeCommas(KEY, **credentials, base_url=server.base_url, json_payload=form) as client,
    ):
        await client.smart_trades.create(order)
    [received] = server.received
    separator = {"hmac": "?", "rsa": "", "path?body": "?", "path+body": ""}[form or kind]
    payload = received.target + separator + received.body.decode()
    if kind == "hmac":
        assert received.headers["signature"] == signed_with_secret(payload)
    else:
        key.public_key().verify(
            base64.b64decode(received.headers["signature"]),
            payload.encode(),
            padding.PKCS1v15(),
            hashes.SHA256(),
        )
    assert json.loads(received.body)["note"] == note
    assert json.loads(received.body)["position"]["units"]["value"] == "0.00000001"
    assert received.headers["content-type"] == "application/json"


CALLS: list[tuple[str, Callable[[ThreeCommas], Any]]] = [
    ("GET /public/api/v2/smart_trades/9", lambda client: client.smart_trades.get(9)),
    ("DELETE /public/api/v2/smart_trades/9", lambda client: client.smart_trades.cancel(9)),
    (
        "POST /public/api/v2/smart_trades/9/close_by_market",
        lambda client: client.smart_trades.close_by_market(9),
    ),
    ("POST /public/api/v2/smart_trades/9/force_start", lambda client: client.smart_trades.force_start(9)),
    (
        "POST /public/api/v2/smart_trades/9/trades/8/close_by_market",
        lambda client: client.smart_trades.close_trade_by_market(9, 8),
    ),
]


@pytest.mark.parametrize("mode", ["real", "paper"])
@pytest.mark.parametrize(("line", "call"), CALLS, ids=[line for line, _ in CALLS])
async def test_a_call_without_body_signs_its_path_and_names_its_mode(
    line: str, call: Callable[[ThreeCommas], Any], mode: str
) -> None:
    async with (
        RawServer() as server,
        ThreeCommas(KEY, SECRET, mode=cast("Any", mode), base_url=server.base_url) as client,
    ):
        client._session.book.learn(SmartTrade(id=9, status=Status(), account=Account(type="paper_trading")))
        await call(client)
    [received] = server.received
    assert received.request_line == f"{line} HTTP/1.1"
    assert received.body == b""
    assert received.headers["signature"] == signed_with_secret(received.target)
    assert received.headers["apikey"] == KEY
    assert received.headers["forced-mode"] == mode
    assert "content-type" not in received.headers


async def test_a_base_url_with_another_path_is_part_of_what_is_signed() -> None:
    async with (
        RawServer() as server,
        ThreeCommas(KEY, SECRET, base_url=f"http://localhost:{server.port}/pröxy/a%2Fb/") as client,
    ):
        await client.smart_trades.get(9)
    [received] = server.received
    assert received.target == "/pr%C3%B6xy/a%2Fb/v2/smart_trades/9"
    assert received.headers["signature"] == signed_with_secret(received.target)


@pytest.mark.parametrize(
    ("call", "body", "target"),
    [
        (lambda data: data.markets(), b"[]", "market_list"),
        (lambda data: data.pairs("okex"), b"[]", "market_pairs?market_code=okex"),
        (
            lambda data: data.currency_rates("binance", Pair.of(base="BTC", quote="USDT")),
            b"{}",
            "currency_rates?limit_type=smart_trade&market_code=binance&pair=USDT_BTC",
        ),
        (
            lambda data: data.currency_rates("binance", "USDT_BTC", limit_type=None),
            b"{}",
            "currency_rates?market_code=binance&pair=USDT_BTC",
        ),
        (
            lambda data: data.currency_rates_with_leverage_data("okex", "1INCH_1INCH-USD-SWAP"),
            b"{}",
            "currency_rates_with_leverage_data?market_code=okex&pair=1INCH_1INCH-USD-SWAP",
        ),
    ],
)
async def test_neither_key_nor_signature_leaves_with_a_public_call(
    call: Callable[[MarketData], Awaitable[object]], body: bytes, target: str
) -> None:
    async with (
        RawServer(answer(body)) as server,
        ThreeCommas(KEY, SECRET, mode="paper", base_url=server.base_url) as client,
    ):
        await call(client.market_data)
    [received] = server.received
    assert received.target == f"/public/api/ver1/accounts/{target}"
    assert set(received.headers) & {"apikey", "signature"} == set()
    assert KEY.encode() not in received.head
    assert signed_with_secret(received.target).encode() not in received.head
    assert received.headers["forced-mode"] == "paper"
    assert received.body == b""


def test_the_signer_of_these_tests_gives_the_documented_signature() -> None:
    secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
    assert (
        signed_with_secret("/public/api/ver1/users/change_mode?mode=paper", secret)
        == "bca8d8c10acfbe8e76c5335d3efbe0a550487170a8bb7aaea0a13efabab55316"
    )


def test_the_head_of_a_request_is_parsed() -> None:
    assert Received(b"GET /a?b HTTP/1.1\r\nX-Y: z", b"", 0).headers == {"x-y": "z"}
