"""The shared limiter over TLS, on a cluster and behind a Sentinel, each of them real and on loopback."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pytest

from tests.arrivals import worst_window
from tests.fault_stage import Certificate
from tests.integration.conftest import BINARY, NEEDS_SERVER
from tests.stopwatch import Stopwatch
from tests.valkey import Valkey, held_port
from threecommas_async.limits import RateLimit

pytest.importorskip("redis", reason="the extra redis is not installed")

from redis.asyncio.sentinel import Sentinel

from threecommas_async.limits_redis import SharedLimiter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from pathlib import Path

pytestmark = [NEEDS_SERVER, pytest.mark.usefixtures("patience")]

LIMIT: Final = RateLimit(requests=10, period=0.4, lockout=5)


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return Certificate()


@pytest.fixture
def authority(certificate: Certificate, tmp_path: Path) -> str:
    """The certificate as a URL names it."""
    path = tmp_path / "authority.pem"
    path.write_text(certificate.pem)
    return quote(str(path))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One node that has all slots."""
    # Without a port of its own the bus takes the next but 10 000, which need not exist.
    with held_port() as bus:
        options = ("--cluster-enabled", "yes", "--cluster-port", str(bus))
        node = Valkey(str(BINARY), tmp_path_factory.mktemp("cluster"), *options).start()
        try:
            node.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
            patience = time.monotonic() + 60
            while b"cluster_state:ok" not in node.command("CLUSTER", "INFO"):
                assert time.monotonic() < patience
                time.sleep(0.02)
            yield node
        finally:
            node.kill()


@asynccontextmanager
async def tls_in_front_of(store: Valkey, certificate: Certificate) -> AsyncGenerator[int]:
    """The port of one that speaks TLS, which PyPI's server does not itself."""
    handlers: set[asyncio.Task[None]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", store.port)
        await asyncio.gather(copy(reader, behind_writer), copy(behind_reader, writer))

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        handlers.add(task)
        task.add_done_callback(handlers.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=certificate.server)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.wait_for(asyncio.gather(*handlers), timeout=60)
        await asyncio.sleep(0.05)  # TLS says goodbye.


async def assert_two_keep_one_limit(place: Callable[[], Any], store: Valkey, key: str) -> None:
    """25 calls through two limiters of 10 in 0.4 s: two periods, and all of them by way of the store."""
    store.command("CONFIG", "RESETSTAT")
    limiters = [SharedLimiter(place(), key, limit=LIMIT, share=0.5, reserve=0) for _ in range(2)]
    sent: list[float] = []

    async def call(limiter: SharedLimiter) -> None:
        await limiter.acquire()
        sent.append(time.monotonic())
        assert not limiter._away
        limiter.release()

    watch = Stopwatch()
    try:
        async with asyncio.timeout(60):
            await asyncio.gather(*(call(limiters[number % 2]) for number in range(25)))
        elapsed = watch.elapsed
    finally:
        watch.stop()
        for limiter in limiters:
            await limiter.close()
    assert store.calls() >= 3
    assert worst_window(sent, LIMIT.period) <= LIMIT.requests
    assert LIMIT.floor(25) <= max(sent) - min(sent)
    assert elapsed < 3 * LIMIT.floor(25)


async def test_over_tls(store: Valkey, certificate: Certificate, authority: str, key: str) -> None:
    async with tls_in_front_of(store, certificate) as port:
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={authority}"
        await assert_two_keep_one_limit(lambda: url, store, key)


@pytest.mark.parametrize("trusts", ["nothing", "another"])
async def test_a_certificate_that_is_not_trusted_leaves_the_share(
    store: Valkey, certificate: Certificate, tmp_path: Path, key: str, trusts: str
) -> None:
    other = tmp_path / "other.pem"
    other.write_text(Certificate().pem)
    store.command("CONFIG", "RESETSTAT")
    async with tls_in_front_of(store, certificate) as port:
        query = f"?ssl_ca_certs={quote(str(other))}" if trusts == "another" else ""
        limiter = SharedLimiter(f"rediss://127.0.0.1:{port}/0{query}", key, limit=LIMIT, share=0.5)
        async with asyncio.timeout(60):
            for _ in range(5):
                await limiter.acquire()
        assert limiter._away
        assert limiter.snapshot().free == 0
        await limiter.close()
    assert store.calls() == 0


async def test_on_a_cluster(cluster: Valkey, key: str) -> None:
    """A cluster runs a script only if all of its keys are in one slot."""
    await assert_two_keep_one_limit(lambda: f"redis+cluster://127.0.0.1:{cluster.port}", cluster, key)


async def test_on_a_cluster_over_tls(
    cluster: Valkey, certificate: Certificate, authority: str, key: str
) -> None:
    async with tls_in_front_of(cluster, certificate) as port:
        # A node names itself to its clients: here by the port that speaks TLS.
        cluster.command("CONFIG", "SET", "cluster-announce-port", str(port))
        try:
            url = f"rediss+cluster://127.0.0.1:{port}?ssl_ca_certs={authority}"
            await assert_two_keep_one_limit(lambda: url, cluster, key)
        finally:
            cluster.command("CONFIG", "SET", "cluster-announce-port", "0")


async def test_behind_a_sentinel(store: Valkey, tmp_path: Path, key: str) -> None:
    settings = tmp_path / "sentinel.conf"
    settings.write_text(f"sentinel monitor bots 127.0.0.1 {store.port} 1\n")
    watch = Valkey(str(BINARY), tmp_path, str(settings), "--sentinel").start()
    try:
        sentinel: Any = Sentinel([("127.0.0.1", watch.port)], socket_timeout=60)  # type: ignore[no-untyped-call]
        async with sentinel.master_for("bots", socket_timeout=60) as client:
            await assert_two_keep_one_limit(lambda: client, store, key)
            assert await client.ping()
        for one in sentinel.sentinels:
            await one.aclose()
    finally:
        watch.kill()
