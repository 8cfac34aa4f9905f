"""The host of a boot: what it is asked for, what it accuses guests of, and what of that is in the report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.boot_stage import END, POST_FAILS, PROBED, SPEAKS, CountedHost, Stage, staged

from host_model.boot import HostRequest, HostSide
from pvinfo.errors import ResourceExhausted


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    yield from staged(tmp_path, monkeypatch)


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


# ---- the host among the guests ----


def host_report_of(*faults: str) -> dict[str, object]:
    findings = [{"kind": "guest fault", "rule": rule, "where": "there", "count": 1} for rule in faults]
    return {
        "platform": "skl", "vgpus": [{"schedule": {"text": "share of the guest"}}], "gpu": {"isolation_violations": 0},
        "host": {"schedule": {"text": "share of the host"}, "findings": findings},
    }  # fmt: skip


def test_the_first_machine_is_the_hosts_where_it_has_a_driver_of_its_own(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    hosts: list[CountedHost] = []

    def make_host(request: HostRequest) -> HostSide:
        hosts.append(CountedHost(request, host_report_of()))
        return hosts[0]

    report = stage.report("--own", "--guests", "2", "--own-weight", "3", host=make_host)
    assert hosts[0].request.own_weight == 3
    assert [guest["role"] for guest in report["guests"]] == ["host", "guest"]
    first, second = capsys.readouterr().out.split("guest 1: ")
    assert first.startswith("guest 0, the host: ") and "  had share of the host\n" in first and "  had share of the guest\n" in second


def test_a_boot_whose_guests_are_none_but_guests_says_so(stage: Stage) -> None:
    assert [guest["role"] for guest in stage.report("--guests", "2")["guests"]] == ["guest", "guest"]
    assert [guest["role"] for guest in stage.report("--physical")["guests"]] == ["host"]


def test_faults_of_the_hosts_own_driver_fail_the_boot(stage: Stage) -> None:
    report = stage.report("--own", "--guests", "2", host=lambda request: CountedHost(request, host_report_of("fence-not-owned")))
    assert report["failures"] == ["host: its findings accuse its own machine of fence-not-owned at there (once), which a real driver does not make"]


def test_a_host_that_gave_its_gpu_up_has_failed_and_a_guest_has_not(stage: Stage) -> None:
    stage.play(SPEAKS, PROBED + "<12>[    5.7] host-model: 5.70 wedged 1\n" + END)
    report = stage.report("--own", "--guests", "2", host=lambda request: CountedHost(request, host_report_of()))
    assert report["failures"] == ["guest 0: the driver gave the GPU up (wedged)"]
