"""What importing the package costs beside importing the four libraries it stands on.

Run: ``python -m benchmarks.import_time`` (half a minute). Each import has a fresh interpreter; the two kinds
take turns. Both sides are compiled beforehand, as when installed: where bytecode is not written, the package
would otherwise be compiled at every import and the libraries would not.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import partial
from typing import Final

from benchmarks.rounds import ratio, spread, take_turns
from benchmarks.tables import table

ROUNDS: Final = 40
DEPENDENCIES: Final = "import aiohttp, msgspec, aiolimiter, tenacity"
PACKAGE: Final = "import threecommas_async"
TIMED: Final = "import time; began = time.perf_counter(); {}; print(time.perf_counter() - began)"


def seconds(statement: str, environment: dict[str, str]) -> float:
    """Return how long the statement takes in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", TIMED.format(statement)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as compiled:
        environment = os.environ | {"PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
        sides = {statement: partial(seconds, statement, environment) for statement in (DEPENDENCIES, PACKAGE)}
        rounds = take_turns(sides, rounds=ROUNDS)
    print(f"Time in a fresh interpreter, compiled beforehand, medians of {ROUNDS} interleaved imports.\n")
    rows = [
        (
            f"`{statement}`",
            f"{spread(took).median * 1000:.0f}",
            f"{ratio(took, rounds[DEPENDENCIES]):.3f}",
        )
        for statement, took in rounds.items()
    ]
    print(table(("statement", "ms", "÷ dependencies"), rows))


if __name__ == "__main__":
    main()
