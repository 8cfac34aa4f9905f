"""Whatever runs out is named: which resource it is, how much was asked for, how much is left, and who has the rest."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from guest_driver import GuestDriver
from guest_driver.transport.memory import SharedRam
from host_model.clock import VirtualClock
from host_model.host import Host
from host_model.hypervisor.local import LocalMachine, LocalPort, Ram
from host_model.memory import HostMemory
from host_model.vfio.client import VfioPciDevice
from host_model.vfio.device import open_vgpu
from host_model.vfio.dma import iommu
from host_model.vfio.dma.iommu import DirectBus, Iommu
from host_model.vfio.dma.iommufd import IommufdContext
from host_model.vfio.dma.port import DmaPort
from host_model.vfio.dma.type1 import Type1Container
from host_model.vfio.dma.user_memory import UserMemory
from host_model.vfio.mdev import MdevParent
from host_model.vfio.provisioning import MediatedPolicy, PartitionPolicy, ProvisionedDevice
from host_model.vfio.user.listener import Listener
from pvinfo.errors import DriverError, ResourceExhausted
from pvinfo.finding import FindingKind
from pvinfo.units import GIB, MIB, PAGE_SIZE, BusAddress


class Case(NamedTuple):
    """A resource, a way to ask for more of it than there is, and what must be told."""

    resource: str
    exhaust: Callable[[], object]
    wanted: int
    left: int
    unit: str
    held: dict[str, int]


def low_memory() -> None:
    host = Host(aperture_size=512 * MIB)
    host.plug("GVTg_V5_2", ram_size=MIB)
    host.plug("GVTg_V5_2", ram_size=MIB)


def high_memory() -> None:
    host = Host(aperture_size=2 * GIB)
    host.plug("GVTg_V5_2", ram_size=MIB)
    host.plug("GVTg_V5_1", ram_size=MIB)


def placed_memory() -> None:
    host = Host()
    first = host.plug(ram_size=MIB).vgpu
    host.plug(ram_size=MIB, low_at=first.resources.low.start)


def fences() -> None:
    host = Host(aperture_size=GIB)
    for _ in range(6):
        host.plug(ram_size=MIB)
    ProvisionedDevice("tenant", (PartitionPolicy(host),)).configure("GVTg_V5_8-partition")
    host.plug(ram_size=MIB)


def instances() -> None:
    parent = MdevParent(Host())
    for number in range(3):
        parent.create("i915-GVTg_V5_8", f"a297db4a-f4c2-11e6-90f6-00000000000{number}")


def reserved() -> None:
    host = Host()
    for name in ("one", "two", "three"):
        ProvisionedDevice(name, (MediatedPolicy(host),)).configure("GVTg_V5_8")


def graphics_memory() -> None:
    host = Host()
    graphics = host.mediator.hardware.memory
    graphics.allocate(128 * MIB - PAGE_SIZE - graphics.pages * PAGE_SIZE, 0)
    graphics.allocate(384 * MIB, 2)
    graphics.allocate(PAGE_SIZE, 1)


def host_memory() -> None:
    memory = HostMemory()
    memory.allocate(3, 5)
    memory.allocate(1)
    memory.allocate(1 << 28, 7)


def windows() -> None:
    memory = HostMemory()
    for _ in range(250):
        LocalPort(Ram(PAGE_SIZE), memory)
    Iommu(memory)
    for _ in range(5):
        UserMemory(Ram(PAGE_SIZE), memory)


def mappings() -> None:
    container, memory = Type1Container(limit=2), UserMemory(Ram(MIB), HostMemory())
    for number in range(3):
        container.map(number << 20, PAGE_SIZE, memory)


def io_addresses() -> None:
    ioas, memory = IommufdContext().create_ioas(), UserMemory(Ram(MIB), HostMemory())
    ioas.allow([range(0, 4 * PAGE_SIZE)])
    ioas.map(PAGE_SIZE, memory, at=PAGE_SIZE)
    ioas.map(3 * PAGE_SIZE, memory)


def locked_memory() -> None:
    memory = UserMemory(Ram(MIB), HostMemory(), lockable_pages=4)
    memory.pin((0, 0x1000, 0x1000, 0x2000))
    memory.pin((0x2000, 0x3000, 0x4000))


CASES = (
    Case("low graphics memory (aperture)", low_memory, 256, 128, "MiB", {"the host": 128, "vGPU 1": 256}),
    Case("high graphics memory", high_memory, 2048, 640, "MiB", {"the host": 384, "vGPU 1": 1024}),
    Case("low graphics memory (aperture)", placed_memory, 64, 0, "MiB", {"the host": 128, "vGPU 1": 64}),
    Case("fences", fences, 4, 0, "registers", {"the host": 4, "tenant": 4} | {f"vGPU {number}": 4 for number in range(1, 7)}),
    Case("low graphics memory (aperture)", instances, 64, 0, "MiB", {"the host": 128} | {f"a297db4a-f4c2-11e6-90f6-00000000000{n}": 64 for n in (0, 1)}),
    Case("low graphics memory (aperture)", reserved, 64, 0, "MiB", {"the host": 128, "one": 64, "two": 64}),
    Case("graphics memory", graphics_memory, 1, 0, "pages", {"the host": 32767, "vGPU 2": 98304}),
    Case("host memory", host_memory, 1 << 28, (1 << 26) - (1 << 20) - 4, "pages", {"the host": 1, "vGPU 5": 3}),
    Case("windows of host memory", windows, 1, 0, "windows", {"memory of machines": 250, "IOMMUs": 1, "memory of processes": 4}),
    Case("mappings of container", mappings, 1, 0, "mappings", {"its user": 2}),
    Case("addresses of IOAS 1", io_addresses, 3, 2, "pages", {"its user": 1}),
    Case("locked memory of the process", locked_memory, 2, 1, "pages", {"what devices have pinned": 3}),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.exhaust.__name__)
def test_what_runs_out_is_named_with_what_is_left_and_who_has_it(case: Case) -> None:
    with pytest.raises(ResourceExhausted) as refused:
        case.exhaust()
    error = refused.value
    assert (error.resource, error.wanted, error.left, error.unit, error.held) == (case.resource, case.wanted, case.left, case.unit, case.held)
    text = str(error)
    assert text.startswith(f"not enough {case.resource}: {case.wanted} {case.unit} wanted, {case.left} {case.unit} left (")
    assert all(f"{who} has {much}" in text for who, much in case.held.items())


def test_of_many_holders_the_greatest_are_named_and_the_others_counted() -> None:
    error = ResourceExhausted("pages", 1, 0, "pages", "of 78", {f"vGPU {number}": number for number in range(13)})
    assert str(error) == (
        "not enough pages: 1 pages wanted, 0 pages left (of 78; vGPU 12 has 12, vGPU 11 has 11, vGPU 10 has 10, vGPU 9 has 9, vGPU 8 has 8, "
        "vGPU 7 has 7, vGPU 6 has 6, vGPU 5 has 5, 4 others have 10)"
    )


def test_addresses_behind_an_iommu_run_out_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iommu, "_PAGES", 4)
    bus = Iommu(HostMemory())
    given = [bus.reserve(BusAddress(number << 12)) for number in range(1, 4)]
    bus.cut(given[0])
    with pytest.raises(ResourceExhausted) as refused:
        bus.reserve(BusAddress(0x9000))
    assert (refused.value.wanted, refused.value.left) == (1, 0)
    assert refused.value.held == {"what is mapped": 2, "what its users took back and vGPUs still refer to": 1}
    bus.release(given[0])
    bus.reserve(BusAddress(0x9000))


# ---- the machine around us ----


@pytest.mark.parametrize("make", [Ram, SharedRam])
def test_memory_of_the_machine_runs_out_by_name(make: Callable[[int], object]) -> None:
    with pytest.raises(ResourceExhausted, match=r"^not enough memory of this machine: 1073741824 MiB wanted, [0-9]+ MiB left \(of [0-9]+.*; the address space of this process has"):
        make(1 << 50)


@pytest.mark.parametrize("what", ["a listening socket", "memory to share"])
def test_file_descriptors_run_out_by_name_and_are_counted_by_kind(tmp_path: Path, what: str) -> None:
    acts: dict[str, Callable[[], object]] = {"a listening socket": lambda: Listener(tmp_path / "a"), "memory to share": lambda: SharedRam(PAGE_SIZE)}
    held, before = Listener(tmp_path / "b"), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        with pytest.raises(ResourceExhausted) as refused:
            acts[what]()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        held.close()
    error = refused.value
    assert (error.resource, error.wanted, error.left) == ("file descriptors of this process", 1, 0)
    assert error.held["sockets"] >= 1 and "(of 3, ulimit -n; " in str(error)


# ---- what a guest runs out of is a finding ----


def test_a_process_that_may_lock_no_more_is_told_so_and_the_gpu_is_let_at_nothing_else() -> None:
    host = Host()
    port = DmaPort(host.memory, DirectBus(host.memory))
    vgpu = host.create_vgpu(None, port)
    assert isinstance(host.clock, VirtualClock)
    device, container, ram = open_vgpu(vgpu, port), Type1Container(), Ram(64 * MIB)
    memory = UserMemory(ram, host.memory, lockable_pages=40)
    device.bind_container(container)
    container.map(0, ram.size, memory)
    driver = GuestDriver(LocalMachine(VfioPciDevice(device), ram, host.clock))
    try:
        driver.probe()
        driver.fill(driver.create_surface(512, 512), 1).wait(10_000_000_000)
    except DriverError:
        # Whether the driver gets along without is the driver's affair.
        pass
    (note,) = vgpu.findings.of_rule("host-exhausted")
    assert (note.kind, note.where) == (FindingKind.NOTE, "guest memory")
    assert note.text.startswith("not enough locked memory of the process: 1 pages wanted, 0 pages left (of 40, ulimit -l; what devices have pinned has 40)")
    assert memory.pinned_pages == device.pinned_pages == 40 and host.guard.violations == 0


def test_a_guest_whose_page_tables_are_more_than_its_share_of_shadows_is_told_whose_and_how_many() -> None:
    host = Host()
    host.mediator.shadow_pool.share = 6
    vgpu, machine = host.plug()
    driver = GuestDriver(machine)
    driver.probe()
    (fault,) = vgpu.findings.of_rule("ppgtt-shadow-memory")
    assert (fault.kind, fault.where, fault.value) == (FindingKind.GUEST_FAULT, "shadow tables of vGPU 1", 6)
    assert fault.nearest == "6 tables (24 KiB)" and host.mediator.shadow_pool.used(1) <= 6
