"""The README's programs run, and print what they promise."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

README: Final = Path(__file__).parents[2] / "README.md"
PROGRAMS: Final = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
PRINTED: Final = (("DriverState.READY Counter(", "0x1234 996633ff996633ff", "[] 0"), ("996633ff996633ff",))
"""How the lines begin."""


def test_every_program_is_known_here() -> None:
    assert len(PROGRAMS) == len(PRINTED)


@pytest.mark.parametrize(("program", "printed"), list(zip(PROGRAMS, PRINTED, strict=True)))
def test_a_program_prints_what_it_is_about(program: str, printed: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line[: len(start)] for line, start in zip(done.stdout.splitlines(), printed, strict=True)] == list(printed)
