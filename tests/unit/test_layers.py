"""Imports point one way."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import threecommas_async

PACKAGE = Path(threecommas_async.__file__).parent
LAYERS = (
    "models",
    "errors",
    "limits",
    "limits_redis",
    "endpoints",
    "signing",
    "wire",
    "retry",
    "transport",
    "attempt",
    "gate",
    "recording",
    "mode",
    "risk",
    "guard",
    "session",
    "created",
    "batch",
    "follow",
    "resources",
    "client",
)
"""From the ground up: a module imports what stands before it."""

SANDBOX_STANDS_ON = {"sandbox", "errors", "models", "limits", "endpoints", "signing"}
ONLY_IMPORTER = {"aiohttp": {"transport"}, "aiolimiter": {"limits"}, "tenacity": {"retry"}}


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


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if part(path) in {*LAYERS, "sandbox"})


def test_a_module_imports_only_what_stands_before_it() -> None:
    for path in MODULES:
        if part(path) == "sandbox":
            assert own(imported(path)) <= SANDBOX_STANDS_ON, path.name
        else:
            assert own(imported(path)) <= set(LAYERS[: LAYERS.index(part(path)) + 1]), path.name


@pytest.mark.parametrize("library", ONLY_IMPORTER)
def test_a_library_is_imported_in_one_place(library: str) -> None:
    importers = {
        part(path)
        for path in MODULES
        if library in {name.split(".")[0] for name in imported(path)} and part(path) != "sandbox"
    }
    assert importers == ONLY_IMPORTER[library]


def test_every_module_has_its_place() -> None:
    others = {part(path) for path in PACKAGE.rglob("*.py")} - set(LAYERS) - {"sandbox"}
    assert others == {"__init__", "__main__", "demo"}
