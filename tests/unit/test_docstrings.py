"""Every public name says what it means, fields included: a string under each field is its docstring."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import threecommas_async

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(threecommas_async.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))


def undocumented(module: ast.Module) -> Iterator[str]:
    if ast.get_docstring(module) is None:
        yield "the module"
    for node in module.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from undocumented_in(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and is_bare(node):
            yield node.name


def is_bare(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    overloads = [by for by in node.decorator_list if isinstance(by, ast.Name) and by.id == "overload"]
    return not node.name.startswith("_") and not overloads and ast.get_docstring(node) is None


def undocumented_in(node: ast.ClassDef) -> Iterator[str]:
    documentation = ast.get_docstring(node)
    if documentation is None:
        yield node.name
    bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
    for member, follower in zip(node.body, [*node.body[1:], None], strict=True):
        match member:
            case ast.FunctionDef() | ast.AsyncFunctionDef() if "Protocol" not in bases and is_bare(member):
                yield f"{node.name}.{member.name}"
            case ast.AnnAssign(target=ast.Name(id=name)) if not name.startswith("_"):
                under = isinstance(follower, ast.Expr) and isinstance(follower.value, ast.Constant)
                if not under and f"{name}:" not in (documentation or ""):
                    yield f"{node.name}.{name}"
            case _:
                pass


def test_every_public_method_and_field_has_a_docstring() -> None:
    found = {
        str(path.relative_to(PACKAGE)): list(undocumented(ast.parse(path.read_text(encoding="utf-8"))))
        for path in MODULES
    }
    assert {name: missing for name, missing in found.items() if missing} == {}
