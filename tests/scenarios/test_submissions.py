"""The Python driver submits as the real one does: the same descriptors in the same ports, followed by the same events and breadcrumbs.

The recordings are of the drivers' start on the physical GPU, with the first requests of every engine, and of the fixed work of
``tests/linux/workload/submissions.c``: one batch after the other, two contexts that become ready at one moment, one that
preempts another, one that waits for another engine. The Python driver's is here to be compared by eye and by ``pvinfo``; what
the test compares is what the driver does now.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fixed_work import do_fixed_work

from guest_driver import GuestDriver
from host_model.bare_metal import bare_machine
from pvinfo.__main__ import main as pvinfo_command
from pvinfo.platform import Engine
from pvinfo.submission_trace import Act, compare_submissions
from pvinfo.trace import read_numbered_trace

RECORDED = Path(__file__).parents[1] / "unit" / "data"


def recording(driver: str, platform: str) -> Path:
    return RECORDED / f"{driver}_submissions_{platform}.tsv.xz"


@pytest.fixture(scope="module", params=["skl", "kbl", "bdw"])
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A platform, and what the Python driver does on it."""
    platform: str = request.param
    target = tmp_path_factory.mktemp("submissions") / f"{platform}.tsv"
    gpu, machine = bare_machine(platform)
    gpu.trace_to(target)
    driver = GuestDriver(machine)
    driver.probe()
    do_fixed_work(driver)
    gpu.end_trace()
    return platform, target


@pytest.mark.parametrize("driver", ["real", "python"])
def test_the_python_driver_submits_like(driver: str, recorded: tuple[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    platform, ours = recorded
    theirs = recording(driver, platform)
    comparison = compare_submissions(read_numbered_trace(theirs), read_numbered_trace(ours))
    assert comparison.equal, comparison.differences
    assert set(comparison.applied) <= {"context-image-address", "breadcrumb-address", "restore-after-rest"}
    assert pvinfo_command(["trace", "diff", "--submissions", str(theirs), str(ours)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "equal"


def test_the_recordings_hold_every_shape_that_they_are_there_for(recorded: tuple[str, Path]) -> None:
    platform, _ = recorded
    rows = read_numbered_trace(recording("real", platform))
    steps = compare_submissions(rows, rows).left
    assert {engine: sum(step.act is Act.SUBMISSION for step in steps[engine]) for engine in steps} == {
        Engine.RCS0: 7, Engine.BCS0: 5, Engine.VCS0: 7, Engine.VECS0: 9 if platform == "bdw" else 12,
    }  # fmt: skip
    told = {step.describe().partition(" of context")[0] for step in steps[Engine.VECS0] if step.act is Act.EVENT}
    assert {"event: idle_to_active", "event: element_switch, context_complete", "event: active_to_idle, context_complete"} <= told
    assert any("preempted" in words for words in told) == (platform != "bdw"), "gen8 runs what has begun to its end"
