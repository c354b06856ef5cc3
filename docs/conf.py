"""How the documentation is built: ``sphinx-build -W --keep-going -n docs TARGET``, with the extra ``docs``.

No page of another project is looked at, so a build needs no network. A name between single backticks has to
be one of the package, of Python, or of what the package stands on: any other one is an error.
"""

from __future__ import annotations

import collections.abc
import contextlib
import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from sphinx.pycode import ModuleAnalyzer

import threecommas_async

if TYPE_CHECKING:
    from docutils.nodes import Element
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "threecommas_async"
author = "The threecommas_async maintainers"
html_title = "threecommas-async"  # A sidebar breaks it at the hyphen.

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_copy_source = False
html_show_copyright = False

myst_heading_anchors = 3

default_role = "py:obj"
python_use_unqualified_type_names = True
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_numpy_docstring = False
nitpicky = True

_MODULES = [threecommas_async] + [
    importlib.import_module(found.name)
    for found in pkgutil.walk_packages(threecommas_async.__path__, "threecommas_async.")
    if not found.name.endswith("__main__")
]
_PUBLIC = ("threecommas_async", "threecommas_async.testing", "threecommas_async.sandbox")


def _find(name: str) -> Any:
    """Return what a dotted name stands for: imported as far as it is a module, then looked up.

    Raises:
        AttributeError: There is no such thing.
    """
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            value = getattr(value, part)
        return value
    for module in (*_MODULES, collections.abc, contextlib):  # As a signature writes it, such as ``Decimal``.
        if parts[0] in vars(module):
            return vars(module)[parts[0]]
    raise AttributeError(name)


def _resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, text: Element) -> Element | None:
    """Point a reference at the public name of what it means; leave it as text where that has no page."""
    name = str(node.get("reftarget"))
    try:
        meant = _find(name)
    except AttributeError:
        return None
    last = name.rpartition(".")[2]
    python = env.domains["py"]
    for module in _PUBLIC:
        if getattr(importlib.import_module(module), last, None) is meant:
            return python.resolve_xref(
                env, node["refdoc"], app.builder, "obj", f"{module}.{last}", node, text
            )
    return text


def _describe(_app: Sphinx, what: str, name: str, value: object, _options: object, lines: list[str]) -> None:
    """Give aliases and constants the text that stands below them where they are made."""
    if what == "data":
        key = ("", name.rpartition(".")[2])
        for module in _MODULES:
            if vars(module).get(key[1]) is value:
                documented = ModuleAnalyzer.for_module(module.__name__).find_attr_docs()
                if key in documented:
                    lines[:] = documented[key]
    if what in {"attribute", "data", "property"}:
        lines[:0] = ["..", ""]  # Else napoleon takes what stands before the first colon for a type.


def _shorten_signature(
    _app: Sphinx, what: str, _name: str, value: object, _options: object, signature: str | None, returns: Any
) -> tuple[str, Any] | None:
    """Leave out how to make what only the package makes, and the defaults that are no Python."""
    if not signature:
        return None
    hidden = what == "exception" or (isinstance(value, type) and _is_made_by_the_package(value))
    return ("" if hidden else signature.replace("<factory>", "..."), returns)


def _is_made_by_the_package(made: type) -> bool:
    is_answer = issubclass(made, Struct) and not made.__module__.startswith("threecommas_async.models.order")
    return is_answer or made.__module__.startswith(
        ("threecommas_async.resources", "threecommas_async.batch", "threecommas_async.sandbox.exchange")
    )


def setup(app: Sphinx) -> None:
    """Connect the above to Sphinx."""
    app.connect("missing-reference", _resolve)
    app.connect("autodoc-process-docstring", _describe, priority=400)
    app.connect("autodoc-process-signature", _shorten_signature)
