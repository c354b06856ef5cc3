"""Key, secret and signature are in nothing that a fault leaves behind."""

from __future__ import annotations

import asyncio
import logging
import pickle
import traceback
import warnings
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.fault_server import FaultServer, answers
from tests.fault_stage import ASYNCIO, CALLS, LIMITS, QUICK, until
from tests.integration.test_fault_matrix import CASES, PAGE, SILENCES
from tests.raw_server import RawServer, Received, answer, refused_port
from threecommas_async import DryRunError, HmacCredentials, ThreeCommas, ThreeCommasError

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY, SECRET = "Zq7-the-api-key-1f", "Kx9-the-api-secret-2e"
PASSWORD = "Vt3-the-proxy-password-4d"
MARKS: Final = {title: case.fault for title, case in (CASES | SILENCES).items()}


def client_of(base_url: str, **options: Any) -> ThreeCommas:
    client = ThreeCommas(KEY, SECRET, base_url=base_url, limits=LIMITS, **options)
    client._session._policy = QUICK
    return client


async def traces_of(client: ThreeCommas, name: str) -> list[str]:
    """Make a call; returns what it leaves for people to read and for programs to keep."""
    try:
        ended: object = await CALLS[name].make(client)
    except ThreeCommasError as error:
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        ended = error
        return [
            "".join(shown.format()),
            repr(error),
            repr(vars(error)),
            pickle.dumps(error).decode("latin-1"),
            *traces_of_client(client),
        ]
    return [repr(ended), *traces_of_client(client)]


def traces_of_client(client: ThreeCommas) -> list[str]:
    return [repr(client), repr(client._session), repr(vars(client)), repr(vars(client._session))]


def hits(texts: Iterable[str], server: FaultServer | RawServer) -> set[str]:
    signatures = {received.headers.get("signature", SECRET) for received in server.received}
    everything = "\n".join(texts)
    return {secret for secret in (KEY, SECRET, *signatures) if secret in everything}


@pytest.mark.parametrize("name", MARKS)
def test_no_fault_brings_a_secret_out(
    name: str, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    caplog.set_level(logging.DEBUG)
    warnings.simplefilter("always")

    async def main() -> tuple[list[str], set[str]]:
        texts: list[str] = []
        found: set[str] = set()
        for call in CALLS:
            async with FaultServer() as server, client_of(server.base_url, timeout=0.05) as client:
                server.plan(CALLS[call].kind, [MARKS[name]] * 3)
                texts += await traces_of(client, call)
                logs = [record.getMessage() + str(record.exc_text) for record in caplog.records]
                found |= hits([*texts, *logs, *(str(warning.message) for warning in recwarn)], server)
        return texts, found

    texts, found = ASYNCIO.run(main())
    assert len(texts) >= 5 * len(CALLS)
    assert found == set()


async def test_what_the_server_echoes_is_masked() -> None:
    async def echo(received: Received, writer: asyncio.StreamWriter) -> None:
        body = received.head + b"\r\n" + PAGE
        writer.write(b"HTTP/1.1 500 Oops\r\nX-Request-Id: %b\r\n" % received.headers["signature"].encode())
        writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    async with RawServer(echo) as server, client_of(server.base_url) as client:
        texts = [text for call in CALLS for text in await traces_of(client, call)]
    assert any("***" in text for text in texts)
    assert hits(texts, server) == set()


async def test_a_refused_connection_brings_no_secret_out() -> None:
    with refused_port() as port:
        async with client_of(f"http://127.0.0.1:{port}/public/api") as client:
            texts = [text for call in CALLS for text in await traces_of(client, call)]
    assert any("no connection" in text for text in texts)
    assert hits(texts, RawServer()) == set()


@pytest.mark.parametrize("listening", [True, False], ids=["refused by it", "not there"])
async def test_a_proxy_that_fails_brings_its_password_out_as_little(
    listening: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    refuse = answer(b"no", status="407 Proxy Authentication Required")
    with refused_port() as port:
        async with RawServer(refuse) as proxy:
            url = f"http://me:{PASSWORD}@127.0.0.1:{proxy.port if listening else port}"
            async with client_of(f"https://127.0.0.1:{port}/public/api", proxy=url) as client:
                texts = [text for call in CALLS for text in await traces_of(client, call)]
    given = b64encode(f"me:{PASSWORD}".encode()).decode()
    assert {received.headers["proxy-authorization"] for received in proxy.received} == (
        {f"Basic {given}"} if listening else set()
    )
    assert [
        secret for secret in (PASSWORD, given, KEY, SECRET) if secret in "\n".join([*texts, caplog.text])
    ] == []


@pytest.mark.parametrize("name", ["close_by_market", "create", "create r1"])
async def test_what_is_remembered_of_a_cancelled_write_holds_no_secret(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with FaultServer() as server, client_of(server.base_url) as client:
        server.plan(CALLS[name].kind, [SILENCES["silence before the answer"].fault])
        call = asyncio.ensure_future(CALLS[name].make(client))
        await until(lambda: server.seen(CALLS[name].kind))
        call.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await call
        [unknown] = client.in_flight_unknown()
        shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        texts = [*shown.format(), repr(unknown), repr(vars(unknown)), pickle.dumps(unknown).decode("latin-1")]
        assert hits([*texts, caplog.text, *traces_of_client(client)], server) == set()


@pytest.mark.parametrize("name", ["close_by_market", "create", "create r1"])
async def test_a_dry_run_brings_no_secret_out(name: str) -> None:
    async with FaultServer() as server, client_of(server.base_url, dry_run=True) as client:
        texts = await traces_of(client, name)
        with pytest.raises(DryRunError) as shown:
            await CALLS[name].make(client)
        request = shown.value.request
        signature = HmacCredentials(KEY, SECRET).sign(request.path, request.body)
        texts += [repr(request), str(request), repr(request.headers)]
    assert server.received == []
    assert "***" in texts[-1]
    assert [secret for secret in (KEY, SECRET, signature) if secret in "\n".join(texts)] == []


async def test_the_search_itself_finds_what_is_there() -> None:
    async with FaultServer() as server, client_of(server.base_url) as client:
        server.plan("get", [answers(b"{}")])
        await traces_of(client, "get")
        signature = server.received[0].headers["signature"]
    assert hits([f"x{KEY}y", signature], server) == {KEY, signature}
