"""The API reference has every public name, once, and the pages on errors and options all of them."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

import threecommas_async
from threecommas_async.client import _VARIABLES

PAGES = Path(__file__).parents[2] / "docs" / "api"
MODULES = (
    "threecommas_async",
    "threecommas_async.limits_redis",
    "threecommas_async.sandbox",
    "threecommas_async.testing",
)
BESIDES = {"threecommas_async.limits": {"ENDPOINT_LIMITS"}}
"""What pages of the documentation name and no list of public names has, by module."""
DIRECTIVE = re.compile(r"^\.\. (currentmodule|auto(?:class|exception|function|data)):: (\S+)$", re.MULTILINE)


def documented() -> dict[str, Counter[str]]:
    """How often each name of each module is on the pages."""
    found: dict[str, Counter[str]] = {module: Counter() for module in (*MODULES, *BESIDES)}
    for page in sorted(PAGES.glob("*.md")):
        module = ""
        for directive, name in DIRECTIVE.findall(page.read_text(encoding="utf-8")):
            if directive == "currentmodule":
                module = name
            else:
                found[module][name] += 1
    return found


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_in_the_api_reference_once(module: str) -> None:
    assert documented()[module] == Counter(import_module(module).__all__)


@pytest.mark.parametrize("module", BESIDES)
def test_what_the_pages_name_besides_is_in_the_api_reference_once(module: str) -> None:
    assert documented()[module] == Counter(BESIDES[module])


def test_the_page_on_errors_says_what_each_error_means() -> None:
    page = (PAGES.parent / "errors.md").read_text(encoding="utf-8")
    for name in threecommas_async.__all__:
        if name.endswith("Error") and name != "APIStatusError":  # What it means is said of those below it.
            assert f"`{name}`" in page, name


def test_the_page_on_options_has_a_row_for_each_option_and_variable() -> None:
    page = (PAGES.parent / "options.md").read_text(encoding="utf-8")
    named = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE)))
    options = list(inspect.signature(threecommas_async.ThreeCommas).parameters)
    assert Counter(named) == Counter([*options, *_VARIABLES.values()])
