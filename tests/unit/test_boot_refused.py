"""Options of a boot that cannot work: refused before any guest starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.boot_stage import Stage, staged


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    yield from staged(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--kvmgt"], "--kvmgt goes with --physical"),
        (["--physical", "--guests", "2"], "one physical GPU, for one machine"),
        (["--physical", "--type", "GVTg_V5_4"], "has no vGPU type"),
        (["--physical", "--scheduler", "gvt"], "one machine has the GPU to itself"),
        (["--own", "--physical"], "no mediator has a part of it for anybody"),
        (["--own", "--type", "GVTg_V5_4"], "guest 0 is the host, which has no vGPU; give --guests 2 or more"),
        (["--own", "--memory", "2048"], "the host's own machine has up to 1984 MiB"),
        (["--own-weight", "3"], "it goes with --own"),
    ],
)
def test_options_that_mean_nothing_together_are_refused(
    stage: Stage, capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    assert stage.run(*words) == 2
    assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["--add", "nonsense"], "is not FILE:GUESTPATH"),
        (["--qemu", "/nowhere"], "--qemu: /nowhere is not a file"),
        (["--json", "/nowhere/report.json"], "--json: /nowhere/report.json cannot be written"),
        (["--console", "/proc/nowhere"], "--console: /proc/nowhere cannot be made"),
        (["--post", "/nowhere"], "--post: /nowhere cannot be read"),
    ],
)
def test_what_cannot_work_is_refused_before_any_guest_starts(
    stage: Stage, capsys: pytest.CaptureFixture[str], words: list[str], rule: str
) -> None:
    assert stage.run(*words) == 2
    assert rule in capsys.readouterr().err
    assert not (stage.folder / "pids").exists()


@pytest.mark.parametrize("words", [["--guests", "0"], ["--timeout", "0"], ["--memory", "x"], ["--timeout", "nan"]])
def test_a_number_that_makes_no_sense_is_refused(stage: Stage, words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        stage.run(*words)
    assert caught.value.code == 2
