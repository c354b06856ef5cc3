"""Each fault at each point of an exchange, against a call of each replay class."""

from __future__ import annotations

import asyncio
import gzip
import itertools
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import pytest

from tests import virtual_time
from tests.fault_server import Break, Fault, FaultServer, Point, answers, kind_of
from tests.fault_stage import (
    ASYNCIO,
    ASYNCIO_TLS,
    CALLS,
    UVLOOP,
    UVLOOP_TLS,
    Call,
    Setting,
    client_of,
    end_of,
)
from threecommas_async import (
    APIStatusError,
    DecodeError,
    OutcomeUnknownError,
    SmartTrade,
    ThreeCommas,
    TransportError,
)
from threecommas_async.endpoints import Replay

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


STAGGER: Final = 0.005
"""Seconds between such calls, which else would all go on at the same time."""


class Ending(NamedTuple):
    """How often the server saw the call and carried it out, the reads beside it, and what the caller got."""

    seen: int
    done: int
    looks: int
    end: str


UNKNOWN: Final = "OutcomeUnknownError"
Endings = dict[str, Ending]
Often = Literal["once", "always"]

LOST_ONCE: Final[Endings] = {
    "get": Ending(2, 0, 0, "trade"),
    "set_note": Ending(2, 1, 0, "trade"),
    "close_by_market": Ending(2, 1, 1, "trade"),
    "create r1": Ending(2, 1, 3, "trade"),
    "create": Ending(1, 0, 0, UNKNOWN),
    "add_funds": Ending(1, 0, 0, UNKNOWN),
}
LOST_ALWAYS: Final[Endings] = {
    "get": Ending(3, 0, 0, "the fault"),
    "set_note": Ending(3, 0, 0, UNKNOWN),
    "close_by_market": Ending(3, 0, 3, UNKNOWN),
    "create r1": Ending(3, 0, 9, UNKNOWN),
    "create": Ending(1, 0, 0, UNKNOWN),
    "add_funds": Ending(1, 0, 0, UNKNOWN),
}
DONE_ONCE: Final[Endings] = {
    "get": Ending(2, 0, 0, "trade"),
    "set_note": Ending(2, 2, 0, "trade"),
    "close_by_market": Ending(1, 1, 1, "trade"),
    "create r1": Ending(1, 1, 1, "trade"),
    "create": Ending(1, 1, 0, UNKNOWN),
    "add_funds": Ending(1, 1, 0, UNKNOWN),
}
DONE_ALWAYS: Final[Endings] = DONE_ONCE | {
    "get": Ending(3, 0, 0, "the fault"),
    "set_note": Ending(3, 3, 0, UNKNOWN),
}
MAY_COME_LATER: Final[Endings] = {"create r1": Ending(1, 0, 3, UNKNOWN)}
REFUSED: Final[Endings] = dict.fromkeys(CALLS, Ending(1, 0, 0, "the fault"))
LIMITED_ONCE: Final[Endings] = dict.fromkeys(CALLS, Ending(2, 1, 0, "trade")) | {
    "get": Ending(2, 0, 0, "trade")
}
LIMITED_ALWAYS: Final[Endings] = dict.fromkeys(CALLS, Ending(3, 0, 0, "the fault"))
ACCEPTED: Final[Endings] = dict.fromkeys(CALLS, Ending(1, 1, 0, "trade")) | {"get": Ending(1, 0, 0, "trade")}
NO_CONTENT_ONCE: Final[Endings] = dict.fromkeys(CALLS, Ending(1, 1, 1, "trade")) | {
    "get": Ending(2, 0, 0, "trade"),
    "create": Ending(1, 1, 0, UNKNOWN),
}
NO_CONTENT_ALWAYS: Final[Endings] = NO_CONTENT_ONCE | {"get": Ending(3, 0, 0, "the fault")}


@dataclass(frozen=True)
class Case:
    """A fault, what follows when it hits the first request of a call, and when it hits each of them."""

    fault: Fault
    once: Endings
    always: Endings
    the_fault: str = "TransportError"
    """The class of error that a read ends with, and each call where the fault is a definite answer."""

    @property
    def times_out(self) -> bool:
        return self.fault.then in {Break.SILENCE, Break.DRIP}


def lost(fault: Fault, error: str = "TransportError") -> Case:
    if fault.carried_out:
        return Case(fault, DONE_ONCE, DONE_ALWAYS, error)
    return Case(fault, LOST_ONCE, LOST_ALWAYS, error)


def late(fault: Fault, error: str = "TransportError") -> Case:
    """The server may still be at work when the call goes on."""
    if fault.carried_out:
        return lost(fault, error)
    return Case(fault, LOST_ONCE | MAY_COME_LATER, LOST_ALWAYS | MAY_COME_LATER, error)


def refused(status: str, body: bytes, error: str) -> Case:
    return Case(answers(body, status), REFUSED, REFUSED, error)


def raw(answer: bytes, then: Break | None = None, *, at: Point = Point.WHOLE_ANSWER) -> Fault:
    return Fault(answer=lambda _good: answer, at=at, then=then)


def without_length(good: bytes) -> bytes:
    head, _, body = good.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
    return b"\r\n".join([*lines, b"Connection: close", b"", body])


def as_plain_text(good: bytes) -> bytes:
    return good.replace(b"application/json", b"text/plain; charset=utf-8")


def after_an_interim_one(good: bytes) -> bytes:
    return b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" + good


def with_header(header: bytes) -> Fault:
    return Fault(answer=lambda good: good.replace(b"\r\n\r\n", b"\r\n" + header + b"\r\n\r\n", 1))


def zipped(body: bytes, *, missing: int = 0) -> Fault:
    content = gzip.compress(body)
    return answers(content[: len(content) - missing], headers="Content-Encoding: gzip\r\n", carried_out=True)


TRADE: Final = b'{"id":7,"status":{"basic_type":"panic_sell_pending"}}'
PAGE: Final = b"<!DOCTYPE html><html><body>Attention required</body></html>"
CHUNKED: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TOO_LARGE: Final = 8 * 1024 * 1024 + 1
PLAN: Final = b"""{"error":"The request type 'read' is not available with your current subscription plan."}"""
INVALID: Final = b'{"error":"record_invalid","error_attributes":{"units":["is too small"]}}'

BREAKS: Final[dict[str, Case]] = {
    f"{then} {at}{', carried out' * (carried_out and at is Point.NO_ANSWER)}": lost(
        Fault(carried_out=carried_out, at=at, then=then)
    )
    for at, carried_out in (
        (Point.REQUEST_HEAD, False),
        (Point.REQUEST_BODY, False),
        (Point.NO_ANSWER, False),
        (Point.NO_ANSWER, True),
        (Point.ANSWER_HEAD, True),
        (Point.ANSWER_BODY, True),
    )
    for then in (Break.CLOSE, Break.RESET)
}
SILENCES: Final[dict[str, Case]] = {
    "silence in the head of the request": late(Fault(False, at=Point.REQUEST_HEAD, then=Break.SILENCE)),
    "silence before the answer": late(Fault(False, at=Point.NO_ANSWER, then=Break.SILENCE)),
    "silence before the answer, carried out": late(Fault(at=Point.NO_ANSWER, then=Break.SILENCE)),
    "silence in the head of the answer": late(Fault(at=Point.ANSWER_HEAD, then=Break.SILENCE)),
    "silence in the body of the answer": late(Fault(at=Point.ANSWER_BODY, then=Break.SILENCE)),
    "drip in the head of the answer": late(Fault(at=Point.ANSWER_HEAD, then=Break.DRIP)),
    "drip in the body of the answer": late(Fault(at=Point.ANSWER_BODY, then=Break.DRIP)),
}
UNUSABLE: Final[dict[str, Case]] = {
    "no HTTP": lost(raw(b"SSH-2.0-OpenSSH_9.2\r\n", Break.CLOSE)),
    "500 JSON": lost(answers(b'{"error":"unknown_error"}', "500 Internal Server Error"), "ServerError"),
    "500 JSON, carried out": lost(
        answers(b'{"error":"unknown_error"}', "500 Internal Server Error", carried_out=True), "ServerError"
    ),
    "502 page": lost(answers(PAGE, "502 Bad Gateway"), "ServerError"),
    "502 page, carried out": lost(answers(PAGE, "502 Bad Gateway", carried_out=True), "ServerError"),
    "504 page": late(answers(PAGE, "504 Gateway Time-out"), "ServerError"),
    "504 page, carried out": late(answers(PAGE, "504 Gateway Time-out", carried_out=True), "ServerError"),
    "403 page": lost(answers(PAGE, "403 Forbidden"), "PermissionDeniedError"),
    "200 page": lost(answers(PAGE, headers="Content-Type: text/html\r\n"), "DecodeError"),
    "200 page, carried out": lost(answers(PAGE, carried_out=True), "DecodeError"),
    "200 without a body": lost(answers(b"", carried_out=True), "DecodeError"),
    "truncated JSON without a length": lost(
        Fault(answer=without_length, at=Point.ANSWER_BODY, then=Break.CLOSE), "DecodeError"
    ),
    "truncated JSON of the right length": lost(answers(TRADE[:-9], carried_out=True), "DecodeError"),
    "bad gzip": lost(answers(b"abcd", headers="Content-Encoding: gzip\r\n", carried_out=True)),
    "truncated gzip": lost(zipped(TRADE * 100, missing=40), "DecodeError"),
    "bad chunk": lost(raw(CHUNKED + b"zz\r\n{}\r\n")),
    "no last chunk": lost(raw(CHUNKED + b"9\r\n" + TRADE[:9] + b"\r\n", Break.CLOSE)),
    "gzip bomb": lost(zipped(b" " * TOO_LARGE)),
    "oversized body": lost(answers(TRADE, length=TOO_LARGE, carried_out=True)),
    "deep nesting": lost(answers(b'{"id":7,"x":' + b"[" * 100_000, carried_out=True), "DecodeError"),
    "two lengths": lost(with_header(b"Content-Length: 3")),
    "absurd header": lost(with_header(b"X-Trace: " + b"a" * 100_000)),
    "null": lost(answers(b"null", carried_out=True), "DecodeError"),
}
DEFINITE: Final[dict[str, Case]] = {
    "400 not_found": refused("400 Bad Request", b'{"error":"not_found"}', "NotFoundError"),
    "401": refused("401 Unauthorized", b'{"error":"signature_invalid"}', "AuthenticationError"),
    "403": refused("403 Forbidden", b'{"error":"Forbidden"}', "PermissionDeniedError"),
    "404": refused("404 Not Found", b'{"error":"Not found"}', "NotFoundError"),
    "422": refused("422 Unprocessable Entity", INVALID, "InvalidRequestError"),
    "429 about the plan": refused("429 Too Many Requests", PLAN, "PlanLimitError"),
    "418": refused("418 I'm a teapot", b'{"error":"banned"}', "BannedError"),
    "429 without a time": Case(
        answers(b'{"error":"Rate limit exceeded"}', "429 Too Many Requests"),
        LIMITED_ONCE,
        LIMITED_ALWAYS,
        "RateLimitedError",
    ),
    "good JSON as text": Case(Fault(answer=as_plain_text), ACCEPTED, ACCEPTED),
    "good JSON after an interim answer": Case(Fault(answer=after_an_interim_one), ACCEPTED, ACCEPTED),
    "good JSON without a length": Case(Fault(answer=without_length, then=Break.CLOSE), ACCEPTED, ACCEPTED),
    "204": Case(
        answers(b"", "204 No Content", carried_out=True), NO_CONTENT_ONCE, NO_CONTENT_ALWAYS, "DecodeError"
    ),
}
CASES: Final = BREAKS | UNUSABLE | DEFINITE

ON_UVLOOP: Final = [
    *BREAKS,
    *DEFINITE,
    "no HTTP",
    "504 page",
    "truncated gzip",
    "bad chunk",
    "oversized body",
]
ON_TLS: Final = [*BREAKS, "502 page, carried out", "truncated JSON without a length", "204"]


def on_each_setting() -> Iterator[Any]:
    for setting, often, names in (
        (ASYNCIO, "once", CASES),
        (ASYNCIO, "always", CASES),
        (UVLOOP, "once", ON_UVLOOP),
        (ASYNCIO_TLS, "once", ON_TLS),
        (UVLOOP_TLS, "once", BREAKS),
    ):
        for name in names:
            yield pytest.param(setting, name, often, id=f"{setting}-{name}-{often}")


class Scene:
    """One call on a client and a server of its own.

    Args:
        name: The call.
        case: What goes wrong.
        often: Whether it goes wrong once, or each time.
        setting: Where.
        reused: Another call has left a connection behind.
    """

    def __init__(
        self, name: str, case: Case, often: Often, server: FaultServer, setting: Setting, *, reused: bool
    ) -> None:
        self.case = case
        timeout = setting.patience if case.times_out else 5.0
        self.client: ThreeCommas = client_of(server.base_url, timeout=timeout)
        self._ends_within = setting.slack + (timeout if case.times_out else 1.0)
        self._name = name
        self._call: Call = CALLS[name]
        self._often = often
        self._server = server
        self._reused = reused

    async def set_up(self) -> None:
        if self._reused:
            assert (await self.client.smart_trades.get(8)).id == 8
            self._server.received.clear()
        fault = self.case.fault
        self._server.plan(self._call.kind, [fault] if self._often == "once" else itertools.repeat(fault))

    def __str__(self) -> str:
        requests = [received.request_line for received in self._server.received]
        where = "reused" if self._reused else "fresh"
        return f"{self._name} on a {where} connection, {self.case.fault}, {requests}, {self._server.partial}"

    @property
    def wanted(self) -> Ending:
        ending = (self.case.once if self._often == "once" else self.case.always)[self._name]
        return ending._replace(end=self.case.the_fault) if ending.end == "the fault" else ending

    async def play(self, place: int) -> Ending:
        if self.case.times_out:
            await asyncio.sleep(place * STAGGER)
        self._began_at = virtual_time.now()
        self._end, self._elapsed = await end_of(self._name, self.client)
        self._seen = self._server.seen(self._call.kind) + len(self._server.partial)
        done = self._server.exchange.carried_out[self._call.kind]
        looks = self._server.seen(self._call.look) if self._call.is_write else 0
        end = "trade" if isinstance(self._end, SmartTrade) else type(self._end).__name__
        return Ending(self._seen, done, looks, end)

    def check(self) -> None:
        """Assert what holds of every ending, and what its value or its error says."""
        if isinstance(self._end, SmartTrade):
            self._check_trade(self._end)
        else:
            self._check_error(self._end)
        assert self._elapsed < self._ends_within
        hits = 1 if self._often == "once" else self._seen
        assert len(self._server.partial) == hits * self.case.fault.in_request
        complete = [r for r in self._server.received if kind_of(r.request_line)[0] == self._call.kind]
        first, *others = sorted(
            [r.connection for r in self._server.partial] + [r.connection for r in complete]
        )
        if self._call.row.replay is Replay.ONCE:
            # A connection that nothing else has used, and never again.
            assert first == int(self._reused)
            assert len({first, *others}) == 1 + len(others)
        else:
            assert first == 0

    def _check_error(self, error: Any) -> None:
        assert (error.endpoint, error.path) == (self._call.row, self._call.path)
        match error:
            case OutcomeUnknownError():
                assert (error.attempts, error.permanent) == (self._seen, False)
                assert error.sent_at is not None
                # Reckoned back from another clock.
                assert self._began_at - timedelta(milliseconds=20) < error.sent_at < virtual_time.now()
                cause = None if self.case.the_fault == "TransportError" else self.case.the_fault
                assert (error.__cause__ and type(error.__cause__).__name__) == cause
            case TransportError():
                assert (error.attempts, error.permanent) == (3, False)
            case APIStatusError():
                assert error.status == int(self.case.fault.answer(b"")[9:12])
            case _:
                assert isinstance(error, DecodeError)

    def _check_trade(self, trade: SmartTrade) -> None:
        shown = self._server.exchange.trades[trade.id]
        assert trade.status.code == shown["status"]["basic_type"]
        assert trade.note_raw == shown["note_raw"]
        match self._call.kind:
            case "create":
                assert trade.id >= 100
                assert "mine" in (trade.note_raw or "")
            case "close_by_market":
                assert (trade.id, trade.status.code) == (7, "panic_sell_pending")
            case "set_note":
                assert (trade.id, trade.note_raw) == (7, "x")
            case _:
                assert trade.id == 7


async def play(setting: Setting, cases: Iterable[tuple[Case, str, Often, bool]]) -> None:
    """Make calls at the same time: what goes wrong, the call, how often, on a reused connection or not."""
    async with AsyncExitStack() as stack:
        scenes: list[Scene] = []
        for case, name, often, reused in cases:
            if case.fault.at is Point.REQUEST_BODY and not CALLS[name].has_body:
                continue
            server = await stack.enter_async_context(FaultServer(setting.tls))
            scene = Scene(name, case, often, server, setting, reused=reused)
            await stack.enter_async_context(scene.client)
            await scene.set_up()
            scenes.append(scene)
        ends = await asyncio.gather(*(scene.play(place) for place, scene in enumerate(scenes)))
        differences = [
            f"{scene}: {end} instead of {scene.wanted}"
            for scene, end in zip(scenes, ends, strict=True)
            if end != scene.wanted
        ]
        assert not differences, "\n".join(differences)
        for scene in scenes:
            scene.check()


@pytest.mark.parametrize(("setting", "name", "often"), list(on_each_setting()))
def test_what_a_broken_or_odd_answer_leads_to(setting: Setting, name: str, often: Often) -> None:
    setting.run(play(setting, itertools.product([CASES[name]], CALLS, [often], [False, True])))


def silences(names: list[str], often: Often) -> Iterator[tuple[Case, str, Often, bool]]:
    for row, name in enumerate(names):
        for column, call in enumerate(CALLS):
            yield SILENCES[name], call, often, (row + column) % 2 == 1


@pytest.mark.parametrize(
    ("setting", "once", "always"),
    [
        (ASYNCIO, list(SILENCES), list(SILENCES)[:3]),
        (UVLOOP, list(SILENCES)[2:5], list(SILENCES)[1:3]),
        (ASYNCIO_TLS, list(SILENCES)[2:5], []),
    ],
    ids=["asyncio-plain", "uvloop-plain", "asyncio-tls"],
)
def test_what_silence_leads_to_within_the_deadline(
    setting: Setting, once: list[str], always: list[str]
) -> None:
    setting.run(play(setting, itertools.chain(silences(once, "once"), silences(always, "always"))))
