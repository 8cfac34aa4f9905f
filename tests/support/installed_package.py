"""A package of somebody else's that is installed, and brings something by entry points."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

__all__ = ("install", "write_package")


def write_package(folder: Path, module: str, source: str, group: str, entries: dict[str, str]) -> None:
    """Put the package ``module`` with ``source`` into ``folder``, as an installer would; its ``entries`` of ``group`` name what is in it."""
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n" + "".join(f"{name} = {module}:{what}\n" for name, what in entries.items()))


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, module: str, source: str, group: str, entries: dict[str, str]) -> None:
    """The same, found by this interpreter until the test's end."""
    write_package(folder, module, source, group, entries)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, module, raising=False)
