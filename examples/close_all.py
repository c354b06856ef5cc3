"""Close every open SmartTrade of one account, then follow them to the end.

Usage: ``python examples/close_all.py ACCOUNT_ID``, with the credentials in the environment (see the README).
"""

from __future__ import annotations

import asyncio
import sys

from threecommas_async import ThreeCommas, Verdict


async def main(account_id: int) -> int:
    async with ThreeCommas.from_env() as client:
        trades = client.smart_trades.iterate(account_id=account_id, status="active")
        report = await client.smart_trades.close_many(trades, on_progress=show)
        print(report)
        closing = [outcome.id for outcome in report if outcome.verdict is Verdict.CLOSING and outcome.id]
        ended = await client.smart_trades.wait_closed(closing, timeout=600)
    for trade in ended.values():
        print(trade.id, trade.pair, trade.status.code, trade.profit.usd)
    return 0 if report.ok else 1


def show(done: int, total: int | None, verdict: Verdict) -> None:
    print(f"{done}/{total or '?'} {verdict}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]))))
