"""A VFIO device's migration: its states, the ways between them, and what comes out and goes in."""

from __future__ import annotations

import pytest
from support.moving import keep_time_with
from support.vfio_rig import RAM_SIZE, VfioRig, make_rig

from guest_driver import GuestDriver
from guest_driver.state import DriverState
from host_model.host import Host
from host_model.vfio.device import VfioDevice, open_vgpu
from host_model.vfio.dma.iommu import DirectBus
from host_model.vfio.dma.port import DmaPort
from host_model.vfio.dma.type1 import Type1Container
from host_model.vfio.migration import MigrationState
from pvinfo.errors import RestoreRefused, SaveRefused, StateError, UsageError
from pvinfo.page import PVINFO_BASE
from pvinfo.platform import Engine
from pvinfo.units import GIB, GuestAddress
from pvinfo.vfio_user import RegionIndex

RUNNING, STOP, STOP_COPY, RESUMING = MigrationState.RUNNING, MigrationState.STOP, MigrationState.STOP_COPY, MigrationState.RESUMING


def read_all(rig: VfioRig, piece: int = 4096) -> bytes:
    """The state, piece by piece."""
    return b"".join(iter(lambda: rig.device.migration.read(piece), b""))


def at_work(rig: VfioRig) -> GuestDriver:
    driver = GuestDriver(rig.machine)
    driver.probe()
    assert driver.state is DriverState.READY
    driver.fill(driver.create_surface(64, 64), 0x12345678)
    return driver


def test_states_are_the_kernels() -> None:
    assert [(state.name, int(state)) for state in MigrationState][:5] == [("ERROR", 0), ("STOP", 1), ("RUNNING", 2), ("STOP_COPY", 3), ("RESUMING", 4)]


@pytest.mark.parametrize("way", ["type1", "iommufd-iommu"])
def test_a_device_at_work_goes_on_in_another_host(way: str) -> None:
    source, target = make_rig(way), make_rig(way)
    at_work(source)
    source.device.migration.go_to(STOP_COPY)
    assert source.vgpu.submission.queues[Engine.BCS0].completed > 0 and not source.vgpu.submission.is_running
    state = read_all(source)
    assert source.device.migration.read(1) == b"", "the end of the state stays its end"
    keep_time_with(target.host, source.host)
    target.memory.ram.write(GuestAddress(0), source.memory.ram.read(GuestAddress(0), RAM_SIZE))
    migration = target.device.migration
    migration.go_to(RESUMING)
    for start in range(0, len(state), 1000):
        migration.write(state[start : start + 1000])
    migration.go_to(STOP)
    assert target.vgpu.standstill.reached and target.device.pinned_pages > 0
    migration.go_to(STOP_COPY)
    assert read_all(target) == state
    migration.go_to(RUNNING)
    assert not target.vgpu.standstill.silent
    assert target.port.mapped_pages == source.port.mapped_pages
    assert bytes(target.vgpu.registers.bytes) == bytes(source.vgpu.registers.bytes)
    assert target.device.read(RegionIndex.BAR0, PVINFO_BASE, 8) == source.device.read(RegionIndex.BAR0, PVINFO_BASE, 8)


@pytest.mark.parametrize("start", [RUNNING, STOP, STOP_COPY, RESUMING])
@pytest.mark.parametrize("end", [RUNNING, STOP, STOP_COPY, RESUMING])
def test_every_state_is_reached_from_every_other_by_way_of_stop(start: MigrationState, end: MigrationState) -> None:
    rig = make_rig("type1")
    migration = rig.device.migration
    state = b""
    if start is RESUMING:
        migration.go_to(STOP_COPY)
        state = read_all(rig)
    migration.go_to(start)
    if start is RESUMING:
        migration.write(state)
    migration.go_to(end)
    assert migration.state is end
    assert rig.vgpu.standstill.reached == (end is not RUNNING)


def test_states_that_a_vgpu_has_not_are_named_with_those_it_has() -> None:
    migration = make_rig("type1").device.migration
    for state in (MigrationState.PRE_COPY, MigrationState.RUNNING_P2P, MigrationState.PRE_COPY_P2P):
        with pytest.raises(UsageError, match=f"migration state {state.name} of vGPU 1: it has RUNNING, STOP, STOP_COPY, RESUMING, ERROR"):
            migration.go_to(state)
    with pytest.raises(StateError, match="going to ERROR with vGPU 1 needs .* state is RUNNING, from which it goes to STOP"):
        migration.go_to(MigrationState.ERROR)


def test_the_state_is_read_and_written_in_its_own_state_only() -> None:
    rig = make_rig("type1")
    migration = rig.device.migration
    with pytest.raises(StateError, match="reading the state of vGPU 1 needs state STOP_COPY, but the state is RUNNING"):
        migration.read(1)
    migration.go_to(STOP)
    with pytest.raises(StateError, match="writing the state of vGPU 1 needs state RESUMING, but the state is STOP"):
        migration.write(b"")


def test_a_device_that_does_not_come_to_a_standstill_runs_on() -> None:
    rig = make_rig("type1")
    driver = at_work(rig)
    batch = driver.create_buffer(4096, "spinner")
    address = batch.gpu_address
    batch.write(0, b"".join(dword.to_bytes(4, "little") for dword in (0x18800101, address & 0xFFFFFFFF, address >> 32)))
    driver.submit(Engine.VCS0, batch)
    with pytest.raises(SaveRefused, match="on vcs0 has not ended"):
        rig.device.migration.go_to(STOP_COPY)
    assert rig.device.migration.state is RUNNING and not rig.vgpu.standstill.silent


def test_a_state_that_is_refused_leaves_the_device_as_new_and_able_to_take_another() -> None:
    rig = make_rig("type1")
    migration = rig.device.migration
    migration.go_to(STOP_COPY)
    state = read_all(rig)
    migration.go_to(RESUMING)
    migration.write(state[:-1])
    with pytest.raises(RestoreRefused, match="truncated"):
        migration.go_to(STOP)
    assert migration.state is RESUMING and rig.port.mapped_pages == 0
    migration.write(state)
    migration.go_to(RUNNING)


def test_the_state_of_another_place_is_refused() -> None:
    source, target = make_rig("type1"), make_rig("type1")
    source.device.migration.go_to(STOP_COPY)
    target.device.close()
    target.host.destroy_vgpu(target.vgpu)
    device = open_vgpu(target.host.create_vgpu(None, target.port, high_at=GIB), target.port)
    assert target.container is not None
    device.bind_container(target.container)
    device.migration.go_to(RESUMING)
    device.migration.write(read_all(source))
    with pytest.raises(RestoreRefused, match="slices: the graphics memory is") as refused:
        device.migration.go_to(STOP)
    assert "0x40000000" in str(refused.value)


def test_a_reset_leads_to_running_from_anywhere() -> None:
    for state in (STOP, STOP_COPY, RESUMING):
        rig = make_rig("type1")
        at_work(rig)
        rig.device.migration.go_to(state)
        rig.device.reset()
        assert rig.device.migration.state is RUNNING and not rig.vgpu.standstill.reached
        assert rig.vgpu.display.monitor is not None, "the cable stays where it is"
        at_work(rig)


def test_a_device_that_is_closed_in_the_midst_of_a_migration_is_as_new_for_the_next_user() -> None:
    rig = make_rig("type1")
    at_work(rig)
    rig.device.migration.go_to(STOP)
    rig.device.close()
    assert not rig.vgpu.standstill.reached and not rig.vgpu.pv.guest_is_aware
    assert rig.memory.pinned_pages == 0


def test_a_device_whose_state_cannot_be_saved_says_so() -> None:
    host = Host("skl")
    port = DmaPort(host.memory, DirectBus(host.memory))
    device = VfioDevice("part", host.create_vgpu(None, port), port)
    with pytest.raises(StateError, match="migrating"):
        _ = device.migration
    device.bind_container(Type1Container())
    with pytest.raises(UsageError, match="migration of part: its state cannot be saved"):
        _ = device.migration
