"""The judge: what a guest's own log says, line by line and as a whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from host_model.boot.guest_log import FrameBuffer, LogLine, MonitorReport, Stage, asked_picture, judge, parse_line, stage_of
from host_model.boot.symptoms import EXPECTED, SYMPTOMS, SymptomKind

DATA = Path(__file__).parent / "data"


def record(text: str, level: int = 6, seconds: float = 5.0) -> str:
    return f"<{level}>[{seconds:12.6f}] {text}\n"


def gpu(text: str, level: int = 6) -> str:
    return record(f"i915 0000:00:02.0: [drm] {text}", level)


def marker(text: str, uptime: float = 5.0) -> str:
    return record(f"host-model: {uptime:.2f} {text}", 12, uptime)


PCI = record("pci 0000:00:02.0: [8086:1912] type 00 class 0x030000 conventional PCI endpoint")
PROBE = PCI + marker("stage probe")
DETECTED = gpu("Virtual GPU for Intel GVT-g detected.")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("<6>[    1.500000] text", LogLine(6, True, 1.5, "text")),
        ("<12>[12345.000001] host-model: 1", LogLine(4, False, 12345.000001, "host-model: 1")),
        ("[    0.000000] text", LogLine(None, True, 0.0, "text")),
        ("[    2.000000] host-model: 2.00 stage init", LogLine(None, False, 2.0, "host-model: 2.00 stage init")),
        ("<4>[    1.000000][   T17] i915: text\r\n", LogLine(4, True, 1.0, "i915: text")),
        ("[    1.000000] ", LogLine(None, True, 1.0, "")),
        ("SeaBIOS (version 1.17)", None),
        ("", None),
        ("<6> text", None),
        ("<6>[ text", None),
    ],
)
def test_a_console_line_is_taken_apart(line: str, expected: LogLine | None) -> None:
    assert parse_line(line) == expected


def test_only_the_guests_own_init_begins_a_stage() -> None:
    assert stage_of(marker("stage probe")) is Stage.PROBE
    assert stage_of(marker("stage init 6.12.1")) is Stage.INIT
    assert stage_of(marker("stage nonsense")) is None
    assert stage_of(marker("node card0")) is None
    assert stage_of(record("host-model: 5.00 stage probe", level=6)) is None


def test_an_empty_log_is_a_machine_that_never_started() -> None:
    report = judge("")
    assert (report.stage, report.finished, report.boot_s, report.warnings) == (Stage.STARTING, False, None, ())
    assert judge(PCI).stage is Stage.KERNEL


def test_ranges_are_read_as_the_driver_printed_them() -> None:
    log = (
        gpu("VGT ballooning configuration:")
        + gpu("Mappable graphic memory: base 0x8000000 size 65536KiB")
        + gpu("Unmappable graphic memory: base 0x28000000 size 393216KiB")
        + gpu("balloon space: range [ 0x10000000 - 0x28000000 ] 393216 KiB.")
        + gpu("balloon space: range [ 0x0 - 0x8000000 ] 131072 KiB.")
    )
    balloon = judge(log).balloon
    assert balloon.mappable == (0x8000000, 0xC000000)
    assert balloon.nonmappable == (0x28000000, 0x40000000)
    assert balloon.reserved == ((0x10000000, 0x28000000), (0, 0x8000000))
    assert not balloon.completed
    assert judge(log + gpu("VGT balloon successfully")).balloon.completed


def test_a_driver_that_is_loaded_again_balloons_anew() -> None:
    log = (
        gpu("VGT ballooning configuration:")
        + gpu("balloon space: range [ 0x0 - 0x1000 ] 4 KiB.")
        + gpu("VGT balloon successfully")
        + gpu("deballoon space: range [0x0 - 0x1000] 4 KiB.")
        + gpu("VGT ballooning configuration:")
        + gpu("balloon space: range [ 0x2000 - 0x3000 ] 4 KiB.")
    )
    balloon = judge(log).balloon
    assert balloon.reserved == ((0x2000, 0x3000),)
    assert not balloon.completed


def test_nodes_connectors_post_and_times_come_from_init() -> None:
    report = judge(
        marker("stage init 6.12.1-amd64", 3.5)
        + marker("stage probe", 4.25)
        + marker("stage probed", 5.5)
        + marker("node card0")
        + marker("node renderD128")
        + marker("connector HDMI-A-1 connected")
        + marker("connector DP-1 disconnected")
        + marker("stage post")
        + marker("post 3")
        + marker("stage end")
    )
    assert report.kernel_release == "6.12.1-amd64"
    assert (report.boot_s, report.probe_s) == (3.5, 1.25)
    assert report.drm_nodes == ("card0", "renderD128")
    assert report.connectors == {"HDMI-A-1": "connected", "DP-1": "disconnected"}
    assert report.post_status == 3
    assert report.finished


def test_a_lit_monitor_and_the_console_on_it_come_from_init() -> None:
    report = judge(
        marker("connector DP-3 connected")
        + marker("monitor DP-3 enabled 1024x768 800x600 640x480")
        + marker("connector HDMI-A-1 connected")
        + marker("monitor HDMI-A-1 disabled")
        + marker("framebuffer i915drmfb 1024x768 console")
    )
    assert report.monitors == {
        "DP-3": MonitorReport(True, ("1024x768", "800x600", "640x480")),
        "HDMI-A-1": MonitorReport(False, ()),
    }
    assert report.framebuffer == FrameBuffer("i915drmfb", "1024x768", True)


def test_a_frame_buffer_without_the_console_is_known_as_such() -> None:
    assert judge(marker("framebuffer i915drmfb 1920x1200 none")).framebuffer == FrameBuffer("i915drmfb", "1920x1200", False)
    assert judge(marker("framebuffer i915drmfb")).framebuffer is None


def test_only_init_asks_for_a_picture() -> None:
    assert asked_picture(marker("screenshot after-flip")) == "after-flip"
    assert asked_picture(marker("screenshot")) == asked_picture(marker("screenshot ")) == ""
    assert asked_picture(marker("stage post")) is None
    assert asked_picture("<6>[    4.1] host-model: 4.10 screenshot mine") is None
    assert asked_picture("host-model: 4.10 screenshot mine") is None


@pytest.mark.parametrize("text", ["post", "post x", "stage", "connector", "node", "odd 1", "monitor", "monitor DP-1", "framebuffer"])
def test_a_marker_that_makes_no_sense_breaks_nothing(text: str) -> None:
    report = judge(marker("stage init 6.12") + marker(text))
    assert (report.stage, report.post_status) == (Stage.INIT, None)


@pytest.mark.parametrize(
    ("text", "initialized"),
    [
        ("[drm] Initialized i915 1.6.0 20230929 for 0000:00:02.0 on minor 0", True),
        ("[drm] Initialized i915 1.6.0 for 0000:00:02.0 on minor 0", True),
        ("[drm] Initialized vkms 1.0.0 for vkms on minor 0", False),
    ],
)
def test_the_driver_is_up_when_drm_says_so(text: str, initialized: bool) -> None:
    assert judge(record(text)).driver_initialized is initialized


def test_what_a_post_script_says_is_not_taken_for_the_drivers_words() -> None:
    detected = DETECTED.rstrip().partition("] ")[2]
    said = record("[drm] Initialized i915 1.6.0 for 0000:00:02.0 on minor 0", 12) + record(detected, 14)
    report = judge(said)
    assert not report.driver_initialized and not report.detected


@pytest.mark.parametrize(
    "line",
    [
        gpu("*ERROR* rcs0 reset request timed out: {request: 00000001, RESET_CTL: 00000001}", 3),
        gpu("DPLL0 not locked", 4),
        record("[drm] something odd", 4),
        record("BUG: kernel NULL pointer dereference, address: 0000000000000008", 1),
        record("Kernel panic - not syncing: Attempted to kill init!", 0),
        record("INFO: task insmod:99 blocked for more than 120 seconds.", 3),
        record("Call Trace:", 4),
    ],
)
def test_a_line_about_a_defect_is_a_warning(line: str) -> None:
    assert judge(line).warnings == (line.rstrip().partition("] ")[2],)


@pytest.mark.parametrize(
    "line",
    [
        gpu("VT-d active for gfx access", 6),
        gpu("Some notice", 5),
        record("ACPI: OSL: no GPU here", 4),
        record("Spectre V2 : WARNING of another kind", 4),
        gpu("Failed to load DMC firmware i915/skl_dmc_ver1_27.bin (-ENOENT). Disabling runtime power management.", 5),
        record("i915 0000:00:02.0: Direct firmware load for i915/skl_dmc_ver1_27.bin failed with error -2", 4),
        record("i915 0000:00:02.0: Direct firmware load for i915/gvt/vid_0x8086_did_0x1912_rid_0x06.golden_hw_state failed with error -2", 4),
        record("i915 0000:00:02.0: [drm] *ERROR* spoken by the post script", 12),
    ],
)
def test_a_line_that_is_normal_is_no_warning(line: str) -> None:
    assert judge(line).warnings == ()


def test_without_levels_only_what_the_text_says_counts() -> None:
    log = "[    1.000000] i915 0000:00:02.0: [drm] odd\n[    1.100000] i915 0000:00:02.0: [drm] *ERROR* bad\n"
    assert judge(log).warnings == ("i915 0000:00:02.0: [drm] *ERROR* bad",)


WARNED_AT = "drivers/gpu/drm/i915/i915_irq.c:99 gen3_assert_iir_is_zero+0x40/0x90 [i915]"

BACKTRACE = (
    record("------------[ cut here ]------------", 4)
    + record("i915 0000:00:02.0: drm_WARN_ON(val)", 4)
    + record(f"WARNING: CPU: 0 PID: 99 at {WARNED_AT}", 4)
    + record("Modules linked in: i915(+) drm", 4)
    + record("RIP: 0010:gen3_assert_iir_is_zero+0x40/0x90 [i915]", 4)
    + record("Call Trace:", 4)
    + record(" <TASK>", 4)
    + record("---[ end trace 0000000000000000 ]---", 4)
)


def test_a_backtrace_is_one_warning_with_its_message() -> None:
    assert judge(BACKTRACE + gpu("odd", 4)).warnings == (
        f"i915 0000:00:02.0: drm_WARN_ON(val) | WARNING: CPU: 0 PID: 99 at {WARNED_AT}",
        "i915 0000:00:02.0: [drm] odd",
    )


def test_a_backtrace_that_never_ends_hides_no_later_error() -> None:
    cut = BACKTRACE.replace("---[ end trace 0000000000000000 ]---", "lost")
    assert len(judge(cut + gpu("*ERROR* bad", 3)).warnings) == 2


def test_a_log_that_is_cut_in_a_backtrace_keeps_its_message() -> None:
    cut = "".join(BACKTRACE.splitlines(keepends=True)[:2])
    assert judge(cut).warnings == ("i915 0000:00:02.0: drm_WARN_ON(val)",)


def test_an_oops_counts_once_for_each_of_its_headings() -> None:
    log = (
        record("BUG: unable to handle page fault for address: ffff", 1)
        + record("Oops: 0002 [#1] PREEMPT SMP", 4)
        + record("Call Trace:", 4)
        + record("---[ end trace 0000000000000000 ]---", 4)
    )
    assert [line.split(":")[0] for line in judge(log).warnings] == ["BUG", "Oops"]


def test_a_module_that_would_not_load_is_a_warning_with_its_cause() -> None:
    failed = marker("failed insmod: can't insert '/lib/modules/i915.ko': Invalid module format")
    report = judge(PROBE + DETECTED + failed)
    assert len(report.warnings) == 1
    assert [item.cause for item in report.diagnosis] == [
        "the module is for another kernel than the one that runs"
    ]


@pytest.mark.parametrize(
    ("message", "register"),
    [
        ("*ERROR* rcs0 reset request timed out", "RING_RESET_CTL"),
        ("*ERROR* Device is non-operational; MMIO access returns 0xFFFFFFFF!", "0xa188"),
        ("*ERROR* Invalid ballooning configuration!", "BAR2"),
        ("*ERROR* GT0: GuC status: 0x0, MIA core expected to be in reset", "0xc000"),
        ("*ERROR* render workaround lost on init! (reg[b11c]=0x0, 0x0 vs expected 0x4)", "workaround"),
        ("*ERROR* timeout waiting for SBI to complete read", "0xc6008"),
        ("*ERROR* TLB invalidation did not complete in 4ms!", "0x4260"),
        ("*ERROR* DPLL0 not locked", "0x46010"),
        ("AUX A/DDI A/PHY A: did not complete or timeout within 10ms (status 0xa1234567)", "SEND_BUSY"),
        ("Interrupt register 0x44308 is not zero: 0x00000001", "write-1-to-clear"),
    ],
)
def test_a_known_symptom_is_given_its_likely_cause(message: str, register: str) -> None:
    (diagnosis,) = judge(PROBE + DETECTED + gpu(message, 3)).diagnosis
    assert diagnosis.line.endswith(message)
    assert register in diagnosis.cause


def test_a_driver_that_took_the_device_for_bare_metal_is_diagnosed() -> None:
    (diagnosis,) = judge(PROBE).diagnosis
    assert diagnosis.line == ""
    assert "0x78000" in diagnosis.cause
    assert judge(PROBE + DETECTED).diagnosis == ()
    (mismatch,) = judge(PROBE + gpu("VGT interface version mismatch!", 4)).diagnosis
    assert "0x78008" in mismatch.cause


def test_on_the_physical_gpu_it_is_the_vgpu_that_is_amiss() -> None:
    assert judge(PROBE, physical=True).diagnosis == ()
    (diagnosis,) = judge(PROBE + DETECTED, physical=True).diagnosis
    assert diagnosis.line.endswith("detected.") and "0x78000" in diagnosis.cause
    (missing,) = judge(marker("stage probe"), physical=True).diagnosis
    assert "no Intel display controller" in missing.cause


def test_what_the_mediator_offers_comes_from_init() -> None:
    log = PROBE + marker("stage mediator") + marker("kvmgt type GVTg_V5_8 2 fence: 4") + marker("kvmgt tracked 2019")
    report = judge(log, physical=True)
    assert report.stage is Stage.MEDIATOR
    assert report.kvmgt is not None and report.kvmgt.tracked == 2019
    assert report.kvmgt.types["GVTg_V5_8"].description == {"fence": "4"}
    assert judge(PROBE).kvmgt is None
    assert judge(record("host-model: 5.00 kvmgt tracked 2019")).kvmgt is None


def test_a_driver_that_was_not_loaded_yet_misses_nothing() -> None:
    assert judge(PCI + marker("stage modules")).diagnosis == ()


WEDGED = gpu("CI tainted: 0x9 by intel_gt_init+0xb2/0x2f0 [i915]", 5)


def test_a_wedge_without_any_other_symptom_points_at_interrupts() -> None:
    report = judge(PROBE + DETECTED + WEDGED)
    assert report.wedged and report.warnings == ()
    (diagnosis,) = report.diagnosis
    assert "interrupts" in diagnosis.cause and "CI tainted" in diagnosis.line
    other = judge(PROBE + DETECTED + gpu("*ERROR* rcs0 reset request timed out", 3) + WEDGED)
    assert [item.cause.split()[0] for item in other.diagnosis] == ["RING_RESET_CTL"]


def test_what_the_driver_answers_about_the_wedge_counts_more_than_its_log() -> None:
    assert judge(WEDGED).wedged
    assert not judge(WEDGED + marker("wedged 0")).wedged
    assert judge(marker("wedged 0") + marker("wedged 1")).wedged
    assert not judge(marker("wedged") + marker("wedged 2")).wedged
    assert not judge(PROBE + DETECTED).wedged


def test_a_cause_is_given_once_with_how_often_it_was_seen() -> None:
    log = PROBE + DETECTED + gpu("*ERROR* AUX B/DDI B/PHY B: receive error (status 0x1)", 3) * 5
    report = judge(log)
    assert len(report.warnings) == 5
    assert [item.times for item in report.diagnosis] == [5]


def test_the_guest_without_a_gpu_is_judged_from_its_real_log() -> None:
    report = judge((DATA / "guest_without_gpu.log").read_text())
    assert report.kernel_release == "6.12.107+deb13-amd64"
    assert report.finished
    assert not report.driver_initialized and not report.detected and not report.wedged
    assert (report.boot_s, report.probe_s, report.post_status) == (3.62, 2.04, 3)
    assert report.warnings == ()
    assert ["no Intel display controller" in item.cause for item in report.diagnosis] == [True]


def test_a_guest_on_a_vgpu_without_engines_is_judged_from_its_real_log() -> None:
    report = judge((DATA / "guest_on_vgpu.log").read_text())
    assert report.finished and report.detected and report.driver_initialized and report.wedged
    assert report.warnings == ()
    assert ["user interrupts" in item.cause for item in report.diagnosis] == [True]
    assert report.balloon.completed
    assert report.balloon.mappable == (0x8000000, 0x10000000)
    assert report.balloon.nonmappable == (0xE0000000, 0x100000000)
    assert report.balloon.reserved == ((0x10000000, 0xE0000000), (0, 0x8000000))


def test_a_guest_on_a_faulty_gpu_is_judged_from_its_real_log() -> None:
    report = judge((DATA / "guest_on_faulty_gpu.log").read_text())
    assert report.finished and report.detected and report.driver_initialized and report.wedged
    assert report.drm_nodes == ("card0", "renderD128")
    assert len(report.connectors) == 6 and set(report.connectors.values()) == {"disconnected"}
    assert report.balloon.completed
    assert report.balloon.mappable == (0, 0x4000000)
    assert report.balloon.nonmappable == (0x10000000, 0x28000000)
    assert report.balloon.reserved == ((0x28000000, 0x100000000), (0x4000000, 0x10000000))
    backtraces = [line for line in report.warnings if " | WARNING: CPU: 0 " in line]
    errors = [line for line in report.warnings if "*ERROR*" in line]
    assert (len(backtraces), len(errors)) == (8, 12)
    assert len(report.warnings) == len(backtraces) + len(errors)
    registers = [re.findall(r"0x[0-9a-f]{4,}|RING_RESET_CTL|IIR|AUX", item.cause) for item in report.diagnosis]
    assert registers == [
        ["RING_RESET_CTL"],
        ["0x941c"],
        ["IIR"],
        ["0x42000"],
        ["0x45008"],
        ["0x46010"],
        ["AUX"],
    ]


def test_every_row_of_the_tables_has_a_name_of_its_own() -> None:
    assert len({symptom.pattern for symptom in SYMPTOMS}) == len(SYMPTOMS)
    assert len({rule.rule for rule in EXPECTED}) == len(EXPECTED)
    assert {symptom.kind for symptom in SYMPTOMS} == set(SymptomKind)
