from __future__ import annotations

import inspect

import pytest

import threecommas_async


def test_everything_public_is_listed_and_everything_listed_is_there() -> None:
    visible = {
        name
        for name, value in vars(threecommas_async).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert set(threecommas_async.__all__) == visible


@pytest.mark.parametrize("name", threecommas_async.__all__)
def test_everything_public_has_a_docstring(name: str) -> None:
    value = getattr(threecommas_async, name)
    assert inspect.getdoc(value)
    for member, method in inspect.getmembers(value, inspect.isfunction):
        if not member.startswith("_") and method.__module__.startswith("threecommas_async"):
            assert inspect.getdoc(method), f"{name}.{member}"
