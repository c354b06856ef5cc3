"""An embedded 3Commas to try things out on: nothing here reaches an exchange, or the network.

It answers signed requests on loopback with the documented shapes, statuses and error bodies, keeps the
published limits, takes SmartTrades through their states on a simulated market, and keeps a ledger of every
order it accepted and a journal of every one it executed.
"""

from threecommas_async.sandbox.accounts import (
    FOREIGN_ACCOUNT,
    FUTURES_ACCOUNT,
    PAPER_ACCOUNT,
    REAL_ACCOUNT,
    WALLET_ACCOUNT,
    Account,
)
from threecommas_async.sandbox.exchange import Exchange
from threecommas_async.sandbox.faults import Fault, Incident, Network, RareFault
from threecommas_async.sandbox.ledger import Fill, Ledger, LedgerEntry
from threecommas_async.sandbox.lifecycle import Delays
from threecommas_async.sandbox.market import Walk
from threecommas_async.sandbox.refusals import Refusal
from threecommas_async.sandbox.seeding import EVERY_STATUS
from threecommas_async.sandbox.server import Sandbox

__all__ = [
    "EVERY_STATUS",
    "FOREIGN_ACCOUNT",
    "FUTURES_ACCOUNT",
    "PAPER_ACCOUNT",
    "REAL_ACCOUNT",
    "WALLET_ACCOUNT",
    "Account",
    "Delays",
    "Exchange",
    "Fault",
    "Fill",
    "Incident",
    "Ledger",
    "LedgerEntry",
    "Network",
    "RareFault",
    "Refusal",
    "Sandbox",
    "Walk",
]
