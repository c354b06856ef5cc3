"""Close every open SmartTrade of one account, the largest loss first, and follow them to the end.

Usage: ``python examples/close_all.py ACCOUNT_ID``, with the credentials in the environment (see the README).
Ctrl-C lets finish what has left, and still prints what became of each trade.
"""

from __future__ import annotations

import asyncio
import sys

from threecommas_async import BatchReport, Outcome, ThreeCommas


async def main(account_id: int) -> int:
    async with ThreeCommas.from_env() as client:
        try:
            report = await client.smart_trades.close_all(
                account_id=account_id, order="loss", deadline=600, wait=True, on_progress=show
            )
        except asyncio.CancelledError as cancelled:
            if (so_far := BatchReport.of(cancelled)) is not None:
                print(so_far)
            raise
    print(report.table())
    print(report.summary())
    return 0 if report.ok else 1


def show(done: int, total: int | None, outcome: Outcome) -> None:
    print(f"{done}/{total} {outcome}", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].isdecimal():
        sys.exit("usage: python examples/close_all.py ACCOUNT_ID")
    sys.exit(asyncio.run(main(int(sys.argv[1]))))
