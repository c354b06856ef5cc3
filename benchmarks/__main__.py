"""Run every benchmark in a process of its own, and write what they print to ``docs/benchmarks.md``.

Run: ``python -m benchmarks`` from the root of the repository (ten minutes, needs the extra ``bench``);
``--long`` adds a batch of 10 000 closes. A benchmark that fails leaves the page as it is.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

from benchmarks.tables import table

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
    *("aiohttp", "msgspec", "aiolimiter", "tenacity", "yarl", "uvloop", "httpx", "py3cw", "requests"),
    *("pydantic", "cryptography"),
)


INTRODUCTION: Final = """\
# Benchmarks

Written by `python -m benchmarks` (extra `bench`), which runs each of the commands below in a process of its
own. Where two things are compared, they were measured in turn, in short rounds of one run: a ratio is the
median of the ratios of the rounds, with the quartiles behind it. Ratios travel between machines, microseconds
do not. Whatever is sent goes to a server in another process of the same machine, which answers as documented.

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


def surroundings() -> str:
    """Return the table of what it was measured on."""
    rows = [
        ("date", datetime.now(UTC).date().isoformat()),
        ("processor", f"{processor()}, {os.cpu_count()} cores"),
        ("system", f"{platform.system()}, {platform.machine()}"),
        ("Python", f"{platform.python_implementation()} {platform.python_version()}"),
        *((library, version(library)) for library in LIBRARIES),
    ]
    return table(("what", "which"), rows, texts=2)


def version(library: str) -> str:
    """Return the version of a library."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "not installed"


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
    parts = [INTRODUCTION.format(surroundings=surroundings())]
    for module in SECTIONS:
        parts.append(section(module, measured(module)))
        print(parts[-1], flush=True)
    PAGE.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
