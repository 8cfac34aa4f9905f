"""The table of the host's own path: every register is decided, and each goes the way that the table says."""

from __future__ import annotations

import pytest
from support.own_device import Household

from host_model.host import Host
from host_model.mediator.host_path.policy import policy_for
from host_model.mediator.host_path.ways import Way, passing, passing_ranges, way_rows
from host_model.mediator.hardware.switched_registers import switched_registers
from pvinfo.page import PVINFO_BASE, VGT_MAGIC
from pvinfo.platform import ENGINES, PLATFORMS
from pvinfo.registers.fence import FENCE_BASE
from pvinfo.registers.forcewake import Forcewake
from pvinfo.registers.interrupt import INTERRUPT_GROUPS
from pvinfo.registers.pipe import Pipe
from pvinfo.registers.reset import ResetRegisters
from pvinfo.registers.tracked import MMIO_SIZE, tracked_runs


def test_the_table_says_of_every_register_what_becomes_of_it_once() -> None:
    decided = [offset for row in way_rows() for offset in row.offsets]
    assert decided == list(range(0, MMIO_SIZE, 4))
    assert all(row.why and row.source.startswith("linux:drivers/gpu/drm/i915/") for row in way_rows())


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_guests_have_for_themselves_the_host_has_for_itself(platform: str) -> None:
    passes = passing(platform)
    engines = {spec.base + at for spec in ENGINES.values() for at in (0x30, 0x80, 0xA8, 0xD0, 0x230, 0x370, 0x3A0)}
    groups = {base + at for base in INTERRUPT_GROUPS.values() for at in (0, 4, 8, 12)}
    switched = {register.offset for register in switched_registers(PLATFORMS[platform].graphics_version)}
    shared = engines | groups | switched | {0x44200, FENCE_BASE, FENCE_BASE + 0xFC, PVINFO_BASE, ResetRegisters.gdrst.at()}
    assert {offset for offset in shared if passes[offset]} == set()
    for register in (Forcewake.gt.at(), Pipe.frmcount.at("PIPE_A"), 0x46010, 0x138124, 0x64000, 0xC4030):
        assert passes[register], f"{register:#x} is the host's alone"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_ranges_of_what_passes_are_what_passes(platform: str) -> None:
    passes = passing(platform)
    assert [offset for part in passing_ranges(platform) for offset in part if not offset & 3] == [at for at in range(0, MMIO_SIZE, 4) if passes[at]]
    assert passing_ranges(platform, 0x44200)[0].start == 0x444F0


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_tracked_register_is_the_hardwares_or_the_hosts_own_as_the_table_says(platform: str) -> None:
    """Two alike hosts, on which the same is read: of one by the host's device, of the other of the hardware, or of the device's page."""
    one, other = (Host(platform) for _ in range(2))
    device, like = one.own_device().device, other.own_device().device
    served, passes = policy_for(platform).handlers, passing(platform)
    seen = {Way.PASS: 0, Way.EMULATE: 0}
    for offset in {offset: None for run in tracked_runs(platform) for offset in run.offsets()}:
        if passes[offset]:
            assert device.mmio.read32(offset) == other.gpu.mmio.read32(offset), f"{offset:#x}"
            seen[Way.PASS] += 1
            assert device.mmio.passed == seen[Way.PASS]
        elif offset not in served.reads:
            for host, mine in ((one, device), (other, like)):
                host.gpu.registers.write32(offset, 0x1357_9BDF)
                mine.registers.write32(offset, 0x2468_ACE0)
            assert device.mmio.read32(offset) == 0x2468_ACE0, f"{offset:#x}"
            seen[Way.EMULATE] += 1
    assert seen[Way.PASS] > 60_000 and seen[Way.EMULATE] > 150


def test_writes_go_the_same_way_in_every_width() -> None:
    home = Household(guests=0)
    device, hardware = home.device, home.host.gpu.registers
    color = Pipe.bottom_color.at("PIPE_B")
    device.mmio.write32(color, 0x1122_3344)
    device.mmio.write(color + 1, 1, 0xAB)
    assert hardware.read32(color) == 0x1122_AB44 and device.mmio.read(color + 2, 2) == 0x1122
    status_page = ENGINES[next(iter(ENGINES))].base + 0x80
    before = hardware.read32(status_page)
    device.mmio.write32(status_page, 0x5000)
    assert hardware.read32(status_page) == before != 0x5000 == device.mmio.read32(status_page)
    assert device.mmio.read(PVINFO_BASE, 8) == VGT_MAGIC and hardware.read32(PVINFO_BASE) == 0


def test_the_page_tells_the_host_of_its_own_share() -> None:
    home = Household(guests=1)
    low, high, fences = home.device.resources
    theirs = home.plugged[0].vgpu.resources
    resources = home.driver.resources
    assert (resources.mappable.base, resources.mappable.size) == (low.start, len(low)) == (0x1000, (64 << 20) - 0x1000)
    assert (resources.nonmappable.base, resources.nonmappable.size) == (high.start, len(high)) == (512 << 20, 192 << 20)
    assert resources.fences == 4 and fences == (0, 1, 2, 3)
    assert low.stop <= theirs.low.start and high.stop <= theirs.high.start and not set(fences) & set(theirs.fences)
