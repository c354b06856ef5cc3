from __future__ import annotations

import asyncio
import json
import logging
import pickle
import subprocess
import sys
import traceback
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from aioresponses import aioresponses
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.raw_server import RawServer, answer
from threecommas_async import (
    ClientStateError,
    HmacCredentials,
    NotFoundError,
    RateLimit,
    RsaCredentials,
    SmartTradeOrder,
    SmartTradeUpdate,
    ThreeCommas,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY, SECRET = "0123456789abcdef-api-key", "fedcba9876543210-secret"
GOOD_OPTIONS: dict[str, Any] = {"api_key": KEY, "api_secret": SECRET, "mode": "paper"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"api_secret": None}, "api_secret is missing"),
        ({"rsa_private_key": "pem"}, "not both"),
        ({"api_secret": None, "rsa_private_key": "nonsense"}, "not a readable PEM"),
        ({"api_key": ""}, "api_key is missing"),
        ({"api_key": "key\nwith a line break"}, "line break"),
        ({"mode": "demo"}, "mode must be"),
        ({"mode": "real\r\nX-Evil: 1"}, "mode must be"),
        ({"base_url": "http://api.3commas.io/public/api"}, "must be https"),
        ({"base_url": "http://127.0.0.1.example.com/"}, "must be https"),
        ({"base_url": "http://localhost.example.com/"}, "must be https"),
        ({"base_url": "ftp://127.0.0.1/"}, "must be an https"),
        ({"base_url": "api.3commas.io"}, "must be an https"),
        ({"base_url": ""}, "must be an https"),
        ({"base_url": "https://user:password@api.3commas.io"}, "must not hold"),
        ({"base_url": "https://user:hunter2@api.3commas.io"}, "must not hold"),
        ({"base_url": "ftp://user:hunter2@api.3commas.io"}, "must be an https"),
        ({"base_url": "https://user:hunter2@[api.3commas.io"}, "must be an https"),
        ({"base_url": "https://api.3commas.io/?token=hunter2"}, "must not hold"),
        ({"base_url": "https://api.3commas.io/?a=b"}, "must not hold"),
        ({"base_url": "https://api.3commas.io/#a"}, "must not hold"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": 10**400}, "timeout"),
        ({"max_wait": -1}, "max_wait"),
        ({"proxy": "not a proxy"}, "proxy"),
        ({"proxy": "ftp://user:hunter2@127.0.0.1"}, "proxy"),
        ({"proxy": "http://user:hunter2@127.0.0.1:1", "mode": "demo"}, "mode must be"),
        ({"limits": 5}, "limits must be a RateLimit"),
        ({"limits": 0}, "limits must be a RateLimit"),
        ({"json_payload": "sideways"}, "json_payload"),
    ],
)
def test_bad_options_are_a_value_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ThreeCommas(**GOOD_OPTIONS | options)
    own_frames = list(traceback.walk_tb(caught.tb))[1:]
    shown = "".join(repr(frame.f_locals) for frame, _ in own_frames)
    assert SECRET not in shown
    assert "hunter2" not in shown
    assert "password" not in str(caught.value).replace("a password", "")


@pytest.mark.parametrize(
    "base_url",
    ["http://127.0.0.1:8080/public/api/", "http://[::1]:8080", "http://localhost", "https://proxy.example"],
)
def test_https_and_loopback_urls_are_taken(base_url: str) -> None:
    assert base_url.rstrip("/") in repr(ThreeCommas(KEY, SECRET, base_url=base_url))


def test_the_client_shows_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    client = ThreeCommas(KEY, SECRET, mode="paper")
    logging.getLogger("threecommas_async").warning("%s %r", client, client)
    for text in (repr(client), str(client), caplog.text):
        assert "paper" in text
        assert KEY not in text
        assert SECRET not in text
    with pytest.raises(TypeError, match="holds a secret"):
        pickle.dumps(client)


def test_from_env_reads_the_documented_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREECOMMAS_API_KEY", KEY)
    monkeypatch.setenv("THREECOMMAS_API_SECRET", SECRET)
    monkeypatch.setenv("THREECOMMAS_MODE", "paper")
    monkeypatch.setenv("THREECOMMAS_BASE_URL", "http://127.0.0.1:1/public/api")
    assert repr(ThreeCommas.from_env()) == "<ThreeCommas paper http://127.0.0.1:1/public/api>"
    assert repr(ThreeCommas.from_env(mode="real")) == "<ThreeCommas real http://127.0.0.1:1/public/api>"


async def test_from_env_reads_the_key_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    monkeypatch.setenv("THREECOMMAS_API_KEY", KEY)
    monkeypatch.setenv("THREECOMMAS_RSA_KEY_FILE", str(file))
    with pytest.raises(ValueError, match="cannot be read"):
        ThreeCommas.from_env()
    file.write_bytes(
        rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    by_file = RsaCredentials(KEY, file.read_bytes()).sign("/public/api/v2/smart_trades/7", b"")
    by_secret = HmacCredentials(KEY, SECRET).sign("/public/api/v2/smart_trades/7", b"")
    async with RawServer(answer(b'{"id":7,"status":{}}')) as server:
        monkeypatch.setenv("THREECOMMAS_BASE_URL", f"http://127.0.0.1:{server.port}/public/api")
        for options in ({}, {"api_secret": SECRET}):
            async with ThreeCommas.from_env(**options) as client:
                await client.smart_trades.get(7)
    sent = [(request.headers["apikey"], request.headers["signature"]) for request in server.received]
    assert sent == [(KEY, by_file), (KEY, by_secret)]


def test_from_env_names_the_missing_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="THREECOMMAS_API_KEY is not set"):
        ThreeCommas.from_env()
    monkeypatch.setenv("THREECOMMAS_API_KEY", KEY)
    with pytest.raises(ValueError, match="neither THREECOMMAS_API_SECRET nor THREECOMMAS_RSA_KEY_FILE"):
        ThreeCommas.from_env()
    monkeypatch.setenv("THREECOMMAS_API_SECRET", SECRET)
    monkeypatch.setenv("THREECOMMAS_RSA_KEY_FILE", "/key.pem")
    with pytest.raises(ValueError, match="are both set"):
        ThreeCommas.from_env()


@pytest.mark.parametrize("name", ["API_KEY", "API_SECRET", "RSA_KEY_FILE", "MODE", "BASE_URL"])
def test_from_env_refuses_an_empty_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """An empty THREECOMMAS_MODE must not mean real money."""
    monkeypatch.setenv("THREECOMMAS_API_KEY", KEY)
    monkeypatch.setenv("THREECOMMAS_API_SECRET", SECRET)
    monkeypatch.setenv(f"THREECOMMAS_{name}", "")
    with pytest.raises(ValueError, match=f"THREECOMMAS_{name} is set and empty"):
        ThreeCommas.from_env()


def test_traceback_of_from_env_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREECOMMAS_API_KEY", KEY)
    monkeypatch.setenv("THREECOMMAS_API_SECRET", SECRET)
    monkeypatch.setenv("THREECOMMAS_MODE", "demo")
    with pytest.raises(ValueError, match="mode must be") as caught:
        ThreeCommas.from_env()
    shown = "".join(repr(frame.f_locals) for frame, _ in traceback.walk_tb(caught.tb))
    assert KEY not in shown
    assert SECRET not in shown


async def test_a_closed_client_sends_nothing() -> None:
    with aioresponses() as api:
        client = ThreeCommas(KEY, SECRET)
        await client.aclose()
        await client.aclose()
        with pytest.raises(ClientStateError, match="closed"):
            await client.smart_trades.get(1)
        with pytest.raises(ClientStateError, match="closed"):
            async with client:
                pass
        assert not api.requests


def test_a_client_of_another_event_loop_sends_nothing() -> None:
    client = ThreeCommas(KEY, SECRET)
    with aioresponses() as api:

        async def use() -> None:
            api.get("https://api.3commas.io/public/api/v2/smart_trades/1", payload={"id": 1, "status": {}})
            await client.smart_trades.get(1)

        async def use_and_close() -> None:
            await use()
            await client._session._transport.close()

        asyncio.run(use_and_close())
        with pytest.raises(ClientStateError, match="event loop"):
            asyncio.run(use())
        assert sum(map(len, api.requests.values())) == 1


async def test_reads_of_orders_and_funds_make_their_documented_calls(sample: Callable[[str], bytes]) -> None:
    base = "https://api.3commas.io/public/api/v2/smart_trades/1"
    with aioresponses() as api:
        api.get(f"{base}/reduce_funds_info", body=sample("smart_trades.reduce_funds_info/200"))
        api.get(f"{base}/trades", body=sample("smart_trades.trades.list/200"))
        async with ThreeCommas(KEY, SECRET) as client:
            info = await client.smart_trades.reduce_funds_info(1)
            trades = await client.smart_trades.list_trades(1)
    assert str(info.max_reduce_funds_amount) == "28.819532219570405727923627685"
    assert len(trades) > 0
    assert trades[0].trade_purpose in {"position", "stop_loss"}


@pytest.mark.parametrize(
    ("option", "value"),
    [("status", "actve"), ("type", "smart"), ("order_by", "age"), ("order_direction", "UP")],
)
async def test_a_filter_that_the_api_does_not_know_is_refused(option: str, value: str) -> None:
    with aioresponses() as api:
        async with ThreeCommas(KEY, SECRET) as client:
            with pytest.raises(ValueError, match=f"{option} must be one of"):
                await client.smart_trades.list(**{option: value})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - the bad input
        assert not api.requests


@pytest.mark.parametrize(
    ("option", "value"),
    [("from_", "2024-01-01"), ("to", datetime(2024, 1, 1)), ("account_id", "7")],
)
async def test_a_filter_of_a_wrong_kind_is_refused_by_its_own_name(option: str, value: Any) -> None:
    with aioresponses() as api:
        async with ThreeCommas(KEY, SECRET) as client:
            with pytest.raises(ValueError, match=f"^{option} must be"):
                await client.smart_trades.list(**{option: value})
        assert not api.requests


@pytest.mark.parametrize("bad", [0, -1, True, "1", 1.5, None])
async def test_a_bad_id_is_refused_by_every_call_before_anything_is_sent(bad: Any) -> None:
    with aioresponses() as api:
        async with ThreeCommas(KEY, SECRET) as client:
            trades = client.smart_trades
            for call in (trades.get, trades.cancel, trades.close_by_market, trades.force_start):
                with pytest.raises(ValueError, match="positive whole number"):
                    await call(bad)
            for ids in ((bad, 1), (1, bad)):
                with pytest.raises(ValueError, match="positive whole number"):
                    await trades.close_trade_by_market(*ids)
        assert not api.requests


@pytest.mark.parametrize(("page", "per_page"), [(0, 10), (1, 0), (1, 101)])
async def test_a_page_out_of_range_is_refused(page: int, per_page: int) -> None:
    with aioresponses() as api:
        async with ThreeCommas(KEY, SECRET) as client:
            with pytest.raises(ValueError, match="page"):
                await client.smart_trades.list(page=page, per_page=per_page)
        assert not api.requests


@pytest.mark.parametrize(
    ("call", "method", "path", "answer"),
    [
        (lambda trades: trades.get(1), "GET", "/v2/smart_trades/1", "smart_trades.get/200"),
        (lambda trades: trades.cancel(1), "DELETE", "/v2/smart_trades/1", "smart_trades.cancel/200"),
        (
            lambda trades: trades.close_by_market(1),
            "POST",
            "/v2/smart_trades/1/close_by_market",
            "smart_trades.close_by_market/201",
        ),
        (
            lambda trades: trades.force_start(1),
            "POST",
            "/v2/smart_trades/1/force_start",
            "smart_trades.force_start/201",
        ),
        (
            lambda trades: trades.update(1, SmartTradeUpdate(leverage=None)),
            "PATCH",
            "/v2/smart_trades/1",
            "smart_trades.update/200",
        ),
        (
            lambda trades: trades.add_funds(1, units=1),
            "POST",
            "/v2/smart_trades/1/add_funds",
            "smart_trades.add_funds/201",
        ),
        (
            lambda trades: trades.reduce_funds(1, units=1, order_type="limit", price=2),
            "POST",
            "/v2/smart_trades/1/reduce_funds",
            "smart_trades.reduce_funds/201",
        ),
        (
            lambda trades: trades.set_note(1, "a note"),
            "POST",
            "/v2/smart_trades/1/set_note",
            "smart_trades.set_note/201",
        ),
        (
            lambda trades: trades.force_process(1),
            "POST",
            "/v2/smart_trades/1/force_process",
            "smart_trades.force_start/201",
        ),
        (
            lambda trades: trades.cancel_trade(1, 2),
            "DELETE",
            "/v2/smart_trades/1/trades/2",
            "smart_trades.trades.cancel/200",
        ),
        (
            lambda trades: trades.close_trade_by_market(1, 2),
            "POST",
            "/v2/smart_trades/1/trades/2/close_by_market",
            "smart_trades.trades.close_by_market/201",
        ),
    ],
)
async def test_a_method_makes_its_documented_call(
    call: Callable[[Any], Any], method: str, path: str, answer: str, sample: Callable[[str], bytes]
) -> None:
    url = f"https://api.3commas.io/public/api{path}"
    with aioresponses() as api:
        body = json.dumps(json.loads(sample(answer)) | {"id": 1})
        api.add(url, method, body=body, status=int(answer[-3:]), content_type="application/json")
        async with ThreeCommas(KEY, SECRET) as client:
            trade = await call(client.smart_trades)
        assert sum(map(len, api.requests.values())) == 1
    assert trade.pair is not None


async def test_raw_answers_are_kept_beside_their_typed_form(sample: Callable[[str], bytes]) -> None:
    url = "https://api.3commas.io/public/api/v2/smart_trades/1"
    body = json.dumps(json.loads(sample("smart_trades.get/200")) | {"id": 1}).encode()
    with aioresponses() as api:
        api.get(url, body=body, headers={"X-Request-Id": "r-9"}, repeat=True)
        api.delete(url, status=400, body=sample("smart_trades.cancel/400"))
        async with ThreeCommas(KEY, SECRET) as client, ThreeCommas(KEY, SECRET) as other:
            await client.smart_trades.get(1)
            with client.with_raw() as answers:
                trade = await client.smart_trades.get(1)
                await other.smart_trades.get(1)
                with client.with_raw() as inner, pytest.raises(NotFoundError):
                    await asyncio.create_task(client.smart_trades.cancel(1))
            await client.smart_trades.get(1)
    assert trade.pair is not None
    assert [(answer.status, answer.body) for answer in answers] == [
        (200, body),
        (400, sample("smart_trades.cancel/400")),
    ]
    assert answers[0].headers["x-request-id"] == "r-9"
    assert [answer.status for answer in inner] == [400]


async def test_raw_answers_stop_with_their_block() -> None:
    with aioresponses() as api:
        api.get(
            "https://api.3commas.io/public/api/v2/smart_trades/1",
            payload={"id": 1, "status": {}},
            repeat=True,
        )
        async with ThreeCommas(KEY, SECRET) as client:
            outside = asyncio.Event()

            async def outlive() -> None:
                await client.smart_trades.get(1)
                await outside.wait()
                await client.smart_trades.get(1)

            with client.with_raw() as answers:
                task = asyncio.create_task(outlive())
                await asyncio.sleep(0.01)
            outside.set()
            await task
    assert len(answers) == 1


async def test_a_bad_request_is_refused_before_anything_is_sent() -> None:
    bad = SmartTradeOrder.smart_trade(account_id=1, pair="USDT_BTC", units="-5")
    with aioresponses() as api:
        async with ThreeCommas(KEY, SECRET) as client:
            trades = client.smart_trades
            for call in (
                trades.create(bad),
                trades.update(1, SmartTradeUpdate()),
                trades.add_funds(1, units=0),
                trades.add_funds(1, units=1, order_type="limit"),
                trades.reduce_funds(1, units="-1"),
                trades.set_note(1, ""),
                trades.set_note(1, "x" * 301),
            ):
                with pytest.raises(ValueError, match="would be refused"):
                    await call
        assert not api.requests


async def test_validation_can_be_switched_off() -> None:
    bad = SmartTradeOrder.smart_trade(account_id=1, pair="USDT_BTC", units="-5")
    base = "https://api.3commas.io/public/api/v2/smart_trades"
    with aioresponses() as api:
        for method, path in (
            ("POST", ""),
            ("PATCH", "/1"),
            ("POST", "/1/add_funds"),
            ("POST", "/1/reduce_funds"),
            ("POST", "/1/set_note"),
        ):
            api.add(base + path, method, payload={"id": 1, "status": {}})
        async with ThreeCommas(KEY, SECRET) as client:
            trades = client.smart_trades
            await trades.create(bad, validate=False)
            await trades.update(1, SmartTradeUpdate(), validate=False)
            await trades.add_funds(1, units=0, validate=False)
            await trades.reduce_funds(1, units="-1", validate=False)
            await trades.set_note(1, "", validate=False)
        bodies = [json.loads(calls[0].kwargs["data"]) for calls in api.requests.values()]
    assert bodies[0]["position"]["units"] == {"value": "-5"}
    assert bodies[1:] == [
        {},
        {"order_type": "market", "units": {"value": "0"}},
        {"order_type": "market", "units": {"value": "-1"}},
        {"note": ""},
    ]


def test_limits_replace_the_published_ones() -> None:
    client = ThreeCommas(KEY, SECRET, limits=RateLimit(requests=5, period=60, lockout=300))
    assert client._session._limiter.limit.requests == 5


def test_importing_the_package_imports_no_extra_and_no_sandbox() -> None:
    unwanted = {"cryptography", "redis", "rich", "threecommas_async.sandbox", "aiohttp.web"}
    code = f"import sys, threecommas_async; print(sorted(sys.modules.keys() & {unwanted}))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
