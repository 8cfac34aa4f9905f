"""A guest driver on a vGPU whose memory comes through VFIO: the same results as in a machine of this process, and every pin accounted for."""

from __future__ import annotations

from contextlib import suppress

import pytest
from support.vfio_rig import RAM_SIZE, WAYS, make_rig

from guest_driver import GuestDriver
from guest_driver.batch import Rectangle
from guest_driver.state import DriverState
from host_model.host import Host
from pvinfo.bus import Machine
from pvinfo.errors import GvtError
from pvinfo.pci import CapabilityId, PowerState
from pvinfo.units import MIB, PAGE_SIZE, GuestAddress

PATIENCE_NS = 30_000_000_000


def draw(machine: Machine) -> list[bytes]:
    """Probe, fill, fill a part, copy: the rows of the two surfaces."""
    driver = GuestDriver(machine, vgpu_required=True)
    driver.probe()
    assert driver.state is DriverState.READY
    source, target = driver.create_surface(96, 40), driver.create_surface(96, 40)
    driver.fill(source, 0x00112233)
    driver.fill(source, 0x00AABBCC, Rectangle(10, 5, 50, 20))
    driver.copy(target, source).wait(PATIENCE_NS)
    rows = [surface.read_row(y, 0, 96 * 4) for surface in (source, target) for y in range(40)]
    driver.unload()
    return rows


@pytest.mark.parametrize("platform", ["skl", "bdw"])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_drawn_is_what_is_drawn_in_a_machine_of_this_process(way: str, platform: str) -> None:
    local = Host(platform).plug()
    expected = draw(local.machine)
    assert len({*expected}) == 2, "two kinds of rows: some with the rectangle"
    rig = make_rig(way, platform=platform, piece=MIB)
    assert draw(rig.machine) == expected
    assert rig.host.guard.violations == 0
    assert (rig.vgpu.interrupts_sent, list(rig.vgpu.findings)) == (local.vgpu.interrupts_sent, list(local.vgpu.findings))
    if rig.iommu is not None:
        assert rig.iommu.walks > 0 and rig.iommu.faults == 0


@pytest.mark.parametrize("way", WAYS)
def test_pages_are_pinned_only_while_the_gpu_may_need_them(way: str) -> None:
    rig = make_rig(way)
    assert (rig.device.pinned_pages, rig.memory.pinned_pages) == (0, 0), "mapping pins nothing"
    driver = GuestDriver(rig.machine)
    driver.probe()
    pinned = rig.port.mapped_pages
    assert 0 < pinned < RAM_SIZE // PAGE_SIZE
    assert (rig.device.pinned_pages, rig.memory.pinned_pages) == (pinned, pinned)
    if rig.iommu is not None:
        assert rig.iommu.mapped_pages == pinned
    driver.unload()
    rig.device.reset()
    assert (rig.port.mapped_pages, rig.device.pinned_pages, rig.memory.pinned_pages) == (0, 0, 0)
    if rig.iommu is not None:
        assert (rig.iommu.mapped_pages, rig.iommu.reserved_pages) == (0, 0)


@pytest.mark.parametrize("way", WAYS)
def test_memory_that_goes_in_the_middle_of_work_is_let_go_at_once_and_owed_nothing(way: str) -> None:
    rig = make_rig(way, piece=MIB)
    driver = GuestDriver(rig.machine)
    driver.probe()
    surface = driver.create_surface(256, 256)
    driver.fill(surface, 0x11111111).wait(PATIENCE_NS)
    request = driver.fill(surface, 0x22222222)
    before = rig.port.mapped_pages
    held = sorted(page for page in range(0, RAM_SIZE, PAGE_SIZE) if rig.memory.pins(page))
    assert len(held) == before
    gone = held[len(held) // 2] & ~(MIB - 1)
    in_it = sum(1 for page in held if gone <= page < gone + MIB)
    assert rig.unmap(gone, MIB) == MIB
    assert rig.memory.pinned_pages == rig.device.pinned_pages == rig.port.mapped_pages == before - in_it
    assert rig.port.taken_back == rig.port.lost_pages == in_it > 0
    assert not any(rig.memory.pins(page) for page in range(gone, gone + MIB, PAGE_SIZE))
    if rig.iommu is not None:
        assert (rig.iommu.mapped_pages, rig.iommu.reserved_pages) == (before - in_it, before)
    with suppress(GvtError):
        # Whether the work hangs depends on what was in that memory.
        request.wait(PATIENCE_NS)
    assert rig.host.guard.violations == 0, "the GPU finds nothing there, which is not somebody else's page"
    rig.device.reset()
    assert (rig.port.mapped_pages, rig.port.lost_pages, rig.device.pinned_pages, rig.memory.pinned_pages) == (0, 0, 0, 0)
    rig.map(gone, MIB, gone)
    assert draw(rig.machine) == draw(Host("skl").plug().machine), "a new driver after the reset finds all memory again"
    assert rig.host.guard.violations == 0


@pytest.mark.parametrize("way", WAYS)
def test_closing_a_device_at_work_leaves_no_pin_and_no_address(way: str) -> None:
    rig = make_rig(way)
    driver = GuestDriver(rig.machine)
    driver.probe()
    driver.fill(driver.create_surface(64, 64), 1)
    assert rig.port.mapped_pages and rig.vgpu.tables.tables
    rig.device.close()
    assert (rig.port.mapped_pages, rig.memory.pinned_pages, rig.port.lost_pages) == (0, 0, 0)
    assert (len(rig.vgpu.tables), rig.vgpu.tables.tables, rig.vgpu.submission.is_running) == (0, 0, False)
    if rig.iommu is not None:
        assert rig.iommu.reserved_pages == 0
    if rig.container is not None:
        rig.container.close()
    if rig.context is not None and rig.ioas is not None:
        assert rig.context.accesses == ()
        rig.context.destroy_ioas(rig.ioas)
    rig.host.destroy_vgpu(rig.vgpu)
    if rig.iommu is not None:
        rig.iommu.close()
    rig.memory.close()


@pytest.mark.parametrize("closes", [False, True])
def test_a_device_that_sleeps_is_kept_for_its_guest_but_not_for_the_next_user(closes: bool) -> None:
    rig = make_rig("type1")
    driver = GuestDriver(rig.machine)
    driver.probe()
    rig.machine.gpu.config.write(driver.pci.capabilities[CapabilityId.POWER_MANAGEMENT] + 4, 2, PowerState.D3HOT)
    if closes:
        rig.device.close()
    rig.vgpu.reset()
    assert rig.vgpu.pv.guest_is_aware is not closes


def test_nothing_more_happens_to_a_vgpu_that_was_taken_away() -> None:
    """Its place may be another one's by then."""
    rig = make_rig("type1")
    GuestDriver(rig.machine).probe()
    rig.host.destroy_vgpu(rig.vgpu)
    other = rig.host.plug()
    driver = GuestDriver(other.machine)
    driver.probe()
    pinned = other.vgpu.port.mapped_pages
    rig.device.close()
    assert other.vgpu.port.mapped_pages == pinned > 0
    surface = driver.create_surface(32, 8)
    driver.fill(surface, 0x0A0B0C).wait(PATIENCE_NS)
    assert surface.read_row(3, 0, 4) == bytes((0x0C, 0x0B, 0x0A, 0))


def test_an_iommu_adds_a_second_translation_which_an_identity_domain_skips() -> None:
    translated, direct = make_rig("type1-iommu"), make_rig("type1")
    for rig in (translated, direct):
        assert (bus := rig.port.map_guest_page(GuestAddress(0x5000))) is not None
        rig.memory.ram.write(GuestAddress(0x5000), b"guest")
        page = rig.host.memory.page(bus)
        assert page is not None and bytes(page[:5]) == b"guest"
        assert (bus == rig.memory.base + 0x5000) == (rig is direct)
    assert translated.iommu is not None and translated.iommu.walks == 1


@pytest.mark.parametrize("way", WAYS)
def test_two_users_of_one_gpu_draw_beside_each_other_and_the_end_of_one_is_not_the_others(way: str) -> None:
    first = make_rig(way)
    second = make_rig(way, beside=first)
    drivers = [GuestDriver(rig.machine) for rig in (first, second)]
    for driver in drivers:
        driver.probe()
    surfaces = [driver.create_surface(64, 8) for driver in drivers]
    requests = [driver.fill(surface, value) for driver, surface, value in zip(drivers, surfaces, (0x11111111, 0x22222222), strict=True)]
    requests[1].wait(PATIENCE_NS)
    first.device.close()
    first.host.destroy_vgpu(first.vgpu)
    first.memory.close()
    assert (first.port.mapped_pages, first.port.lost_pages) == (0, 0)
    drivers[1].copy(other := drivers[1].create_surface(64, 8), surfaces[1]).wait(PATIENCE_NS)
    assert {other.read_row(y, 0, 256) for y in range(8)} == {b"\x22" * 256}
    assert second.memory.pinned_pages == second.port.mapped_pages > 0 and first.host.guard.violations == 0
    if second.iommu is not None:
        assert second.iommu.mapped_pages == second.iommu.reserved_pages == second.port.mapped_pages
