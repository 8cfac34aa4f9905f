"""A vGPU without a virtual machine: the example, and many processes each on a socket of one server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from support.serving import serving

EXAMPLE: Final = Path(__file__).with_name("vgpu_without_a_machine.py")


def test_the_example_draws_in_process_and_behind_a_socket(tmp_path: Path) -> None:
    with serving(tmp_path, "GVTg_V5_8") as sockets:
        for words in ([], [str(sockets[0])]):
            done = subprocess.run([sys.executable, "-W", "error", str(EXAMPLE), *words], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout, done.stderr) == (0, "996633ff996633ff996633ff ffffffffffffffff996633ff\n", "")
