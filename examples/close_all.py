"""Close every open SmartTrade of one account, then follow them to the end.

Usage: ``python examples/close_all.py ACCOUNT_ID``, with the credentials in the environment (see the README).
"""

from __future__ import annotations

import asyncio
import sys

from threecommas_async import ThreeCommas, Verdict
from threecommas_async.batch import DONE


async def main(account_id: int) -> int:
    async with ThreeCommas.from_env() as client:
        trades = client.smart_trades.iterate(account_id=account_id, status="active")
        report = await client.smart_trades.close_many(trades, on_progress=show)
        print(report)
        ending = [outcome.trade for outcome in report if outcome.verdict in DONE and outcome.trade]
        ended = await client.smart_trades.wait_closed(ending, timeout=600)
    for trade in ended.values():
        print(trade.id, trade.pair, trade.status.code, trade.profit.usd)
    return 0 if report.ok else 1


def show(done: int, total: int | None, verdict: Verdict) -> None:
    print(f"{done}/{total or '?'} {verdict}", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].isdecimal():
        sys.exit("usage: python examples/close_all.py ACCOUNT_ID")
    sys.exit(asyncio.run(main(int(sys.argv[1]))))
