"""The public interface type-checks from outside, and its wrong uses are refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("program", ["consumer.py", "wrong_uses.py"])
def test_mypy_agrees(program: str) -> None:
    pytest.importorskip("mypy", reason="mypy is in the environment of tox -e type")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores", "--no-incremental", HERE / program],
        cwd=HERE.parents[1], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
