"""A user's own exchanges: recorded without secrets, and served again."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests import virtual_time
from tests.fault_stage import LIMITS
from tests.raw_server import RawServer, Received, answer
from threecommas_async import (
    InvalidRequestError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitedError,
    ServerError,
    SmartTradeOrder,
    ThreeCommas,
)
from threecommas_async.endpoints import SET_NOTE
from threecommas_async.models.order import Note
from threecommas_async.recording import Recorder
from threecommas_async.sandbox import PAPER_ACCOUNT, Sandbox
from threecommas_async.signing import HmacCredentials
from threecommas_async.testing import (
    Faults,
    RecordedRequest,
    Replay,
    UnexpectedRequestError,
    UnusableRecordingError,
    record,
)
from threecommas_async.testing.recordings import _ENCODER, KEPT_HEADERS, recording_of
from threecommas_async.testing.redaction import ALWAYS
from threecommas_async.wire import Response, build

if TYPE_CHECKING:
    from pathlib import Path

KEY, SECRET = "Zq7-the-api/key+1f", "Kx9-the-api-secret-2e"
ORDER = SmartTradeOrder.simple_buy(account_id=PAPER_ACCOUNT.id, pair="USDT_BTC", units="0.01")


def client_of(server: RawServer) -> ThreeCommas:
    return ThreeCommas(KEY, SECRET, base_url=server.base_url, limits=LIMITS)


async def some_calls(client: ThreeCommas) -> list[object]:
    """Make calls whose answers are of several kinds; returns what came of them."""
    trades = client.smart_trades
    created = await trades.create(ORDER)
    ends: list[object] = [created, await trades.get(created.id), await trades.list(per_page=10)]
    for call in (trades.get(1), trades.close_by_market(1)):
        with pytest.raises(NotFoundError) as caught:
            await call
        ends.append(str(caught.value))
    await trades.set_note(created.id, "seen")
    return [*ends, await trades.get(created.id)]


async def test_a_recording_served_again_gives_the_same_values_and_errors(tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    async with (
        Sandbox(trades=3, time_scale=1) as sandbox,
        ThreeCommas(**sandbox.credentials()) as client,
    ):
        with record(client, path):
            recorded = await some_calls(client)
        assert not client._session.recorder.is_on
        await client.smart_trades.list()
    async with Replay(path) as replay, ThreeCommas(**replay.credentials()) as client:
        assert client.mode == "paper"
        replayed = await some_calls(client)
        assert (replay.unused, replay.unexpected) == ((), ())
    assert len(replayed) == len(recorded) == 6
    for before, after in zip(recorded, replayed, strict=True):
        assert str(after) == str(before).replace(PAPER_ACCOUNT.name, "redacted")


async def test_the_file_is_readable_for_its_owner_and_a_line_for_each_exchange(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    async with Sandbox(trades=1) as sandbox, ThreeCommas(**sandbox.credentials()) as client:
        [id] = sandbox.exchange.trades
        with record(client, path):
            await client.smart_trades.list(per_page=10, status="active")
            await asyncio.create_task(client.smart_trades.set_note(id, "0.10"))
    head, page, note = map(json.loads, path.read_text().splitlines())
    assert head == {
        "format": "threecommas_async recording 1",
        "redacted": sorted(ALWAYS),
        "mode": "paper",
    }
    assert page["request"]["query"] == [["page", "1"], ["per_page", "10"], ["status", "active"]]
    assert page["answer"][0]["account"]["name"] == "redacted"
    assert note["request"] == {
        "method": "POST",
        "path": f"/public/api/v2/smart_trades/{id}/set_note",
        "body": {"note": "0.10"},
    }
    assert note["status"] == 201
    assert sorted(note["headers"]) == ["content-type", "date"]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_file_that_is_there_stays_unless_it_may_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text("mine")
    async with Sandbox() as sandbox, ThreeCommas(**sandbox.credentials()) as client:
        with pytest.raises(FileExistsError), record(client, path):
            pytest.fail("nothing can be recorded here")
        assert path.read_text() == "mine"
        with record(client, path, overwrite=True):
            pass
        assert path.read_text().startswith('{"format"')


SAID = """{
    "id": 7, "status": {"basic_type": "panic_sold"}, "account": {"id": 5, "name": "Ada's Binance"},
    "note": "write to ada@example.org", "note_raw": "write to ada@example.org", "customer_id": 4711,
    "leverage": {"value": 0.10}, "profit": {"volume": 1.50, "ada@b.org": 1}, "email": "ada@example.org",
    "data": {"finished": true, "ada@b.org": 1}
}"""


async def test_who_the_user_is_and_what_they_name_is_redacted(tmp_path: Path) -> None:
    path = tmp_path / "redacted.jsonl"
    acts = answer(f"[{SAID}]".encode()), answer(SAID.encode())
    async with RawServer(*acts) as server, client_of(server) as client:
        with record(client, path, redact=["Profit", "account_id"]):
            await client.smart_trades.list(per_page=10, account_id=5)
            await client.smart_trades.get(7)
    text = path.read_text()
    assert "Ada" not in text
    assert "ada@" not in text
    assert "4711" not in text
    _, page, trade = map(json.loads, text.splitlines())
    assert ["account_id", "redacted"] in page["request"]["query"]
    assert trade["answer"] == {
        "id": 7,
        "status": {"basic_type": "panic_sold"},
        "account": {"id": 5, "name": "redacted"},
        "note": "write to redacted@example.com",
        "note_raw": "write to redacted@example.com",
        "leverage": {"value": 0.1},
        "profit": {"volume": 0, "redacted@example.com": 0},
        "email": "redacted",
        "customer_id": 0,
        "data": {"finished": True, "redacted@example.com": 1},
    }
    assert '"value":0.10' in text
    async with Replay(path) as replay, ThreeCommas(**replay.credentials()) as client:
        await client.smart_trades.list(per_page=10, account_id=6)
        assert (await client.smart_trades.get(7)).note_raw == "write to redacted@example.com"


def fragments(secret: str) -> set[str]:
    return {secret[start : start + 10] for start in range(len(secret) - 9)}


async def echo(received: Received, writer: asyncio.StreamWriter) -> None:
    """Answer with everything that was sent, in several spellings."""
    head = received.head.decode("latin-1")
    key, signature = received.headers["apikey"], received.headers["signature"]
    numbered = "".join(f"\\u{ord(character):04x}" for character in key)
    said = {"id": 7, "note": head, key: signature, "url": quote(f"{key}/{signature}", safe="")}
    body = (json.dumps(said).replace("/", "\\/")[:-1] + f', "numbered": "{numbered}"}}').encode()
    if "/8" in received.target:
        body = f"<html>{head} {quote(key, safe='')}</html>".encode()
    extra = f"Retry-After: {signature}\r\nX-Request-Id: {key}\r\nX-Kept: {key} {signature}\r\n"
    writer.write(f"HTTP/1.1 500 Oops\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body)
    await writer.drain()


@virtual_time.patient
async def test_nothing_that_a_server_echoes_brings_key_or_signature_into_the_file(tmp_path: Path) -> None:
    path = tmp_path / "echoed.jsonl"
    async with RawServer(echo) as server, client_of(server) as client:
        with record(client, path, headers=["X-Kept", "X-Request-Id", "Apikey", "Signature"]):
            for call in (
                client.smart_trades.get(7),
                client.smart_trades.get(8),
                client.smart_trades.list(base=KEY),
                client.smart_trades.set_note(7, f"my key is {KEY}"),
            ):
                with pytest.raises((ServerError, OutcomeUnknownError)):
                    await call
        signatures = {received.headers["signature"] for received in server.received}
    text = path.read_text()
    assert text.count("***") > 20
    assert len(signatures) == 4
    written = text + text.replace("\\/", "/")
    for secret in (KEY, SECRET, *signatures):
        assert {part for part in fragments(secret) if part in written} == set()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60)
@given(
    key=st.text("abcdefgXYZ0189-_/+=", min_size=12, max_size=40),
    secret=st.text("hijklmUVW234567", min_size=12, max_size=40),
    said=JSON,
    field=st.sampled_from(sorted(ALWAYS)),
)
def test_no_line_holds_a_secret_whatever_the_answer(key: str, secret: str, said: Any, field: str) -> None:
    assume(secret not in json.dumps(said))  # What the server says of itself is no secret.
    credentials = HmacCredentials(key, secret)
    request = build(
        SET_NOTE,
        credentials,
        base_path="/public/api",
        mode="real",
        path={"id": 7},
        body=Note(note=f"a {key} b"),
    )
    signature = request.headers["Signature"]
    body = json.dumps({"a": said, "b": key, signature: [key], field: {"x": ["Ada", 7]}}).encode()
    lines: list[bytes] = []
    recorder = Recorder()
    with recorder.listening(
        lambda exchange: lines.append(_ENCODER.encode(recording_of(exchange, ALWAYS, KEPT_HEADERS)))
    ):
        recorder.record(request, Response(500, {"Date": f"{key} {signature}"}, body))
    [line] = lines
    for hidden in (key, secret, signature, "Ada"):
        assert hidden.encode() not in line


async def test_an_unexpected_request_is_an_error_that_says_what_was_expected(tmp_path: Path) -> None:
    path = tmp_path / "strict.jsonl"
    async with Sandbox(trades=2) as sandbox, ThreeCommas(**sandbox.credentials(mode="real")) as client:
        first, second = sandbox.exchange.trades
        with record(client, path):
            await client.smart_trades.get(first)
            await client.smart_trades.set_note(second, "one")

    async def with_another_body() -> None:
        async with Replay(path) as replay, ThreeCommas(**replay.credentials()) as client:
            with pytest.raises(InvalidRequestError, match="was not expected: still to come are POST"):
                await client.smart_trades.set_note(second, "two")
            assert replay.unexpected[0].endswith(f"; GET /public/api/v2/smart_trades/{first}")

    async def once_more() -> None:
        async with Replay(path) as replay, ThreeCommas(**replay.credentials()) as client:
            await client.smart_trades.get(first)
            with pytest.raises(InvalidRequestError):
                await client.smart_trades.get(first)
            [left] = replay.unused
            assert left.request == RecordedRequest(
                method="POST", path=f"/public/api/v2/smart_trades/{second}/set_note", body={"note": "one"}
            )

    with pytest.raises(UnexpectedRequestError, match=r'"two".* was not expected: still to come are .*"one"'):
        await with_another_body()
    with pytest.raises(UnexpectedRequestError, match="is recorded 1 times, and was asked for once more"):
        await once_more()


async def test_an_unexpected_request_is_a_note_of_the_error_that_it_led_to(tmp_path: Path) -> None:
    path = tmp_path / "note.jsonl"
    async with Sandbox() as sandbox, ThreeCommas(**sandbox.credentials()) as client:
        with record(client, path):
            pass
    with pytest.raises(InvalidRequestError) as caught:
        async with Replay(path) as replay, ThreeCommas(**replay.credentials()) as client:
            await client.smart_trades.get(7)
    assert caught.value.__notes__ == [
        "GET /public/api/v2/smart_trades/7 was not expected: everything recorded has been asked for"
    ]


async def test_equal_requests_are_answered_in_the_order_of_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "order.jsonl"
    async with (
        Sandbox(trades=1, time_scale=0.001) as sandbox,
        ThreeCommas(**sandbox.credentials(mode="real")) as client,
    ):
        [id] = sandbox.exchange.trades
        with record(client, path):
            await client.smart_trades.close_by_market(id)
            for _ in range(3):
                await client.smart_trades.get(id)
                sandbox.advance(2)
    async with Replay(path) as replay, ThreeCommas(**replay.credentials()) as client:
        seen = [(await client.smart_trades.get(id)).status.code for _ in range(3)]
    assert seen == ["panic_sell_pending", "panic_sell_in_progress", "panic_sold"]


async def test_what_is_different_each_time_can_be_left_out_of_the_comparison(tmp_path: Path) -> None:
    path = tmp_path / "reference.jsonl"
    async with Sandbox() as sandbox, ThreeCommas(**sandbox.credentials()) as client:
        with record(client, path):
            trade = await client.smart_trades.create(ORDER, reference="alert-4711")
    async with Replay(path, ignore=["note"]) as replay, ThreeCommas(**replay.credentials()) as client:
        assert (await client.smart_trades.create(ORDER, reference="alert-4711")).id == trade.id


@pytest.mark.parametrize("redact", [["note", "note_raw"], ["note", "note_raw", "pair"], ["pair"]])
async def test_a_new_trade_has_what_its_order_says_where_that_is_redacted(
    tmp_path: Path, redact: list[str]
) -> None:
    path = tmp_path / "order.jsonl"
    order = msgspec.structs.replace(ORDER, note="R&D")
    async with Sandbox() as sandbox, ThreeCommas(**sandbox.credentials()) as client:
        with record(client, path, redact=redact):
            trade = await client.smart_trades.create(order, reference="alert-4711")
    written = path.read_text()
    assert [text in written for text in ("alert-4711", "USDT_BTC")] == [
        "note" not in redact,
        "pair" not in redact,
    ]
    async with (
        Replay(path, ignore=["note"]) as replay,
        ThreeCommas(**replay.credentials()) as client,
    ):
        again = await client.smart_trades.create(order, reference="alert-4711")
        assert replay.unexpected == ()
    assert (again.id, again.pair) == (trade.id, "USDT_BTC")
    assert again.note_raw is not None
    assert (again.note_raw[:16], again.note_raw[-4:]) == ("[ref:alert-4711:", " R&D")
    assert again.note is not None
    assert again.note[-8:] == " R&amp;D"


async def test_a_gateways_page_and_a_lock_out_are_served_as_they_came(tmp_path: Path) -> None:
    path = tmp_path / "faults.jsonl"
    async with (
        Sandbox(trades=1, time_scale=1) as sandbox,
        ThreeCommas(**sandbox.credentials(mode="real")) as client,
    ):
        with record(client, path):
            Faults(sandbox).bad_gateway()
            await client.smart_trades.list()
            sandbox.advance(86400)
            sandbox.lock_out()
            with pytest.raises(RateLimitedError):
                await client.smart_trades.list(per_page=7)
    async with Replay(path) as replay, ThreeCommas(**replay.credentials()) as client:
        with client.with_raw() as answers:
            await client.smart_trades.list()
            with pytest.raises(RateLimitedError):
                await client.smart_trades.list(per_page=7)
        paused_until = client.limits.snapshot().paused_until
        assert paused_until is not None
        assert (paused_until - sandbox.exchange.epoch).total_seconds() == pytest.approx(300, abs=10)
    assert [answer.status for answer in answers] == [502, 200, 429]
    assert (answers[0].headers["Content-Type"], answers[0].body[:6]) == ("text/html", b"<html>")


async def test_a_recording_that_fails_disturbs_no_call_and_says_so_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    async with Sandbox(trades=1) as sandbox, ThreeCommas(**sandbox.credentials()) as client:
        recording = record(client, tmp_path / "full.jsonl")
        recording.__enter__()
        monkeypatch.setattr("threecommas_async.testing.recordings.recording_of", full)
        assert len(await client.smart_trades.list()) == 1
        with pytest.raises(UnusableRecordingError, match="1 exchanges could not be written to"):
            recording.__exit__(None, None, None)


async def test_a_file_that_does_not_say_its_mode_leaves_it_to_the_client(tmp_path: Path) -> None:
    path = tmp_path / "old.jsonl"
    path.write_text('{"format":"threecommas_async recording 1","redacted":[]}\n')
    async with Replay(path) as replay, ThreeCommas(**replay.credentials()) as client:
        assert client.mode == "real"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "line 1: Input data was truncated"),
        (
            '{"format": "threecommas_async recording 2", "redacted": []}',
            "not 'threecommas_async recording 1'",
        ),
        (
            '{"format": "threecommas_async recording 1", "redacted": []}\n{"status": 200}',
            "line 2: Object missing",
        ),
    ],
)
def test_what_is_no_recording_is_refused_with_its_line(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text(content)
    with pytest.raises(UnusableRecordingError, match=problem):
        Replay(path)


def test_who_listens_is_a_plain_function() -> None:
    async def listener(_: object) -> None: ...

    client = ThreeCommas(KEY, SECRET)
    with pytest.raises(ValueError, match="on_exchange must be a plain function"):
        client.listening(listener)
