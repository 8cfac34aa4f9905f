"""What every test directory shares: options, and which tests run only when they are asked for."""

from __future__ import annotations

import gc
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.figures import Figures

# Test aids are imported as ``support.…`` whatever the import mode and the directory pytest was started in.
sys.path.insert(0, str(Path(__file__).parent))

# A run started in the background ignores Ctrl-C, and so would every program that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ONLY_WHEN_ASKED = ("bench", "full", "fuzz")
"""Markers of tests that take long or need a quiet machine: ``-m fuzz`` runs them, a plain run does not."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cosim", "GVT-g co-simulation kit")
    group.addoption(
        "--fuzz-acts", type=int, default=200_000, metavar="N",
        help="acts of the random guests in -m fuzz, over all guests together (default: %(default)s)",
    )  # fmt: skip
    group.addoption(
        "--fuzz-host-acts", type=int, default=1_000_000, metavar="N",
        help="acts of the hostile host drivers in -m fuzz, over all of them together (default: %(default)s)",
    )  # fmt: skip
    group.addoption(
        "--fuzz-guest-acts", type=int, default=1_000_000, metavar="N",
        help="acts of the hostile guests in -m fuzz, over all of them together (default: %(default)s)",
    )  # fmt: skip
    group.addoption("--fuzz-seed", type=int, default=1, metavar="SEED", help="first seed of -m fuzz (default: %(default)s)")
    group.addoption(
        "--fuzz-messages", type=int, default=10_000, metavar="N",
        help="random vfio-user messages in -m fuzz (default: %(default)s)",
    )  # fmt: skip
    group.addoption("--bench-json", type=Path, default=None, metavar="FILE", help="also store the figures of -m bench in FILE")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    expression = config.getoption("markexpr")
    unasked = [marker for marker in ONLY_WHEN_ASKED if not re.search(rf"\b{marker}\b", expression)]
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        (dropped if any(item.get_closest_marker(marker) for marker in unasked) else kept).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def pytest_collection_finish() -> None:
    """Test modules and items live to the end: searching them for garbage again and again would take a tenth of the run."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Iterator[Figures]:
    """The figures of this run; stored at its end where ``--bench-json`` says."""
    from support.figures import Figures

    collected = Figures()
    yield collected
    path: Path | None = request.config.getoption("--bench-json")
    if path is not None:
        collected.store(path)
