"""Where the fault server and a client meet: event loops, certificates, and the calls of each replay class."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import IPv4Address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar
from unittest.mock import patch

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tenacity import wait_fixed

from tests import virtual_time
from tests.stopwatch import Stopwatch
from threecommas_async import RateLimit, SmartTradeOrder, ThreeCommas, ThreeCommasError, endpoints
from threecommas_async.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator

    import aiohttp

    from threecommas_async import SmartTrade

T = TypeVar("T")

ORDER: Final = SmartTradeOrder.simple_buy(account_id=1, pair="USDT_BTC", units="0.01", note="mine")
LOCKOUT: Final = 0.05
LIMITS: Final = RateLimit(40, 1.0, LOCKOUT)
QUICK: Final = RetryPolicy(wait=wait_fixed(0.001), settle=(0.001, 0.002, 0.003))


@dataclass(frozen=True)
class Call:
    """One call of a replay class; `row` is its endpoint, `kind` what the fault server calls it."""

    kind: str
    row: endpoints.Endpoint[Any]
    make: Callable[[ThreeCommas], Awaitable[SmartTrade]]
    look: str = "get"
    has_body: bool = True

    @property
    def is_write(self) -> bool:
        return self.row.replay is not endpoints.Replay.SAFE

    @property
    def path(self) -> str:
        return "/public/api" + self.row.path.format(id=7)


CALLS: Final[dict[str, Call]] = {
    "get": Call("get", endpoints.GET_SMART_TRADE, lambda c: c.smart_trades.get(7), has_body=False),
    "set_note": Call("set_note", endpoints.SET_NOTE, lambda c: c.smart_trades.set_note(7, "x")),
    "close_by_market": Call(
        "close_by_market",
        endpoints.CLOSE_BY_MARKET,
        lambda c: c.smart_trades.close_by_market(7),
        has_body=False,
    ),
    "create r1": Call(
        "create",
        endpoints.CREATE_SMART_TRADE,
        lambda c: c.smart_trades.create(ORDER, reference="r1"),
        look="list",
    ),
    "create": Call(
        "create", endpoints.CREATE_SMART_TRADE, lambda c: c.smart_trades.create(ORDER), look="list"
    ),
    "add_funds": Call("add_funds", endpoints.ADD_FUNDS, lambda c: c.smart_trades.add_funds(7, units="0.1")),
}


@dataclass(frozen=True)
class Setting:
    """An event loop, and whether the server speaks TLS. Time is virtual on asyncio's loop, real on uvloop."""

    loop: Literal["asyncio", "uvloop"]
    over_tls: bool = False

    @property
    def patience(self) -> float:
        """Seconds of a call of which a busy machine leaves enough to be tried as often as it should be."""
        return 3.0 if self.loop == "uvloop" else 1.0

    @property
    def slack(self) -> float:
        """Seconds by which a call may be late."""
        return 1.0 if self.loop == "uvloop" else 0.02

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What the server needs."""
        return loopback_certificate().server if self.over_tls else None

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a test to its end; its clients trust the certificate of the loopback."""
        factory: Callable[[], asyncio.AbstractEventLoop] = virtual_time.PatientLoop
        if self.loop == "uvloop":
            factory = pytest.importorskip("uvloop").new_event_loop
        with loopback_certificate().is_trusted():
            return virtual_time.run(main, loop=factory)

    def __str__(self) -> str:
        return f"{self.loop}-{'tls' if self.over_tls else 'plain'}"


ASYNCIO: Final = Setting("asyncio")
UVLOOP: Final = Setting("uvloop")
ASYNCIO_TLS: Final = Setting("asyncio", over_tls=True)
UVLOOP_TLS: Final = Setting("uvloop", over_tls=True)


def client_of(
    base_url: str,
    *,
    timeout: float = 5.0,
    limits: RateLimit = LIMITS,
    session: aiohttp.ClientSession | None = None,
) -> ThreeCommas:
    """A client with short waits."""
    client = ThreeCommas("k", "s", base_url=base_url, timeout=timeout, limits=limits, session=session)
    client._session._policy = QUICK
    client._session._now = virtual_time.now
    return client


class End(NamedTuple):
    """What a caller got, and after how many seconds; see `tests.stopwatch`."""

    what: SmartTrade | ThreeCommasError
    elapsed: float


async def end_of(name: str, client: ThreeCommas) -> End:
    """Make one of the `CALLS`."""
    watch = Stopwatch()
    try:
        what: SmartTrade | ThreeCommasError = await CALLS[name].make(client)
    except ThreeCommasError as error:
        what = error
    finally:
        watch.stop()
    return End(what, watch.elapsed)


async def until(condition: Callable[[], object]) -> None:
    """Wait for what the server is about to see."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


@contextmanager
def never_accepting() -> Generator[int]:
    """The port of a listener whose queue is full: no connection to it is ever made."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as stack:
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


class Certificate:
    """A self-signed certificate for the loopback, or for a host of another name.

    Attributes:
        server: What a server that has it needs.
        pem: What a client needs to trust it.
    """

    def __init__(self, *, expired: bool = False, name: str | None = None) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fault server")])
        end = datetime.now(UTC) + timedelta(days=-1 if expired else 1)
        names = [x509.IPAddress(IPv4Address("127.0.0.1")) if name is None else x509.DNSName(name)]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(end - timedelta(days=3))
            .not_valid_after(end)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "certificate.pem"
            path.write_bytes(certificate.public_bytes(pem) + secret)
            self.server.load_cert_chain(path)
        self._trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.pem: str = certificate.public_bytes(pem).decode()
        self._trust.load_verify_locations(cadata=self.pem)

    @contextmanager
    def is_trusted(self) -> Generator[None]:
        """Let clients trust it that are made within."""
        # aiohttp makes its context when it is imported, too early for SSL_CERT_FILE.
        with patch("aiohttp.connector._SSL_CONTEXT_VERIFIED", self._trust):
            yield


@cache
def loopback_certificate() -> Certificate:
    """The certificate of the servers that speak TLS."""
    return Certificate()
