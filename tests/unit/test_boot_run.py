"""A whole run of ``host-model boot`` against a QEMU that only plays a guest's part."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.boot_stage import END, HANGS, NOT_PROBED, POST_FAILS, PRINTS_MORE, PROBED, SPEAKS, Stage, staged


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    yield from staged(tmp_path, monkeypatch)


def test_a_guest_whose_driver_comes_up_is_a_success(stage: Stage) -> None:
    report = stage.report()
    assert report["ok"] and report["failures"] == []
    assert report["vgpus"] == []
    (guest,) = report["guests"]
    assert guest["driver_initialized"] and guest["detected"] and not guest["wedged"]
    assert guest["drm_nodes"] == ["card0", "renderD128"]
    assert guest["kernel"] == "6.12.1-amd64"
    assert guest["seconds"]["boot"] == 3.1
    assert guest["seconds"]["probe"] == 1.5
    assert guest["warnings"] == [] and guest["diagnosis"] == []
    assert stage.processes_left() == []


def test_every_guest_counts(stage: Stage) -> None:
    stage.play(SPEAKS, PROBED + END)
    report = stage.report("--guests", "3")
    assert [guest["stage"] for guest in report["guests"]] == ["end"] * 3
    # Only the guest that comes first says anything.
    stage.play('if mkdir "$here/taken" 2>/dev/null; then cat "$here/log" >&3; fi\n', PROBED + END)
    report = stage.report("--guests", "2")
    assert sorted(guest["driver_initialized"] for guest in report["guests"]) == [False, True]
    assert len(report["failures"]) == 1


def test_a_driver_that_does_not_come_up_is_a_failure(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.play(SPEAKS, NOT_PROBED + END)
    assert stage.run() == 1
    assert "FAILED  guest 0: the driver did not initialise" in capsys.readouterr().out


def test_the_post_script_counts_only_when_one_was_given(stage: Stage, tmp_path: Path) -> None:
    stage.play(PRINTS_MORE + SPEAKS, POST_FAILS + END)
    (tmp_path / "post.sh").write_text("exit 7\n")
    report = stage.report("--post", str(tmp_path / "post.sh"))
    assert report["failures"] == ["guest 0: the post script ended with status 7"]
    assert report["guests"][0]["post_status"] == 7
    assert report["guests"][0]["post_output"] == "drawn 12 boxes\n"
    assert stage.report()["ok"]


def test_a_post_script_that_never_ran_is_a_failure(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "post.sh").touch()
    report = stage.report("--post", str(tmp_path / "post.sh"))
    assert report["failures"] == ["guest 0: the post script ended with status None"]


def test_a_guest_that_never_ends_is_stopped_with_all_it_started(stage: Stage) -> None:
    stage.play(SPEAKS + HANGS, PROBED)
    report = stage.report("--timeout", "0.5")
    (failure,) = report["failures"]
    assert re.fullmatch(r"guest 0: no end after \d+\.\d s; the last stage was probed", failure)
    assert report["guests"][0]["timed_out"]
    assert stage.processes_left() == []


def test_a_machine_that_ends_early_is_a_failure_in_qemus_words(stage: Stage) -> None:
    stage.play('echo "no room for guest memory" >&2; echo more >&2; exit 1\n')
    report = stage.report()
    assert report["failures"] == [
        "guest 0: QEMU ended with status 1 (no room for guest memory) in the guest's stage starting"
    ]
    assert report["guests"][0]["qemu_messages"] == ["no room for guest memory", "more"]


def test_a_kernel_that_panics_is_a_failure_in_its_own_words(stage: Stage) -> None:
    stage.play(SPEAKS, "<0>[    1.5] Kernel panic - not syncing: VFS: Unable to mount root fs\n")
    assert stage.report()["failures"] == [
        "guest 0: QEMU ended with status 0 (Kernel panic - not syncing: VFS: Unable to mount root fs) "
        "in the guest's stage kernel"
    ]


def test_a_guest_that_kvm_gives_up_on_is_not_waited_for(stage: Stage) -> None:
    stage.play(SPEAKS + "echo KVM internal error. Suberror: 1\n" + HANGS, PROBED)
    report = stage.report("--timeout", "500")
    assert report["failures"] == [
        "guest 0: QEMU was stopped (KVM internal error. Suberror: 1) in the guest's stage probed"
    ]
    assert not report["guests"][0]["timed_out"]
    assert stage.processes_left() == []


def test_a_log_larger_than_any_pipe_is_read_whole(stage: Stage) -> None:
    filler = "".join(f"<7>[    4.{number:06}] filler {number}\n" for number in range(40_000))
    stage.play(SPEAKS, PROBED + filler + END)
    report = stage.report("--console", str(stage.folder / "logs"))
    assert report["ok"]
    assert (stage.folder / "logs/guest0-console.log").read_text() == PROBED + filler + END


def test_the_streams_are_copied_for_each_guest(stage: Stage) -> None:
    stage.play(PRINTS_MORE + SPEAKS, PROBED + END)
    stage.run("--guests", "2", "--console", str(stage.folder / "a/logs"))
    names = sorted(path.name for path in (stage.folder / "a/logs").iterdir())
    assert names == [f"guest{n}-{name}.log" for n in range(2) for name in ("console", "post", "qemu")]
    assert (stage.folder / "a/logs/guest1-console.log").read_text() == PROBED + END
    assert (stage.folder / "a/logs/guest1-post.log").read_bytes() == b"drawn 12 boxes\r\n"


def test_without_a_file_the_report_goes_to_standard_output_alone(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.run("--json")
    printed = capsys.readouterr()
    assert json.loads(printed.out)["ok"] is True
    assert printed.err.splitlines()[-1] == "ok"


def test_stages_are_plain_lines_when_there_is_no_terminal(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.run()
    lines = [line.split("s  ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "guest 0: starting QEMU",
        "guest 0: Linux starts",
        "guest 0: user space",
        "guest 0: loading modules",
        "guest 0: i915 probes the GPU",
        "guest 0: i915 loaded",
        "guest 0: power off",
    ]


def test_each_guest_is_told_its_number(stage: Stage) -> None:
    stage.play('printf "%s\\n" "$*" | grep -o "HOST_MODEL_GUEST=[0-9]*" >&4\n' + SPEAKS, PROBED + END)
    report = stage.report("--guests", "3")
    assert [guest["post_output"] for guest in report["guests"]] == [f"HOST_MODEL_GUEST={number}\n" for number in range(3)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_leaves_no_process_and_no_file(stage: Stage, number: signal.Signals) -> None:
    stage.play(SPEAKS + HANGS, PROBED)
    program = (
        "import argparse, sys\n"
        "from host_model.boot import NoDevices\n"
        "from host_model.boot.command import add_boot_arguments, run_boot\n"
        "from pvinfo.command_line import end_with_status\n"
        "parser = argparse.ArgumentParser()\n"
        "add_boot_arguments(parser)\n"
        "arguments = parser.parse_args()\n"
        "run = lambda: run_boot(arguments, lambda request: NoDevices())\n"
        "sys.exit(end_with_status('host-model boot', run))\n"
    )
    target = stage.folder / "report.json"
    command = [sys.executable, "-c", program, *stage.words("--json", str(target))]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if "i915 loaded" in line:
                break
        run.send_signal(number)
        said = run.stderr.read()
        assert run.wait(30) == 130
    assert said == "host-model boot: interrupted\n"
    assert stage.processes_left() == []
    assert not target.exists()
