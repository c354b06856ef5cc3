"""OpenTelemetry's instrumentation of aiohttp beside the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.raw_server import RawServer, answer, drop
from threecommas_async import OutcomeUnknownError, ThreeCommas

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    AioHttpClientInstrumentor().instrument(tracer_provider=provider)
    yield exporter
    AioHttpClientInstrumentor().uninstrument()
    provider.shutdown()


async def test_each_attempt_has_a_span_that_holds_no_secret(spans: InMemorySpanExporter) -> None:
    async with (
        RawServer(drop, answer()) as server,
        ThreeCommas("the-api-key", "the-secret", base_url=server.base_url) as client,
    ):
        assert (await client.smart_trades.get(7)).id == 7
        signature = server.received[0].headers["signature"]
    exported = spans.get_finished_spans()
    assert [(span.name, span.status.is_ok) for span in exported] == [("GET", False), ("GET", True)]
    text = "".join(span.to_json() for span in exported)
    assert "/public/api/v2/smart_trades/7" in text
    for secret in ("the-api-key", "the-secret", signature):
        assert secret not in text


async def test_the_context_of_the_trace_goes_along_and_is_not_signed(spans: InMemorySpanExporter) -> None:
    async with (
        RawServer() as server,
        ThreeCommas("the-api-key", "the-secret", base_url=server.base_url) as client,
    ):
        await client.smart_trades.close_by_market(7)
    [span] = spans.get_finished_spans()
    assert span.context is not None
    assert format(span.context.trace_id, "032x") in server.received[0].headers["traceparent"]


async def test_whether_an_order_left_is_known_all_the_same(spans: InMemorySpanExporter) -> None:
    async with (
        RawServer(drop) as server,
        ThreeCommas("the-api-key", "the-secret", base_url=server.base_url) as client,
    ):
        with pytest.raises(OutcomeUnknownError):
            await client.smart_trades.add_funds(7, units="1")
    assert len(server.received) == len(spans.get_finished_spans()) == 1
