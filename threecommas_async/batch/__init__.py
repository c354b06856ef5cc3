"""Many SmartTrades at once, and the report that says what became of each of them."""

from threecommas_async.batch.engine import Batch
from threecommas_async.batch.report import BatchReport, Outcome, Totals, Verdict

__all__ = ["Batch", "BatchReport", "Outcome", "Totals", "Verdict"]
