from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import time
import warnings
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from yarl import URL

from tests.fault_stage import until
from tests.stopwatch import Stopwatch
from threecommas_async.endpoints import LIST_SMART_TRADES, Permission
from threecommas_async.limits import GENERAL, RateLimit
from threecommas_async.sandbox import EVERY_STATUS, Delays, Fault, Sandbox
from threecommas_async.sandbox.keys import Grant, KeyRing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
TRADES = "/v2/smart_trades"
BUY = {
    "account_id": 32199203,
    "pair": "USDT_BTC",
    "instant": True,
    "position": {"type": "buy", "order_type": "market", "units": {"value": "0.01"}},
}


class Caller:
    """Signs and sends by hand, with nothing of the package."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession, kind: Any = "hmac") -> None:
        credentials = sandbox.credentials(kind)
        self.sandbox, self.session = sandbox, session
        self.api_key = credentials["api_key"]
        self.secret: str | None = credentials.get("api_secret")
        self.private_key: Any = None
        if kind == "rsa":
            self.private_key = load_pem_private_key(credentials["rsa_private_key"].encode(), None)
            assert isinstance(self.private_key, rsa.RSAPrivateKey)

    def sign(self, payload: bytes) -> str:
        if self.secret is not None:
            return hmac.new(self.secret.encode(), payload, hashlib.sha256).hexdigest()
        return base64.b64encode(self.private_key.sign(payload, padding.PKCS1v15(), hashes.SHA256())).decode()

    async def send(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        payload: str | None = None,
        content_type: str = JSON,
        **headers: Any,
    ) -> tuple[int, Any, Any]:
        path = "/public/api" + target
        if payload is None:
            joint = "?" if body and "?" not in target and self.secret is not None else ""
            payload = f"{path}{joint}{body.decode()}"
        signed = {"Apikey": self.api_key, "Signature": self.sign(payload.encode())}
        url = URL(self.sandbox.base_url.removesuffix("/public/api") + path, encoded=True)
        options: Any = {"data": body, "headers": {"Content-Type": content_type}} if body else {"headers": {}}
        options["headers"] |= signed | {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, url, **options) as response:
            text = await response.text()
            is_json = response.content_type == JSON
            return response.status, json.loads(text) if is_json else text, response.headers


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(trades=3) as sandbox:
        yield sandbox


@pytest.fixture
def caller(sandbox: Sandbox, session: aiohttp.ClientSession) -> Caller:
    return Caller(sandbox, session)


def first_id(sandbox: Sandbox) -> int:
    return next(iter(sandbox.exchange.trades))


SIGNATURE_INVALID = {"error": "signature_invalid", "error_description": "Provided signature is invalid"}


@pytest.mark.parametrize("kind", ["hmac", "rsa"])
async def test_both_kinds_of_key_are_verified_with_query_body_and_neither(
    sandbox: Sandbox, session: aiohttp.ClientSession, kind: str
) -> None:
    caller = Caller(sandbox, session, kind)
    assert (await caller.send("GET", TRADES))[0] == 200
    assert (await caller.send("GET", f"{TRADES}?page=1&per_page=10"))[0] == 200
    assert (await caller.send("POST", TRADES, json.dumps(BUY).encode()))[0] == 201
    assert (await caller.send("POST", f"{TRADES}/{first_id(sandbox)}/close_by_market"))[0] == 201


@pytest.mark.parametrize(
    "query",
    ["from=2025-08-04T17%3A07%3A14Z", "from=2025-08-04T17:07:14Z", "b=%5B%5D~%c3%a9", "pair=%55SDT_X"],
)
async def test_the_query_is_verified_as_it_was_sent(caller: Caller, query: str) -> None:
    assert (await caller.send("GET", f"{TRADES}?{query}"))[0] == 200


async def test_a_query_that_was_signed_in_another_spelling_is_refused(caller: Caller) -> None:
    payload = f"/public/api{TRADES}?from=2025-08-04T17:07:14Z"
    status, body, _ = await caller.send("GET", f"{TRADES}?from=2025-08-04T17%3A07%3A14Z", payload=payload)
    assert (status, body) == (401, SIGNATURE_INVALID)


async def test_the_body_is_verified_byte_for_byte(caller: Caller) -> None:
    spaced = json.dumps(BUY).encode()
    compact = json.dumps(BUY, separators=(",", ":"))
    payload = f"/public/api{TRADES}?{compact}"
    assert (await caller.send("POST", TRADES, spaced, payload=payload))[0] == 401
    assert (await caller.send("POST", TRADES, spaced))[0] == 201


@pytest.mark.parametrize(("kind", "own", "other"), [("hmac", "?", ""), ("rsa", "", "?")])
async def test_a_json_body_is_signed_in_the_form_of_its_kind_of_key(
    sandbox: Sandbox, session: aiohttp.ClientSession, kind: str, own: str, other: str
) -> None:
    caller = Caller(sandbox, session, kind)
    body = json.dumps(BUY)
    path = f"/public/api{TRADES}"
    assert (await caller.send("POST", TRADES, body.encode(), payload=path + own + body))[0] == 201
    assert (await caller.send("POST", TRADES, body.encode(), payload=path + other + body))[0] == 401


async def test_both_json_forms_are_accepted_on_demand(session: aiohttp.ClientSession) -> None:
    body = json.dumps(BUY)
    async with Sandbox(accept_both_json_forms=True) as sandbox:
        for kind in ("hmac", "rsa"):
            caller = Caller(sandbox, session, kind)
            for joint in ("?", ""):
                payload = f"/public/api{TRADES}{joint}{body}"
                assert (await caller.send("POST", TRADES, body.encode(), payload=payload))[0] == 201


@pytest.mark.parametrize("kind", ["hmac", "rsa"])
async def test_a_form_body_is_always_signed_with_the_question_mark(
    sandbox: Sandbox, session: aiohttp.ClientSession, kind: str
) -> None:
    caller = Caller(sandbox, session, kind)
    body = (
        "account_id=32199203&pair=USDT_BTC&instant=true&position[type]=buy"
        "&position[order_type]=market&position[units][value]=0.01"
    )
    path = f"/public/api{TRADES}"
    sent = await caller.send("POST", TRADES, body.encode(), payload=f"{path}?{body}", content_type=FORM)
    assert sent[0] == 201
    refused = await caller.send("POST", TRADES, body.encode(), payload=path + body, content_type=FORM)
    assert refused[0] == 401


async def test_query_and_body_are_signed_one_after_the_other_and_the_query_wins(caller: Caller) -> None:
    body = json.dumps(BUY).encode()
    status, trade, _ = await caller.send("POST", f"{TRADES}?pair=USDT_ETH&position[units][value]=0.5", body)
    assert (status, trade["pair"], trade["position"]["units"]["value"]) == (201, "USDT_ETH", "0.5")


async def test_an_hmac_signature_is_accepted_in_upper_case(caller: Caller) -> None:
    signature = caller.sign(f"/public/api{TRADES}".encode()).upper()
    assert (await caller.send("GET", TRADES, Signature=signature))[0] == 200


@pytest.mark.parametrize(
    "headers",
    [{"Signature": "0" * 64}, {"Signature": ""}, {"Signature": "é"}, {"Apikey": "unknown"}, {"Apikey": ""}],
)
@pytest.mark.parametrize("kind", ["hmac", "rsa"])
async def test_a_bad_key_or_signature_is_refused_as_documented(
    sandbox: Sandbox, session: aiohttp.ClientSession, kind: str, headers: dict[str, str]
) -> None:
    status, body, _ = await Caller(sandbox, session, kind).send("GET", TRADES, b"", **headers)
    assert (status, body) == (401, SIGNATURE_INVALID)


def test_a_request_line_that_is_no_utf8_is_not_authentic() -> None:
    keys = KeyRing()
    api_key, _ = keys.new_hmac(Grant())
    # How aiohttp hands over the byte 0xff; its C parser refuses it before that.
    assert keys.verifies(api_key, "0" * 64, "/public/api/v2/smart_trades?pair=\udcff", b"", JSON) is False


async def test_keys_of_two_sandboxes_differ(sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    async with Sandbox() as other:
        stranger = Caller(other, session)
        assert stranger.api_key != sandbox.credentials()["api_key"]
        stranger.sandbox = sandbox
        assert (await stranger.send("GET", TRADES))[0] == 401


async def test_credentials_stay_the_same(sandbox: Sandbox) -> None:
    assert sandbox.credentials() == sandbox.credentials()
    assert sandbox.credentials("rsa") == sandbox.credentials("rsa")
    assert set(sandbox.credentials()) == {"api_key", "api_secret", "mode", "base_url", "limits"}
    assert set(sandbox.credentials("rsa")) == {"api_key", "rsa_private_key", "mode", "base_url", "limits"}


async def test_a_key_without_the_permission_is_refused(session: aiohttp.ClientSession) -> None:
    async with Sandbox(trades=1, permissions={Permission.SMART_TRADES_READ}) as sandbox:
        caller = Caller(sandbox, session)
        assert (await caller.send("GET", TRADES))[0] == 200
        status, body, _ = await caller.send("POST", f"{TRADES}/{first_id(sandbox)}/close_by_market")
        assert (status, body["error"]) == (403, "access_denied")
        assert sandbox.ledger == ()


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/v2/smart_trades/5", 400),
        ("GET", "/v2/smart_trades/five", 400),
        ("GET", "/v2/smart_trades/" + "5" * 5000, 400),
        ("DELETE", "/v2/smart_trades/5", 400),
        ("POST", "/v2/smart_trades/5/close_by_market", 404),
        ("POST", "/v2/smart_trades/5/force_start", 404),
        ("POST", "/v2/smart_trades/5/trades/6/close_by_market", 404),
    ],
)
async def test_an_unknown_id_is_answered_as_documented(
    caller: Caller, method: str, target: str, status: int
) -> None:
    assert (await caller.send(method, target))[:2] == (
        status,
        {"error": "Not found", "error_description": "Smart Trade not found"},
    )


@pytest.mark.parametrize(
    ("method", "target"),
    [("GET", "/v2/nothing"), ("PUT", TRADES), ("GET", f"{TRADES}/5/close_by_market"), ("GET", f"{TRADES}/")],
)
async def test_an_unknown_route_is_404(caller: Caller, method: str, target: str) -> None:
    status, body, _ = await caller.send(method, target)
    assert (status, body["error"]) == (404, "not_found")


async def test_each_call_of_the_table_answers_with_its_documented_status(
    session: aiohttp.ClientSession,
) -> None:
    async with Sandbox(time_scale=1e6) as sandbox:
        caller = Caller(sandbox, session)
        order = BUY | {
            "instant": False,
            "position": {
                "type": "buy",
                "order_type": "limit",
                "units": {"value": "0.01"},
                "price": {"value": "56000"},
            },
            "take_profit": {
                "enabled": True,
                "steps": [
                    {"order_type": "limit", "volume": "100", "price": {"type": "last", "value": "60000"}}
                ],
            },
            "stop_loss": {"enabled": False},
        }
        status, trade, _ = await caller.send("POST", TRADES, json.dumps(order).encode())
        assert (status, trade["status"]["type"]) == (201, "created")
        path = f"{TRADES}/{trade['id']}"
        status, trade, _ = await caller.send("POST", f"{path}/force_start")
        assert (status, trade["position"]["status"]["type"]) == (201, "panic_sell_pending")
        status, trade, _ = await caller.send("GET", path)
        assert (status, trade["status"]["type"]) == (200, "waiting_targets")
        step = trade["take_profit"]["steps"][0]["id"]
        status, trade, _ = await caller.send("POST", f"{path}/trades/{step}/close_by_market")
        assert (status, trade["status"]["type"]) == (201, "waiting_targets")
        status, listed, _ = await caller.send("GET", TRADES)
        assert (status, [item["status"]["type"] for item in listed]) == (200, ["finished"])
        assert [entry.action for entry in sandbox.ledger] == [
            "create",
            "force_start",
            "close_trade_by_market",
        ]


async def test_a_close_goes_its_way_in_scaled_time(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = 0.0
    monkeypatch.setattr("threecommas_async.sandbox.server.time", SimpleNamespace(monotonic=lambda: passed))
    async with Sandbox(trades=1, time_scale=20.0, delays=Delays(close=2.0, sell=2.0)) as sandbox:
        caller = Caller(sandbox, session)
        path = f"{TRADES}/{first_id(sandbox)}"
        _, trade, _ = await caller.send("POST", f"{path}/close_by_market")
        seen = [trade["status"]["type"]]
        for instant in (0.099, 0.101, 0.199, 0.201):
            passed = instant
            _, trade, _ = await caller.send("GET", path)
            seen.append(trade["status"]["type"])
        assert seen == ["panic_sell_pending"] * 2 + ["panic_sell_in_progress"] * 2 + ["panic_sold"]
        closed_at = datetime.fromisoformat(trade["data"]["closed_at"])
        assert (closed_at - sandbox.exchange.epoch).total_seconds() == pytest.approx(0.2, abs=0.001)


async def test_the_exchange_is_seen_as_it_stands_now() -> None:
    async with Sandbox(trades=1, statuses=["panic_sell_pending"], time_scale=1e6) as sandbox:
        await asyncio.sleep(0.01)
        assert [trade.status for trade in sandbox.exchange.trades.values()] == ["panic_sold"]


async def test_a_cancel_is_a_delete(sandbox: Sandbox, caller: Caller) -> None:
    status, trade, _ = await caller.send("DELETE", f"{TRADES}/{first_id(sandbox)}")
    assert (status, trade["status"]["type"]) == (200, "cancellation_pending")


async def test_a_listed_page_of_every_status_decodes(session: aiohttp.ClientSession) -> None:
    async with Sandbox(trades=60, statuses=EVERY_STATUS, time_scale=1.0) as sandbox:
        _, body, _ = await Caller(sandbox, session).send("GET", f"{TRADES}?per_page=100")
        page = LIST_SMART_TRADES.decode(json.dumps(body).encode())
        assert {trade.status.code.value for trade in page} == set(EVERY_STATUS)
        assert len(page) == 60


@pytest.mark.parametrize("body", [b"pair=USDT_BTC", b"{", b"[1]", b"\xff", b"[" * 100_000])
async def test_a_body_that_is_no_json_object_is_refused(
    sandbox: Sandbox, session: aiohttp.ClientSession, body: bytes
) -> None:
    caller = Caller(sandbox, session)
    signature = caller.sign(f"/public/api{TRADES}?".encode() + body)
    status, _, _ = await caller.send("POST", TRADES, body, payload="", Signature=signature)
    assert status == 400


async def test_the_forced_mode_is_checked_and_remembered(sandbox: Sandbox, caller: Caller) -> None:
    seen: list[tuple[int, str | None]] = []
    for headers in ({}, {"Forced_Mode": "real"}, {"Forced_Mode": "demo"}, {"Forced_Mode": "paper"}, {}):
        status, _, _ = await caller.send("GET", TRADES, b"", **headers)
        seen.append((status, sandbox.forced_mode))
    assert seen == [(200, None), (200, "real"), (400, "real"), (200, "paper"), (200, None)]


async def test_every_answer_has_a_request_id_and_a_runtime(caller: Caller) -> None:
    answers = [await caller.send("GET", target) for target in (TRADES, f"{TRADES}/5", "/v2/nothing")]
    assert len({headers["X-Request-Id"] for _, _, headers in answers}) == 3
    assert all(0 <= float(headers["X-Runtime"]) < 5 for _, _, headers in answers)


async def test_the_limit_in_force_is_the_given_one_in_scaled_time() -> None:
    assert Sandbox(time_scale=20.0).limit == RateLimit(requests=100, period=3.0, lockout=15.0)
    assert Sandbox(time_scale=1.0).limit == GENERAL


async def test_over_the_limit_is_429_with_the_time_then_418(session: aiohttp.ClientSession) -> None:
    async with Sandbox(limit=RateLimit(requests=5, period=60.0, lockout=300.0), time_scale=20.0) as sandbox:
        caller = Caller(sandbox, session)
        answers = [await caller.send("GET", TRADES) for _ in range(5 + 21 + 4)]
        assert [status for status, _, _ in answers] == [200] * 5 + [429] * 21 + [418] * 4
        _, body, headers = answers[5]
        found = re.fullmatch(r"Rate limit exceeded\. Next request at (.{19}) UTC", body["error"])
        assert found is not None
        assert set(body) == {"error"}
        until = datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        assert 13.0 < (until - datetime.now(UTC)).total_seconds() < 16.0
        assert "Retry-After" not in headers
        banned = re.fullmatch(r"IP address banned\. Next request at (.{19}) UTC", answers[-1][1]["error"])
        assert banned is not None
        until = datetime.strptime(banned[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        assert 4.0 < (until - datetime.now(UTC)).total_seconds() < 7.0
        assert (sandbox.requests, sandbox.refused, sandbox.banned, sandbox.worst_window) == (30, 21, 4, 30)


async def test_a_request_refused_by_the_limit_is_not_processed(session: aiohttp.ClientSession) -> None:
    async with Sandbox(trades=1, limit=RateLimit(requests=1, period=60.0, lockout=300.0)) as sandbox:
        caller = Caller(sandbox, session)
        await caller.send("GET", TRADES)
        assert (await caller.send("POST", f"{TRADES}/{first_id(sandbox)}/close_by_market"))[0] == 429
        assert sandbox.ledger == ()


async def test_unsigned_requests_count_against_the_limit(
    sandbox: Sandbox, session: aiohttp.ClientSession
) -> None:
    async with session.get(sandbox.base_url + TRADES) as response:
        assert response.status == 401
    assert sandbox.requests == sandbox.worst_window == 1


async def test_faults_do_what_they_say(session: aiohttp.ClientSession) -> None:
    async with Sandbox(trades=60, unreliable=1.0, seed=5, time_scale=1.0) as sandbox:
        caller = Caller(sandbox, session)
        seen: set[object] = set()
        for smart_id in list(sandbox.exchange.trades):
            before = len(sandbox.ledger)
            try:
                status, body, _ = await caller.send("POST", f"{TRADES}/{smart_id}/close_by_market")
            except aiohttp.ClientConnectionError:
                status, body = 0, ""
            incident = sandbox.network.incidents[-1]
            processed = len(sandbox.ledger) - before
            seen.add(incident.fault)
            assert incident.target == f"/public/api{TRADES}/{smart_id}/close_by_market"
            match incident.fault:
                case Fault.LOST_REQUEST:
                    assert (status, processed) == (0, 0)
                case Fault.LOST_ANSWER:
                    assert (status, processed) == (0, 1)
                case Fault.BAD_GATEWAY:
                    assert (status, processed) == (502, 1)
                    assert "<html>" in body
                case Fault.SERVER_ERROR:
                    assert (status, processed) == (500, 0)
                case rare:
                    pytest.fail(f"{rare} is not asked for")
        assert seen == set(Fault)
        assert [incident.number for incident in sandbox.network.incidents] == list(range(1, 61))


async def test_latency_delays_each_answer(session: aiohttp.ClientSession) -> None:
    async with Sandbox(latency=(0.05, 0.06)) as sandbox:
        began = time.monotonic()
        assert (await Caller(sandbox, session).send("GET", TRADES))[0] == 200
        assert time.monotonic() - began >= 0.05


async def test_it_stops_at_once_while_requests_are_in_flight(session: aiohttp.ClientSession) -> None:
    before = asyncio.all_tasks()
    sandbox = Sandbox(latency=(30.0, 30.0))
    await sandbox.start()
    caller = Caller(sandbox, session)
    calls = [asyncio.create_task(caller.send("GET", TRADES)) for _ in range(5)]
    await until(lambda: len(sandbox._app.in_flight) == 5)
    watch = Stopwatch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await sandbox.stop()
    watch.stop()
    assert watch.elapsed < 0.5
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, aiohttp.ClientConnectionError) for result in results)
    assert {task for task in asyncio.all_tasks() - before if not task.done()} == set()


async def test_a_sender_that_gives_up_in_the_middle_of_a_body_does_no_harm(
    sandbox: Sandbox, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    url = URL(sandbox.base_url)
    assert url.host is not None
    _, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"POST /public/api/v2/smart_trades HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.02)
    assert (await caller.send("GET", TRADES))[0] == 200
    assert caplog.records == []


async def test_a_compressed_body_is_taken_as_it_was_sent(caller: Caller) -> None:
    status, _, _ = await caller.send("POST", TRADES, json.dumps(BUY).encode(), Content_Encoding="gzip")
    assert status == 201


async def test_it_can_be_stopped_twice_and_not_started_twice() -> None:
    sandbox = Sandbox()
    await sandbox.start()
    with pytest.raises(RuntimeError, match="running already"):
        await sandbox.start()
    await sandbox.stop()
    await sandbox.stop()
    with pytest.raises(RuntimeError, match="not running"):
        _ = sandbox.base_url


async def test_the_base_url_has_the_path_of_the_real_api(sandbox: Sandbox) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/public/api", sandbox.base_url)


async def test_an_ipv6_address_is_bracketed_in_the_base_url(session: aiohttp.ClientSession) -> None:
    try:
        sandbox = Sandbox(host="::1")
        await sandbox.start()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    try:
        assert re.fullmatch(r"http://\[::1\]:\d+/public/api", sandbox.base_url)
        assert (await Caller(sandbox, session).send("GET", TRADES))[0] == 200
    finally:
        await sandbox.stop()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.org", ""])
def test_only_loopback_is_listened_on_unless_allowed(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        Sandbox(host=host)
    Sandbox(host=host, allow_remote=True)


@pytest.mark.parametrize("time_scale", [0.0, -1.0, float("nan")])
def test_time_only_runs_forward(time_scale: float) -> None:
    with pytest.raises(ValueError, match="time_scale"):
        Sandbox(time_scale=time_scale)


def test_secrets_are_not_in_the_repr() -> None:
    async def reprs() -> str:
        async with Sandbox() as sandbox:
            secrets = [sandbox.credentials()["api_secret"], sandbox.credentials("rsa")["rsa_private_key"]]
            assert all(secret not in repr(sandbox) for secret in secrets)
            return repr(sandbox)

    assert "Sandbox" in asyncio.run(reprs())


async def test_sixteen_workers_close_250_trades(session: aiohttp.ClientSession) -> None:
    limit = RateLimit(requests=1000, period=60.0, lockout=300.0)
    async with Sandbox(trades=250, limit=limit, time_scale=1.0) as sandbox:
        caller = Caller(sandbox, session)
        ids = iter(list(sandbox.exchange.trades))

        async def work() -> None:
            for smart_id in ids:
                assert (await caller.send("POST", f"{TRADES}/{smart_id}/close_by_market"))[0] == 201

        await asyncio.gather(*(work() for _ in range(16)))
        for page in (1, 2, 3):
            status, body, _ = await caller.send("GET", f"{TRADES}?per_page=100&page={page}")
            assert (status, len(body)) == (200, 100 if page < 3 else 50)
        assert len({entry.smart_trade_id for entry in sandbox.ledger}) == len(sandbox.ledger) == 250


async def test_a_timeout_of_400_digits_is_a_fault_of_the_request(caller: Caller) -> None:
    stop = {
        "enabled": True,
        "order_type": "market",
        "conditional": {"price": {"type": "last", "value": "50000"}},
        "timeout": {"enabled": True, "value": 10**400},
    }
    order = BUY | {"instant": False, "take_profit": {"enabled": False}, "stop_loss": stop}
    status, body, _ = await caller.send("POST", TRADES, json.dumps(order).encode())
    assert (status, body["error"]) == (400, "record_invalid")
    assert body["error_attributes"] == {"stop_loss[timeout][value]": ["is invalid"]}


async def test_a_fault_of_the_sandbox_is_a_500_in_json_and_logged_once(
    sandbox: Sandbox, caller: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("broken")

    monkeypatch.setattr(sandbox.exchange, "page", broken)
    status, body, headers = await caller.send("GET", TRADES)
    assert (status, body) == (
        500,
        {"error": "unknown_error", "error_description": "Internal server error"},
    )
    assert headers["X-Request-Id"]
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("threecommas_async.sandbox", "ERROR")
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


async def test_a_sandbox_that_was_stopped_can_listen_again(session: aiohttp.ClientSession) -> None:
    sandbox = Sandbox(trades=1)
    await sandbox.start()
    await sandbox.stop()
    async with sandbox:
        assert (await Caller(sandbox, session).send("GET", TRADES))[0] == 200
