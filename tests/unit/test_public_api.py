from __future__ import annotations

import inspect
from types import FunctionType

import pytest

import threecommas_async


def test_everything_public_is_listed_and_everything_listed_is_there() -> None:
    visible = {
        name
        for name, value in vars(threecommas_async).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert set(threecommas_async.__all__) == visible


ALIASES = {
    "ClosingOrder",
    "IdsOrTrades",
    "JsonPayload",
    "Kind",
    "Mode",
    "Number",
    "OnProgress",
    "OnUnfilled",
    "OrderBy",
    "OrderDirection",
    "Predicate",
    "StatusFilter",
}
"""Types that cannot have a docstring; a text below them in the source is one to documentation tools."""


@pytest.mark.parametrize("name", sorted(set(threecommas_async.__all__) - ALIASES))
def test_everything_public_has_a_docstring(name: str) -> None:
    value = getattr(threecommas_async, name)
    assert vars(value)["__doc__"] if inspect.isclass(value) else value.__doc__
    for member, described in vars(value).items() if inspect.isclass(value) else ():
        if not member.startswith("_") and isinstance(described, FunctionType | classmethod | property):
            assert described.__doc__, f"{name}.{member}"
