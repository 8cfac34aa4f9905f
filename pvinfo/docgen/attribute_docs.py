"""The strings that follow an assignment: what a constant, enum member or tuple field means.

Python keeps no such string at run time, so the module's text is read again.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import NamedTuple

__all__ = ("ModuleText", "read_module_text")


class ModuleText(NamedTuple):
    """What only the text of a module tells."""

    assigned: tuple[str, ...]
    """Names that the module itself assigns, in order."""
    docs: dict[str, str]
    """Docstrings of attributes, by qualified name: ``MMIO_SIZE``, ``TraceRow.size``."""


def _targets(statement: ast.stmt) -> Iterator[str]:
    targets: Iterable[ast.expr] = ()
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = (statement.target,)
    for target in targets:
        if isinstance(target, ast.Name):
            yield target.id


def _documented(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, str]]:
    for statement, following in zip(body, [*body[1:], ast.Pass()], strict=True):
        if isinstance(statement, ast.ClassDef):
            yield from _documented(statement.body, f"{prefix}{statement.name}.")
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant) and isinstance(following.value.value, str):
            for name in _targets(statement):
                yield prefix + name, inspect.cleandoc(following.value.value)


def read_module_text(module: ModuleType) -> ModuleText:
    """Read ``module``'s source. Raises: OSError when there is none."""
    body = ast.parse(inspect.getsource(module)).body
    return ModuleText(tuple(name for statement in body for name in _targets(statement)), dict(_documented(body, "")))
