"""One vGPU as a device: the PVINFO page, interrupts, resets, traces."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support.golden import MSI, POWER, made_host

from host_model.host import PluggedVgpu
from host_model.mediator.failsafe import FailsafeReason
from host_model.mediator.pv import Announcement
from host_model.mediator.vgpu import Vgpu
from pvinfo.finding import FindingKind
from pvinfo.notify import Notification
from pvinfo.page import PVINFO_BASE, VGT_IF, Capability
from pvinfo.platform import Engine
from pvinfo.trace import Op, TraceRow, read_trace
from pvinfo.units import MIB

PLAIN_GT = 0x2030
PLAIN_DISPLAY = 0x4F080
"""A plain register above the part that a reset of the whole GT restores."""
NOTIFY = PVINFO_BASE + 0x818
DISPLAY_READY = PVINFO_BASE + 0x804
ALARM = PVINFO_BASE + 0x808
CURSOR_X = PVINFO_BASE + 0x830


@pytest.fixture
def plugged() -> PluggedVgpu:
    return made_host({PLAIN_GT: 0x1111, PLAIN_DISPLAY: 0x2222}).plug(ram_size=4 * MIB)


@pytest.fixture
def vgpu(plugged: PluggedVgpu) -> Vgpu:
    return plugged.vgpu


def rules(vgpu: Vgpu) -> list[str]:
    return [finding.rule for finding in vgpu.findings]


# ---- the PVINFO page ----


@pytest.mark.parametrize(
    ("what", "offset", "size", "value"),
    [
        ("magic", 0, 8, 0x4776_5447_7654_4776), ("magic, its lower half", 0, 4, 0x7654_4776), ("magic, its upper half", 4, 4, 0x4776_5447),
        ("major version", 8, 2, 1), ("minor version", 10, 2, 0), ("both versions", 8, 4, 1), ("number", 12, 4, 1),
        ("capabilities", 0x10, 4, 0x1C), ("low slice", 0x40, 4, 128 * MIB), ("its length", 0x44, 4, 64 * MIB),
        ("high slice", 0x48, 4, 4096 * MIB - 384 * MIB), ("its length", 0x4C, 4, 384 * MIB), ("fences", 0x50, 4, 4),
        ("display ready", 0x804, 4, 0), ("notification", 0x818, 4, 0), ("cursor", 0x830, 8, 0xFFFF_FFFF_FFFF_FFFF), ("page roots", 0x838, 8, 0),
    ],
)  # fmt: skip
def test_a_guest_finds_on_the_page(vgpu: Vgpu, what: str, offset: int, size: int, value: int) -> None:
    assert vgpu.mmio.read(PVINFO_BASE + offset, size) == value, what


def test_the_page_can_announce_something_else() -> None:
    announcement = Announcement(magic=7, version_major=0, version_minor=3, capabilities=Capability.HWSP_EMULATION)
    vgpu = made_host().plug(announcement=announcement).vgpu
    page = VGT_IF.unpack_from(vgpu.registers.bytes, PVINFO_BASE)
    assert (page.magic, page.version_major, page.version_minor, page.vgt_caps) == (7, 0, 3, 8)
    assert page.avail_rs.fence_num == 4


def test_reading_any_part_of_the_page_proves_that_the_guest_knows_gvt_g(vgpu: Vgpu) -> None:
    aware = [vgpu.pv.guest_is_aware]
    vgpu.mmio.write32(NOTIFY, Notification.PPGTT_L4_PAGE_TABLE_CREATE)
    vgpu.mmio.read32(PVINFO_BASE - 4)
    vgpu.mmio.read32(PVINFO_BASE + 0x1000)
    aware.append(vgpu.pv.guest_is_aware)
    vgpu.mmio.read(PVINFO_BASE + 0xFFF, 1)
    aware.append(vgpu.pv.guest_is_aware)
    assert aware == [False, False, True]


def test_notifications_are_counted_by_kind(vgpu: Vgpu) -> None:
    for value in (2, 3, 4, 4, 5, 6, 7):
        vgpu.mmio.write32(NOTIFY, value)
        assert vgpu.mmio.read32(NOTIFY) == value
    assert {kind.value: times for kind, times in vgpu.pv.notifications.items()} == {2: 1, 3: 1, 4: 2, 5: 1, 6: 1, 7: 1}
    assert rules(vgpu) == []


def test_an_unknown_notification_is_a_finding_and_kept(vgpu: Vgpu) -> None:
    vgpu.mmio.write32(NOTIFY, 0x99)
    (finding,) = vgpu.findings
    assert (finding.rule, finding.where, finding.value, finding.nearest) == ("unknown-notification", "pvinfo.g2v_notify (0x78818)", 0x99, "2 to 7")
    assert vgpu.mmio.read32(NOTIFY) == 0x99
    assert vgpu.pv.unknown_notifications == 1


def test_the_notification_that_old_guests_still_send_is_accepted_without_action(vgpu: Vgpu) -> None:
    vgpu.mmio.write32(NOTIFY, 1)
    assert (rules(vgpu), vgpu.pv.unknown_notifications, sum(vgpu.pv.notifications.values())) == ([], 0, 0)
    assert vgpu.mmio.read32(NOTIFY) == 1


def test_display_ready_follows_the_guest(vgpu: Vgpu) -> None:
    ready = []
    for value in (1, 0, 5):
        vgpu.mmio.write32(DISPLAY_READY, value)
        ready.append((vgpu.pv.display_ready, vgpu.mmio.read32(DISPLAY_READY)))
    assert ready == [(True, 1), (False, 0), (True, 5)]


@pytest.mark.parametrize("offset", [*range(0x830, 0x860, 4)])
def test_the_guests_messages_are_kept(vgpu: Vgpu, offset: int) -> None:
    vgpu.mmio.write32(PVINFO_BASE + offset, 0x1234_5678)
    assert vgpu.mmio.read32(PVINFO_BASE + offset) == 0x1234_5678
    assert rules(vgpu) == []


@pytest.mark.parametrize(
    ("offset", "field"),
    [(0, "magic"), (4, "magic"), (8, "version_major"), (0xC, "vgt_id"), (0x10, "vgt_caps"), (0x40, "avail_rs.mappable_gmadr.base"),
     (0x50, "avail_rs.fence_num"), (0x14, "rsv1"), (0x800, "rsv4"), (0x81C, "rsv6"), (0x860, "rsv7"), (0xFFC, "rsv7")],
)  # fmt: skip
def test_the_hosts_half_of_the_page_cannot_be_written(vgpu: Vgpu, offset: int, field: str) -> None:
    before = bytes(vgpu.registers.bytes[PVINFO_BASE : PVINFO_BASE + 4096])
    for size in (1, 2, 4):
        vgpu.mmio.write(PVINFO_BASE + offset, size, 0x5A5A_5A5A)
    assert vgpu.registers.bytes[PVINFO_BASE : PVINFO_BASE + 4096] == before
    (finding,) = vgpu.findings
    assert (finding.kind, finding.rule, finding.occurrences) == (FindingKind.GUEST_FAULT, "pvinfo-read-only", 3)
    assert finding.where == f"pvinfo.{field} ({PVINFO_BASE + offset:#x})"


@pytest.mark.parametrize("offset", range(0x808, 0x818, 4))
def test_a_write_to_the_alarm_is_a_cry_for_resources(vgpu: Vgpu, offset: int) -> None:
    vgpu.mmio.write32(PVINFO_BASE + offset, 1)
    assert vgpu.failsafe.reason is FailsafeReason.INSUFFICIENT_RESOURCE
    assert vgpu.mmio.read32(PVINFO_BASE + offset) == 0, "and is not kept"
    (finding,) = vgpu.findings.of_rule("failsafe")
    assert finding.where == f"pvinfo.rsv5 ({PVINFO_BASE + offset:#x})"


# ---- interrupts ----


def test_an_interrupt_needs_msi_bus_mastering_and_somebody_who_listens(plugged: PluggedVgpu) -> None:
    vgpu, heard = plugged.vgpu, [0]

    def count() -> None:
        heard[0] += 1

    plugged.machine.gpu.on_interrupt(count)
    for control, command in ((0, 0), (1, 0), (0, 4), (1, 4)):
        vgpu.config.write(MSI + 2, 2, control)
        vgpu.config.write(4, 2, command)
        vgpu.inject_msi()
    assert (heard, vgpu.interrupts_sent, vgpu.interrupts_lost) == ([1], 1, 3)
    plugged.machine.gpu.on_interrupt(None)
    vgpu.inject_msi()
    assert (heard, vgpu.interrupts_sent, vgpu.interrupts_lost) == ([1], 1, 4)


# ---- resets ----


def disturb(vgpu: Vgpu) -> None:
    """What a guest leaves behind."""
    vgpu.mmio.read32(PVINFO_BASE)
    vgpu.mmio.write32(CURSOR_X, 5)
    vgpu.mmio.write32(DISPLAY_READY, 1)
    vgpu.mmio.write32(PLAIN_GT, 0x3333)
    vgpu.mmio.write32(PLAIN_DISPLAY, 0x4444)
    vgpu.config.write(0x10, 4, 0xFD00_0000)
    vgpu.mmio.write(0x80_0000 + (vgpu.resources.low.start >> 9), 8, 0x1001)


def state(vgpu: Vgpu) -> dict[str, object]:
    """What a reset may change."""
    registers = vgpu.registers
    return {
        "gt": registers.read32(PLAIN_GT),
        "display": registers.read32(PLAIN_DISPLAY),
        "page": registers.read32(CURSOR_X),
        "display_ready": vgpu.pv.display_ready,
        "config": vgpu.config.read(0x10, 4),
        "entry": vgpu.ggtt.entry(vgpu.resources.low.start >> 12),
        "pinned": vgpu.port.mapped_pages,
        "aware": vgpu.pv.guest_is_aware,
        "failsafe": vgpu.failsafe.reason,
    }


FRESH = {
    "gt": 0x1111, "display": 0x2222, "page": 0xFFFF_FFFF, "display_ready": False, "config": 4, "entry": 0, "pinned": 0,
    "aware": False, "failsafe": None,
}  # fmt: skip
DISTURBED = {
    "gt": 0x3333, "display": 0x4444, "page": 5, "display_ready": True, "config": 0xFD00_0004, "entry": 0x1001, "pinned": 1,
    "aware": True, "failsafe": None,
}  # fmt: skip


def test_a_device_reset_brings_everything_back(vgpu: Vgpu) -> None:
    assert state(vgpu) == FRESH
    disturb(vgpu)
    assert state(vgpu) == DISTURBED
    vgpu.failsafe.enter(FailsafeReason.GUEST_ERROR, "a test")
    vgpu.reset()
    assert state(vgpu) == FRESH
    assert dict(vgpu.resets) == {"device": 1}


def test_a_guest_that_slept_is_still_known_after_a_device_reset(vgpu: Vgpu) -> None:
    disturb(vgpu)
    vgpu.config.write(POWER + 4, 2, 3)
    vgpu.reset()
    assert state(vgpu) == {**FRESH, "aware": True}
    assert not vgpu.config.in_d3
    vgpu.reset()
    assert state(vgpu) == FRESH


def test_a_reset_of_the_whole_gt_restores_its_registers_and_the_page(vgpu: Vgpu) -> None:
    disturb(vgpu)
    vgpu.failsafe.enter(FailsafeReason.GUEST_ERROR, "a test")
    vgpu.reset_engines(frozenset(Engine), full=True)
    assert state(vgpu) == {
        **DISTURBED, "gt": 0x1111, "page": 0xFFFF_FFFF, "display_ready": False, "failsafe": FailsafeReason.GUEST_ERROR,
    }  # fmt: skip
    assert dict(vgpu.resets) == {"full": 1}


def test_a_reset_of_every_engine_by_name_keeps_everything(vgpu: Vgpu) -> None:
    disturb(vgpu)
    vgpu.reset_engines(frozenset(Engine), full=False)
    assert state(vgpu) == DISTURBED
    assert dict(vgpu.resets) == {"engine": 1}


def test_the_snapshot_is_shown_with_the_micro_controller_in_reset_and_residency_cleared() -> None:
    vgpu = made_host({0xC000: 0x10, 0x13805C: 5, 0x138060: 6, 0x138064: 7}).plug().vgpu
    for _ in range(2):
        registers = vgpu.registers
        assert [registers.read32(offset) for offset in (0xC000, 0x13805C, 0x138060, 0x138064)] == [0x11, 0, 0, 7]
        vgpu.reset()


@pytest.mark.parametrize("seed", range(3))
def test_after_a_device_reset_nothing_tells_a_new_guest_of_the_old_one(seed: int) -> None:
    rng = random.Random(seed)
    plugged = made_host().plug(ram_size=4 * MIB)
    vgpu = plugged.vgpu
    fresh = bytes(vgpu.registers.bytes), bytes(vgpu.config.bytes), bytes(vgpu.gpu.ggtt.entries)
    for _ in range(3000):
        size = rng.choice((1, 2, 4, 8))
        offset = rng.choice((rng.randrange(0x200000), 0x800000 + (vgpu.resources.low.start >> 9) + 4 * rng.randrange(64)))
        vgpu.mmio.write(offset, size, rng.getrandbits(8 * size))
        vgpu.config.write(rng.randrange(4096), 1, rng.getrandbits(8))
    vgpu.reset()
    assert (bytes(vgpu.registers.bytes), bytes(vgpu.config.bytes), bytes(vgpu.gpu.ggtt.entries)) == fresh
    assert vgpu.port.mapped_pages == 0


# ---- failsafe ----


def test_failsafe_mode_is_entered_once_and_left_by_a_device_reset_only(vgpu: Vgpu) -> None:
    vgpu.failsafe.enter(FailsafeReason.UNSUPPORTED_GUEST, "ring mode", 0x8000_8000)
    vgpu.failsafe.enter(FailsafeReason.GUEST_ERROR, "elsewhere")
    assert (vgpu.failsafe.reason, vgpu.failsafe.entered) == (FailsafeReason.UNSUPPORTED_GUEST, 1)
    (finding,) = vgpu.findings
    assert (finding.where, finding.value) == ("ring mode", 0x8000_8000)
    assert finding.text == (
        "failsafe mode entered, unsupported guest: the guest's driver does not know GVT-g, or asks for what GVT-g never "
        "offered; a device reset leads out"
    )
    vgpu.reset_engines(frozenset(Engine), full=True)
    left = [bool(vgpu.failsafe)]
    vgpu.reset()
    left.append(bool(vgpu.failsafe))
    assert left == [True, False]
    vgpu.failsafe.enter(FailsafeReason.GUEST_ERROR, "elsewhere")
    assert vgpu.failsafe.entered == 2


AWARE = "read of the magic"
"""A trigger's history: what the guest did before."""


@pytest.mark.parametrize(
    ("platform", "before", "act", "reason"),
    [
        ("skl", "", ("write", 0x100020, 1), FailsafeReason.UNSUPPORTED_GUEST),
        ("skl", "", ("read", 0x100020, 0), FailsafeReason.UNSUPPORTED_GUEST),
        ("skl", AWARE, ("write", 0x100020, 1), None),
        ("skl", "", ("write", 0x100018, 1), None),
        ("skl", AWARE, ("write", 0x229C, 0x0001_0001), FailsafeReason.UNSUPPORTED_GUEST),
        ("skl", AWARE, ("write", 0x229C, 0x0001_0000), None),
        ("skl", AWARE, ("write", 0x229C, 0x0000_0001), None),
        ("skl", AWARE, ("write", 0x229C, 0x0002_0002), None),
        ("cfl", AWARE, ("write", 0x229C, 0x0002_0002), FailsafeReason.UNSUPPORTED_GUEST),
        ("skl", "", ("write", 0x229C, 0x0200_0200), FailsafeReason.UNSUPPORTED_GUEST),
        ("skl", "", ("write", 0x1A29C, 0x8000_8000), FailsafeReason.UNSUPPORTED_GUEST),
        ("skl", "", ("write", 0x229C, 0x8200_0000), None),
        ("skl", AWARE, ("write", 0x2229C, 0x8200_8200), None),
        ("skl", AWARE, ("write", 0x20D4, 0x0008_0008), FailsafeReason.UNSUPPORTED_GUEST),
        ("kbl", AWARE, ("write", 0x120D4, 0x0010_0010), FailsafeReason.UNSUPPORTED_GUEST),
        ("skl", AWARE, ("write", 0x20D4, 0x0020_0020), None),
        ("bdw", AWARE, ("write", 0x20D4, 0x0008_0008), None),
        ("bdw", "", ("write", 0x1229C, 0x8000_8000), FailsafeReason.UNSUPPORTED_GUEST),
        ("skl", AWARE, ("write", ALARM, 0), FailsafeReason.INSUFFICIENT_RESOURCE),
        ("skl", "", ("write", ALARM + 12, 7), FailsafeReason.INSUFFICIENT_RESOURCE),
    ],
)
def test_what_leads_into_failsafe_mode_and_that_a_device_reset_leads_out(
    platform: str, before: str, act: tuple[str, int, int], reason: FailsafeReason | None
) -> None:
    vgpu = made_host(platform=platform).plug(ram_size=MIB).vgpu
    if before == AWARE:
        vgpu.mmio.read(PVINFO_BASE, 8)
    what, offset, value = act
    if what == "write":
        vgpu.mmio.write32(offset, value)
    else:
        vgpu.mmio.read32(offset)
    assert vgpu.failsafe.reason is reason
    assert len(vgpu.findings.of_rule("failsafe")) == (reason is not None)
    vgpu.reset_engines(frozenset(Engine), full=True)
    assert vgpu.failsafe.reason is reason
    vgpu.reset()
    assert vgpu.failsafe.reason is None
    vgpu.mmio.write32(0x2234, 0xFFFF_FFFF)
    assert vgpu.mmio.read32(0x2234) == 0, "read-only registers are read-only again"


# ---- traces and the end ----


def test_a_trace_holds_every_kind_of_access_in_order(plugged: PluggedVgpu, tmp_path: Path) -> None:
    vgpu, path = plugged.vgpu, tmp_path / "trace.tsv.xz"
    low = vgpu.resources.low.start
    vgpu.trace_to(path)
    vgpu.config.read(0, 2)
    vgpu.mmio.read32(PLAIN_GT)
    vgpu.mmio.read32(PLAIN_GT)
    plugged.machine.clock.wait_ns(3_000_000)
    vgpu.mmio.write(0x80_0000 + (low >> 9), 8, 0x1001)
    vgpu.aperture.write32(low, 9)
    vgpu.config.write(4, 2, 6)
    vgpu.close()
    assert read_trace(path) == [
        TraceRow(0, Op.CONFIG_READ, 2, 0, 0x8086, 1),
        TraceRow(0, Op.READ, 4, PLAIN_GT, 0x1111, 2),
        TraceRow(3, Op.GGTT_WRITE, 8, low >> 9, 0x1001, 1),
        TraceRow(3, Op.APERTURE_WRITE, 4, low, 9, 1),
        TraceRow(3, Op.CONFIG_WRITE, 2, 4, 6, 1),
    ]


def test_a_vgpu_that_goes_away_lets_go_of_its_guest(plugged: PluggedVgpu) -> None:
    vgpu, heard = plugged.vgpu, [0]
    disturb(vgpu)
    vgpu.config.write(MSI + 2, 2, 1)
    vgpu.config.write(4, 2, 4)
    plugged.machine.gpu.on_interrupt(lambda: heard.append(1))
    vgpu.close()
    vgpu.inject_msi()
    assert heard == [0]
    assert vgpu.port.mapped_pages == 0
    assert all(vgpu.gpu.ggtt.entries[address >> 12] == vgpu.scratch_page | 1 for address in range(vgpu.resources.low.start, vgpu.resources.low.stop, 4096))


@pytest.mark.parametrize(("index", "size"), [(0, 16 * MIB), (2, 256 * MIB)])
def test_two_windows_answer(vgpu: Vgpu, index: int, size: int) -> None:
    window = vgpu.bar(index)
    assert window is not None and window.size == size


@pytest.mark.parametrize("index", [1, 3, 4, 5, 6, -1])
def test_there_are_no_other_windows(vgpu: Vgpu, index: int) -> None:
    assert vgpu.bar(index) is None
