"""A real Linux in QEMU: what it needs, and a boot by the command line that users have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

__all__ = ("Booted", "boot", "needs")

_VARIABLES = ("GVT_QEMU", "GVT_KERNEL", "GVT_MODULES", "GVT_BUSYBOX")
_LATEST_S = 320
"""When a boot is given up that does not end by itself: later than any time-out that is told to it."""


def needs(whom: str = "a real guest") -> list[pytest.MarkDecorator]:
    """Marks of a module whose tests boot ``whom``."""
    missing = [name for name in _VARIABLES if not os.environ.get(name)]
    return [pytest.mark.linux, pytest.mark.skipif(bool(missing), reason=f"{whom} needs {', '.join(missing)}")]


class Booted(NamedTuple):
    """One finished ``host-model boot``: its status, what it said on the way, its report."""

    status: int
    errors: str
    report: dict[str, Any]


def boot(folder: Path, *words: str) -> Booted:
    """Run ``host-model boot`` with ``words``; consoles and whatever else it keeps are in ``folder``."""
    target = folder / "report.json"
    command = [sys.executable, "-m", "host_model", "boot", "--json", str(target), "--console", str(folder), *words]
    result = subprocess.run(command, capture_output=True, text=True, timeout=_LATEST_S, check=False)
    assert target.exists(), f"no report; status {result.returncode}: {result.stderr}"
    return Booted(result.returncode, result.stderr, json.loads(target.read_text()))
