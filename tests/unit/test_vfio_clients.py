"""Many processes that use vGPUs of one GPU by the VFIO interface, without machines: each has its results and its share, and its end is its own."""

from __future__ import annotations

import pytest

from guest_driver import BufferObject, GuestDriver, Request
from host_model.clock import RealClock
from host_model.host import Host
from host_model.mediator.scheduler.fair import Fair
from host_model.mediator.scheduler.share import share_of
from host_model.mediator.types import VgpuType
from host_model.vfio import VfioMachine, use_vgpu
from host_model.vfio.device import DeviceState
from host_model.vfio.dma.iommu import Iommu
from pvinfo.errors import ResourceExhausted, UsageError
from pvinfo.units import GIB, MIB

CONTAINER = VgpuType("container", 64 * MIB, 128 * MIB, 1, 2, "1024x768")
PATIENCE_NS = 60_000_000_000


class Drawer:
    """A process with a driver that keeps the GPU busy: fills, each copied away."""

    def __init__(self, machine: VfioMachine, color: int) -> None:
        self.machine = machine
        self.driver = GuestDriver(machine, vgpu_required=True)
        self.driver.probe()
        self.color = color
        self.source, self.target = self.driver.create_surface(256, 64), self.driver.create_surface(256, 64)
        self.requests: list[Request] = []

    def draw(self) -> None:
        """Ask for one picture more, and wait for the one before the last: there is always work."""
        fill = self.driver.fill(self.source, self.color + len(self.requests))
        self.requests.append(self.driver.copy(self.target, self.source, after=(fill,)))
        if len(self.requests) > 2:
            self.requests[-3].wait(PATIENCE_NS)

    def finish(self) -> None:
        """Everything that was asked for is there."""
        self.requests[-1].wait(PATIENCE_NS)
        assert self.rows(self.target) == {(self.color + len(self.requests) - 1).to_bytes(4, "little") * 256}

    @staticmethod
    def rows(surface: BufferObject) -> set[bytes]:
        return {surface.read_row(y, 0, 1024) for y in range(64)}


def drawers(host: Host, number: int, weights: tuple[int, ...] = (2,)) -> list[Drawer]:
    types = [CONTAINER._replace(weight=weights[index % len(weights)]) for index in range(number)]
    return [Drawer(use_vgpu(host, 16 * MIB, kind), (index + 1) << 16) for index, kind in enumerate(types)]


def test_twelve_clients_interleaved_have_their_own_results() -> None:
    host = Host(aperture_size=GIB)
    clients = drawers(host, 12)
    for _ in range(10):
        for client in clients:
            client.draw()
    for client in clients:
        client.finish()
    assert [client.machine.vgpu.number for client in clients] == list(range(1, 13))
    assert (host.guard.violations, [list(client.machine.vgpu.findings) for client in clients]) == (0, [[]] * 12)


def test_clients_that_always_want_the_gpu_have_it_as_weighted() -> None:
    host = Host(aperture_size=GIB, scheduler=Fair(period_ns=2_000_000, least_slice_ns=200_000))
    clients = drawers(host, 8, weights=(2, 4))
    asked: list[list[Request]] = [[] for _ in clients]
    while host.mediator.turn.contested_ns < 30_000_000:
        for client, outstanding in zip(clients, asked, strict=True):
            outstanding[:] = [request for request in outstanding if not request.complete]
            while len(outstanding) < 3:
                outstanding.append(client.driver.fill(client.source, client.color))
        clients[0].machine.clock.wait_ns(20_000)
    had = [share_of(host.mediator.turn, client.machine.vgpu).contested_ns for client in clients]
    all_ns = host.mediator.turn.contested_ns
    assert had == pytest.approx([all_ns * 2 / 24, all_ns * 4 / 24] * 4, abs=1_000_000), "to half a period"
    assert host.guard.violations == 0


def test_a_client_that_ends_in_the_midst_gives_all_back_and_the_others_and_its_successor_work() -> None:
    host = Host(aperture_size=GIB)
    bus = Iommu(host.memory)
    clients = [Drawer(use_vgpu(host, 16 * MIB, CONTAINER, bus=bus), (index + 1) << 16) for index in range(5)]
    for _ in range(3):
        for client in clients:
            client.draw()
    gone, free = clients.pop(2), host.pool.free
    reserved, held = bus.reserved_pages, gone.machine.pinned_pages
    assert held > 0 and gone.machine.device.pinned_pages == held
    gone.machine.close()
    gone.machine.close()
    assert gone.machine.device.state is DeviceState.CLOSED and gone.machine.pinned_pages == 0
    assert bus.reserved_pages == reserved - held == sum(client.machine.pinned_pages for client in clients)
    assert host.pool.free == (free.low + 64 * MIB, free.high + 128 * MIB, free.fences + 1)
    clients.append(Drawer(use_vgpu(host, 16 * MIB, CONTAINER, bus=bus), 0x770000))
    assert clients[-1].machine.vgpu.number == 3
    for _ in range(3):
        for client in clients:
            client.draw()
    for client in clients:
        client.finish()
        client.machine.close()
    assert (host.guard.violations, bus.reserved_pages, host.vgpus, host.guard.machines) == (0, 0, {}, {})
    assert host.pool.free == Host(aperture_size=GIB).pool.free


def test_the_first_client_for_whom_nothing_is_left_is_told_who_has_it_and_leaves_nothing_behind() -> None:
    host = Host(aperture_size=GIB)
    clients = [use_vgpu(host, MIB) for _ in range(7)]
    with pytest.raises(ResourceExhausted, match=r"not enough fences: 4 registers wanted, 0 registers left \(of 32; the host has 4, vGPU 1 has 4, vGPU 2 has 4,"):
        use_vgpu(host, MIB)
    clients[3].close()
    with use_vgpu(host, MIB) as machine:
        assert (machine.vgpu.number, machine.vgpu.resources) == (4, clients[3].vgpu.resources)


@pytest.mark.parametrize("size", [0, 4097, -4096])
def test_memory_is_whole_pages_and_a_real_clock_is_for_sockets(size: int) -> None:
    host = Host()
    with pytest.raises(UsageError, match=f"^{size} bytes of memory: it is a positive number of 4096-byte pages"):
        use_vgpu(host, size)
    with pytest.raises(UsageError, match="on virtual time, but the host's clock is real: connect to a socket instead"):
        use_vgpu(Host(clock=RealClock()), MIB)
    assert not host.vgpus
