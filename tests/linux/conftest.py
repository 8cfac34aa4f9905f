"""What the tests with a real Linux share: the work that it is given from user space."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

WORKLOAD = Path(__file__).parent / "workload"


@pytest.fixture(scope="session")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C programs of this directory as one static program."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("the workload needs gcc")
    target = tmp_path_factory.mktemp("workload") / "workload"
    words = [compiler, "-static", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o", str(target)]
    subprocess.run([*words, *map(str, sorted(WORKLOAD.glob("*.c")))], check=True)
    return target
