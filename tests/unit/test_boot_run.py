"""A whole run of ``host-model boot`` against a QEMU that only plays a guest's part."""

from __future__ import annotations

import argparse
import json
import os
import re
import selectors
import signal
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from host_model.boot import HostRequest, HostSide, NoDevices, Picture
from host_model.boot.command import add_boot_arguments, run_boot
from pvinfo.command_line import end_with_status
from pvinfo.errors import ResourceExhausted

PROBED = """\
<5>[    0.000000] Linux version 6.12.1-amd64
<6>[    0.500000] pci 0000:00:02.0: [8086:1912] type 00 class 0x030000 conventional PCI endpoint
<12>[    3.100000] host-model: 3.10 stage init 6.12.1-amd64
<12>[    3.200000] host-model: 3.20 stage modules
<12>[    4.000000] host-model: 4.00 stage probe
<6>[    4.100000] i915 0000:00:02.0: [drm] Virtual GPU for Intel GVT-g detected.
<6>[    4.200000] [drm] Initialized i915 1.6.0 20230929 for 0000:00:02.0 on minor 0
<12>[    5.500000] host-model: 5.50 stage probed
<12>[    5.600000] host-model: 5.60 node card0
<12>[    5.600000] host-model: 5.60 node renderD128
"""
POST_FAILS = PROBED + "<12>[    5.7] host-model: 5.70 stage post\n<12>[    5.8] host-model: 5.80 post 7\n"
END = "<12>[    5.9] host-model: 5.90 stage end\n"
NOT_PROBED = PROBED.replace("Initialized i915", "Failed i915")

SPEAKS = 'cat "$here/log" >&3\n'
PRINTS_MORE = 'printf "drawn 12 boxes\\r\\n" >&4\n'
HANGS = "sleep 1000 & sleep 1000\n"


class Stage:
    """Everything a run needs, with a QEMU whose behaviour a test writes as a shell script."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        image = bytearray(0x600)
        image[0x202:0x206] = b"HdrS"
        (folder / "vmlinuz").write_bytes(image)
        busybox = bytearray(64)
        busybox[:6] = b"\x7fELF\x02\x01"
        struct.pack_into("<H", busybox, 18, 62)
        struct.pack_into("<H", busybox, 54, 56)
        (folder / "busybox").write_bytes(busybox)
        (folder / "modules").mkdir()
        (folder / "modules/modules.dep").write_text("i915.ko:\n")
        (folder / "modules/i915.ko").write_bytes(b"module")
        self.play(SPEAKS, PROBED + END)

    def add_mediator(self) -> None:
        names = ("vfio", "mdev", "kvmgt", "kvm", "vfio_iommu_type1", "vfio-pci", "kvm-amd")
        with (self.folder / "modules/modules.dep").open("a") as listing:
            for name in names:
                listing.write(f"{name}.ko:\n")
                (self.folder / f"modules/{name}.ko").write_bytes(b"module")

    def play(self, script: str, log: str = "") -> None:
        (self.folder / "log").write_text(log)
        head = """\
            #!/bin/sh
            here=$(dirname "$0")
            case "$*" in
            "-device help") echo 'name "vfio-user-pci", bus PCI'; exit 0 ;;
            -help) echo "QEMU emulator version 11.1.3"; exit 0 ;;
            esac
            echo $$ >>"$here/pids"
            for word in "$@"; do
                case "$word" in
                file,id=console,path=*) exec 3>"${word#*path=}" ;;
                file,id=post,path=*,input-path=*) post="${word#*path=}"; exec 4>"${post%,input-path=*}" 5<"${word##*path=}" ;;
                file,id=post,path=*) exec 4>"${word#*path=}" ;;
                esac
            done
        """
        program = self.folder / "qemu"
        program.write_text(textwrap.dedent(head) + script)
        program.chmod(0o755)

    def words(self, *more: str) -> list[str]:
        parts = (("qemu", "qemu"), ("kernel", "vmlinuz"), ("modules", "modules"), ("busybox", "busybox"))
        given = [word for option, name in parts for word in (f"--{option}", str(self.folder / name))]
        return [*given, "--accel", "tcg", *more]

    def run(self, *more: str, host: Callable[[HostRequest], HostSide] | None = None) -> int:
        parser = argparse.ArgumentParser()
        add_boot_arguments(parser)
        make_host = host or (lambda request: NoDevices())
        arguments = parser.parse_args(self.words(*more))
        return end_with_status("host-model boot", lambda: run_boot(arguments, make_host))

    def report(self, *more: str, host: Callable[[HostRequest], HostSide] | None = None) -> dict[str, Any]:
        target = self.folder / "report.json"
        status = self.run("--json", str(target), *more, host=host)
        report: dict[str, Any] = json.loads(target.read_text())
        assert (status == 0) is report["ok"]
        return report

    def processes_left(self) -> list[int]:
        """What still runs of all that a QEMU started; what was just killed has a moment to go."""
        sessions = {int(line) for line in (self.folder / "pids").read_text().split()}
        deadline = time.monotonic() + 10
        while (left := living_processes(sessions)) and time.monotonic() < deadline:
            time.sleep(0.01)
        return left


def living_processes(sessions: set[int]) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                state, _parent, _group, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(session) in sessions and state != "Z":
                found.append(int(entry.name))
    return found


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    made = Stage(tmp_path)
    monkeypatch.setenv("TMPDIR", str(made.temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    before = sorted(os.listdir("/proc/self/fd"))
    yield made
    assert sorted(os.listdir("/proc/self/fd")) == before, "the run left file descriptors open"
    assert list(made.temporary.iterdir()) == [], "the run left temporary files"


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


class CountedHost:
    """A host that says what it was asked for and whether it was ended."""

    view_url: str | None = None

    def __init__(self, request: HostRequest, report: dict[str, object]) -> None:
        self.request = request
        self.closed = False
        self.pictures: list[int] = []
        self.steps = 0
        self._report = report
        self._inner = NoDevices()

    @property
    def selector(self) -> selectors.BaseSelector:
        return self._inner.selector

    def step(self, timeout_s: float) -> None:
        self.steps += 1
        self._inner.step(timeout_s)

    def picture(self, guest: int) -> Picture:
        self.pictures.append(guest)
        return Picture(b"picture %d of guest %d" % (len(self.pictures), guest))

    def opregion(self, guest: int) -> bytes | None:
        return b"OpRegion of guest %d\n" % guest

    def report(self) -> dict[str, object]:
        return self._report

    def close(self) -> None:
        self.closed = True
        self._inner.close()


def test_the_host_is_asked_for_one_vgpu_for_each_guest_and_ended(stage: Stage) -> None:
    hosts: list[CountedHost] = []

    def make_host(request: HostRequest) -> HostSide:
        hosts.append(CountedHost(request, {"platform": "kbl", "vgpus": [1], "gpu": {"isolation_violations": 0}}))
        return hosts[0]

    report = stage.report(
        "--guests", "2", "--platform", "kbl", "--type", "GVTg_V5_4", "--aperture", "512",
        "--trace", "t.trace", host=make_host,
    )  # fmt: skip
    (host,) = hosts
    assert len(set(host.request.sockets)) == 2
    assert host.request == HostRequest(host.request.sockets, "kbl", ("GVTg_V5_4",), 512, Path("t.trace"))
    assert host.closed
    assert (report["platform"], report["vgpus"]) == ("kbl", [1])
    assert report["ok"]


def test_the_words_at_the_end_say_what_each_of_several_guests_had_of_the_gpu(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    vgpus = [{"schedule": {"text": f"share {number}"}} for number in range(2)]
    host: dict[str, object] = {"platform": "skl", "vgpus": vgpus, "gpu": {"isolation_violations": 0}}
    assert stage.run("--guests", "2", host=lambda request: CountedHost(request, host)) == 0
    told = capsys.readouterr().out
    first, second = told.split("guest 1: ")
    assert "  had share 0\n" in first and "  had share 1\n" in second
    assert stage.run(host=lambda request: CountedHost(request, {**host, "vgpus": vgpus[:1]})) == 0
    assert "  had " not in capsys.readouterr().out, "who was alone shared with nobody"


GIVES_BACK_THE_OPREGION = """\
for word in "$@"; do
    case "$word" in name=etc/igd-opregion,file=*) cat "${word#*file=}" >&4 ;; esac
done
"""


@pytest.mark.parametrize(
    ("words", "printed"), [((), ["OpRegion of guest 0\n", "OpRegion of guest 1\n"]), (("--no-opregion",), ["", ""])]
)
def test_each_guests_firmware_gets_the_opregion_of_its_vgpu_unless_told_not_to(
    stage: Stage, words: tuple[str, ...], printed: list[str]
) -> None:
    stage.play(GIVES_BACK_THE_OPREGION + SPEAKS, PROBED + END)
    host: dict[str, object] = {"platform": "skl", "vgpus": [], "gpu": None}
    report = stage.report("--guests", "2", *words, host=lambda request: CountedHost(request, host))
    assert [guest["post_output"] for guest in report["guests"]] == printed


def test_what_qemu_says_of_the_opregions_name_is_no_message_to_the_user(stage: Stage) -> None:
    warning = 'qemu: -fw_cfg name=etc/igd-opregion: warning: externally provided fw_cfg item names should be prefixed with "opt/"'
    stage.play(f"echo '{warning}' >&2; echo 'no room for guest memory' >&2; exit 1\n")
    report = stage.report()
    assert report["guests"][0]["qemu_messages"] == ["no room for guest memory"]
    assert report["failures"] == ["guest 0: QEMU ended with status 1 (no room for guest memory) in the guest's stage starting"]


ON_PHYSICAL = "".join(line for line in PROBED.splitlines(keepends=True) if "Virtual GPU" not in line)
MEDIATED = "".join(
    f"<12>[    5.7] host-model: 5.70 {text}\n"
    for text in (
        "stage mediator",
        "kvmgt type GVTg_V5_8 1 low_gm_size: 64MB; weight: 2",
        "kvmgt tracked 2019",
        "kvmgt created GVTg_V5_8",
        "kvmgt refused No space left on device",
        "kvmgt diff 2019 87",
        "kvmgt left GVTg_V5_8 1",
    )
)


def test_the_host_is_asked_for_the_physical_gpu_where_no_vgpu_may_be_seen(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts: list[CountedHost] = []

    def make_host(request: HostRequest) -> HostSide:
        hosts.append(CountedHost(request, {"platform": "skl", "vgpus": [], "gpu": {"isolation_violations": 0}}))
        return hosts[0]

    stage.play(SPEAKS, ON_PHYSICAL + END)
    report = stage.report("--physical", host=make_host)
    assert hosts[0].request.physical and len(hosts[0].request.sockets) == 1
    assert report["ok"] and not report["guests"][0]["detected"]
    assert "kvmgt" not in report["guests"][0]
    assert "GVT-g" not in capsys.readouterr().out
    stage.play(SPEAKS, PROBED + END)
    assert stage.report("--physical")["failures"] == ["guest 0: the driver took the physical GPU for a vGPU"]


def test_a_host_that_gives_its_gpu_up_is_a_failure(stage: Stage) -> None:
    wedged = "<12>[    5.7] host-model: 5.70 wedged 1\n"
    stage.play(SPEAKS, ON_PHYSICAL + wedged + END)
    assert stage.report("--physical")["failures"] == ["guest 0: the driver gave the GPU up (wedged)"]


def test_what_the_mediator_did_is_in_the_report_and_counts(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.add_mediator()
    stage.play(SPEAKS, ON_PHYSICAL + MEDIATED + END)
    report = stage.report("--physical", "--kvmgt")
    assert report["failures"] == []
    assert report["guests"][0]["kvmgt"] == {
        "types": {"GVTg_V5_8": {"instances": 1, "description": {"low_gm_size": "64MB", "weight": "2"}}},
        "tracked": 2019,
        "created": 1,
        "created_type": "GVTg_V5_8",
        "refused": "No space left on device",
        "mmio_diff": {"total": 2019, "diff": 87},
        "instances_left": {"GVTg_V5_8": 1},
    }
    printed = capsys.readouterr().out
    assert "kvmgt offers GVTg_V5_8 x 1; tracks 2019 registers\n" in printed
    assert "kvmgt made 1 of GVTg_V5_8, one more was refused (No space left on device)\n" in printed
    stage.play(SPEAKS, ON_PHYSICAL + END)
    assert stage.report("--physical", "--kvmgt")["failures"] == ["guest 0: kvmgt was not tried"]
    stage.play(SPEAKS, ON_PHYSICAL + MEDIATED.replace("diff", "lost") + END)
    (failure,) = stage.report("--physical", "--kvmgt")["failures"]
    assert failure.endswith("cannot be compared with the hardware's (mmio_diff)")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--kvmgt"], "--kvmgt goes with --physical"),
        (["--physical", "--guests", "2"], "one physical GPU, for one machine"),
        (["--physical", "--type", "GVTg_V5_4"], "has no vGPU type"),
        (["--physical", "--scheduler", "gvt"], "one machine has the GPU to itself"),
    ],
)
def test_options_that_mean_nothing_together_are_refused(
    stage: Stage, capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    assert stage.run(*words) == 2
    assert why in capsys.readouterr().err


def test_a_mediating_host_has_room_for_guests_unless_told_otherwise(stage: Stage) -> None:
    stage.add_mediator()
    stage.play('echo "$*" >"$here/words"\n' + SPEAKS, ON_PHYSICAL + MEDIATED + END)
    for words, size in (((), "4096M"), (("--memory", "2048"), "2048M")):
        stage.run("--physical", "--kvmgt", *words)
        given = (stage.folder / "words").read_text()
        assert f",+svm -m {size} " in given
    stage.run("--physical")
    assert "svm" not in (stage.folder / "words").read_text()
    assert " -m 1024M " in (stage.folder / "words").read_text()


def test_each_guest_is_told_its_number(stage: Stage) -> None:
    stage.play('printf "%s\\n" "$*" | grep -o "HOST_MODEL_GUEST=[0-9]*" >&4\n' + SPEAKS, PROBED + END)
    report = stage.report("--guests", "3")
    assert [guest["post_output"] for guest in report["guests"]] == [f"HOST_MODEL_GUEST={number}\n" for number in range(3)]


def test_an_isolation_violation_fails_the_run(stage: Stage) -> None:
    seen: dict[str, object] = {"platform": "skl", "vgpus": [], "gpu": {"isolation_violations": 2}}
    report = stage.report(host=lambda request: CountedHost(request, seen))
    assert report["failures"] == ["host: the GPU touched memory outside the running vGPU 2 times"]


def test_a_guest_that_the_host_accuses_fails_the_run(stage: Stage) -> None:
    seen: dict[str, object] = {"ok": False, "platform": "skl", "vgpus": [], "gpu": None}
    report = stage.report(host=lambda request: CountedHost(request, seen))
    assert report["ok"] is False
    assert report["failures"] == [
        "host: its findings accuse a guest of faults, which a real driver does not make"
    ]


def test_what_a_guest_is_accused_of_is_told_whoever_noticed_it(stage: Stage) -> None:
    first = {"kind": "guest fault", "rule": "illegal-command", "where": "rcs0 batch 0x100000", "count": 1}
    second = {"kind": "guest fault", "rule": "read-only-register", "where": "0x2358", "count": 3}
    remark = {"kind": "note", "rule": "pipeline-state", "where": "rcs0 pipeline", "count": 1}
    seen: dict[str, object] = {
        "ok": False, "platform": "skl", "vgpus": [{"findings": [remark, second]}], "gpu": {"findings": [first]},
    }  # fmt: skip
    report = stage.report(host=lambda request: CountedHost(request, seen))
    accused = "read-only-register at 0x2358 (3 times), illegal-command at rcs0 batch 0x100000 (once)"
    assert report["failures"] == [f"host: its findings accuse a guest of {accused}, which a real driver does not make"]


def test_a_fault_while_a_post_script_ran_may_be_a_programs_and_still_fails_the_run(stage: Stage, tmp_path: Path) -> None:
    """Whoever runs a program on the GPU wants to hear of its faults; a program that makes them on purpose has its own status."""
    fault = {"kind": "guest fault", "rule": "illegal-command", "where": "rcs0 batch 0x100000", "count": 1}
    seen: dict[str, object] = {"ok": False, "platform": "skl", "vgpus": [], "gpu": {"findings": [fault]}}
    (tmp_path / "post.sh").touch()
    stage.play(SPEAKS, POST_FAILS.replace("post 7", "post 0") + END)
    report = stage.report("--post", str(tmp_path / "post.sh"), host=lambda request: CountedHost(request, seen))
    assert report["failures"] == [
        "host: its findings accuse a guest of illegal-command at rcs0 batch 0x100000 (once): the driver, or a program of the post script"
    ]


def test_a_host_that_cannot_serve_starts_no_guest(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    def full(request: HostRequest) -> HostSide:
        raise ResourceExhausted("low graphics memory", 64, 0, "MiB")

    assert stage.run(host=full) == 1
    assert "host-model boot: error: not enough low graphics memory" in capsys.readouterr().err
    assert not (stage.folder / "pids").exists()


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


# ---- pictures ----

ASKS = "<12>[    5.7] host-model: 5.70 screenshot %s\n"
ASKS_AND_WAITS = 'cat "$here/log" >&3; read -r answer <&5; echo "$answer" >&4; read -r answer <&5; echo "$answer" >&4; cat "$here/end" >&3\n'


def host_with_pictures(stage: Stage, *words: str) -> tuple[CountedHost, dict[str, Any]]:
    hosts: list[CountedHost] = []

    def make_host(request: HostRequest) -> HostSide:
        hosts.append(CountedHost(request, {"platform": "skl", "vgpus": [], "gpu": None}))
        return hosts[0]

    report = stage.report("--screenshot", str(stage.folder / "shots/new"), *words, host=make_host)
    return hosts[0], report


def test_a_guest_has_its_picture_before_it_goes_on_and_one_of_its_end(stage: Stage) -> None:
    (stage.folder / "end").write_text(END)
    stage.play(ASKS_AND_WAITS, PROBED + ASKS % "after-flip" + ASKS % "")
    host, report = host_with_pictures(stage)
    folder = stage.folder / "shots/new"
    (guest,) = report["guests"]
    assert guest["post_output"] == "kept\nkept\n"
    assert guest["screenshots"] == [str(folder / "guest0-after-flip.png"), str(folder / "guest0.png")]
    assert guest["no_screenshot"] is None
    assert (folder / "guest0-after-flip.png").read_bytes() == b"picture 1 of guest 0"
    assert (folder / "guest0.png").read_bytes() == b"picture 2 of guest 0"
    assert host.request.pictures and host.pictures == [0, 0]


def test_a_line_of_its_output_asks_for_a_picture_too_and_is_not_answered(stage: Stage) -> None:
    wishes = "drawn\\ngvt-screenshot one\\r\\ngvt-screenshot: no\\n gvt-screenshot no\\ngvt-screenshot two\\n"
    stage.play(f'printf "{wishes}" >&4\nsleep 0.5; cat "$here/log" >&3; read -r answer <&5; echo "$answer" >&4\n', PROBED + ASKS % "" + END)
    _, report = host_with_pictures(stage)
    (guest,) = report["guests"]
    assert [Path(path).name for path in guest["screenshots"]] == ["guest0-one.png", "guest0-two.png", "guest0.png"]
    assert guest["post_output"].splitlines()[-1] == "kept"


def test_a_guest_that_goes_down_early_has_a_picture_of_what_it_showed_last(stage: Stage) -> None:
    stage.play(SPEAKS, PROBED)
    _, report = host_with_pictures(stage, "--guests", "2")
    files = [stage.folder / f"shots/new/guest{number}.png" for number in range(2)]
    assert [guest["screenshots"] for guest in report["guests"]] == [[str(file)] for file in files]
    assert sorted(file.read_bytes()[-1:] for file in files) == [b"0", b"1"]


def test_a_guest_that_is_stopped_has_a_picture_from_before(stage: Stage) -> None:
    stage.play(SPEAKS + HANGS, PROBED)
    host, report = host_with_pictures(stage, "--timeout", "0.5")
    assert report["guests"][0]["timed_out"]
    assert host.pictures == [0]
    assert (stage.folder / "shots/new/guest0.png").read_bytes() == b"picture 1 of guest 0"


@pytest.mark.parametrize("name", ["../escape", "a/b", ".hidden", "-", "x" * 65, "two words"])
def test_a_picture_whose_name_is_no_file_name_is_refused(stage: Stage, name: str) -> None:
    (stage.folder / "end").write_text(END)
    stage.play(ASKS_AND_WAITS, PROBED + ASKS % name + ASKS % "")
    _, report = host_with_pictures(stage)
    refused, kept = report["guests"][0]["post_output"].splitlines()
    assert refused.startswith(f"{name!r} cannot be part of a file name") and kept == "kept"
    assert [path.name for path in (stage.folder / "shots").rglob("*.png")] == ["guest0.png"]
    assert not list(stage.folder.glob("*.png"))


def test_what_shows_nothing_has_no_picture_and_the_report_says_why(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    (stage.folder / "end").write_text(END)
    stage.play(ASKS_AND_WAITS, PROBED + ASKS % "early" + ASKS % "")
    report = stage.report("--screenshot", str(stage.folder / "shots"))
    assert report["ok"]
    assert report["guests"][0]["screenshots"] == []
    assert report["guests"][0]["no_screenshot"] == "guest 0 has no GPU of ours"
    assert report["guests"][0]["post_output"] == "guest 0 has no GPU of ours\n" * 2
    assert "  no picture: guest 0 has no GPU of ours\n" in capsys.readouterr().out
    assert list((stage.folder / "shots").iterdir()) == []


def test_guests_are_heard_only_where_pictures_are_kept(stage: Stage) -> None:
    stage.play('echo "$*" >"$here/words"\n' + SPEAKS, PROBED + ASKS % "unheard" + END)
    hosts = [CountedHost(HostRequest([], "skl", (), None, None), {"vgpus": [], "gpu": None})]
    report = stage.report(host=lambda request: hosts[0])
    words = (stage.folder / "words").read_text()
    assert "HOST_MODEL_SCREENSHOT" not in words and "input-path" not in words
    assert hosts[0].pictures == [] and report["guests"][0]["screenshots"] == []
    stage.report("--screenshot", str(stage.folder))
    words = (stage.folder / "words").read_text()
    assert "HOST_MODEL_SCREENSHOT=1" in words and ",input-path=" in words


def test_where_the_view_is_is_said_before_the_guests_start(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    hosts: list[CountedHost] = []

    def make_host(request: HostRequest) -> HostSide:
        hosts.append(CountedHost(request, {"vgpus": [], "gpu": None}))
        hosts[0].view_url = "http://127.0.0.1:4321/"
        return hosts[0]

    stage.run("--view", "4321", host=make_host)
    assert capsys.readouterr().err.splitlines()[0] == "view http://127.0.0.1:4321/"
    assert hosts[0].request.view == ("127.0.0.1", 4321, False)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--view", "10.1.2.3:80"], "10.1.2.3 is not loopback"),
        (["--view", "http"], "'http' is no port"),
        (["--view-anywhere"], "--view-anywhere goes with --view"),
        (["--screenshot", "/proc/nowhere"], "--screenshot: /proc/nowhere cannot be made"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_any_guest_starts(
    stage: Stage, capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    assert stage.run(*words) == 2
    assert why in capsys.readouterr().err
    assert not (stage.folder / "pids").exists()


def test_a_monitor_that_is_lit_is_told_with_its_mode(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    lines = "".join(
        f"<12>[    5.6] host-model: 5.60 {text}\n"
        for text in (
            "connector DP-1 disconnected",
            "connector DP-3 connected",
            "monitor DP-3 enabled 1024x768 800x600",
            "framebuffer i915drmfb 1024x768 console",
        )
    )
    stage.play(SPEAKS, PROBED + lines + END)
    (guest,) = stage.report()["guests"]
    assert guest["connectors"] == [
        {"name": "DP-1", "status": "disconnected", "enabled": False, "mode": None, "modes": []},
        {"name": "DP-3", "status": "connected", "enabled": True, "mode": "1024x768", "modes": ["1024x768", "800x600"]},
    ]
    assert guest["framebuffer"] == {"name": "i915drmfb", "size": "1024x768", "console": True}
    printed = capsys.readouterr().out
    assert "  DP-1 disconnected, DP-3 connected (1024x768)\n  console on i915drmfb 1024x768\n" in printed
