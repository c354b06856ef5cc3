"""What importing the package costs beside importing the four libraries it stands on.

Run: ``python benchmarks/import_time.py``. Each import has a fresh interpreter; the two kinds take turns. Both
sides are compiled beforehand, as when installed: where bytecode is not written, the package would otherwise
be compiled at every import and the libraries would not.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

ROUNDS = 40
DEPENDENCIES = "import aiohttp, msgspec, aiolimiter, tenacity"
PACKAGE = "import threecommas_async"
TIMED = "import time; began = time.perf_counter(); {}; print(time.perf_counter() - began)"


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
    """Print the medians and the ratio of the two imports."""
    with tempfile.TemporaryDirectory() as compiled:
        environment = os.environ | {"PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
        for statement in (DEPENDENCIES, PACKAGE):
            seconds(statement, environment)
        pairs = [(seconds(DEPENDENCIES, environment), seconds(PACKAGE, environment)) for _ in range(ROUNDS)]
    dependencies, package = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = sorted(ours / theirs for theirs, ours in pairs)
    print(f"dependencies {dependencies * 1000:.0f} ms, package {package * 1000:.0f} ms (medians of {ROUNDS})")
    print(
        f"ratio of the medians {package / dependencies:.3f}; of the pairs "
        f"{ratios[len(ratios) // 4]:.3f} to {ratios[3 * len(ratios) // 4]:.3f} (quartiles)"
    )


if __name__ == "__main__":
    main()
