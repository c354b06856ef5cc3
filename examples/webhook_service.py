"""A web service that closes trades on a webhook: one client for all requests, one batch at a time.

Usage: ``python examples/webhook_service.py``, with ``WEBHOOK_SECRET`` and the credentials in the environment.
``POST /close`` with ``Authorization: Bearer …`` and ``{"pair": "USDT_BTC"}`` (null: all) gets the report.
"""

import asyncio
import hmac
import os
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from threecommas_async import ThreeCommas, ThreeCommasError

CLIENT = web.AppKey("CLIENT", ThreeCommas)
Alert = dict[Literal["pair"], Annotated[str, msgspec.Meta(pattern="^[A-Z0-9]+_")] | None]


def make_app(make_client: Callable[[], ThreeCommas], secret: str) -> web.Application:
    if len(secret) < 16:
        raise ValueError("the webhook's secret must have 16 characters or more")
    bearer, batch = f"Bearer {secret}".encode(), asyncio.Lock()

    async def with_client(app: web.Application) -> AsyncIterator[None]:
        async with make_client() as app[CLIENT]:
            yield

    async def close(request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if not hmac.compare_digest(given, bearer):
            raise web.HTTPUnauthorized
        if batch.locked():
            raise web.HTTPConflict(text="a batch is running")
        async with batch:  # It goes on when the caller hangs up.
            try:
                pair = msgspec.json.decode(await request.read(), type=Alert)["pair"]
                trades = request.app[CLIENT].smart_trades
                report = await trades.close_all(pair=pair, order="loss", deadline=600)
            except (msgspec.DecodeError, KeyError, ValueError) as error:
                raise web.HTTPBadRequest(text=f"no pair: {error}") from error
            except ThreeCommasError as error:
                raise web.HTTPBadGateway(text=f"nothing was ordered: {error}") from error
        return web.json_response(report.to_dict(), status=200 if report.ok else 502)

    app = web.Application()
    app.cleanup_ctx.append(with_client)
    app.router.add_post("/close", close)
    return app


def main() -> None:
    app = make_app(ThreeCommas.from_env, os.environ["WEBHOOK_SECRET"])
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))


if __name__ == "__main__":
    main()
