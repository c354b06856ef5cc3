"""Run every benchmark in a process of its own, and write what they print to ``docs/benchmarks.md``.

Run: ``python -m benchmarks`` from the root of the repository (about ten minutes, needs the extra ``bench``);
``--long`` adds a batch of 10 000 closes. A benchmark that fails leaves the page as it is.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

from benchmarks.tables import table
from tests.valkey import find_server

PAGE: Final = Path(__file__).parents[1] / "docs" / "benchmarks.md"

SECTIONS: Final = {
    "calls": "What a call costs",
    "decode": "Decoding",
    "signing": "Signing",
    "batch": "Closing in bulk",
    "limits": "Keeping the request limit",
    "shared_limit": "Sharing the request limit",
    "import_time": "Importing",
}
"""Heading of each benchmark, by the name of its module."""

LONG: Final = "--long"

LIBRARIES: Final = (
    *("aiohttp", "msgspec", "aiolimiter", "tenacity", "yarl", "multidict", "uvloop", "httpx", "py3cw"),
    *("requests", "pydantic", "cryptography", "redis"),
)


INTRODUCTION: Final = """\
# Benchmarks

Written as a whole by `python -m benchmarks` (extra `bench`), which runs each of the commands below in a
process of its own, one after the other. Times that stand beside each other under *What a call costs*,
*Decoding*, *Signing* and *Importing* were measured in turn, in short rounds of one run: each is the median of
its rounds, and a ratio the median of the ratios of the rounds, with the quartiles behind it. Ratios travel
between machines, microseconds do not. The figures under *Closing in bulk*, *Keeping the request limit* and
*Sharing the request limit* are those of one run, unless quartiles stand behind them.

Calls and closes go to a server in another process of the same machine, which answers as documented. Where the
request limit itself is measured, nothing is sent: arrivals are counted where a server would count them.

{surroundings}
"""


def measured(module: str) -> str:
    """Return what a benchmark prints, run in a process of its own.

    Raises:
        SystemExit: It failed; what it says is on the terminal already.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", *(sys.argv[1:] if module == "batch" else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=False)
    if done.returncode:
        raise SystemExit(f"python -m benchmarks.{module} failed; {PAGE.name} stays as it was")
    return done.stdout.strip()


def section(module: str, output: str) -> str:
    """Return the section of one benchmark."""
    option = f" {LONG}" if module == "batch" and LONG in sys.argv else ""
    return f"## {SECTIONS[module]}\n\n`python -m benchmarks.{module}{option}`. {output}\n"


def surroundings(began: datetime, took: float) -> str:
    """Return the table of when and on what it was measured.

    Args:
        began: When it began.
        took: Seconds that it took.
    """
    rows = [
        ("date", began.date().isoformat()),
        ("duration", f"{took / 60:.0f} minutes"),
        ("processor", f"{processor()}, {os.cpu_count()} cores"),
        ("system", f"{platform.system()}, {platform.machine()}"),
        ("Python", f"{platform.python_implementation()} {platform.python_version()}"),
        *((library, version(library)) for library in LIBRARIES),
        ("store", store()),
    ]
    return table(("what", "which"), rows, texts=2)


def version(library: str) -> str:
    """Return the version of a library."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "not installed"


def store() -> str:
    """Return name and version of the server that a shared limit is kept on."""
    binary = find_server()
    if binary is None:
        return "not installed"
    told = subprocess.run([binary, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = re.match(r"(\w+) server v=(\S+)", told)
    return f"{found[1]} {found[2]}" if found else told.strip()


def processor() -> str:
    """Return the model of the processor."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text(encoding="utf-8").splitlines() if about.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def main() -> None:
    """Write the page."""
    if unknown := {*sys.argv[1:]} - {LONG}:
        raise SystemExit(f"only {LONG} is known, not {' '.join(sorted(unknown))}")
    began, clock = datetime.now(UTC), time.monotonic()
    sections: list[str] = []
    for module in SECTIONS:
        sections.append(section(module, measured(module)))
        print(sections[-1], flush=True)
    head = INTRODUCTION.format(surroundings=surroundings(began, time.monotonic() - clock))
    print(head)
    PAGE.write_text("\n".join([head, *sections]), encoding="utf-8")


if __name__ == "__main__":
    main()
