"""Imports point one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import threecommas_async

PACKAGE = Path(threecommas_async.__file__).parent
LAYERS = (
    "models",
    "arguments",
    "errors",
    "market_rules",
    "limits",
    "limiter",
    "limits_redis",
    "endpoints",
    "signing",
    "wire",
    "refusals",
    "retry",
    "transport",
    "attempt",
    "deadline",
    "errand",
    "gate",
    "recording",
    "shared_reads",
    "mode",
    "risk",
    "guard",
    "recovery",
    "session",
    "created",
    "walk",
    "batch",
    "resources",
    "client",
)
"""From the ground up: a module imports what stands before it."""

TESTING_STANDS_ON = {"testing", "sandbox", "errors", "models", "limits", "endpoints", "recording", "client"}
SANDBOX_STANDS_ON = {"sandbox", "models", "limits", "endpoints", "signing"}
BESIDE = {"sandbox": SANDBOX_STANDS_ON, "testing": TESTING_STANDS_ON}
"""What the layers never import, and what it imports itself."""
ONLY_IMPORTER = {"aiohttp": {"transport"}, "aiolimiter": {"limiter"}, "tenacity": {"retry"}}


@cache
def imported(path: Path) -> set[str]:
    """Full names of the modules that are imported when this one is."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.ImportFrom(module="threecommas_async", names=names):
                found |= {f"threecommas_async.{name.name}" for name in names}
            case ast.ImportFrom(module=str(module)):
                found.add(module)
            case ast.Import(names=names):
                found |= {name.name for name in names}
            case _:
                pass
    return found


def own(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("threecommas_async.")}


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if part(path) in {*LAYERS, *BESIDE})


def test_a_module_imports_only_what_stands_before_it() -> None:
    for path in MODULES:
        if part(path) in BESIDE:
            assert own(imported(path)) <= BESIDE[part(path)], path.name
        else:
            assert own(imported(path)) <= set(LAYERS[: LAYERS.index(part(path)) + 1]), path.name


@pytest.mark.parametrize("library", ONLY_IMPORTER)
def test_a_library_is_imported_in_one_place(library: str) -> None:
    importers = {
        part(path)
        for path in MODULES
        if library in {name.split(".")[0] for name in imported(path)} and part(path) not in BESIDE
    }
    assert importers == ONLY_IMPORTER[library]


def test_every_module_has_its_place() -> None:
    others = {part(path) for path in PACKAGE.rglob("*.py")} - set(LAYERS) - set(BESIDE)
    assert others == {"__init__", "__main__", "commands"}


def test_pytest_is_imported_for_the_fixtures_alone() -> None:
    importers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if {name.split(".")[0] for name in imported(path)} & {"pytest", "pytest_asyncio"}
    }
    assert importers == {"testing/fixtures.py"}


def test_the_package_comes_without_its_tests_tools_and_these_without_pytest() -> None:
    script = """
import sys, threecommas_async, threecommas_async.__main__
assert not [name for name in sys.modules if "testing" in name and "threecommas" in name]
sys.modules["pytest"] = None
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "pytest" else find(name)
import threecommas_async.testing as testing
assert not hasattr(testing, "sandbox") and testing.Clock and testing.record
"""
    subprocess.run([sys.executable, "-c", script], check=True)
